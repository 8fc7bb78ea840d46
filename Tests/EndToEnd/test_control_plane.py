"""One or two peers on loopback: what they refuse, what they keep, what they say about it."""

import contextlib
import json
import os
import random
import re
import socket
import sqlite3
import subprocess
import time
import unittest

from lab import bench_gossip, clusters, demo


def metric(cluster, name, labels=".*"):
    """The sum of a metric over its labels, or over those that match."""
    connection = clusters.UnixConnection(cluster.socket)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    values = re.findall(rf"^{name}(?:{{{labels}}})? ([0-9.e+]+)$", text, re.MULTILINE)
    return sum(float(value) for value in values)


class OnePeer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = clusters.Lab(isolated=False)
        cls.lab.cli("init", "--name", "test", "--out", cls.lab.directory / "admin")
        cls.peer = cls.lab.cluster("one")
        cls.peer.start(cls.lab.cli("token", "create", "--cluster", "one").strip())
        cls.peer.wait_joined()

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

    def manifest(self, text):
        path = self.lab.directory / "slice.yaml"
        path.write_text(text)
        return path

    def slice(self, extra=""):
        return self.manifest(
            "apiVersion: starling.dev/v1alpha1\nkind: Slice\nmetadata: {name: blue}\n"
            "spec:\n  cidr: 10.11.0.0/16\n  members:\n"
            f"    - {{cluster: one, namespaces: [shop]}}\n{extra}")

    def test_garbage_on_every_port_is_survived(self):
        rng = random.Random(7)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            for _ in range(3000):
                channel.sendto(
                    rng.randbytes(rng.randint(0, 1400)), ("127.0.0.1", self.peer.gossip_port))
        for _ in range(50):
            for address in [("127.0.0.1", self.peer.gossip_port), str(self.peer.socket)]:
                family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
                try:
                    with socket.socket(family) as stream:
                        stream.settimeout(2)
                        stream.connect(address)
                        stream.sendall(rng.randbytes(rng.randint(1, 5000)))
                except OSError:
                    pass
        for _ in range(20):
            with self.assertRaises((RuntimeError, OSError, clusters.http.client.HTTPException)):
                answer = self.peer.api("/v1/changesets", rng.randbytes(rng.randint(1, 4000)))
                if all(r["outcome"] == "refused" for r in answer["results"]):
                    raise RuntimeError("refused")
        self.assertEqual(self.peer.api("/v1/status")["phase"], "joined")
        self.assertIsNone(self.peer.process.poll())

    def test_change_by_an_unknown_key_is_refused_and_shown(self):
        thief = self.lab.directory / "thief.key"
        self.lab.cli("key", "new", "--out", thief)
        done = self.peer.cli(
            "apply", "-f", self.slice("  dns: {ttl: 1s}\n"), "--key", thief, "--yes",
            check=False)
        self.assertNotEqual(done.returncode, 0)

    def test_altered_byte_is_refused_counted_and_shown(self):
        body = bytearray(bench_gossip.sign(self.lab, self.peer, 77))
        for at in (len(body) - 3, len(body) // 2):
            altered = bytearray(body)
            altered[at] ^= 1
            try:
                results = self.peer.api("/v1/changesets", bytes(altered))["results"]
            except RuntimeError:
                continue  # no changeset any more
            self.assertEqual(results[0]["outcome"], "refused", results)
            self.assertTrue(results[0]["reason"])
        shown = self.peer.cli("log", "--rejected")
        self.assertTrue(shown.strip())
        # And the true one still counts.
        results = self.peer.api("/v1/changesets", bytes(body))["results"]
        self.assertEqual(results[0]["outcome"], "accepted", results)

    def test_oversized_push_is_refused(self):
        with self.assertRaises((RuntimeError, OSError)):
            self.peer.api("/v1/changesets", b"\0" * (5 << 20))
        self.assertEqual(self.peer.api("/v1/status")["phase"], "joined")

    def test_invalid_manifest_names_file_line_and_field(self):
        path = self.manifest(
            "apiVersion: starling.dev/v1alpha1\nkind: Slice\nmetadata: {name: blue}\n"
            "spec:\n  cidr: 34.2.0.0/16\n  topolgy: {mode: FullMesh}\n  members: []\n")
        done = self.peer.cli("apply", "-f", path, "--yes", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("slice.yaml", done.stderr)
        self.assertRegex(done.stderr, r":5|line 5")
        self.assertIn("cidr", done.stderr)
        self.assertIn("topology", done.stderr)

    def test_broken_yaml_names_the_line(self):
        path = self.manifest("apiVersion: starling.dev/v1alpha1\nkind: [\n")
        done = self.peer.cli("apply", "-f", path, "--yes", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("slice.yaml", done.stderr)

    def test_wrong_passphrase_is_one_line(self):
        wrong = self.lab.directory / "wrong"
        wrong.write_text("not it\n")
        wrong.chmod(0o600)
        environment = dict(
            os.environ, STARLING_CONFIG=str(self.lab.directory / "admin" / "config.yaml"),
            STARLING_PASSPHRASE_FILE=str(wrong))
        done = subprocess.run(
            [str(clusters.binaries() / "starling"), "apply", "-f", self.slice(), "--yes",
             "--peer", f"unix://{self.peer.socket}"],
            capture_output=True, text=True, env=environment)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("passphrase", done.stderr)

    def test_port_in_use_is_one_line(self):
        other = self.lab.cluster("two")
        other.gossip_port = self.peer.gossip_port
        token = self.lab.cli("token", "create", "--cluster", "two").strip()
        other.start(token)
        self.assertNotEqual(other.process.wait(timeout=20), 0)
        self.assertRegex(other.log_tail(), r"(?i)in use")

    def test_unknown_configuration_key_names_the_nearest(self):
        path = self.lab.directory / "bad.yaml"
        path.write_text("dataDirr: /tmp/x\n")
        done = subprocess.run(
            [str(clusters.binaries() / "starlingd"), "--config", str(path), "--check-config"],
            capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("dataDir", done.stderr)
        self.assertIn("bad.yaml:1", done.stderr)

    def test_kill_9_loses_nothing_acknowledged(self):
        for number in range(5):
            body = bench_gossip.sign(self.lab, self.peer, 100 + number)
            result = self.peer.api("/v1/changesets", body)["results"][0]
            self.assertEqual(result["outcome"], "accepted", result)
            self.peer.kill()
            self.peer.start()
            self.peer.wait_joined()
            self.assertEqual(
                self.peer.api(f"/v1/changesets/{result['id']}")["state"], "counting")

    def test_backup_and_restore_round_trip(self):
        body = bench_gossip.sign(self.lab, self.peer, 200)
        result = self.peer.api("/v1/changesets", body)["results"][0]
        backup = self.lab.directory / "backup.db"
        self.peer.cli("backup", backup)
        self.assertEqual(backup.stat().st_mode & 0o777, 0o600)
        self.peer.kill()
        data = self.peer.directory / "data"
        for file in data.glob("*.db*"):
            file.unlink()
        self.lab.cli("restore", backup, "--data-dir", data)
        self.peer.start()
        self.peer.wait_joined()
        self.assertEqual(
            self.peer.api(f"/v1/changesets/{result['id']}")["state"], "counting")
        self.lab.cli("restore", backup, "--data-dir", self.lab.directory / "elsewhere")
        self.assertTrue(any((self.lab.directory / "elsewhere").glob("*.db")))


@unittest.skipUnless(os.geteuid() == 0, "a small file system can be mounted by root alone")
class FullDisk(unittest.TestCase):
    def test_changes_are_refused_while_the_disk_is_full_and_taken_again_afterwards(self):
        with clusters.Lab(isolated=False) as lab:
            lab.cli("init", "--name", "full", "--out", lab.directory / "admin")
            peer = lab.cluster("one")
            data = peer.directory / "data"
            data.mkdir(mode=0o700)
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(data)], check=True)
            try:
                peer.start(lab.cli("token", "create", "--cluster", "one").strip())
                peer.wait_joined()
                ballast = data / "ballast"
                with open(ballast, "wb", buffering=0) as out, self.assertRaises(OSError):
                    for _ in range(5000):
                        out.write(b"x" * 1024)
                bodies = [bench_gossip.sign(lab, peer, number) for number in range(2)]
                for body in bodies:
                    with self.assertRaisesRegex(RuntimeError, "disk is full"):
                        peer.api("/v1/changesets", body)
                self.assertEqual(peer.api("/v1/status")["phase"], "joined")
                with self.assertRaisesRegex(RuntimeError, "disk is full"):
                    peer.api("/readyz")
                ballast.unlink()
                clusters.eventually(lambda: peer.api("/readyz"), 20, "the disk takes changes again")
                result = peer.api("/v1/changesets", bodies[1])["results"][0]
                self.assertEqual(result["outcome"], "accepted", result)
                peer.kill()
                peer.start()
                peer.wait_joined()
                self.assertEqual(
                    peer.api(f"/v1/changesets/{result['id']}")["state"], "counting")
            finally:
                if peer.process and peer.process.poll() is None:
                    peer.kill()
                subprocess.run(["umount", str(data)], check=False)


class TwoPeers(unittest.TestCase):
    def is_quiet(self, peers):
        """No frame on any stream for a second."""
        name = "starling_gossip_sent_frame_bytes_total"
        before = [metric(peer, name) for peer in peers]
        time.sleep(1)
        return before == [metric(peer, name) for peer in peers]

    def form(self, lab):
        """Two peers that know each other."""
        lab.cli("init", "--name", "two", "--out", lab.directory / "admin")
        a = lab.cluster("a")
        a.start(lab.cli("token", "create", "--cluster", "a").strip())
        a.wait_joined()
        seed = f"{a.address}:{a.gossip_port}"
        b = lab.cluster("b")
        b.start(lab.cli("token", "create", "--cluster", "b", "--seed", seed).strip())
        b.wait_joined()
        clusters.eventually(
            lambda: a.api("/v1/status")["clusters"]["alive"] == 2, 20, "a sees b")
        return a, b

    def test_a_restored_backup_uses_no_counter_twice(self):
        with clusters.Lab(isolated=False) as lab:
            a, b = self.form(lab)
            backup = lab.directory / "b.backup"
            b.cli("backup", backup)
            for port in (1111, 2222):  # What the backup does not know: b writes its record anew.
                b.kill()
                if port == 2222:
                    for file in (b.directory / "data").glob("*.db*"):
                        file.unlink()
                    lab.cli("restore", backup, "--data-dir", b.directory / "data")
                b.extra_address = f"127.0.0.9:{port}"
                b.start()
                b.wait_joined()

                def known():
                    found = a.api("/v1/registers?prefix=cluster/b/info")["registers"]
                    return b.extra_address in json.dumps(found) and found
                found = clusters.eventually(known, 20, f"a knows b's address {b.extra_address}")
                self.assertEqual(len(found), 1)
            self.assertEqual(a.api("/v1/conflicts"), [])
            self.assertEqual(b.api("/v1/conflicts"), [])

    def test_a_backup_brings_back_what_all_have_lost(self):
        """Peers that keep their keys alone cannot vouch for one another, and change nothing."""
        with clusters.Lab(isolated=False) as lab:
            a, b = self.form(lab)
            path = lab.directory / "blue.yaml"
            path.write_text(demo.manifest("ab"))
            a.cli("apply", "-f", path, "--wait", "--yes")
            backup = lab.directory / "a.backup"
            a.cli("backup", backup)
            for peer, other in ((a, b), (b, a)):
                peer.kill()
                self.forget_all_but_the_key(peer, other)
            for peer in (a, b):
                peer.start()
                peer.wait_joined()

            def scopes(peer):
                return {s["scope"]: s["synced"] for s in peer.api("/v1/status")["scopes"]}

            def admits_both(peer):
                return peer.api("/v1/status")["clusters"]["admitted"] == 2
            clusters.eventually(
                lambda: admits_both(a) and admits_both(b), 20, "they have met")
            for peer in (a, b):
                self.assertEqual(scopes(peer), {"clusterset": False})

            a.kill()
            for file in (a.directory / "data").glob("*.db*"):
                file.unlink()
            lab.cli("restore", backup, "--data-dir", a.directory / "data")
            a.start()
            a.wait_joined()

            def knows_all(peer):
                slice_ = peer.api("/v1/registers?prefix=slice/blue")["registers"]
                return slice_ and all(scopes(peer).values())
            clusters.eventually(lambda: knows_all(a) and knows_all(b), 40, "both know all again")
            self.assertEqual(a.api("/v1/conflicts"), [])
            self.assertEqual(b.api("/v1/conflicts"), [])

    def forget_all_but_the_key(self, peer, other):
        """As a directory is that was filled from a Secret: what admits the peer, and whom to ask."""
        store, = (peer.directory / "data").glob("*.db")
        with contextlib.closing(sqlite3.connect(store)) as database, database:
            kept = [row[0] for row in database.execute(
                "SELECT position FROM changeset ORDER BY position LIMIT 2")]
            database.execute("DELETE FROM changeset WHERE position > ?", (kept[-1],))
            for key, value in (
                    ("restored", int(time.time() * 1000).to_bytes(8, "big")),
                    ("seeds", f"{other.address}:{other.gossip_port}".encode())):
                database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def test_peers_of_one_cluster_are_all_vouched_for(self):
        with clusters.Lab(isolated=False) as lab:
            a, b = self.form(lab)
            second = lab.cluster("a-2")
            second.name = "a"
            seeds = ["--seed", f"{a.address}:{a.gossip_port}"]
            second.start(a.cli("token", "create", "--cluster", "a", *seeds).strip())
            second.wait_joined()
            everyone = [a, second, b]

            def record():
                found = b.api("/v1/registers?prefix=cluster/a/info")["registers"]
                return json.dumps(found, sort_keys=True)
            for peer in (a, second):
                address = f"{peer.address}:{peer.gossip_port}"
                clusters.eventually(
                    lambda: address in record(), 20, f"the record of cluster a has {address}")
            clusters.eventually(
                lambda: all(
                    [m["state"] for m in p.api("/v1/members")] == ["alive"] * 3 for p in everyone),
                20, "all see all")
            settled = record()
            # Connections made anew are made with certificates of three CAs, two of them of one cluster.
            for peer in everyone:
                peer.kill()
            for peer in everyone:
                peer.start()
            for peer in everyone:
                peer.wait_joined()
            clusters.eventually(
                lambda: all(
                    [m["state"] for m in p.api("/v1/members")] == ["alive"] * 3 for p in everyone),
                20, "all see all again")

            def unvouched(peer):
                """Connections whose far side was not taken for a member."""
                reasons = 'reason="(?:wrong_peer|unadmitted_limit|too_many_unadmitted)"'
                return metric(peer, "starling_stream_refused_total", reasons)
            # What is too large for a datagram goes by stream: from each, with the other one away.
            for number, (source, away) in enumerate([(a, second), (second, a)]):
                away.kill()
                b.kill()
                path = lab.directory / f"large-{number}.yaml"
                path.write_text(
                    f"apiVersion: starling.dev/v1alpha1\nkind: Slice\nmetadata: {{name: s{number}}}\n"
                    f"spec:\n  cidr: 10.{20 + number}.0.0/16\n  members:\n"
                    + "".join(
                        f"    - {{cluster: {name}, namespaces: "
                        f"[{', '.join(f'{name}-ns-{i}' for i in range(100))}]}}\n" for name in "ab"))
                source.cli("apply", "-f", path, "--yes")
                b.start()
                b.wait_joined()
                clusters.eventually(
                    lambda: f"slice/s{number}" in json.dumps(b.api("/v1/registers?prefix=slice/")),
                    20, "b has learned what it missed")
                self.assertEqual([unvouched(source), unvouched(b)], [0, 0])
                away.start()
                away.wait_joined()
            self.assertEqual(record(), settled, "restarts change nothing in the record")
            self.assertEqual(b.api("/v1/conflicts"), [])

    def test_a_cluster_that_lost_its_peers_joins_anew(self):
        """Its token does not say again what all others know of the cluster, and only others are left."""
        with clusters.Lab(isolated=False) as lab:
            a, b = self.form(lab)
            b.kill()
            anew = lab.cluster("b-2")
            anew.name = "b"
            seeds = ["--seed", f"{a.address}:{a.gossip_port}"]
            anew.start(a.cli("token", "create", "--cluster", "b", *seeds).strip())
            anew.wait_joined()

            def knows_all():
                status = anew.api("/v1/status")
                return status["phase"] == "joined" and all(
                    scope["synced"] for scope in status["scopes"]) and [
                        p.api("/v1/registers?prefix=cluster/")["registers"] for p in (anew, a)]
            mine, others = clusters.eventually(knows_all, 20, "the new peer has learned")
            self.assertEqual(mine, others)
            address = f"{anew.address}:{anew.gossip_port}"
            clusters.eventually(
                lambda: address in json.dumps(a.api("/v1/registers?prefix=cluster/b/info")), 20,
                "its cluster's record has it")
            clusters.eventually(lambda: a.api("/v1/conflicts") == [], 20, "nobody disagrees")

    def test_join_revoke_and_rejoin(self):
        with clusters.Lab(isolated=False) as lab:
            a, b = self.form(lab)
            # Once both know each other, nobody has anything more to say on streams.
            clusters.eventually(
                lambda: self.is_quiet([a, b]), 20, "streams fall silent", interval=0.1)
            member = next(m for m in a.api("/v1/members") if m["cluster"] == "b")
            a.cli("revoke", member["key"], "--keep", "none", "--yes")
            clusters.eventually(
                lambda: all(m["cluster"] != "b" for m in a.api("/v1/members")), 10, "b is gone")
            clusters.eventually(
                lambda: b.api("/v1/status")["phase"] == "removed", 20, "b knows why")


if __name__ == "__main__":
    unittest.main()
