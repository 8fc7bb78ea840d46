"""Two clusters with the same Pod ranges: nodes, Pods and gateways are namespaces, node agents and
gateway tunnels are the real processes."""

import dataclasses
import ipaddress
import json
import subprocess

from . import clusters, gateway_pair, namespaces


@dataclasses.dataclass(frozen=True)
class Family:
    """Addresses of one IP family, and the slice that has them."""
    slice: str
    cidr: str
    # Of a cluster, by its name.
    blocks: dict = dataclasses.field(hash=False)
    # Of Pods, with the node's and the Pod's number.
    pods: str
    pod_range: str
    # Of what stands in a cluster's own network.
    lan: str
    # As `nft` and sysctl say it.
    table: str
    forwarding: str

    @property
    def bits(self):
        return ipaddress.ip_network(self.cidr).max_prefixlen

    @property
    def suffix(self):
        """For addresses that are there at once: nobody else can have them."""
        return " nodad" if self.bits == 128 else ""

    def at(self, cluster, offset):
        """An address of the cluster's block."""
        return str(ipaddress.ip_network(self.blocks[cluster])[offset])

    def pod(self, node, number):
        return str(ipaddress.ip_address(self.pods.format(node, number)))

    def underlay(self, number):
        return self.lan.format(number)


V4 = Family(
    gateway_pair.SLICE, "10.11.0.0/16", {"a": "10.11.16.0/20", "b": "10.11.32.0/20"},
    "10.100.{}.{}", "10.100.0.0/16", "192.0.2.{}", "ip", "net.ipv4.ip_forward")
V6 = Family(
    gateway_pair.SLICE + "6", "fd11:11::/48",
    {"a": "fd11:11:0:1000::/52", "b": "fd11:11:0:2000::/52"},
    "fd64:0:0:{}::{}", "fd64::/48", "2001:db8::{}", "ip6", "net.ipv6.conf.all.forwarding")


class NodeCluster:
    """A cluster of two nodes and its gateways on a network of its own; Pods have the same addresses
    in all clusters. One slice of each family; VXLAN packets go between addresses of `underlay`."""

    def __init__(
            self, lab, name, index, overlay="service", gateways=1, families=(V4,), underlay=V4):
        self.lab, self.name, self.overlay = lab, name, overlay
        self.families, self.underlay = families, underlay
        self.lan = lab.namespace(f"{name}-lan")
        self.lan.ip("link add br0 type bridge")
        self.lan.ip("link set br0 up")
        self.network = 7 + 10 * index
        self.gateways = [self._gateway(number) for number in range(gateways)]
        self.nodes = [NodeHost(self, number) for number in range(2)]

    def attach(self, namespace, number, device):
        """A leg in the cluster's own network."""
        namespaces.connect(self.lan, f"to{number}", namespace, device)
        self.lan.ip(f"link set to{number} master br0")
        for family, length in ((V4, 24), (V6, 64)):
            namespace.ip(
                f"addr add {family.underlay(number)}/{length} dev {device}{family.suffix}")

    def _gateway(self, number):
        made = self.lab.namespace(f"{self.name}-gw{number}")
        self.attach(made, 2 + number, "eth0")
        device = f"{self.name}{number}"
        namespaces.connect(self.lab.wan, f"to-{device}", made, "wan0")
        self.lab.wan.ip(f"link set to-{device} master br0")
        made.ip(f"addr add {self.outside(number)}/24 dev wan0")
        return made

    def outside(self, number):
        return f"198.51.100.{(10 if self.name == 'a' else 20) + number}"

    def slice(self, family, **more):
        return {
            "name": family.slice, "overlay": self.overlay, "cidr": family.cidr,
            "block": family.blocks[self.name], "tunnelMTU": 1420,
            "network": self.network + self.families.index(family), **more}

    def write(self):
        """Tells every node and gateway what there is."""
        for number, _ in enumerate(self.gateways):
            self._document(f"gw{number}", {
                "role": "gateway", "underlay": self.underlay.underlay(2 + number), "slices": [
                    self.slice(
                        family, nodeAddress=family.at(self.name, 1 + number),
                        nodes=[node.neighbour(family) for node in self.nodes])
                    for family in self.families]})
        for node in self.nodes:
            self._document(f"node{node.number}", {
                "role": "node", "underlay": node.underlay, "slices": [
                    self.slice(family, **self._of(node, family)) for family in self.families]})

    def _of(self, node, family):
        return {
            "nodeAddress": node.address(family), "chunk": node.chunk(family),
            "nodes": [other.neighbour(family) for other in self.nodes if other is not node],
            "namespaces": ["shop"], "sources": node.sources[family],
            "endpoints": node.endpoints[family],
            "gateways": [{"address": family.at(self.name, 1 + number),
                          "underlay": self.underlay.underlay(2 + number)}
                         for number in range(len(self.gateways))]}

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
            node.agent = self.agent(node.host, f"node{node.number}")

    def start_fed(self, networks):
        """The same with documents put together from what the operator wrote (NodeNetworks)."""
        for number, gateway in enumerate(self.gateways):
            self._feed(
                networks, f"gw{number}", "--gateway", self.underlay.underlay(2 + number))
            self.agent(gateway, f"gw{number}")
        for node in self.nodes:
            self._feed(networks, f"node{node.number}", "--node", f"node{node.number}")
            node.agent = self.agent(node.host, f"node{node.number}")

    def _feed(self, networks, name, *subject):
        subprocess.run(
            [str(clusters.binaries() / "starling-node-feed"), "--from", str(networks), *subject,
             "--document", str(self.lab.directory / f"{self.name}-{name}.json")], check=True)

    def command(self, namespace, name, *more):
        folder = self.lab.directory / f"{self.name}-{name}"
        # Not `ip netns exec`: what the agent mounts has to be seen outside, as on a node.
        return [
            "nsenter", f"--net=/run/netns/{namespace.name}",
            str(clusters.binaries() / "starling-node"), "--document",
            str(self.lab.directory / f"{self.name}-{name}.json"), "--state", str(folder / "state"),
            "--socket", str(folder / "node.sock"), "--netns",
            f"{self.lab.prefix}-{self.name}-{name}-agent", *more]

    def agent(self, namespace, name):
        folder = self.lab.directory / f"{self.name}-{name}"
        folder.mkdir(exist_ok=True)
        log = open(folder / "agent.log", "ab")
        process = subprocess.Popen(self.command(namespace, name), stdout=log, stderr=log)
        log.close()
        self.lab.processes.append(process)
        return process


