"""Peers with their gateways in processes of their own: what the control plane says reaches them, and
what happens to it does not touch them."""

import signal
import socket
import threading
import time
import unittest

from lab import clusters, demo, namespaces


STREAM, PORT = "stream.shop.svc.slice.local", 9000


class Stream:
    """One TCP connection between workloads that always has something under way."""

    def __init__(self, client, server, address, port):
        self.stopping = threading.Event()
        self.problem, self.echoed, self.longest = None, 0, 0.0
        self.listener = server.call(socket.socket, socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("0.0.0.0", port))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        self.socket = client.call(socket.socket, socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect((address, port))
        self.thread = threading.Thread(target=self._talk, daemon=True)
        self.thread.start()

    def _serve(self):
        connection, _ = self.listener.accept()
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    def _talk(self):
        number = 0
        try:
            while not self.stopping.is_set():
                text = f"{number:08d}".encode()
                began = time.monotonic()
                self.socket.sendall(text)
                got = b""
                while len(got) < len(text):
                    piece = self.socket.recv(len(text) - len(got))
                    if not piece:
                        raise OSError("the stream ended")
                    got += piece
                if got != text:
                    raise OSError(f"{got} instead of {text}")
                self.longest = max(self.longest, time.monotonic() - began)
                self.echoed = number = number + 1
                time.sleep(0.002)
        except OSError as error:
            self.problem = error

    def stop(self):
        self.stopping.set()
        self.thread.join(25)
        self.socket.close()
        self.listener.close()


class GatewayProcesses(unittest.TestCase):
    def setUp(self):
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no tunnels without namespaces: {reason}")

    def tunnel(self, cluster, other):
        return next(
            (t for t in cluster.api("/v1/tunnels") if t["cluster"] == other), None)

    def test_peers_restart_rotate_and_leave(self):
        with clusters.Lab(gateway_processes=True) as lab:
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
