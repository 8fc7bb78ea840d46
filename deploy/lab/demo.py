"""The demo: three clusters, one signed slice pushed to one peer, traffic by name, a peer lost."""

import argparse
import base64
import json
import os
import pathlib
import sys
import time

from . import clusters, namespaces

WEB = pathlib.Path(__file__).with_name("web.py")
SLICE = "blue"
NAME = "web.shop.svc.slice.local"


def manifest(members, ttl="2s"):
    return "\n".join([
        "apiVersion: starling.dev/v1alpha1",
        "kind: Slice",
        f"metadata: {{name: {SLICE}}}",
        "spec:",
        "  cidr: 10.11.0.0/16",
        "  maxClusters: 16",
        "  members:",
        *[f"    - {{cluster: {name}, namespaces: [shop]}}" for name in members],
        f"  dns: {{ttl: {ttl}}}",
        ""])


class Demo:
    def __init__(self, lab, say):
        self.lab = lab
        self.say = say
        self.result = {}
        self.started = time.monotonic()
        self.names = ["a", "b", "c"]

    def step(self, text, milliseconds=None):
        took = f"{milliseconds:9.1f} ms" if milliseconds is not None else " " * 12
        self.say(f"{time.monotonic() - self.started:7.2f} s {took}  {text}")

    def run(self):
        self.form_cluster_set()
        self.push_slice()
        if self.lab.isolated:
            self.call_by_name()
        self.change_elsewhere()
        self.refuse_forgery()
        self.lose_and_regain_a_peer()
        return self.result

    def form_cluster_set(self):
        lab = self.lab
        lab.cli("init", "--name", "demo", "--out", lab.directory / "admin")
        self.step("an admin made a ClusterSet with one root key, on no cluster at all")
        seeds = []
        for name in self.names:
            cluster = lab.cluster(name)
            if lab.isolated and name in ("a", "b"):
                host, address = cluster.workload("shop")
                if name == "b":
                    cluster.workload("other")
                    lab.spawn(host, [sys.executable, str(WEB), "8080", "hello from cluster b"])
                    cluster.export("shop", "web", 8080, [address], SLICE)
                else:
                    cluster.workload("other")
            token = lab.cli("token", "create", "--cluster", name, *seeds).strip()
            begin = time.monotonic()
            cluster.start(token)
            cluster.wait_joined()
            self.step(
                f"cluster {name} was admitted with its token", (time.monotonic() - begin) * 1e3)
            seeds += ["--seed", f"{cluster.address}:{cluster.gossip_port}"]
        clusters.eventually(
            lambda: all(
                cluster.api("/v1/status")["clusters"]["alive"] == len(self.names)
                for cluster in lab.clusters.values()), 20, "every cluster knows all of them")
        self.result["clusters"] = len(self.names)

    def push_slice(self):
        path = self.lab.directory / "blue.yaml"
        path.write_text(manifest(self.names))
        out = json.loads(self.lab.clusters["a"].cli(
            "apply", "-f", path, "--wait", "--yes", "-o", "json"))
        # From the moment the peer took it: what the CLI did before is not convergence.
        self.pushed = time.monotonic() - out["elapsedMilliseconds"] / 1e3
        self.result["converge_ms"] = round(out["elapsedMilliseconds"], 1)
        self.step(
            f"one signed slice, pushed to a alone, is in force in {out['confirmed']} clusters",
            out["elapsedMilliseconds"])

    def call_by_name(self):
        a = self.lab.clusters["a"]

        def answered():
            code, addresses = a.resolve("shop", NAME)
            return addresses if code == "NOERROR" else None
        address = clusters.eventually(answered, 20, f"{NAME} resolves in a")[0]
        milliseconds = (time.monotonic() - self.pushed) * 1e3
        self.result["resolve_ms"] = round(milliseconds, 1)
        self.step(f"a workload in a resolves {NAME} to {address}", milliseconds)

        begin = time.monotonic()
        status, body = clusters.eventually(
            lambda: a.fetch("shop", f"http://{address}:8080/", timeout=1), 20, "HTTP through b")
        self.result["http_ok"] = status == 200 and "cluster b" in body
        self.step(
            f"and fetches it: {status} {body.strip()!r}", (time.monotonic() - begin) * 1e3)

        before = self.tunnel(a)
        a.fetch("shop", f"http://{address}:8080/")
        after = self.tunnel(a)
        sent = after["sentPackets"] - before["sentPackets"]
        self.result["http_via_tunnel"] = sent >= 4 and after["receivedPackets"] > 0
        self.result["tunnel_cipher"] = after["cipher"]
        self.step(f"through the tunnel a-b ({after['cipher']}): {sent} packets for one request")

        code, _ = a.resolve("other", NAME)
        try:
            reached = a.fetch("other", f"http://{address}:8080/", timeout=1)[0] == 200
        except OSError:
            reached = False
        self.result["outsider_kept_out"] = not reached
        self.step(f"a workload outside the slice's namespaces gets {code} and no connection")

    def tunnel(self, cluster):
        return next(
            tunnel for tunnel in cluster.api("/v1/tunnels")
            if tunnel["slice"] == SLICE and tunnel["cluster"] == "b")

    def change_elsewhere(self):
        path = self.lab.directory / "blue.yaml"
        path.write_text(manifest(self.names, ttl="4s"))
        out = json.loads(self.lab.clusters["c"].cli(
            "apply", "-f", path, "--wait", "--yes", "-o", "json"))
        self.result["change_ms"] = round(out["elapsedMilliseconds"], 1)
        self.step(
            "a change of it, pushed to c, is in force everywhere", out["elapsedMilliseconds"])

    def refuse_forgery(self):
        """A change by a key that nobody granted anything, and a true one with an altered byte."""
        lab, b = self.lab, self.lab.clusters["b"]
        thief = lab.directory / "thief.key"
        lab.cli("key", "new", "--out", thief)
        path = self.lab.directory / "forged.yaml"
        path.write_text(manifest(["a"]))
        unknown = b.cli("apply", "-f", path, "--key", thief, "--yes", check=False)
        signed = lab.directory / "signed.yaml"
        b.cli("sign", "-f", path, "--out", signed)
        body = bytearray(signed_bytes(signed))
        body[len(body) // 2] ^= 1
        try:
            outcome = b.api("/v1/changesets", bytes(body))["results"][0]
        except RuntimeError as error:
            outcome = {"outcome": "refused", "reason": str(error)}
        spec = next(s for s in b.api("/v1/slices") if s["name"] == SLICE)["spec"]
        self.result["forged_change_rejected"] = (
            unknown.returncode != 0 and outcome["outcome"] == "refused"
            and len(spec["members"]) == len(self.names))
        self.step(f"a forged change, pushed to b, was refused: {outcome['reason']}")

    def lose_and_regain_a_peer(self):
        lab, lost = self.lab, self.lab.clusters["c"]
        lost.kill()
        begin = time.monotonic()
        path = lab.directory / "blue.yaml"
        path.write_text(manifest(self.names, ttl="3s"))
        lab.clusters["b"].cli("apply", "-f", path, "--yes")

        def known(cluster):
            slices = cluster.api("/v1/slices")
            return slices[0]["spec"]["dns"]["ttl"] == "3s"
        survivors = [lab.clusters["a"], lab.clusters["b"]]
        for cluster in survivors:
            clusters.eventually(lambda: known(cluster), 10, "the change while c is away")
        serving = True
        if lab.isolated:
            code, _ = lab.clusters["a"].resolve("shop", NAME)
            serving = code == "NOERROR"
        self.step(
            "c was killed; the others take a change and go on", (time.monotonic() - begin) * 1e3)
        clusters.eventually(
            lambda: all(c.api("/v1/status")["clusters"]["dead"] == 1 for c in survivors), 20,
            "c known dead", interval=0.02)
        self.step("and know that c is gone", (time.monotonic() - begin) * 1e3)
        self.result["survived_peer_loss"] = serving

        begin = time.monotonic()
        lost.start()
        clusters.eventually(lambda: known(lost), 30, "c has what it missed")
        clusters.eventually(
            lambda: lab.clusters["a"].api("/v1/status")["clusters"]["alive"] == len(self.names),
            30, "c is alive again")
        milliseconds = (time.monotonic() - begin) * 1e3
        self.result["rejoin_ms"] = round(milliseconds, 1)
        self.step("c is back, with what it had missed", milliseconds)


def signed_bytes(path):
    """The changeset in a file of `kind: SignedChangeset`."""
    line = next(
        line for line in path.read_text().splitlines() if line.strip().startswith("changeset:"))
    return base64.b64decode(line.split(":", 1)[1])


def look_around(lab):
    print("\nIt keeps running. To look around:\n")
    print(f"  export STARLING_CONFIG={lab.directory}/admin/config.yaml")
    print(f"  export STARLING_PASSPHRASE_FILE={lab.passphrase}")
    first = lab.clusters["a"]
    starling = clusters.binaries() / "starling"
    for command in ("status", "members", "get slices", f"explain {NAME}", "log"):
        print(f"  {starling} {command} --peer unix://{first.socket}")
    if lab.isolated:
        host, _, server = first.workloads["shop"]
        print(f"  ip netns exec {host.name} python3 -c 'import socket; ...'   # DNS at {server}")
    print("\nTo end it: Ctrl-C")


def main():
    parser = argparse.ArgumentParser(prog="deploy/demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", action="store_true", help="leave it running, say how to look")
    options = parser.parse_args()

    def say(text):
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    reason = namespaces.supported()
    if reason:
        say(f"no namespaces here ({reason}): the control plane runs on loopback, without traffic")
    failed = None
    with clusters.Lab(isolated=reason is None) as lab:
        demo = Demo(lab, say)
        try:
            demo.run()
        except (AssertionError, TimeoutError, RuntimeError, StopIteration, OSError) as error:
            failed = str(error)
            say(f"failed: {failed}")
            for cluster in lab.clusters.values():
                say(f"  {cluster.name}: {cluster.log_tail()}")
            keep = os.environ.get("STARLING_LAB_KEEP_LOGS")
            if keep:
                for cluster in lab.clusters.values():
                    target = pathlib.Path(keep) / f"{cluster.name}.log"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes((cluster.directory / "starlingd.log").read_bytes())
        if options.json:
            print(json.dumps(demo.result), flush=True)
        if options.keep and not failed:
            look_around(lab)
            try:
                while True:
                    time.sleep(3600)
            except (SystemExit, KeyboardInterrupt):
                pass
    truths = [value for value in demo.result.values() if isinstance(value, bool)]
    sys.exit(0 if not failed and all(truths) else 1)


if __name__ == "__main__":
    main()