class NodeHost:
    """A node: its own network, Pods behind it, and a main plugin's masquerading."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.underlay = cluster.underlay.underlay(11 + number)
        self.host = cluster.lab.namespace(f"{cluster.name}-node{number}")
        cluster.attach(self.host, 11 + number, "eth0")
        for family in cluster.families:
            self.host.check(["sysctl", "-qw", f"{family.forwarding}=1"])
            # What many plugins do; with it, a slice could not tell one Pod from another.
            self.host.check(["nft", (
                f"table {family.table} main {{ chain post {{ "
                "type nat hook postrouting priority srcnat; "
                f"{family.table} saddr {family.pod_range} {family.table} daddr != "
                f"{family.pod_range} masquerade; }}; }}")])
        self.agent_namespace = f"{cluster.lab.prefix}-{cluster.name}-node{number}-agent"
        self.sources = {family: [] for family in cluster.families}
        self.endpoints = {family: [] for family in cluster.families}
        self.pods = {}
        self.agent = None

    def address(self, family):
        return family.at(self.cluster.name, 40 + self.number)

    def chunk(self, family):
        first = family.at(self.cluster.name, 256 + 64 * self.number)
        return f"{first}/{family.bits - 6}"

    def neighbour(self, family):
        behind = [f"{item['address']}/{family.bits}" for item in self.endpoints[family]]
        if self.cluster.overlay == "pod":
            behind.append(self.chunk(family))
        return {"address": self.address(family), "underlay": self.underlay, "behind": behind}

    @property
    def folder(self):
        return self.cluster.lab.directory / f"{self.cluster.name}-node{self.number}"

    def inside(self, *command):
        """What a command in the agent's namespace prints."""
        return subprocess.run(
            ["ip", "netns", "exec", self.agent_namespace, *command], capture_output=True, text=True
        ).stdout

    def remove(self):
        """Ends the agent and takes away what it made."""
        self.agent.kill()
        self.agent.wait()
        subprocess.run(
            self.cluster.command(self.host, f"node{self.number}", "--remove"), check=True)

    def pod(self, name, space, export=None):
        """A Pod; exported, it also has this address of the cluster's block, and a port."""
        made = self.cluster.lab.namespace(f"{self.cluster.name}{self.number}-{name}")
        last = len(self.pods) + 2
        namespaces.connect(self.host, f"pod{last}", made, "eth0")
        for family in self.cluster.families:
            address, gateway = family.pod(self.number, last), family.pod(self.number, 1)
            made.ip(f"addr add {address}/{family.bits} dev eth0{family.suffix}")
            self.host.ip(f"addr add {gateway}/{family.bits} dev pod{last}{family.suffix}")
            self.host.ip(f"route add {address}/{family.bits} dev pod{last}")
            made.ip(f"route add {gateway}/{family.bits} dev eth0")
            made.ip(f"route add default via {gateway}")
            if space == "shop":
                self.sources[family].append(address)
            if export:
                self.endpoints[family].append({
                    "address": family.at(self.cluster.name, export), "target": address,
                    "ports": [{"transport": "TCP", "port": 80}]})
        self.pods[name] = made
        return made


def start_tunnels(lab, sides):
    """One gateway process for each gateway namespace, all to all."""
    folder = lab.directory / "tunnels"
    folder.mkdir()
    families = next(iter(sides.values())).families
    plans = gateway_pair.GatewayPlans(
        folder, tuple(len(side.gateways) for side in sides.values()),
        tuple(family.slice for family in families))
    endpoints = {
        (name, number): f"{sides[name].outside(int(number))}:7900" for name, number in plans.names}
    processes = {}
    for name, number in plans.names:
        side = sides[name]
        path = plans.write((name, number), endpoints[name, number], {family.slice: {
            "device": f"sl-{family.slice}", "blocks": family.blocks,
            "address": f"{family.at(name, 1 + int(number))}/{family.cidr.split('/')[1]}"}
            for family in families}, endpoints)
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
