"""Real peers on loopback: how fast a pushed change is visible everywhere, how fast a death is known,
what idling costs."""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

from . import clusters, demo


class LoopbackLab(clusters.Lab):
    """All peers in one namespace of their own, so that its loopback counters are theirs alone."""

    def __init__(self):
        super().__init__(isolated=False)
        self.host = self.namespace("bench")

    def cluster(self, name):
        made = LoopbackCluster(self, name, len(self.clusters))
        self.clusters[name] = made
        return made


class LoopbackCluster(clusters.Cluster):
    def __init__(self, lab, name, index):
        super().__init__(lab, name, index)
        self.address = f"127.20.0.{index + 1}"
        self.gossip_port = 7946
        self.node = None

    def start(self, token=None):
        config = self.configuration()
        if token:
            path = self.directory / "token"
            path.write_text(token)
            path.chmod(0o600)
            config["joinTokenFile"] = str(path)
        path = self.directory / "starlingd.yaml"
        path.write_text(json.dumps(config))
        command = [str(clusters.binaries() / "starlingd"), "--config", str(path)]
        with open(self.directory / "starlingd.log", "ab") as log:
            self.process = subprocess.Popen(
                self.lab.host.command(command), stdout=log, stderr=log)
        self.lab.processes.append(self.process)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def slice_manifest(lab, number):
    path = lab.directory / "bench.yaml"
    path.write_text("\n".join([
        "apiVersion: starling.dev/v1alpha1", "kind: Slice", "metadata: {name: bench}", "spec:",
        "  cidr: 10.11.0.0/16", "  maxClusters: 16", "  members: []",
        f"  qos: {{ceilingKbps: {100_000 + number}}}", ""]))
    return path


def sign(lab, cluster, number):
    """The bytes of one signed changeset that differs from what is in force."""
    out = lab.directory / "signed.yaml"
    cluster.cli("sign", "-f", slice_manifest(lab, number), "--out", out)
    return demo.signed_bytes(out)


def push_and_watch(cluster, body, total):
    """Milliseconds from the push until each cluster has it durably stored and visible."""
    began = time.monotonic()
    answer = cluster.api("/v1/changesets", body)
    result = answer["results"][0]
    if result["outcome"] not in ("accepted", "duplicate"):
        raise RuntimeError(f"push: {result}")
    accepted = time.monotonic() - began
    connection = clusters.UnixConnection(cluster.socket, timeout=30)
    connection.request("GET", f"/v1/changesets/{result['id']}/progress")
    response = connection.getresponse()
    visible = {}
    event = None
    while True:
        line = response.readline().decode().strip()
        if line.startswith("event:"):
            event = line.split(":", 1)[1].strip()
        elif line.startswith("data:") and event == "confirmed":
            data = json.loads(line.split(":", 1)[1])
            # The peer counts from its acceptance on; what it took before that is added.
            visible[data["cluster"]] = data["elapsedMilliseconds"] + accepted * 1e3
        elif line.startswith("data:") and event == "done":
            break
        elif not line and response.isclosed():
            break
    connection.close()
    if len(visible) < total:
        raise RuntimeError(f"{len(visible)} of {total} clusters confirmed")
    return list(visible.values())


def loopback_bytes(lab):
    for line in lab.host.check(["cat", "/proc/net/dev"]).splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split()[1])
    raise RuntimeError("no loopback device")


def resident(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def processor_ticks(processes):
    total = 0
    for process in processes:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def measure(peers, pushes, idle_seconds, say):
    result = {"peers": peers, "pushes": pushes}
    with LoopbackLab() as lab:
        lab.cli("init", "--name", "bench", "--out", lab.directory / "admin")
        seeds = []
        for number in range(peers):
            cluster = lab.cluster(f"c{number}")
            token = lab.cli("token", "create", "--cluster", cluster.name, *seeds).strip()
            cluster.start(token)
            cluster.wait_joined()
            if number < 3:
                seeds += ["--seed", f"{cluster.address}:{cluster.gossip_port}"]
        everyone = list(lab.clusters.values())
        clusters.eventually(
            lambda: all(
                c.api("/v1/status")["clusters"]["alive"] == peers for c in everyone),
            60, "all peers alive", interval=0.2)
        say(f"{peers} peers joined")

        time.sleep(10)
        ticks = os.sysconf("SC_CLK_TCK")
        before, spent = loopback_bytes(lab), processor_ticks([c.process for c in everyone])
        time.sleep(idle_seconds)
        result["idle_bytes_per_second_per_peer"] = round(
            (loopback_bytes(lab) - before) / idle_seconds / peers, 1)
        result["idle_core_percent_per_peer"] = round(
            100 * (processor_ticks([c.process for c in everyone]) - spent)
            / ticks / idle_seconds / peers, 3)
        sizes = [resident(c.process) / 1024 for c in everyone]
        result["rss_megabytes_median"] = round(statistics.median(sizes), 1)
        result["rss_megabytes_max"] = round(max(sizes), 1)
        say(f"idle: {result['idle_bytes_per_second_per_peer']} B/s, "
            f"{result['rss_megabytes_median']} MB a peer")

        samples, whole = [], []
        for number in range(pushes):
            origin = everyone[number % peers]
            times = push_and_watch(origin, sign(lab, origin, number), peers)
            samples += times
            whole.append(max(times))
            say(f"push {number + 1}/{pushes}: on all after {max(times):.1f} ms")
        result["visible_p50_ms"] = round(percentile(samples, 0.5), 1)
        result["visible_p99_ms"] = round(percentile(samples, 0.99), 1)
        result["all_p50_ms"] = round(percentile(whole, 0.5), 1)
        result["all_p99_ms"] = round(percentile(whole, 0.99), 1)

        result["crash_known_by_all_ms"] = []
        for victim in everyone[-2:]:
            survivors = [c for c in everyone if c.process.poll() is None and c is not victim]
            expected = len(survivors)
            victim.kill(signal.SIGKILL)
            began = time.monotonic()
            clusters.eventually(
                lambda: all(
                    c.api("/v1/status")["clusters"]["alive"] == expected for c in survivors),
                30, "the death is known by all", interval=0.02)
            result["crash_known_by_all_ms"].append(round((time.monotonic() - began) * 1e3))
            say(f"kill -9 known by all after {result['crash_known_by_all_ms'][-1]} ms")
    return result


def serf(peers, script):
    """Serf beside it, where it is installed and its script is there."""
    if not shutil.which("serf") or not script.exists():
        return None
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", f"ip link set lo up; exec {script} {peers}"],
        capture_output=True, text=True, timeout=300)
    return done.stdout.strip().splitlines()


def main(options):
    def say(text):
        print(text, file=sys.stderr, flush=True)
    result = measure(options.peers, options.pushes, options.idle, say)
    script = options.serf and pathlib.Path(options.serf)
    if script:
        result["serf"] = serf(options.peers, script)
    return result
