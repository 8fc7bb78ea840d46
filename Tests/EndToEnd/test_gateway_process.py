"""Peers with their gateways in processes of their own: what the control plane says reaches them, and
what happens to it does not touch them."""

import signal
import unittest

from lab import clusters, demo, namespaces
from streams import Stream


STREAM, PORT = "stream.shop.svc.slice.local", 9000


class GatewayProcesses(unittest.TestCase):
    def setUp(self):
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no tunnels without namespaces: {reason}")

    def tunnel(self, cluster, other):
        return next(
            (t for t in cluster.api("/v1/tunnels") if t["cluster"] == other), None)

    def test_peers_restart_rotate_and_leave(self):
        with clusters.Lab(gateway_processes=dict.fromkeys("abc", 1)) as lab:
            story = demo.Demo(lab, lambda text: None)
            story.form_cluster_set()
            story.push_slice()
            a, b = lab.clusters["a"], lab.clusters["b"]
            story.call_by_name()
            self.assertTrue(story.result["http_ok"])
            b.export("shop", "stream", PORT, [b.workloads["shop"][1]], demo.SLICE)
            address = clusters.eventually(
                lambda: (found := a.resolve("shop", STREAM))[0] == "NOERROR" and found[1], 30,
                "the stream's name resolves")[0]
            stream = Stream(a.workloads["shop"][0], b.workloads["shop"][0], address, PORT)
            try:
                self.rotate_under_a_stream(a, b, stream)
            finally:
                stream.stop()
            self.assertIsNone(stream.problem)
            text = a.cli("status", "--tunnels", "-o", "wide")
            for word in ("established", "JITTER", "PATH", "CERTIFICATE ENDS", "EPOCH", "KEY AGE"):
                self.assertIn(word, text)
            self.remove(lab, a, b)

    def rotate_under_a_stream(self, a, b, stream):
        """A restarted peer has no leaf any more: it issues one, and the gateways change over."""
        before = self.tunnel(b, "a")
        a.kill(signal.SIGKILL)
        count = stream.echoed
        clusters.eventually(lambda: stream.echoed > count + 200, 20, "traffic without the peer")
        a.start()
        a.wait_joined()
        after = clusters.eventually(
            lambda: (t := self.tunnel(b, "a")) and t["handshakes"] > before["handshakes"] and t, 30,
            "a new session after the rotation")
        self.assertGreater(
            after["remoteCertificateExpiresAt"], before["remoteCertificateExpiresAt"])
        count = stream.echoed
        clusters.eventually(lambda: stream.echoed > count + 200, 20, "traffic after it")
        self.assertIsNone(stream.problem)
        self.assertLess(stream.longest, 1.0)

    def remove(self, lab, a, b):
        """A member that is taken out of the slice has no session anywhere any more."""
        path = lab.directory / "without.yaml"
        path.write_text(demo.manifest(["a", "c"]))
        lab.clusters["c"].cli("apply", "-f", path, "--wait", "--yes")
        clusters.eventually(lambda: self.tunnel(a, "b") is None, 20, "a let go of b")
        clusters.eventually(lambda: not b.api("/v1/tunnels"), 20, "b has no tunnel left")
        self.assertIsNotNone(self.tunnel(a, "c"))


if __name__ == "__main__":
    unittest.main()
