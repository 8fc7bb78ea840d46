"""The CNI plugin as runtimes call it: environment and standard input in, JSON out, real namespaces as
Pods, the real node agent behind its socket. Nothing may be left when a Pod is gone, whatever was cut
off in between."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from lab import clusters, namespaces

# Of the slice: its CIDR, the cluster's block, the node's address and its chunk.
IPV4 = ("10.12.0.0/16", "10.12.16.0/20", "10.12.16.40", "10.12.17.0/28")
IPV6 = ("fd12:12::/48", "fd12:12:0:1000::/52", "fd12:12:0:1000::28", "fd12:12:0:1000::100/124")
VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")


def reason_to_skip():
    missing = namespaces.supported()
    if missing:
        return missing
    for name in ("starling-cni", "starling-node"):
        if not (clusters.binaries() / name).exists():
            return f"{name} is not built"
    return None


class Node:
    """A node's own network namespace, the agent in it, and Pods."""

    def __init__(self, addresses):
        self.cidr, block, address, chunk = addresses
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="starling-cni-"))
        self.name = f"sc{os.getpid()}"
        self.state = self.directory / "state"
        self.socket = self.directory / "node.sock"
        self.host = namespaces.Namespace(f"{self.name}-host")
        self.host.ip("link add eth0 type bridge")
        self.host.ip("addr add 192.0.2.11/24 dev eth0")
        self.host.ip("link set eth0 up")
        self.agent_namespace = f"{self.name}-agent"
        self.pods = []
        self.agent = None
        self.document = {
            "role": "node", "underlay": "192.0.2.11", "slices": [{
                "name": "red", "overlay": "pod", "cidr": self.cidr, "block": block,
                "nodeAddress": address, "network": 7, "chunk": chunk, "namespaces": ["shop"], "optedOut": ["shop/out"]}]}
        self.write()

    def write(self):
        temporary = self.directory / "node.json.new"
        temporary.write_text(json.dumps(self.document))
        temporary.rename(self.directory / "node.json")

    def agent_command(self, *more):
        # Not `ip netns exec`: what the agent mounts has to be seen outside, as on a node.
        return ["nsenter", f"--net=/run/netns/{self.host.name}",
            str(clusters.binaries() / "starling-node"), "--document",
            str(self.directory / "node.json"), "--state", str(self.state), "--socket",
            str(self.socket), "--netns", self.agent_namespace, *more]

    def start_agent(self):
        log = open(self.directory / "agent.log", "ab")
        self.agent = subprocess.Popen(self.agent_command(), stdout=log, stderr=log)
        log.close()
        clusters.eventually(
            self.answers, 30, f"the agent is there; its log: {self.directory}/agent.log")

    def answers(self):
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self.socket))
        return (self.state / "namespaces.json").exists()

    def stop_agent(self):
        if self.agent:
            self.agent.send_signal(signal.SIGKILL)
            self.agent.wait()
            self.agent = None

    def pod(self, name):
        made = namespaces.Namespace(f"{self.name}-{name}")
        self.pods.append(made)
        return made

    def close(self):
        self.stop_agent()
        for pod in self.pods:
            pod.delete()
        subprocess.run(["ip", "netns", "del", self.agent_namespace], capture_output=True)
        self.host.delete()
        shutil.rmtree(self.directory)

    # The plugin.

    def configuration(self, version, **more):
        return {
            "cniVersion": version, "name": "lab", "type": "starling-cni",
            "stateDir": str(self.state), "agentSocket": str(self.socket),
            "agentNetns": f"/run/netns/{self.agent_namespace}", **more}

    def previous(self, version):
        """What a main plugin gave."""
        address = {"address": "10.100.0.2/24", "interface": 0, "gateway": "10.100.0.1"}
        if version < "1":
            address["version"] = "4"
        return {
            "cniVersion": version, "interfaces": [{"name": "eth0", "sandbox": "/x"}],
            "ips": [address], "routes": [{"dst": "0.0.0.0/0"}], "dns": {}}

    def call(self, verb, config, container="c1", pod=None, name="web-0", space="shop",
             interface="eth0", environment=None, prefix=()):
        variables = {
            "PATH": os.environ["PATH"], "CNI_COMMAND": verb, "CNI_CONTAINERID": container,
            "CNI_IFNAME": interface, "CNI_PATH": str(clusters.binaries()),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={space};K8S_POD_NAME={name}"}
        if pod:
            variables["CNI_NETNS"] = f"/run/netns/{pod.name}"
        variables.update(environment or {})
        text = config if isinstance(config, (str, bytes)) else json.dumps(config)
        done = subprocess.run(
            [*prefix, str(clusters.binaries() / "starling-cni")],
            input=text.encode() if isinstance(text, str) else text, env=variables,
            capture_output=True, timeout=120)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None

    # What is left.

    def links(self):
        text = subprocess.run(
            ["ip", "-n", self.agent_namespace, "-j", "link"], capture_output=True, text=True).stdout
        return [link["ifname"] for link in json.loads(text) if link["ifname"].startswith("sp")]

    def routes(self):
        """To Pods."""
        text = "".join(subprocess.run(
            ["ip", "-n", self.agent_namespace, f"-{number}", "route", "show", "proto", "83"],
            capture_output=True, text=True).stdout for number in "46")
        return [line for line in text.splitlines() if " dev sp" in line]

    def rules(self):
        return subprocess.run(
            ["ip", "netns", "exec", self.agent_namespace, "nft", "list", "set", "inet", "starling",
             "pods-red"], capture_output=True, text=True).stdout

    def records(self):
        folder = self.state / "attachments"
        return sorted(os.listdir(folder)) if folder.exists() else []


@unittest.skipIf(reason_to_skip(), reason_to_skip() or "")
class Conformance(unittest.TestCase):
    addresses = IPV4

    def setUp(self):
        self.node = Node(self.addresses)
        self.addCleanup(self.node.close)

    @property
    def version(self):
        return "6" if self.addresses is IPV6 else "4"

    def assert_nothing_left(self):
        self.assertEqual(self.node.links(), [])
        self.assertEqual(self.node.routes(), [])
        self.assertEqual(self.node.records(), [])
        clusters.eventually(
            lambda: "sp" not in self.node.rules().replace("inet", "").split("type")[-1], 20,
            "the agent takes the Pod's rule away")

    def failed(self, outcome, code):
        self.assertNotEqual(outcome[0], 0)
        self.assertEqual(outcome[1]["code"], code, outcome[1])
        self.assertTrue(outcome[1]["msg"])

    def add(self, version, pod, **more):
        config = self.node.configuration(version, prevResult=self.node.previous(version))
        return self.node.call("ADD", config, pod=pod, **more)

    def check(self, version, pod, result, **more):
        config = self.node.configuration(version, prevResult=result)
        return self.node.call("CHECK", config, pod=pod, **more)

    def test_all_verbs_in_all_versions(self):
        node = self.node
        node.start_agent()
        for version in VERSIONS:
            with self.subTest(version):
                pod = node.pod("v" + version.replace(".", ""))
                code, result = self.add(version, pod)
                self.assertEqual(code, 0, result)
                self.assertEqual(result["cniVersion"], version)
                self.assertEqual([i["name"] for i in result["interfaces"]], ["eth0", "slice0"])
                self.assertEqual("mtu" in result["interfaces"][1], version == "1.1.0")
                self.assertEqual(result["ips"][0]["address"], "10.100.0.2/24")
                self.assertEqual(result["ips"][1]["interface"], 1)
                self.assertEqual(result["ips"][1].get("version"), self.version if version < "1" else None)
                address = result["ips"][1]["address"]
                self.assertIn(address, pod.check(["ip", "addr", "show", "dev", "slice0"]))
                self.assertIn(
                    node.cidr, pod.check(["ip", f"-{self.version}", "route"]))
                # Once more: the same address, and one link.
                code, again = self.add(version, pod)
                self.assertEqual((code, again), (0, result))
                self.assertEqual(len(node.links()), 1)
                checked = self.check(version, pod, result)
                if version == "0.3.1":
                    self.failed(checked, 1)
                else:
                    self.assertEqual(checked, (0, None))
                    pod.ip("link set slice0 down")
                    self.failed(self.check(version, pod, result), 101)
                    pod.ip("link set slice0 up")
                for verb in ("GC", "STATUS"):
                    config = node.configuration(
                        version, **{"cni.dev/valid-attachments": [
                            {"containerID": "c1", "ifname": "eth0"}]})
                    outcome = node.call(verb, config)
                    if version == "1.1.0":
                        self.assertEqual(outcome, (0, None))
                    else:
                        self.failed(outcome, 1)
                self.assertEqual(len(node.links()), 1)
                for _ in range(2):
                    self.assertEqual(
                        node.call("DEL", node.configuration(version), pod=pod), (0, None))
                self.assertEqual(node.call("DEL", node.configuration(version)), (0, None))
                self.assertNotIn("slice0", pod.check(["ip", "link"]))
                self.assert_nothing_left()
        code, answer = node.call("VERSION", {"cniVersion": "1.0.0"})
        self.assertEqual((code, answer["supportedVersions"]), (0, list(VERSIONS)))

    def test_bad_input_has_its_code(self):
        node = self.node
        pod = node.pod("bad")
        good = node.configuration("1.0.0", prevResult=node.previous("1.0.0"))
        for text in ("", "{", "[]", b"\xff\xfe", '{"cniVersion":"1.0.0",}', '{"a":1,"a":2}'):
            self.failed(node.call("ADD", text, pod=pod), 6)
        for version in ("0.1.0", "0.2.0", "2.0.0", "1.1.0.0", ""):
            self.failed(node.call("ADD", dict(good, cniVersion=version), pod=pod), 1)
        for broken in ({"name": ""}, {"name": "a b"}, {"name": 7}, {"type": ""},
                       {"prevResult": 3}, {"prevResult": {"ips": {}}}, {"stateDir": "x"},
                       {"prevResult": None}):
            self.failed(node.call("ADD", dict(good, **broken), pod=pod), 7)
        for broken in ({"CNI_COMMAND": ""}, {"CNI_COMMAND": "add"}, {"CNI_CONTAINERID": ""},
                       {"CNI_CONTAINERID": "../x"}, {"CNI_CONTAINERID": "a" * 201},
                       {"CNI_IFNAME": ""}, {"CNI_IFNAME": "a" * 16}, {"CNI_IFNAME": "a/b"},
                       {"CNI_IFNAME": ".."}, {"CNI_NETNS": ""}, {"CNI_ARGS": "broken"}):
            self.failed(node.call("ADD", good, pod=pod, environment=broken), 4)
        self.failed(node.call("GC", node.configuration("1.1.0")), 7)
        self.failed(
            node.call("GC", node.configuration("1.1.0", **{"cni.dev/valid-attachments": [{}]})), 7)
        node.start_agent()
        self.failed(
            node.call("ADD", good, environment={"CNI_NETNS": "/run/netns/absent"}), 100)
        self.assertEqual(node.call("DEL", node.configuration("1.0.0")), (0, None))
        self.assert_nothing_left()

    def test_pods_outside_pass_with_the_agent_down(self):
        node = self.node
        pod = node.pod("out")
        previous = node.previous("1.0.0")
        # Before the agent ever ran.
        self.assertEqual(self.add("1.0.0", pod), (0, previous))
        node.start_agent()
        self.assertEqual(self.add("1.0.0", pod, name="out"), (0, previous))
        node.stop_agent()
        self.assertEqual(self.add("1.0.0", pod, space="other"), (0, previous))
        self.failed(self.add("1.0.0", pod), 11)
        self.assertEqual(node.call("STATUS", node.configuration("1.1.0")), (0, None))
        # What was made goes without the agent, too.
        node.start_agent()
        self.assertEqual(self.add("1.0.0", pod)[0], 0)
        node.stop_agent()
        self.assertEqual(node.call("DEL", node.configuration("1.0.0"), pod=pod), (0, None))
        node.start_agent()
        self.assert_nothing_left()

    def test_garbage_is_collected(self):
        node = self.node
        node.start_agent()
        for number in range(3):
            pod = node.pod(f"g{number}")
            self.assertEqual(
                self.add("1.1.0", pod, container=f"g{number}", name=f"g-{number}")[0], 0)
        self.assertEqual(len(node.links()), 3)

        def collect(*valid, name="lab"):
            return node.call("GC", dict(node.configuration(
                "1.1.0", **{"cni.dev/valid-attachments": [
                    {"containerID": item, "ifname": "eth0"} for item in valid]}), name=name))
        # Another network's garbage is not ours.
        self.assertEqual(collect(name="other"), (0, None))
        self.assertEqual(len(node.links()), 3)
        self.assertEqual(collect("g1"), (0, None))
        self.assertEqual(node.records(), ["g1@eth0"])
        self.assertEqual(len(node.links()), 1)
        self.assertEqual(collect(), (0, None))
        self.assert_nothing_left()

    def test_addresses_run_out_and_come_back(self):
        node = self.node
        node.start_agent()
        pod = node.pod("full")
        for number in range(16):
            inside = node.pod(f"f{number}")
            self.assertEqual(
                self.add("1.0.0", inside, container=f"f{number}", name=f"f-{number}")[0], 0)
        self.failed(self.add("1.0.0", pod, container="late"), 11)
        node.call("DEL", node.configuration("1.0.0"), container="f3")
        self.assertEqual(self.add("1.0.0", pod, container="late")[0], 0)
        for container in ["late", *(f"f{number}" for number in range(16))]:
            node.call("DEL", node.configuration("1.0.0"), container=container)
        self.assert_nothing_left()

    @unittest.skipUnless(shutil.which("strace"), "strace is missing")
    def test_killed_before_every_change_to_the_kernel(self):
        """SIGKILL at the n-th message to the kernel or the agent, at the n-th file that goes, for every
        n there is; then what a runtime does: DEL, or ADD once more, or GC."""
        node = self.node
        node.start_agent()
        config = node.configuration("1.1.0", prevResult=node.previous("1.1.0"))

        def killed(verb, call, number, pod, config):
            code, _ = node.call(verb, config, container="k", pod=pod, prefix=(
                "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                f"inject={call}:signal=KILL:when={number}"))
            return code != 0
        points = 0
        for call in ("sendto", "setns", "write"):
            number = 1
            while True:
                pod = node.pod(f"k{call}{number}")
                if not killed("ADD", call, number, pod, config):
                    break
                points += 1
                way = number % 3
                if way == 0:
                    self.assertEqual(node.call(
                        "DEL", node.configuration("1.1.0"), container="k", pod=pod), (0, None))
                elif way == 1:
                    code, result = node.call("ADD", config, container="k", pod=pod)
                    self.assertEqual(code, 0, result)
                    self.assertEqual(self.check("1.1.0", pod, result, container="k"), (0, None))
                pod.delete()
                self.assertEqual(node.call("GC", node.configuration(
                    "1.1.0", **{"cni.dev/valid-attachments": []})), (0, None))
                self.assert_nothing_left()
                number += 1
            node.call("DEL", node.configuration("1.1.0"), container="k")
        self.assertGreater(points, 10)
        for call in ("sendto", "setns", "unlink"):
            number = 1
            while True:
                pod = node.pod(f"d{call}{number}")
                self.assertEqual(node.call("ADD", config, container="k", pod=pod)[0], 0)
                cut = killed("DEL", call, number, pod, node.configuration("1.1.0"))
                self.assertEqual(node.call(
                    "DEL", node.configuration("1.1.0"), container="k", pod=pod), (0, None))
                pod.delete()
                self.assert_nothing_left()
                if not cut:
                    break
                points += 1
                number += 1
        print(f"killed at {points} points", flush=True)

    def test_the_agent_takes_everything_away(self):
        node = self.node
        node.start_agent()
        self.assertEqual(self.add("1.0.0", node.pod("gone"))[0], 0)
        node.stop_agent()
        subprocess.run(node.agent_command("--remove"), check=True)
        self.assertEqual(node.records(), [])
        self.assertNotIn("starling", node.host.check(["ip", "link"]))
        self.assertNotIn("starling", node.host.check(["nft", "list", "ruleset"]))
        self.assertFalse(pathlib.Path(f"/run/netns/{node.agent_namespace}").exists())


class ConformanceIPv6(Conformance):
    addresses = IPV6


if __name__ == "__main__":
    unittest.main()
