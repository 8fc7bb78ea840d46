"""Two hosts joined by a link, a tunnel between them, and what it costs."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from . import clusters, gateway_pair, namespaces

OUTER = {"a": "192.168.77.1", "b": "192.168.77.2"}
INNER = {"a": "10.9.0.1", "b": "10.9.0.2"}
PORT = 7900
OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation")
TOOLS = {"iperf3", "ping", "datagrams", "weather", "bash", "sh", "ip"}


def inner(cluster, number):
    """A cluster's address in the slice with a number."""
    return INNER[cluster].replace(".0.", f".{number}.")


def build(directory, name):
    """A tool of this folder in C; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        return None
    source = pathlib.Path(__file__).with_name(f"{name}.c")
    out = pathlib.Path(directory) / name
    subprocess.run([compiler, "-O2", "-o", str(out), str(source)], check=True)
    return out


class TunnelLab:
    """Namespaces `a` and `b` with a veth pair; gone, with all that runs in them, at the end."""

    def __init__(self, offloads=True):
        self.prefix = f"stl{os.getpid()}-"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="starling-tunnel-"))
        self.hosts = {}
        self.processes = {}
        for name in "ab":
            self.hosts[name] = namespaces.Namespace(self.prefix + name)
        devices = {name: self.device(name) for name in "ab"}
        namespaces.connect(self.hosts["a"], devices["a"], self.hosts["b"], devices["b"])
        for name, host in self.hosts.items():
            host.ip(f"addr add {OUTER[name]}/24 dev {devices[name]}")
            if not offloads:
                for offload in OFFLOADS:
                    host.check(["ethtool", "-K", devices[name], offload, "off"])

    def device(self, name):
        return f"{self.prefix}v{name}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.hosts.values():
            for pid in self.pids(host):
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
        time.sleep(0.2)
        for host in self.hosts.values():
            for pid in self.pids(host):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for process in self.processes.values():
            process.wait()
        for host in self.hosts.values():
            host.delete()
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def pids(host):
        listed = subprocess.run(
            ["ip", "netns", "pids", host.name], capture_output=True, text=True).stdout
        return [int(pid) for pid in listed.split()]

    def daemons(self):
        found = []
        for host in self.hosts.values():
            for pid in self.pids(host):
                try:
                    name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                except OSError:
                    continue
                if name not in TOOLS:
                    found.append(pid)
        return found

    # Bringing tunnels up

    def start_anchor(self, script):
        """Another tunnel by its script, which gets the prefix P and a folder WORK."""
        log = open(self.directory / "up.log", "wb")
        subprocess.run(
            [str(script)], check=True, stdout=log, stderr=log, timeout=30,
            env=os.environ | {"P": self.prefix, "WORK": str(self.directory)})

    def start_gateways(self, replicas=(1, 1), via=None, slices=None, extra=None):
        """`via`: all find each other at this endpoint instead of directly. `slices`: by name what
        their entries in the plan say beyond the usual; `extra`: what the plan itself does."""
        self.via, self.extra = via, extra
        self.slices = slices or {gateway_pair.SLICE: {}}
        self.plans = gateway_pair.GatewayPlans(self.directory, replicas, tuple(self.slices))
        for name in self.plans.names:
            self.write_plan(name)
            self.start_gateway(name)

    def write_plan(self, name):
        listen = {n: f"{OUTER[n[0]]}:{PORT + int(n[1])}" for n in self.plans.names}
        endpoints = {n: self.via or listen[n] for n in self.plans.names}
        slices = {}
        for number, (part, extra) in enumerate(self.slices.items()):
            slices[part] = {
                "device": f"tun{name[1]}" + (f"-{number}" if number else ""),
                "address": f"{inner(name[0], number)}/24", "extra": extra,
                "blocks": {cluster: f"{inner(cluster, number)}/32" for cluster in INNER}}
        return self.plans.write(name, listen[name], slices, endpoints, self.extra)

    def start_gateway(self, name):
        path = self.directory / f"{name[0]}{name[1]}.json"
        log = open(self.log(name), "ab")
        command = [str(clusters.binaries() / "starling-gateway"), "--plan", str(path)]
        self.processes[name] = subprocess.Popen(
            self.hosts[name[0]].command(command), stdout=log, stderr=log)

    def gateway_pid(self, name):
        """The gateway itself, where `ip netns exec` has become it."""
        return self.processes[name].pid

    def log(self, name):
        return self.directory / f"{name[0]}{name[1]}.log"

    def status(self, name):
        """What a gateway says of itself."""
        before = self.log(name).stat().st_size
        self.processes[name].send_signal(signal.SIGUSR2)

        def answer():
            for line in self.log(name).read_bytes()[before:].splitlines():
                if b'"event":"status"' in line and line.endswith(b"}"):
                    return json.loads(line)
            return None
        return clusters.eventually(answer, 5, "a status line")

    def wait_up(self, target=INNER["b"]):
        command = self.hosts["a"].command(["ping", "-c", "1", "-W", "1", target])
        clusters.eventually(
            lambda: subprocess.run(command, capture_output=True).returncode == 0, 15,
            f"answers from {target}; " + self.logs(), interval=0.1)

    def logs(self):
        return " ".join(
            path.read_text(errors="replace")[-300:] for path in self.directory.glob("*.log"))

    # Measuring

    def cpu(self, pids):
        """Seconds that processes have used."""
        total = 0
        for pid in pids:
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def tcp(self, target, streams, seconds):
        server = subprocess.Popen(
            self.hosts["b"].command(["iperf3", "-s", "-1"]), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        pids = self.daemons()
        before = self.cpu(pids)
        done = subprocess.run(
            self.hosts["a"].command(
                ["iperf3", "-c", target, "-t", str(seconds), "-P", str(streams), "-J"]),
            capture_output=True, text=True, timeout=seconds + 30)
        used = self.cpu(pids) - before
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
        end = json.loads(done.stdout)["end"]
        gigabits = end["sum_received"]["bytes"] * 8 / 1e9
        return {
            "gbps": end["sum_received"]["bits_per_second"] / 1e9,
            "daemon_cpu_s_per_gbit": used / gigabits if gigabits else None,
            "retransmits": end["sum_sent"].get("retransmits")}

    def small_datagrams(self, target, tool, seconds, size=64):
        """Datagrams a second that arrive at overload."""
        receiver = subprocess.Popen(
            self.hosts["b"].command([str(tool), "receive", "7777", str(seconds + 1)]),
            stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        sent = self.hosts["a"].check([str(tool), "send", target, "7777", str(size), str(seconds)])
        received = int(receiver.communicate(timeout=seconds + 10)[0])
        return {"sent_pps": int(sent) / seconds, "received_pps": received / seconds}

    def rtt(self, target, interval, count, options=()):
        """Median and 99th percentile of round trips in microseconds."""
        warm = ["ping", "-q", "-i", str(interval), "-c", str(count // 3), *options, target]
        self.hosts["a"].check(warm)
        text = self.hosts["a"].check(
            ["ping", "-i", str(interval), "-c", str(count), *options, target])
        times = sorted(float(t) * 1e3 for t in re.findall(r"time=([\d.]+)", text))
        if not times:
            raise RuntimeError(f"no answers from {target}")
        return {"p50_us": times[len(times) // 2], "p99_us": times[int(len(times) * 0.99)]}
