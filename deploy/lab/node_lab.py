"""Two clusters with the same Pod ranges: nodes, Pods and gateways are namespaces, node agents and
gateway tunnels are the real processes."""

import json
import subprocess

from . import clusters, gateway_pair, namespaces

CIDR = "10.11.0.0/16"
BLOCKS = {"a": "10.11.16.0/20", "b": "10.11.32.0/20"}


class NodeCluster:
    """A cluster of two nodes and one gateway on a network of its own; Pods are 10.100.N.x in both."""

    def __init__(self, lab, name, index, overlay="service", gateways=1):
        self.lab, self.name, self.overlay = lab, name, overlay
        self.prefix = BLOCKS[name].rsplit(".", 1)[0]
        self.lan = lab.namespace(f"{name}-lan")
        self.lan.ip("link add br0 type bridge")
        self.lan.ip("link set br0 up")
        self.gateways = [self._gateway(number) for number in range(gateways)]
        self.nodes = [NodeHost(self, number) for number in range(2)]
        self.network = 7 + index

    def attach(self, namespace, address, device):
        """A leg in the cluster's own network."""
        namespaces.connect(self.lan, f"to{address.rsplit('.', 1)[1]}", namespace, device)
        self.lan.ip(f"link set to{address.rsplit('.', 1)[1]} master br0")
        namespace.ip(f"addr add {address}/24 dev {device}")

    def _gateway(self, number):
        made = self.lab.namespace(f"{self.name}-gw{number}")
        self.attach(made, f"192.0.2.{2 + number}", "eth0")
        device = f"{self.name}{number}"
        namespaces.connect(self.lab.wan, f"to-{device}", made, "wan0")
        self.lab.wan.ip(f"link set to-{device} master br0")
        made.ip(f"addr add {self.outside(number)}/24 dev wan0")
        return made

    def outside(self, number):
        return f"198.51.100.{(10 if self.name == 'a' else 20) + number}"

    def slice(self, **more):
        return {
            "name": gateway_pair.SLICE, "overlay": self.overlay, "cidr": CIDR,
            "block": BLOCKS[self.name], "network": self.network, "tunnelMTU": 1420, **more}

    def write(self):
        """Tells every node and gateway what there is."""
        everyone = [node.neighbour() for node in self.nodes]
        for number, _ in enumerate(self.gateways):
            self._document(f"gw{number}", {
                "role": "gateway", "underlay": f"192.0.2.{2 + number}", "slices": [self.slice(
                    nodeAddress=f"{self.prefix}.{1 + number}", nodes=everyone)]})
        for node in self.nodes:
            others = [item for item in everyone if item["underlay"] != node.underlay]
            self._document(f"node{node.number}", {
                "role": "node", "underlay": node.underlay, "slices": [self.slice(
                    nodeAddress=node.address, nodes=others, chunk=node.chunk,
                    namespaces=["shop"], sources=node.sources, endpoints=node.endpoints,
                    gateways=[{"address": f"{self.prefix}.{1 + number}",
                               "underlay": f"192.0.2.{2 + number}"}
                              for number in range(len(self.gateways))])]})

    def _document(self, name, document):
        path = self.lab.directory / f"{self.name}-{name}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(document))
        temporary.rename(path)

    def start(self):
        self.write()
        for number, gateway in enumerate(self.gateways):
            self.agent(gateway, f"gw{number}")
        for node in self.nodes:
            self.agent(node.host, f"node{node.number}")

    def start_fed(self, networks):
        """The same with documents put together from what the operator wrote (a list of NodeNetworks)."""
        for number, gateway in enumerate(self.gateways):
            self._feed(networks, f"gw{number}", "--gateway", f"192.0.2.{2 + number}")
            self.agent(gateway, f"gw{number}")
        for node in self.nodes:
            self._feed(networks, f"node{node.number}", "--node", f"node{node.number}")
            self.agent(node.host, f"node{node.number}")

    def _feed(self, networks, name, *subject):
        subprocess.run(
            [str(clusters.binaries() / "starling-node-feed"), "--from", str(networks), *subject,
             "--document", str(self.lab.directory / f"{self.name}-{name}.json")], check=True)

    def agent(self, namespace, name):
        folder = self.lab.directory / f"{self.name}-{name}"
        folder.mkdir(exist_ok=True)
        log = open(folder / "agent.log", "ab")
        # Not `ip netns exec`: what the agent mounts has to be seen outside, as on a node.
        process = subprocess.Popen([
            "nsenter", f"--net=/run/netns/{namespace.name}",
            str(clusters.binaries() / "starling-node"), "--document",
            str(self.lab.directory / f"{self.name}-{name}.json"), "--state", str(folder / "state"),
            "--socket", str(folder / "node.sock"), "--netns",
            f"{self.lab.prefix}-{self.name}-{name}-agent"], stdout=log, stderr=log)
        log.close()
        self.lab.processes.append(process)
        return process


