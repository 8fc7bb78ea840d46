"""Peers of clusters that are real API servers: one peer a cluster on loopback, each with the cluster's
own CoreDNS in front of it where there is one."""

import json
import os
import pathlib
import re
import socket
import subprocess
import threading

from . import clusters, dns
from .kubernetes_api import API, Kubeconfig

NAMESPACE = "shop"
SLICE = "blue"
# What a cluster that kubeadm made has.
COREFILE = """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    cache 30
    loop
    reload
}
"""


class Proxy:
    """Stands between a client and its API server, counts connections, and can be away."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.away = False
        self.attempts = 0
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.attempts += 1
            if self.away:
                near.close()
                continue
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            for channel in (near, far):
                channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open.update((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for channel in (source, sink):
            self.open.discard(channel)
            try:
                channel.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def go(self):
        self.away = True
        for channel in list(self.open):
            try:
                channel.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def come(self):
        self.away = False


class KubernetesCluster(clusters.Cluster):
    """A peer that is the operator of one API server. `of`: another peer of a cluster that is there."""

    def __init__(self, lab, name, index, kubeconfig, of=None):
        super().__init__(lab, name if of is None else f"{name}-{index}", index)
        self.name = name
        self.address, self.gossip_port = f"127.20.{os.getpid() % 250}.{index + 1}", 7946
        self.config = of.config if of else Kubeconfig(kubeconfig)
        self.proxies = []
        self.kubeconfig = self.way("kubeconfig")
        # Peers need no rights here; a user of its own makes a peer's packets known (`KubernetesLab.cut`).
        self.user = 20_000 + index
        self.kube = API(self.config)
        self.dns_port = 5353
        # Where the cluster's Pods would ask.
        self.resolver = (self.address, self.dns_port)
        self.metrics_port = 7480

    def way(self, name):
        """A kubeconfig for one client, whose connections are counted alone where servers go away."""
        port = self.config.port
        if self.lab.proxied:
            self.proxies.append(Proxy(self.config.host, port))
            port = self.proxies[-1].port
        return self.config.through(self.directory / name, port)

    def configuration(self):
        out = super().configuration()
        out["metrics"] = {"listen": f"{self.address}:{self.metrics_port}"}
        out["platform"] = "kubernetes"
        out["kubernetes"] = {
            "kubeconfig": str(self.kubeconfig), "namespace": "starling-system",
            "dns": {"listen": [f"{self.address}:{self.dns_port}"],
                    "adapter": "coredns" if self.lab.coredns else "none"},
            # There is no kubelet: membership decides what can be reached.
            "gateway": {"replicas": 0},
        }
        return out

    def start(self, token=None):
        run_as = (
            'chown -R "$1" "$2" && user=$1 && shift 2 && '
            'exec setpriv --reuid="$user" --clear-groups "$@"')
        # By its host's name a peer finds who it is.
        self.lab.wrapper = [
            "sh", "-c", run_as, "sh", str(self.user), str(self.directory), "env",
            f"HOSTNAME=peer-{self.index}"]
        super().start(token)

    def prepare(self):
        """What an administrator of the cluster sets up before the peer starts, and nothing older."""
        for namespace, labels in (
                ("starling-system", None), (NAMESPACE, {"starling.dev/slice": SLICE})):
            self.kube.delete("Namespace", "", namespace)
            clusters.eventually(
                lambda name=namespace: self.kube.get("Namespace", "", name) is None, 120,
                f"{namespace} of an earlier run is gone", interval=0.2)
            self.kube.apply("Namespace", "", namespace, labels=labels)
        self.kube.apply("Secret", "starling-system", "starling-identity")
        if self.lab.coredns:
            self.kube.apply("ConfigMap", "kube-system", "coredns", data={"Corefile": COREFILE})
            self.kube.apply(
                "Service", "starling-system", "starling-dns",
                spec={"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]})

    def metric(self, name):
        """The sum of a metric over its labels."""
        connection = clusters.http.client.HTTPConnection(
            self.address, self.metrics_port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
            if re.match(rf"{name}(\{{| )", line))

    def start_coredns(self):
        """The cluster's DNS with what the peer put into its ConfigMap. No kube-proxy runs here, so the
        ClusterIP that it hands names on to is written as the address behind it."""
        service = self.kube.get("Service", "starling-system", "starling-dns")["spec"]["clusterIP"]

        def edited():
            text = self.kube.get("ConfigMap", "kube-system", "coredns")["data"]["Corefile"]
            return text if f"forward . {service}" in text else None
        text = clusters.eventually(edited, 30, f"{self.name}: the Corefile is edited")
        text = text.replace(f"forward . {service}", f"forward . {self.address}:{self.dns_port}")
        text = text.replace(":53 ", ":5300 ")
        text = text.replace(
            "pods insecure", f"kubeconfig {self.way('coredns.kubeconfig')}\n        pods insecure")
        text = re.sub(r"^(\S.*\{)$", rf"\1\n    bind {self.address}", text, flags=re.MULTILINE)
        path = self.directory / "Corefile"
        path.write_text(text)
        with open(self.directory / "coredns.log", "ab") as log:
            self.lab.processes.append(subprocess.Popen(
                [str(self.lab.coredns), "-conf", str(path)], stdout=log, stderr=log))
        self.resolver = (self.address, 5300)
        clusters.eventually(
            lambda: dns.query(self.address, "x.y.svc.clusterset.local", port=5300)[0] == "NXDOMAIN",
            30, f"{self.name}: CoreDNS answers; its log: {self.directory}/coredns.log")

    def resolve(self, name, kind="A", timeout=1.0):
        return dns.query(self.resolver[0], name, kind, timeout, self.resolver[1])

    # What a user makes.

    def service(self, name, pods, headless=False):
        """A Service without a selector and its endpoints, since there are no Pods."""
        spec = {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
        if headless:
            spec["clusterIP"] = "None"
        self.kube.apply("Service", NAMESPACE, name, spec=spec)
        for number, start in enumerate(range(0, max(1, len(pods)), 100)):
            self.endpoints(name, pods[start:start + 100], number)

    def endpoints(self, name, pods, number=0):
        self.kube.apply(
            "EndpointSlice", NAMESPACE, f"{name}-{number}",
            labels={"kubernetes.io/service-name": name}, addressType="IPv4",
            ports=[{"name": "http", "port": 8080, "protocol": "TCP"}],
            endpoints=[{"addresses": [pod], "conditions": {"ready": True}} for pod in pods])

    def export_service(self, name):
        self.kube.apply("ServiceExport", NAMESPACE, name)


class KubernetesLab(clusters.Lab):
    def __init__(self, kubeconfigs, coredns=None, proxied=False):
        super().__init__(isolated=False)
        self.kubeconfigs = kubeconfigs
        self.coredns = coredns and pathlib.Path(coredns).resolve()
        self.proxied = proxied
        self.cuts = f"starling_lab_{os.getpid()}"
        self.directory.chmod(0o711)

    def close(self):
        self.heal()
        super().close()

    def form(self):
        """All clusters join, and one slice spans them."""
        self.cli("init", "--name", "bench", "--out", self.directory / "admin")
        seeds = []
        for index, kubeconfig in enumerate(self.kubeconfigs):
            cluster = KubernetesCluster(self, chr(ord("a") + index), index, kubeconfig)
            self.clusters[cluster.name] = cluster
            cluster.prepare()
            token = self.cli("token", "create", "--cluster", cluster.name, *seeds).strip()
            cluster.start(token)
            cluster.wait_joined()
            seeds += ["--seed", f"{cluster.address}:{cluster.gossip_port}"]
        self.gather()
        path = self.directory / "slice.yaml"
        members = [{"cluster": name, "namespaces": [NAMESPACE]} for name in self.clusters]
        path.write_text(json.dumps({
            "apiVersion": "starling.dev/v1alpha1", "kind": "Slice", "metadata": {"name": SLICE},
            "spec": {"cidr": "10.11.0.0/16", "maxClusters": 4, "members": members}}))
        next(iter(self.clusters.values())).cli("apply", "-f", path, "--yes", "--wait")
        if self.coredns:
            for cluster in self.clusters.values():
                cluster.start_coredns()
        return list(self.clusters.values())

    def gather(self):
        clusters.eventually(
            lambda: all(
                cluster.api("/v1/status")["clusters"]["alive"] == len(self.clusters)
                for cluster in self.clusters.values()), 60, "all peers see all", interval=0.05)

    def another_peer(self, cluster):
        """A second peer of a cluster, admitted by a token of its own."""
        index = len(self.kubeconfigs) + sum(1 for _ in self.processes)
        made = KubernetesCluster(self, cluster.name, index, cluster.kubeconfig, of=cluster)
        token = self.cli(
            "token", "create", "--cluster", cluster.name, "--seed",
            f"{cluster.address}:{cluster.gossip_port}", "--peer",
            f"unix://{cluster.socket}").strip()
        made.start(token)
        made.wait_joined()
        return made

    # Cuts on loopback: every peer has an address and a user of its own.

    def cut(self, cluster):
        """Nothing passes between this peer and any other; its API server stays."""
        port = cluster.gossip_port
        # Dropped where they arrive: a sender that is told of a drop is not one that is cut off.
        rules = f"""table ip {self.cuts} {{
          chain out {{
            type filter hook output priority 0;
            meta skuid {cluster.user} tcp dport {port} meta mark set {cluster.user}
          }}
          chain in {{
            type filter hook input priority 0;
            meta mark {cluster.user} drop
            ip saddr {cluster.address} udp sport {port} drop
            ip daddr {cluster.address} udp dport {port} drop
            ip saddr {cluster.address} tcp sport {port} drop
            ip daddr {cluster.address} tcp dport {port} drop
          }}
        }}"""
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def heal(self):
        subprocess.run(
            ["nft", "delete", "table", "ip", self.cuts], check=False, stderr=subprocess.DEVNULL)
