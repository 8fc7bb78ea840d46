"""Slices on nodes: two clusters with the same Pod ranges, a plugin that masquerades and enforces no
policy, node agents, VXLAN, gateways."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from lab import clusters, namespaces, node_lab

HERE = pathlib.Path(__file__).resolve().parent
WEB = node_lab.clusters.pathlib.Path(node_lab.__file__).with_name("web.py")


@unittest.skipIf(node_lab.reason_to_skip(), node_lab.reason_to_skip() or "")
class Nodes(unittest.TestCase):
    def setUp(self):
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
            name: node_lab.NodeCluster(self.lab, name, index, overlay, gateways[index])
            for index, name in enumerate("ab")}
        return made["a"], made["b"], made

    def serve(self, pod, text, port=80):
        self.lab.spawn(pod, [sys.executable, str(WEB), str(port), text])

    def get(self, pod, address, port=80, timeout=2):
        return pod.call(clusters._fetch, f"http://{address}:{port}/", timeout)[1].strip()

    def reaches(self, pod, address, text, port=80):
        clusters.eventually(
            lambda: self.get(pod, address, port) == text, 30, f"{text} at {address}", 0.1)

    def refused(self, pod, address, port=80):
        with self.assertRaises(OSError):
            self.get(pod, address, port, timeout=1)

    def test_overlay_service(self):
        a, b, both = self.sides("service", gateways=(2, 1))
        client = a.nodes[0].pod("client", "shop")
        outsider = a.nodes[0].pod("outsider", "other")
        neighbour = a.nodes[1].pod("neighbour", "shop", export="10.11.16.77")
        same = a.nodes[0].pod("same", "shop", export="10.11.16.78")
        # The same real address as the client's, in the other cluster.
        web = b.nodes[0].pod("web", "shop", export="10.11.32.77")
        for pod, text in ((neighbour, "a-neighbour"), (same, "a-same"), (web, "b-web")):
            self.serve(pod, text)
        self.serve(web, "closed", 81)
        tunnels = node_lab.start_tunnels(self.lab, both)
        a.start()
        b.start()
        self.reaches(client, "10.11.32.77", "b-web")
        self.reaches(client, "10.11.16.77", "a-neighbour")
        self.reaches(client, "10.11.16.78", "a-same")
        self.refused(client, "10.11.32.77", 81)
        # No policy is enforced by anybody else here.
        for address in ("10.11.32.77", "10.11.16.77", "10.11.16.78"):
            self.refused(outsider, address)
        self.assertFalse(self.pings(outsider, "10.11.16.1"))

        # One of two gateways dies: the agents notice and use the other.
        tunnels["a", "0"].kill()
        node = a.nodes[0]
        clusters.eventually(
            lambda: "10.11.16.1 " not in self.routes(node), 30, "the dead gateway is no hop")
        for _ in range(5):
            self.assertEqual(self.get(client, "10.11.32.77", timeout=5), "b-web")

        # Somebody flushes everything, and takes a route and a device away.
        node.host.check(["nft", "flush", "ruleset"])
        inside = ["ip", "netns", "exec", node.agent_namespace]
        subprocess.run([*inside, "nft", "flush", "ruleset"], check=True)
        subprocess.run([*inside, "ip", "link", "del", "sx-bench"], check=True)
        self.reaches(client, "10.11.32.77", "b-web")
        clusters.eventually(lambda: "policy drop" in subprocess.run(
            [*inside, "nft", "list", "ruleset"], capture_output=True, text=True).stdout, 30,
            "rules are back")
        self.refused(outsider, "10.11.32.77")

        # A namespace that leaves the slice is out at once, and so are its endpoints.
        node.sources.remove("10.100.0.2")
        a.write()
        clusters.eventually(lambda: self.fails(client, "10.11.32.77"), 30, "the client is out")

    def test_fed_by_the_operator(self):
        """The agents get what the operator plans for these clusters; a test of it keeps the files."""
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
            networks = HERE / "operator" / f"{side.name}.json"
            side.start_fed(networks)
            for item in json.loads(networks.read_text())["items"]:
                for endpoint in item["spec"]["slices"][0]["endpoints"]:
                    addresses[side.name, endpoint["target"]] = endpoint["address"]
        self.reaches(client, addresses["b", "10.100.0.2"], "b-web")
        self.reaches(client, addresses["a", "10.100.1.2"], "a-neighbour")
        self.reaches(client, addresses["a", "10.100.0.4"], "a-same")
        for address in addresses.values():
            self.refused(outsider, address)

    def routes(self, node):
        return subprocess.run(
            ["ip", "-n", node.agent_namespace, "route", "show", node_lab.CIDR],
            capture_output=True, text=True).stdout + " "

    def fails(self, pod, address):
        try:
            self.get(pod, address, timeout=1)
            return False
        except OSError:
            return True

    def pings(self, pod, address):
        return subprocess.run(
            pod.command(["ping", "-c", "1", "-W", "1", address]), capture_output=True
        ).returncode == 0

    def test_overlay_pod(self):
        a, b, both = self.sides("pod")
        client = a.nodes[0].pod("client", "other")
        near = a.nodes[1].pod("near", "other")
        web = b.nodes[0].pod("web", "other")
        outsider = a.nodes[0].pod("outsider", "other")
        node_lab.start_tunnels(self.lab, both)
        a.start()
        b.start()
        mine = self.add(a, a.nodes[0], client, "client")
        other = self.add(b, b.nodes[0], web, "web")
        third = self.add(a, a.nodes[1], near, "near")
        # The source survives: the server says whom it sees.
        self.lab.spawn(web, [sys.executable, "-c", ECHO])
        self.lab.spawn(near, [sys.executable, "-c", ECHO])
        self.reaches(client, other, mine)
        self.reaches(client, third, mine)
        self.refused(outsider, other)
        # Nobody sends under another's address.
        client.ip(f"addr add {third.rsplit('.', 1)[0]}.63/32 dev slice0")
        self.assertFalse(self.pings_from(client, f"{third.rsplit('.', 1)[0]}.63", other))
        self.assertTrue(self.pings_from(client, mine, other))

    def pings_from(self, pod, source, address):
        return subprocess.run(
            pod.command(["ping", "-c", "1", "-W", "1", "-I", source, address]),
            capture_output=True).returncode == 0

    def add(self, side, node, pod, name):
        """What a runtime does for a Pod: its address in the slice."""
        folder = self.lab.directory / f"{side.name}-node{node.number}"
        config = {
            "cniVersion": "1.1.0", "name": "lab", "type": "starling-cni",
            "stateDir": str(folder / "state"), "agentSocket": str(folder / "node.sock"),
            "agentNetns": f"/run/netns/{node.agent_namespace}",
            "prevResult": {"cniVersion": "1.1.0", "interfaces": [], "ips": []}}

        def added():
            done = subprocess.run(
                [str(clusters.binaries() / "starling-cni")], input=json.dumps(config).encode(),
                capture_output=True, env={
                    "CNI_COMMAND": "ADD", "CNI_CONTAINERID": name, "CNI_IFNAME": "eth0",
                    "CNI_NETNS": f"/run/netns/{pod.name}",
                    "CNI_ARGS": f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}"})
            addresses = json.loads(done.stdout).get("ips")
            return addresses and addresses[0]["address"].split("/")[0]
        return clusters.eventually(added, 30, f"{name} has an address", 0.1)


ECHO = """
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(self.client_address[0].encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 80), H).serve_forever()
"""


if __name__ == "__main__":
    unittest.main()
