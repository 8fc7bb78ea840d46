"""Two gateways in one cluster: one is killed and comes back, and no connection notices much."""

import json
import unittest

from lab import clusters, demo, namespaces
from streams import Stream

PORT = 9200
SERVICE = "stream{}.shop.svc.slice.local"
# By the design a second; what a busy test machine adds is not the gateways'.
LONGEST = 5.0


class GatewayFailover(unittest.TestCase):
    def setUp(self):
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no tunnels without namespaces: {reason}")

    def tunnels(self, cluster, other):
        return [t for t in cluster.api("/v1/tunnels") if t["cluster"] == other]

    def warnings(self, cluster):
        return [w["title"] for w in cluster.api("/v1/status")["warnings"]]

    def wait_for_tunnels(self, lab, names):
        """Each gateway of b has a tunnel with a's, and the other way round."""
        a, b = lab.clusters["a"], lab.clusters["b"]

        def up():
            there = {t["replica"]: t["state"] for t in self.tunnels(a, "b")}
            back = {t["gateway"]: t["state"] for t in self.tunnels(b, "a")}
            return there == back == dict.fromkeys(names, "established")
        clusters.eventually(
            up, 30, f"tunnels with {names}: {self.tunnels(a, 'b')}, {self.tunnels(b, 'a')}")

    def open_streams(self, lab):
        """Four connections at least, and as many more until both gateways of b carry some."""
        a, b = lab.clusters["a"], lab.clusters["b"]
        ends = a.workloads["shop"][0], b.workloads["shop"][0]
        streams = []

        def carrying():
            before = {t["replica"]: t["sentPackets"] for t in self.tunnels(a, "b")}
            counts = [stream.echoed for stream in streams]
            clusters.eventually(
                lambda: all(s.echoed > n + 200 for s, n in zip(streams, counts)), 20, "echoes")
            after = clusters.eventually(
                lambda: (now := {t["replica"]: t["sentPackets"] for t in self.tunnels(a, "b")})
                != before and now, 5, "newer figures")
            # Some of the packets are the gateways' own.
            return [r for r in after if after[r] > before[r] + 100]
        for number in range(12):
            b.export("shop", f"stream{number}", PORT + number, [b.workloads["shop"][1]], demo.SLICE)
            address = clusters.eventually(
                lambda: (found := a.resolve("shop", SERVICE.format(number)))[0] == "NOERROR"
                and found[1], 30, "the stream's name resolves")[0]
            streams.append(Stream(*ends, address, PORT + number))
            if number >= 3 and len(carrying()) == 2:
                break
        return streams

    def test_one_of_two_gateways_is_killed_and_comes_back(self):
        with clusters.Lab(gateway_processes={"a": 1, "b": 2, "c": 1}) as lab:
            story = demo.Demo(lab, lambda text: None)
            story.form_cluster_set()
            story.push_slice()
            story.call_by_name()
            self.wait_for_tunnels(lab, "01")
            b = lab.clusters["b"]
            text = lab.clusters["a"].cli("status", "--tunnels", "-o", "wide")
            for word in ("GATEWAY", "REPLICA", "NAT"):
                self.assertIn(word, text)
            streams = self.open_streams(lab)
            try:
                for victim in (1, 0):
                    self.kill_and_restart(lab, b, victim, streams)
            finally:
                for stream in streams:
                    stream.stop()
            self.assertEqual([s.problem for s in streams], [None] * len(streams))
            self.withdraw(lab, b)

    def kill_and_restart(self, lab, b, victim, streams):
        for stream in streams:
            stream.longest = 0
        b.kill_gateway(victim)
        self.go_on(streams, "traffic without it")
        killed = max(stream.longest for stream in streams)
        clusters.eventually(
            lambda: self.warnings(b) == ["A gateway is away"], 20, "b says that one is away")
        code, _ = lab.clusters["a"].resolve("shop", demo.NAME)
        self.assertEqual(code, "NOERROR")
        for stream in streams:
            stream.longest = 0
        b.start_gateway(victim)
        self.wait_for_tunnels(lab, "01")
        self.go_on(streams, "traffic after its return")
        back = max(stream.longest for stream in streams)
        clusters.eventually(lambda: not self.warnings(b), 20, "b says that all is well")
        print(
            f"gateway {victim} killed: {len(streams)} streams, longest gap {killed * 1e3:.0f} ms; "
            f"its return: {back * 1e3:.0f} ms; ", end="", flush=True)
        self.assertEqual([s.problem for s in streams], [None] * len(streams))
        self.assertLess(max(killed, back), LONGEST)

    def go_on(self, streams, what):
        counts = [stream.echoed for stream in streams]
        clusters.eventually(
            lambda: any(s.problem for s in streams)
            or all(s.echoed > n + 200 for s, n in zip(streams, counts)), 30, what)

    def withdraw(self, lab, b):
        """A gateway that is configured no more is in no other cluster's way."""
        lab.gateway_processes = {"a": 1, "b": 1, "c": 1}
        b.kill()
        b.kill_gateway(1)
        b.start()
        b.wait_joined()
        clusters.eventually(
            lambda: [t["replica"] for t in self.tunnels(lab.clusters["a"], "b")] == ["0"], 30,
            "a let go of the second gateway")
        plan = json.loads(b.plan_files[0].read_text())
        self.assertNotIn("shared", plan["slices"][0])


if __name__ == "__main__":
    unittest.main()