class NodeHost:
    """A node: its own network, Pods behind it, and a main plugin's masquerading."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.underlay = f"192.0.2.{11 + number}"
        self.address = f"{cluster.prefix}.{40 + number}"
        block = cluster.prefix.rsplit(".", 1)
        self.chunk = f"{block[0]}.{int(block[1]) + 1}.{64 * number}/26"
        self.host = cluster.lab.namespace(f"{cluster.name}-node{number}")
        cluster.attach(self.host, self.underlay, "eth0")
        self.host.check(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        # What many plugins do; with it, a slice could not tell one Pod from another.
        self.host.check(["nft", (
            "table ip main { chain post { type nat hook postrouting priority srcnat; "
            "ip saddr 10.100.0.0/16 ip daddr != 10.100.0.0/16 masquerade; }; }")])
        self.agent_namespace = f"{cluster.lab.prefix}-{cluster.name}-node{number}-agent"
        self.sources, self.endpoints, self.pods = [], [], {}

    def neighbour(self):
        behind = [f"{item['address']}/32" for item in self.endpoints]
        if self.cluster.overlay == "pod":
            behind.append(self.chunk)
        return {"address": self.address, "underlay": self.underlay, "behind": behind}

    def pod(self, name, space, export=None):
        """A Pod; exported, it also has an address of the slice and a port."""
        made = self.cluster.lab.namespace(f"{self.cluster.name}{self.number}-{name}")
        last = len(self.pods) + 2
        address = f"10.100.{self.number}.{last}"
        namespaces.connect(self.host, f"pod{last}", made, "eth0")
        made.ip(f"addr add {address}/32 dev eth0")
        self.host.ip(f"addr add 10.100.{self.number}.1/32 dev pod{last}")
        self.host.ip(f"route add {address}/32 dev pod{last}")
        made.ip(f"route add 10.100.{self.number}.1/32 dev eth0")
        made.ip(f"route add default via 10.100.{self.number}.1")
        self.pods[name] = made
        if space == "shop":
            self.sources.append(address)
        if export:
            self.endpoints.append({
                "address": export, "target": address,
                "ports": [{"transport": "TCP", "port": 80}]})
        return made


def start_tunnels(lab, sides):
    """One gateway process for each gateway namespace, all to all."""
    folder = lab.directory / "tunnels"
    folder.mkdir()
    plans = gateway_pair.GatewayPlans(
        folder, tuple(len(side.gateways) for side in sides.values()))
    endpoints = {
        (name, number): f"{sides[name].outside(int(number))}:7900" for name, number in plans.names}
    processes = {}
    for name, number in plans.names:
        side = sides[name]
        path = plans.write((name, number), endpoints[name, number], {gateway_pair.SLICE: {
            "device": f"sl-{gateway_pair.SLICE}", "blocks": BLOCKS,
            "address": f"{side.prefix}.{1 + int(number)}/16"}}, endpoints)
        processes[name, number] = lab.spawn(
            side.gateways[int(number)],
            [str(clusters.binaries() / "starling-gateway"), "--plan", str(path)])
    return processes


def reason_to_skip():
    missing = namespaces.supported()
    if missing:
        return missing
    for name in ("starling-node", "starling-cni", "starling-gateway", "starling-node-feed"):
        if not (clusters.binaries() / name).exists():
            return f"{name} is not built"
    return None
