"""Gateways as processes of their own: relays, roaming, refusals and what a machine may lack."""

import pathlib
import socket
import subprocess
import threading
import time
import unittest
import urllib.request

from lab import clusters, gateway_mesh, namespaces, tunnel_probes

MARKER = b"a-sentence-that-nobody-on-the-way-may-read"
YEAR = 365 * 24 * 3600


def moment(offset):
    return time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + offset))


class Gateways(unittest.TestCase):
    def setUp(self):
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no tunnels without namespaces: {reason}")

    def echo(self, mesh, name, port=5000):
        listener = tunnel_probes.make_socket(mesh.hosts[name], socket.SOCK_STREAM)
        listener.bind((mesh.inner(name), port))
        listener.listen()
        return listener

    # Relays

    def test_spokes_meet_through_the_hub_which_cannot_read_them(self):
        with gateway_mesh.Mesh(["a", "b", "hub"]) as mesh:
            mesh.endpoints["a"]["b"] = mesh.endpoints["b"]["a"] = []
            for name in mesh.names:
                mesh.start(name)
            mesh.wait_for("a", "b", lambda t: t["state"] == "established", "through the hub")
            self.assertEqual(mesh.tunnel("a", "b")["relay"], "hub")
            sniffer = mesh.hosts["hub"].call(
                socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            sniffer.settimeout(0.2)
            seen, over = [], threading.Event()

            def sniff():
                while not over.is_set():
                    try:
                        seen.append(sniffer.recv(65_535))
                    except TimeoutError:
                        pass
            watching = threading.Thread(target=sniff)
            watching.start()
            try:
                self.transfer(mesh, "a", "b", 4 << 20)
            finally:
                over.set()
                watching.join()
                sniffer.close()
            self.assertGreater(len(seen), 100)
            self.assertFalse(any(MARKER in frame for frame in seen))
            clusters.eventually(
                lambda: sum(t["relayedPackets"] for t in mesh.status("hub")["tunnels"]) > 1000, 10,
                "the hub counts what it handed on")
            received = sum(t["receivedPackets"] for t in mesh.status("hub")["tunnels"])
            self.assertEqual(received, 0)

    def transfer(self, mesh, source, target, count):
        """Sends that many bytes, gets them back, and compares."""
        listener = self.echo(mesh, target)

        def serve():
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        client = tunnel_probes.make_socket(mesh.hosts[source], socket.SOCK_STREAM)
        client.settimeout(30)
        client.connect((mesh.inner(target), 5000))
        data = (MARKER * (count // len(MARKER) + 1))[:count]
        sender = threading.Thread(target=client.sendall, args=(data,), daemon=True)
        sender.start()
        got = bytearray()
        while len(got) < count:
            piece = client.recv(1 << 16)
            self.assertTrue(piece, "the stream ended")
            got += piece
        self.assertEqual(bytes(got), data)
        client.close()
        listener.close()

    def test_a_blocked_path_is_bypassed(self):
        with gateway_mesh.Mesh(["a", "b", "c"]) as mesh:
            for name in mesh.names:
                mesh.start(name)
            mesh.ping("a", "b")
            self.assertIsNone(mesh.tunnel("a", "b").get("relay"))
            for one, other in (("a", "b"), ("b", "a")):
                mesh.hosts[one].check([
                    "nft", "add table ip cut; add chain ip cut in "
                    "{ type filter hook input priority 0; }; add rule ip cut in ip saddr "
                    f"{mesh.outer(other)} drop"])
            mesh.wait_for("a", "b", lambda t: t.get("relay") == "c", "bypassed through c")
            mesh.ping("a", "b")

    # Roaming

    def test_a_gateway_that_changes_its_address_is_followed(self):
        with gateway_mesh.Mesh(["a", "b"]) as mesh:
            # b is only known by its calls, and listens wherever it is.
            mesh.endpoints["a"]["b"] = []
            mesh.listen["b"] = f"0.0.0.0:{gateway_mesh.PORT}"
            for name in mesh.names:
                mesh.start(name)
            mesh.ping("a", "b")
            handshakes = mesh.tunnel("a", "b")["handshakes"]
            mesh.hosts["b"].ip("addr flush dev eth0")
            mesh.hosts["b"].ip("addr add 192.0.2.99/24 dev eth0")
            moved = f"192.0.2.99:{gateway_mesh.PORT}"
            tunnel = mesh.wait_for("a", "b", lambda t: t.get("endpoint") == moved, "followed")
            self.assertEqual(tunnel["handshakes"], handshakes)
            self.assertIn('"event":"roamed"', mesh.said("a"))
            mesh.ping("a", "b")
            mesh.wait_for("b", "a", lambda t: t.get("observed") == moved, "knows where it is")

    def test_address_translation_is_seen(self):
        with gateway_mesh.Mesh(["a", "b"]) as mesh:
            mesh.endpoints["a"]["b"] = []
            mesh.hosts["b"].check([
                "nft", "add table ip nat; add chain ip nat out "
                "{ type nat hook postrouting priority 100; }; add rule ip nat out udp sport "
                f"{gateway_mesh.PORT} masquerade to :9999"])
            for name in mesh.names:
                mesh.start(name)
            mesh.ping("a", "b")
            behind = mesh.wait_for(
                "b", "a", lambda t: t.get("translated") is not None, "how b is seen")
            self.assertTrue(behind["translated"], behind)
            self.assertEqual(behind["observed"], f"{mesh.outer('b')}:9999")
            plain = mesh.wait_for(
                "a", "b", lambda t: t.get("translated") is not None, "how a is seen")
            self.assertFalse(plain["translated"], plain)

    # Refusals

    def refusal(self, make, own, theirs):
        """b shows what `make` gives; both sides have to say why they do not take it."""
        with gateway_mesh.Mesh(["a", "b"]) as mesh:
            mesh.leaves["b"] = make(mesh)
            for name in mesh.names:
                mesh.start(name)
            for name, other, text in (("a", "b", own), ("b", "a", theirs)):
                tunnel = mesh.wait_for(
                    name, other, lambda t: text in (t.get("lastError") or ""), text)
                self.assertGreater(tunnel["failedHandshakes"], 0)
                self.assertNotEqual(tunnel["state"], "established")
            self.assertIn("handshakeFailed", mesh.said("a"))
            self.assertIn("handshakeFailed", mesh.said("b"))

    def test_another_identity_is_refused(self):
        self.refusal(
            lambda mesh: mesh.leaf("b", uri=mesh.uri("c")), "does not name",
            "the far side refused: the certificate does not name")

    def test_another_slices_certificate_is_refused(self):
        self.refusal(
            lambda mesh: mesh.leaf("b", uri=mesh.uri("b", "red")), "does not name",
            "the far side refused: the certificate does not name")

    def test_an_unknown_authority_is_refused(self):
        self.refusal(
            lambda mesh: mesh.leaf("b", authority=mesh.authorities["a"]), "was refused",
            "the far side refused: the certificate of")

    def test_an_expired_certificate_is_refused(self):
        self.refusal(
            lambda mesh: mesh.leaf_between("b", moment(-2 * 3600), moment(-3600)),
            "certificate has expired", "the far side refused")

    def test_a_clock_that_is_a_year_ahead_is_refused(self):
        self.refusal(
            lambda mesh: mesh.leaf_between("b", moment(YEAR), moment(YEAR + 3600)),
            "certificate is not yet valid", "the far side refused")

    def test_a_removed_member_ends_at_once_on_both_sides(self):
        with gateway_mesh.Mesh(["a", "b", "c"]) as mesh:
            for name in mesh.names:
                mesh.start(name)
            mesh.ping("a", "b")
            mesh.ping("a", "c")
            mesh.write("a", peers=["c"])
            mesh.wait_for(
                "b", "a", lambda t: "the far side closed" in (t.get("lastError") or ""), "closed")
            clusters.eventually(lambda: not mesh.tunnel("a", "b"), 5, "gone in a")
            mesh.ping("a", "c")

    # What a machine may lack

    def one_line(self, mesh, command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_a_taken_port_is_one_line(self):
        with gateway_mesh.Mesh(["a"]) as mesh:
            holder = tunnel_probes.make_socket(
                mesh.hosts["a"], socket.SOCK_DGRAM)
            holder.close()
            holder = mesh.hosts["a"].call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
            holder.bind((mesh.outer("a"), gateway_mesh.PORT))
            mesh.write("a")
            line = self.one_line(mesh, mesh.hosts["a"].command(mesh.command("a")))
            self.assertIn(f"cannot listen on {mesh.outer('a')}:{gateway_mesh.PORT}/udp", line)
            holder.close()

    def slice_failure(self, mesh, prefix, text):
        with open(mesh.log("a"), "ab") as log:
            mesh.processes["a"] = subprocess.Popen(
                mesh.hosts["a"].command([*prefix, *mesh.command("a")]), stdout=log, stderr=log)
        clusters.eventually(
            lambda: text in mesh.status("a").get("failures", {}).get(gateway_mesh.SLICE, ""), 10,
            f"{text}; {mesh.said('a')}")
        failures = [line for line in mesh.said("a").splitlines() if "sliceFailed" in line]
        self.assertEqual(len(failures), 1, mesh.said("a"))
        self.assertIsNone(mesh.processes["a"].poll(), "the gateway goes on")

    def test_a_missing_capability_is_one_line_and_the_gateway_goes_on(self):
        with gateway_mesh.Mesh(["a"]) as mesh:
            mesh.write("a")
            self.slice_failure(
                mesh, ["setpriv", "--bounding-set", "-net_admin"], "CAP_NET_ADMIN is needed")

    def test_no_tun_device_is_one_line_and_the_gateway_goes_on(self):
        with gateway_mesh.Mesh(["a"]) as mesh:
            mesh.write("a")
            self.slice_failure(
                mesh, ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net; exec "$0" "$@"'],
                "there is no /dev/net/tun here")

    def test_a_small_mtu_is_one_line_and_the_gateway_goes_on(self):
        with gateway_mesh.Mesh(["a"]) as mesh:
            mesh.write("a", mtu=400)
            self.slice_failure(mesh, [], "MTU 400 is not within 576 to")

    # Figures

    def test_metrics_and_health(self):
        with gateway_mesh.Mesh(["a", "b"]) as mesh:
            mesh.start("a", "--metrics", "127.0.0.1:7490")
            mesh.start("b")
            mesh.ping("a", "b")

            def get(path):
                with urllib.request.urlopen(f"http://127.0.0.1:7490{path}", timeout=5) as answer:
                    return answer.read().decode()
            self.assertEqual(mesh.hosts["a"].call(get, "/healthz"), "ok\n")
            text = mesh.hosts["a"].call(get, "/metrics")
            up = [line for line in text.splitlines() if line.startswith("starling_tunnel_up{")]
            self.assertEqual(len(up), 1, text)
            for label in ('slice="bench"', 'cluster="b"', 'gateway="0"'):
                self.assertIn(label, up[0])
            for name in (
                    "sent_bytes_total", "rtt_seconds", "loss_ratio", "path_size_bytes",
                    "key_age_seconds", "certificate_expiry_timestamp_seconds", "epoch"):
                self.assertIn(f"starling_tunnel_{name}", text)


if __name__ == "__main__":
    unittest.main()
