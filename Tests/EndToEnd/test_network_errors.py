"""What the kernel refuses to send is lost, and nothing else is."""

import socket
import struct
import unittest

from lab import clusters, demo, dns, namespaces
from test_control_plane import metric


def send_from_port_zero(server, name):
    """A query that nobody can answer: an answer would go to port 0."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    header = struct.pack(">HHHH", 0, 53, 8 + len(query), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as channel:
        channel.sendto(header + query, (server, 0))


class NetworkErrors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reason = namespaces.supported()
        if reason:
            raise unittest.SkipTest(f"no routes to take away without namespaces: {reason}")
        cls.lab = clusters.Lab()
        try:
            cls.story = demo.Demo(cls.lab, lambda text: None)
            cls.story.form_cluster_set()
            cls.story.push_slice()
        except BaseException:
            cls.lab.close()
            raise
        cls.peer = cls.lab.clusters["a"]

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

    def states(self):
        return {m["cluster"]: m["state"] for m in self.peer.api("/v1/members")}

    def all_answer(self):
        """A member stays degraded for a while after losses: it answers, though not every time."""
        return set(self.states().values()) <= {"alive", "degraded"}

    def test_a_route_that_is_gone_for_a_while(self):
        clusters.eventually(self.all_answer, 30, "all answer")
        self.peer.node.ip("route del 192.0.2.0/24")
        try:
            clusters.eventually(
                lambda: self.states()["b"] in ("suspect", "dead"), 30, "b is missed")
        finally:
            self.peer.node.ip("route add 192.0.2.0/24 dev eth0")
        clusters.eventually(self.all_answer, 20, "all answer again")
        self.assertGreater(metric(self.peer, "starling_gossip_unsent_datagrams_total"), 0)

    def test_a_firewall_that_refuses_one_peer(self):
        clusters.eventually(self.all_answer, 60, "all answer")
        before = metric(self.peer, "starling_gossip_unsent_datagrams_total")
        self.peer.node.check(["nft", (
            "add table inet refuse; "
            "add chain inet refuse out { type filter hook output priority 0; }; "
            f"add rule inet refuse out udp dport 7946 ip daddr {self.lab.clusters['b'].address} drop")])
        try:
            clusters.eventually(
                lambda: metric(self.peer, "starling_gossip_unsent_datagrams_total") > before + 3,
                30, "datagrams to b are refused")
            # What others relay keeps b known, and c is not concerned.
            self.assertIn(self.states()["c"], ("alive", "degraded"))
        finally:
            self.peer.node.check(["nft", "delete table inet refuse"])
        clusters.eventually(self.all_answer, 60, "all answer again")

    def test_a_query_from_port_zero(self):
        host, _, server = self.peer.workloads["shop"]
        name = "web.shop.svc.slice.local"
        host.call(send_from_port_zero, server, name)
        clusters.eventually(
            lambda: metric(self.peer, "starling_dns_answers_total", '[^}]*"notSent"[^}]*') > 0,
            10, "the answer that cannot be sent is counted")
        code, _ = host.call(dns.query, server, name)
        self.assertIn(code, ("NOERROR", "NXDOMAIN"))


class Newcomer(unittest.TestCase):
    def test_whose_first_datagrams_are_lost(self):
        """Streams tell the others who it is and what vouches for it; it learns once datagrams arrive."""
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no datagrams to lose without namespaces: {reason}")
        with clusters.Lab() as lab:
            lab.cli("init", "--name", "test", "--out", lab.directory / "admin")
            peers, seeds = [], []
            for name in "abc":
                peer = lab.cluster(name)
                if name == "c":
                    self.lose_datagrams(peer, f"udp sport {peers[0].gossip_port}")
                    for other in peers:
                        self.lose_datagrams(other, f"ip saddr {peer.address} udp dport {other.gossip_port}")
                peer.start(lab.cli("token", "create", "--cluster", name, *seeds).strip())
                peer.wait_joined()
                peers.append(peer)
                seeds = ["--seed", f"{peers[0].address}:{peers[0].gossip_port}"]
            a, _, c = peers

            def records(peer):
                found = peer.api("/v1/registers?prefix=cluster/")["registers"]
                return {register["path"] for register in found}
            clusters.eventually(lambda: "cluster/c/info" in records(a), 5, "the seed knows its record")
            self.assertFalse(all(scope["synced"] for scope in c.api("/v1/status")["scopes"]))
            for peer in peers:
                peer.node.check(["nft", "delete table inet lose"])

            def knows_all():
                scopes = c.api("/v1/status")["scopes"]
                return all(scope["synced"] for scope in scopes) and "cluster/b/info" in records(c)
            clusters.eventually(knows_all, 10, "it has learned")

    def lose_datagrams(self, peer, which):
        """Where they arrive: a sender that is refused knows."""
        peer.node.check(["nft", (
            "add table inet lose; "
            "add chain inet lose in { type filter hook input priority 0; }; "
            f"add rule inet lose in {which} drop")])


if __name__ == "__main__":
    unittest.main()
