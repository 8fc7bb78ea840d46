"""Slices on nodes: two clusters with the same Pod ranges, a plugin that masquerades and enforces no
policy, node agents, VXLAN, gateways."""

import json
import pathlib
import subprocess
import sys
import unittest

from lab import clusters, node_lab

HERE = pathlib.Path(__file__).resolve().parent
WEB = pathlib.Path(node_lab.__file__).with_name("web.py")
V4, V6 = node_lab.V4, node_lab.V6


class NodeCase(unittest.TestCase):
    """Two clusters, and what is asked of their Pods."""
    families = (V4,)
    # Between whose addresses VXLAN packets go.
    underlay = V4

    def setUp(self):
        if node_lab.reason_to_skip():
            self.skipTest(node_lab.reason_to_skip())
        self.lab = clusters.Lab()
        self.addCleanup(self.close)

    def close(self):
        agents = [
            f"{self.lab.prefix}-{side}-node{number}-agent" for side in "ab" for number in range(2)]
        self.lab.close()
        for name in agents:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def sides(self, overlay, gateways=(1, 1)):
        made = {
            name: node_lab.NodeCluster(
                self.lab, name, index, overlay, gateways[index], self.families, self.underlay)
            for index, name in enumerate("ab")}
        return made["a"], made["b"], made

    def serve(self, pod, text, port=80):
        self.lab.spawn(pod, [sys.executable, str(WEB), str(port), text])

    def get(self, pod, address, port=80, timeout=2):
        host = f"[{address}]" if ":" in address else address
        return pod.call(clusters._fetch, f"http://{host}:{port}/", timeout)[1].strip()

    def reaches(self, pod, address, text, port=80):
        clusters.eventually(
            lambda: self.get(pod, address, port) == text, 30, f"{text} at {address}", 0.1)

    def refused(self, pod, address, port=80):
        with self.assertRaises(OSError):
            self.get(pod, address, port, timeout=1)

    def fails(self, pod, address):
        try:
            self.get(pod, address, timeout=1)
            return False
        except OSError:
            return True

    def pings(self, pod, address, *more):
        return subprocess.run(
            pod.command(["ping", "-c", "1", "-W", "1", *more, address]), capture_output=True
        ).returncode == 0

    def hops(self, node, family):
        """Gateways that the agent uses."""
        routes = json.loads(node.inside(
            "ip", "-j", "-6" if family is V6 else "-4", "route", "show", family.cidr) or "[]")
        return {
            hop["gateway"] for route in routes for hop in route.get("nexthops", [route])}

    def add(self, side, node, pod, name):
        """What a runtime does for a Pod: its address in the slice."""
        config = {
            "cniVersion": "1.1.0", "name": "lab", "type": "starling-cni",
            "stateDir": str(node.folder / "state"), "agentSocket": str(node.folder / "node.sock"),
            "agentNetns": f"/run/netns/{node.agent_namespace}",
            "prevResult": {"cniVersion": "1.1.0", "interfaces": [], "ips": []}}

        def call(verb):
            return subprocess.run(
                [str(clusters.binaries() / "starling-cni")], input=json.dumps(config).encode(),
                capture_output=True, env={
                    "CNI_COMMAND": verb, "CNI_CONTAINERID": name, "CNI_IFNAME": "eth0",
                    "CNI_NETNS": f"/run/netns/{pod.name}",
                    "CNI_ARGS": f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}"}).stdout

        def added():
            result = json.loads(call("ADD"))
            return result.get("ips") and result
        config["prevResult"] = clusters.eventually(added, 30, f"{name} has an address", 0.1)
        self.assertEqual(call("CHECK"), b"")
        return config["prevResult"]["ips"][0]["address"].split("/")[0]


class Nodes(NodeCase):
    """A slice of IPv4, and in the classes below of IPv6."""

    @property
    def family(self):
        return self.families[0]

    def test_overlay_service(self):
        at = self.family.at
        a, b, both = self.sides("service", gateways=(2, 1))
        client = a.nodes[0].pod("client", "shop")
        outsider = a.nodes[0].pod("outsider", "other")
        neighbour = a.nodes[1].pod("neighbour", "shop", export=77)
        same = a.nodes[0].pod("same", "shop", export=78)
        # The same real address as the client's, in the other cluster.
        web = b.nodes[0].pod("web", "shop", export=77)
        for pod, text in ((neighbour, "a-neighbour"), (same, "a-same"), (web, "b-web")):
            self.serve(pod, text)
        self.serve(web, "closed", 81)
        tunnels = node_lab.start_tunnels(self.lab, both)
        a.start()
        b.start()
        self.reaches(client, at("b", 77), "b-web")
        self.reaches(client, at("a", 77), "a-neighbour")
        self.reaches(client, at("a", 78), "a-same")
        self.refused(client, at("b", 77), 81)
        # No policy is enforced by anybody else here.
        for address in (at("b", 77), at("a", 77), at("a", 78)):
            self.refused(outsider, address)
        self.assertFalse(self.pings(outsider, at("a", 1)))

        # One of two gateways dies: the agents notice and use the other.
        node = a.nodes[0]
        clusters.eventually(
            lambda: self.hops(node, self.family) == {at("a", 1), at("a", 2)}, 30, "two hops")
        tunnels["a", "0"].kill()
        clusters.eventually(
            lambda: self.hops(node, self.family) == {at("a", 2)}, 30, "the dead gateway is no hop")
        for _ in range(5):
            self.assertEqual(self.get(client, at("b", 77), timeout=5), "b-web")

        # Somebody flushes everything, and takes routes, addresses and a device away.
        node.host.check(["nft", "flush", "ruleset"])
        node.inside("nft", "flush", "ruleset")
        node.inside("ip", "link", "del", f"sx-{self.family.slice}")
        node.inside("ip", "addr", "flush", "dev", "node0")
        for number in "46":
            node.inside("ip", f"-{number}", "route", "flush", "dev", "node0")
        node.host.ip("addr flush dev starling0")
        node.host.ip("link set starling0 down")
        self.reaches(client, at("b", 77), "b-web")
        clusters.eventually(
            lambda: "policy drop" in node.inside("nft", "list", "ruleset"), 30, "rules are back")
        self.refused(outsider, at("b", 77))

        # A namespace that leaves the slice is out at once, and so are its endpoints.
        node.sources[self.family].remove(self.family.pod(0, 2))
        a.write()
        clusters.eventually(lambda: self.fails(client, at("b", 77)), 30, "the client is out")

    def test_packets_fit(self):
        """Segments are agreed upon that fit, and what is too large is told so."""
        server = self.family.at("b", 77)
        a, b, both = self.sides("service")
        client = a.nodes[0].pod("client", "shop")
        web = b.nodes[0].pod("web", "shop", export=77)
        self.serve(web, "--peer")
        node_lab.start_tunnels(self.lab, both)
        a.start()
        b.start()
        answer = clusters.eventually(lambda: self.get(client, server), 30, "an answer", 0.1)
        source, size = answer.split()
        self.assertEqual(source, a.nodes[0].address(self.family))
        # Less 12 bytes for timestamps.
        self.assertEqual(int(size), 1420 - (40 if self.family is V4 else 60) - 12)
        clusters.eventually(
            lambda: self.pings(client, server, "-s", "3000"), 10, "large packets pass", 0.1)
        self.assertTrue(self.pings(client, server, "-s", "1200", "-M", "do"))

    def test_fed_by_the_operator(self):
        """The agents get what the operator plans for these clusters; its test keeps the files."""
        if self.underlay is not V4:
            self.skipTest("the operator takes IPv4 between nodes where there is IPv4")
        a, b, both = self.sides("service", gateways=(2, 1))
        client = a.nodes[0].pod("client", "shop")
        outsider = a.nodes[0].pod("outsider", "other")
        same = a.nodes[0].pod("same", "shop")
        neighbour = a.nodes[1].pod("neighbour", "shop")
        web = b.nodes[0].pod("web", "shop")
        for pod, text in ((neighbour, "a-neighbour"), (same, "a-same"), (web, "b-web")):
            self.serve(pod, text)
        node_lab.start_tunnels(self.lab, both)
        addresses = {}
        for side in (a, b):
            networks = HERE / "operator" / f"{side.name}-{self.family.slice}.json"
            side.start_fed(networks)
            for item in json.loads(networks.read_text())["items"]:
                for endpoint in item["spec"]["slices"][0]["endpoints"]:
                    addresses[side.name, endpoint["target"]] = endpoint["address"]
        pod = self.family.pod
        self.reaches(client, addresses["b", pod(0, 2)], "b-web")
        self.reaches(client, addresses["a", pod(1, 2)], "a-neighbour")
        self.reaches(client, addresses["a", pod(0, 4)], "a-same")
        for address in addresses.values():
            self.refused(outsider, address)

    def test_overlay_pod(self):
        a, b, both = self.sides("pod")
        client = a.nodes[0].pod("client", "other")
        near = a.nodes[1].pod("near", "other")
        web = b.nodes[0].pod("web", "other")
        outsider = a.nodes[0].pod("outsider", "other")
        # Runtimes have IPv6 off in Pods of clusters without it.
        client.check(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"])
        # What is in the node's own network goes the way of overlay `service`.
        a.nodes[0].sources[self.family].append(self.family.underlay(11))
        node_lab.start_tunnels(self.lab, both)
        a.start()
        b.start()
        mine = self.add(a, a.nodes[0], client, "client")
        other = self.add(b, b.nodes[0], web, "web")
        third = self.add(a, a.nodes[1], near, "near")
        # The source survives: the server says whom it sees.
        self.serve(web, "--peer")
        self.serve(near, "--peer")
        for server in (other, third):
            answer = clusters.eventually(lambda: self.get(client, server), 30, server, 0.1)
            self.assertEqual(answer.split()[0], mine)
        self.refused(outsider, other)
        seen = clusters.eventually(
            lambda: self.get(a.nodes[0].host, other), 30, "the node itself", 0.1)
        self.assertEqual(seen.split()[0], a.nodes[0].address(self.family))
        # Nobody sends under another's address.
        false = self.family.at("a", 256 + 64 + 63)
        client.ip(f"addr add {false}/{self.family.bits} dev slice0{self.family.suffix}")
        self.assertFalse(self.pings(client, other, "-I", false))
        self.assertTrue(self.pings(client, other, "-I", mine))

    def test_nothing_is_left(self):
        a, _, _ = self.sides("service")
        node = a.nodes[0]
        node.pod("web", "shop", export=77)

        def state():
            listing = [["ip", "-o", "link"], ["ip", "-o", "addr"], ["ip", "rule"],
                       ["ip", "-6", "rule"], ["nft", "list", "ruleset"]]
            listing += [
                ["ip", f"-{number}", "route", "show", "table", "all"] for number in "46"]
            return [node.host.check(words) for words in listing]
        clusters.eventually(
            lambda: "tentative" not in "".join(state()), 30, "all addresses can be used", 0.1)
        before = state()
        a.start()
        clusters.eventually(
            lambda: f"sx-{self.family.slice}" in node.inside("ip", "route", "show", "table", "all")
            + node.inside("ip", "-6", "route", "show", "table", "all"), 30, "routes are there")
        clusters.eventually(
            lambda: self.family.cidr in "".join(state()), 30, "and the node's own")
        node.remove()
        self.assertEqual(before, state())
        self.assertNotIn(
            node.agent_namespace, subprocess.run(
                ["ip", "netns"], capture_output=True, text=True).stdout)


class NodesIPv6(Nodes):
    families = (V6,)


class NodesUnderlayIPv6(Nodes):
    underlay = V6


class NodesIPv6UnderlayIPv6(Nodes):
    families = (V6,)
    underlay = V6


class NodesOfBothFamilies(NodeCase):
    families = (V4, V6)

    def sides_with_web(self):
        a, b, both = self.sides("service")
        client = a.nodes[0].pod("client", "shop")
        web = b.nodes[0].pod("web", "shop", export=77)
        self.serve(web, "b-web")
        node_lab.start_tunnels(self.lab, both)
        return a, b, client

    def test_two_slices_at_once(self):
        a, b, client = self.sides_with_web()
        outsider = a.nodes[0].pod("outsider", "other")
        a.start()
        b.start()
        for family in self.families:
            self.reaches(client, family.at("b", 77), "b-web")
            self.refused(outsider, family.at("b", 77))

    def test_agents_say_how_they_fare(self):
        """In a file beside the document, for the feed."""
        a, _, _ = self.sides_with_web()
        a.start()
        node, document = a.nodes[0], self.lab.directory / "a-node0.json"
        file = document.with_name(f"{document.name}.status")

        def problem():
            return json.loads(file.read_text())["problem"]
        clusters.eventually(lambda: file.exists() and problem() == "", 20, "all is well", 0.1)
        whole = document.read_text()
        document.write_text(whole[:-9])
        clusters.eventually(
            lambda: "what is in force stays" in problem(), 20, "the document is refused", 0.1)
        document.write_text(whole)
        clusters.eventually(lambda: problem() == "", 20, "all is well again", 0.1)
        written = file.stat().st_mtime
        clusters.eventually(lambda: file.stat().st_mtime > written, 20, "it is still there")
        node.remove()
        self.assertFalse(file.exists())

    def test_without_ipv6(self):
        """A node without IPv6 serves slices of IPv4, and says why others are not."""
        a, b, client = self.sides_with_web()
        node = a.nodes[0]
        off = "net.ipv6.conf.all.disable_ipv6"
        node.host.check(["sysctl", "-qw", f"{off}=1"])
        a.start()
        b.start()
        self.reaches(client, V4.at("b", 77), "b-web")
        self.refused(client, V6.at("b", 77))
        log = (node.folder / "agent.log").read_text()
        self.assertIn(f"slice {V6.slice} is not served: ", log)
        self.assertIn(off, log)
        status = self.lab.directory / "a-node0.json.status"
        self.assertIn(off, json.loads(status.read_text())["unserved"][V6.slice])
        self.assertNotIn(f"sx-{V6.slice}", node.inside("ip", "link"))
        # The agent leaves the node's own settings alone.
        self.assertEqual(node.host.check(["sysctl", "-n", off]).strip(), "1")
        # It comes back: the agent serves the slice, without anybody's telling.
        node.host.check(["sysctl", "-qw", f"{off}=0"])
        address, gateway = V6.pod(0, 2), V6.pod(0, 1)
        node.host.ip(f"addr replace {gateway}/128 dev pod2 nodad")
        node.host.ip(f"route replace {address}/128 dev pod2")
        node.host.ip(f"addr replace {V6.underlay(11)}/64 dev eth0 nodad")
        self.reaches(client, V6.at("b", 77), "b-web")


if __name__ == "__main__":
    unittest.main()
