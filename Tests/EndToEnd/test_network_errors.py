"""What the kernel refuses to send is lost, and nothing else is."""

import json
import socket
import struct
import time
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
    """Of whom no datagram arrives, nor does any reach it: a firewall lets TCP alone through."""

    @classmethod
    def setUpClass(cls):
        reason = namespaces.supported()
        if reason:
            raise unittest.SkipTest(f"no datagrams to lose without namespaces: {reason}")

    def test_over_streams_until_datagrams_arrive(self):
        with clusters.Lab() as lab:
            lab.cli("init", "--name", "test", "--out", lab.directory / "admin")
            peers, seeds = [], []
            for name in "abc":
                peer = lab.cluster(name)
                if name == "c":
                    self.lose(peer, "ip saddr 192.0.2.0/24")
                    for other in peers:
                        self.lose(other, f"ip saddr {peer.address}")
                peer.start(lab.cli("token", "create", "--cluster", name, *seeds).strip())
                peer.wait_joined()
                peers.append(peer)
                seeds = ["--seed", f"{peers[0].address}:{peers[0].gossip_port}"]

            def everybody(states):
                """Each knows all three: one that has not heard of the newcomer finds nothing amiss."""
                known = [peer.api("/v1/members") for peer in peers]
                return all(
                    len(members) == 3 and {m["state"] for m in members} <= states
                    for members in known)
            clusters.eventually(
                lambda: everybody({"alive", "degraded"}), 20, "they know one another")
            clusters.eventually(
                lambda: all(s["synced"] for p in peers for s in p.api("/v1/status")["scopes"]), 20,
                "the newcomer has learned")
            path = lab.directory / "blue.yaml"
            for ttl, peer in (("2s", peers[0]), ("4s", peers[2])):
                path.write_text(demo.manifest("abc", ttl=ttl))
                out = json.loads(peer.cli("apply", "-f", path, "--wait", "--yes", "-o", "json"))
                self.assertEqual(out["confirmed"], 3, "a change gets there, and back")
            self.assertGreater(metric(peers[2], "starling_gossip_streamed_messages_total"), 0)
            clusters.eventually(
                lambda: "let UDP through" in peers[2].log_tail(200), 20, "it says what to do")

            for peer in peers:
                peer.node.check(["nft", "delete table inet lose"])
            clusters.eventually(lambda: everybody({"alive"}), 90, "all is as it should be")

            def is_settled():
                before = metric(peers[2], "starling_gossip_streamed_messages_total")
                time.sleep(2)
                return metric(peers[2], "starling_gossip_streamed_messages_total") == before
            clusters.eventually(is_settled, 30, "datagrams do again")

    def lose(self, peer, which):
        """Where they arrive: a sender that is refused knows."""
        peer.node.check(["nft", (
            "add table inet lose; "
            "add chain inet lose in { type filter hook input priority 0; }; "
            f"add rule inet lose in {which} udp dport {peer.gossip_port} drop")])


if __name__ == "__main__":
    unittest.main()
