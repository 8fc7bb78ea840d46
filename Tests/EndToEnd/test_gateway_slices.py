"""What the slice's signed state says of tunnels, through real peers and gateways: topologies,
revocation, the schedule of rotation, and a machine that cannot have a gateway."""

import json
import os
import socket
import time
import unittest

from lab import clusters, demo, namespaces
from streams import Datagrams, Stream

PORT = 9100
STREAM = "stream.shop.svc.slice.local"
# Every gateway a process of its own.
EACH = dict.fromkeys("abc", 1)
# The shortest interval that a slice may have is 10 minutes: only for who has that time.
LONG = os.environ.get("STARLING_LONG_TESTS")


class GatewaySlices(unittest.TestCase):
    def setUp(self):
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no tunnels without namespaces: {reason}")

    def tunnel(self, cluster, other):
        return next((t for t in cluster.api("/v1/tunnels") if t["cluster"] == other), None)

    def apply(self, lab, extra):
        """The slice of the demo with more in its spec, in force everywhere."""
        path = lab.directory / "slice.yaml"
        path.write_text(demo.manifest(lab.clusters) + extra)
        lab.clusters["c"].cli("apply", "-f", path, "--wait", "--yes")

    def wait_for(self, lab, one, other, check, what):
        def looks():
            tunnel = self.tunnel(lab.clusters[one], other)
            return tunnel and check(tunnel) and tunnel
        return clusters.eventually(
            looks, 30, f"{one} to {other}: {what}; has {self.tunnel(lab.clusters[one], other)}")

    def fetches(self, lab, address):
        try:
            status, body = lab.clusters["a"].fetch("shop", f"http://{address}:8080/", timeout=2)
        except OSError:
            return False
        return status == 200 and "cluster b" in body

    def form(self, lab, extra=""):
        """Three clusters with the slice; the address of b's service as a sees it."""
        story = demo.Demo(lab, lambda text: None)
        story.form_cluster_set()
        self.apply(lab, extra)

        def address():
            code, found = lab.clusters["a"].resolve("shop", demo.NAME)
            return code == "NOERROR" and found
        return clusters.eventually(address, 30, "b's service resolves in a")[0]

    def test_the_slices_topology_decides_who_meets_whom(self):
        with clusters.Lab(gateway_processes=EACH) as lab:
            hub = "  topology: {mode: HubAndSpoke, hubs: [c]}\n"
            address = self.form(lab, hub)
            for one, other in (("a", "b"), ("b", "a")):
                tunnel = self.wait_for(
                    lab, one, other, lambda t: t["state"] == "established", "through the hub")
                self.assertEqual(tunnel.get("relay"), "c")
                direct = self.wait_for(
                    lab, one, "c", lambda t: t["state"] == "established", "to the hub")
                self.assertIsNone(direct.get("relay"))
            clusters.eventually(lambda: self.fetches(lab, address), 20, "HTTP through the hub")
            # A gateway's figures reach its peer once a second.
            clusters.eventually(
                lambda: any(t.get("relayedPackets") for t in lab.clusters["c"].api("/v1/tunnels")),
                20, "the hub counts what it hands on")

            self.apply(lab, "  topology: {mode: FullMesh}\n")
            for one, other in (("a", "b"), ("b", "a")):
                self.wait_for(
                    lab, one, other,
                    lambda t: t["state"] == "established" and not t.get("relay"), "direct")
            clusters.eventually(lambda: self.fetches(lab, address), 20, "HTTP without the hub")

            self.apply(lab, "  topology: {mode: Custom, links: [[a, c], [b, c]]}\n")
            for one, other in (("a", "b"), ("b", "a")):
                clusters.eventually(
                    lambda: self.tunnel(lab.clusters[one], other) is None, 20,
                    f"{one} let go of {other}")
                self.wait_for(lab, one, "c", lambda t: t["state"] == "established", "still there")
            self.assertFalse(self.fetches(lab, address))

    def test_a_revoked_cluster_has_no_session_left(self):
        with clusters.Lab(gateway_processes=EACH) as lab:
            address = self.form(lab)
            a, b, c = (lab.clusters[name] for name in "abc")
            for one in "ac":
                self.wait_for(lab, one, "b", lambda t: t["state"] == "established", "up")
            clusters.eventually(lambda: self.fetches(lab, address), 20, "HTTP before it")
            member = next(m for m in a.api("/v1/members") if m["cluster"] == "b")
            c.cli("revoke", member["key"], "--keep", "none", "--yes")
            for one in (a, c):
                clusters.eventually(
                    lambda: (t := self.tunnel(one, "b")) is None or t["state"] == "waiting", 20,
                    f"{one.name} let go of b")
            # Told by the others: its own peer need not agree.
            status = b.plan_files[0].with_name(b.plan_files[0].name + ".status")
            clusters.eventually(
                lambda: not any(
                    t["state"] == "established"
                    for t in json.loads(status.read_text())["tunnels"]), 20,
                "b's gateway has no session either")
            self.assertFalse(self.fetches(lab, address))
            self.wait_for(lab, "a", "c", lambda t: t["state"] == "established", "untouched")

    def test_a_taken_gateway_port_leaves_the_peer_working(self):
        with clusters.Lab() as lab:
            lab.cli("init", "--name", "port", "--out", lab.directory / "admin")
            one = lab.cluster("one")
            one.workload("shop")
            holder = one.node.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
            with holder:
                holder.bind((one.address, one.gateway_port))
                one.start(lab.cli("token", "create", "--cluster", "one").strip())
                one.wait_joined()
                log = (one.directory / "starlingd.log").read_text(errors="replace")
                lines = [line for line in log.splitlines() if "no gateway tunnel" in line]
                self.assertEqual(len(lines), 1, log)
                self.assertIn(f"cannot listen on {one.address}:{one.gateway_port}/udp", lines[0])
                self.assertIn("cannot listen on", json.dumps(one.api("/v1/status")))
                path = lab.directory / "slice.yaml"
                path.write_text(demo.manifest(["one"]))
                one.cli("apply", "-f", path, "--wait", "--yes")
                one.export("shop", "web", 8080, [one.workloads["shop"][1]], demo.SLICE)
                clusters.eventually(
                    lambda: one.resolve("shop", demo.NAME)[0] == "NOERROR", 20,
                    "names are answered all the same")

    def bad_gateway(self, wrapper, line):
        """A peer whose machine refuses a device says so in one line, and does everything else."""
        with clusters.Lab(wrapper=wrapper) as lab:
            lab.cli("init", "--name", "bad", "--out", lab.directory / "admin")
            one = lab.cluster("one")
            one.workload("shop")
            one.start(lab.cli("token", "create", "--cluster", "one").strip())
            one.wait_joined()
            path = lab.directory / "slice.yaml"
            path.write_text(demo.manifest(["one"]))
            one.cli("apply", "-f", path, "--yes")
            one.export("shop", "web", 8080, [one.workloads["shop"][1]], demo.SLICE)
            clusters.eventually(
                lambda: one.resolve("shop", demo.NAME)[0] == "NOERROR", 20,
                "names are answered all the same")
            # More passes, more tries: still told once.
            for number in range(3):
                one.export("shop", f"more{number}", 8080, [one.workloads["shop"][1]], demo.SLICE)
                clusters.eventually(
                    lambda: one.resolve("shop", f"more{number}.shop.svc.slice.local")[0]
                    == "NOERROR", 20, "the next export")
            log = (one.directory / "starlingd.log").read_text(errors="replace")
            told = [text for text in log.splitlines() if "slice not served" in text
                    and "TUN device" in text or "/dev/net/tun" in text]
            self.assertEqual(len(told), 1, log)
            self.assertIn(line, told[0])
            # And where one looks for it.
            self.assertIn(line, one.cli("log"))

    def test_a_machine_without_tun_devices_leaves_the_peer_working(self):
        hide = 'mount -t tmpfs none /dev/net && exec "$@"'
        self.bad_gateway(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"],
            "there is no /dev/net/tun here")

    def test_a_missing_capability_leaves_the_peer_working(self):
        # Low ports of DNS need another one, which stays.
        self.bad_gateway(
            ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"],
            "no permission to make the TUN device sl-blue: CAP_NET_ADMIN is needed")

    @unittest.skipUnless(LONG, "takes 11 minutes: set STARLING_LONG_TESTS")
    def test_certificates_rotate_on_the_slices_schedule_under_a_stream(self):
        with clusters.Lab(gateway_processes=EACH) as lab:
            self.form(lab, "  rotation: {interval: 10m, overlap: 10s}\n")
            a, b = lab.clusters["a"], lab.clusters["b"]
            b.export("shop", "stream", PORT, [b.workloads["shop"][1]], demo.SLICE)
            b.export("shop", "numbers", PORT, [b.workloads["shop"][1]], demo.SLICE, "UDP")
            address = clusters.eventually(
                lambda: (found := a.resolve("shop", STREAM))[0] == "NOERROR" and found[1], 30,
                "the stream's name resolves")[0]
            before = self.wait_for(lab, "a", "b", lambda t: t["state"] == "established", "up")
            ends = (a.workloads["shop"][0], b.workloads["shop"][0])
            stream = Stream(*ends, address, PORT)
            numbers = Datagrams(*ends, address, PORT)
            try:
                deadline = time.monotonic() + 720

                def rotated():
                    tunnel = self.tunnel(a, "b")
                    return stream.problem or (
                        tunnel and all(
                            tunnel[end] > before[end] for end in (
                                "localCertificateExpiresAt", "remoteCertificateExpiresAt"))
                        and tunnel["handshakes"] > before["handshakes"])
                clusters.eventually(
                    rotated, deadline - time.monotonic(), "both have new leaves", interval=0.5)
                count = stream.echoed
                clusters.eventually(
                    lambda: stream.problem or stream.echoed > count + 200, 20, "traffic after it")
            finally:
                stream.stop()
                numbers.stop()
            self.assertIsNone(stream.problem)
            self.assertEqual(numbers.lost, 0)
            print(
                f"{stream.echoed} echoed, longest {stream.longest * 1e3:.0f} ms; "
                f"{numbers.lost} of {numbers.sent} datagrams lost; ", end="")


if __name__ == "__main__":
    unittest.main()
