"""Clusters of the lab: a node each (a namespace, or loopback ports), a real starlingd on it."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

from . import dns, namespaces

SLICE_ZONE = "svc.slice.local"


def binaries():
    """The folder of starlingd and starling: STARLING_BIN, or the release build."""
    folder = os.environ.get("STARLING_BIN")
    if not folder:
        folder = pathlib.Path(__file__).resolve().parents[2] / ".build" / "release"
    return pathlib.Path(folder)


def eventually(check, timeout, what, interval=0.005):
    """Polls until `check` gives something true, and gives that; raises with `what` at the deadline."""
    deadline = time.monotonic() + timeout
    problem = ""
    while True:
        try:
            found = check()
            if found:
                return found
        except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
            problem = f" ({error})"
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what}{problem}")
        time.sleep(interval)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Cluster:
    """One cluster: node namespace, workloads behind it, its peer."""

    def __init__(self, lab, name, index):
        self.lab = lab
        self.name = name
        self.index = index
        self.directory = lab.directory / name
        self.directory.mkdir(parents=True)
        self.process = None
        self.services = {"services": [], "workloads": []}
        self.workloads = {}
        self.extra_address = None
        self.gateways = {}
        if lab.isolated:
            self.address = f"192.0.2.{index + 10}"
            self.node = lab.namespace(name)
            namespaces.connect(lab.wan, f"to-{name}", self.node, "eth0")
            lab.wan.ip(f"link set to-{name} master br0")
            self.node.ip(f"addr add {self.address}/24 dev eth0")
            self.gossip_port = 7946
            self.gateway_port = 7900
        else:
            self.address = "127.0.0.1"
            self.node = None
            self.gossip_port = lab.port()
            self.gateway_port = lab.port()

    # What stands on the node.

    def workload(self, namespace, number=2):
        """A workload namespace behind the node; all clusters use the same pod range on purpose."""
        host = self.lab.namespace(f"{self.name}-{namespace}")
        bridge_side = f"{namespace[:10]}{number}"
        namespaces.connect(self.node, bridge_side, host, "eth0")
        subnet = f"10.100.{len(self.workloads)}"
        self.node.ip(f"addr add {subnet}.1/24 dev {bridge_side}")
        host.ip(f"addr add {subnet}.{number}/24 dev eth0")
        host.ip(f"route add default via {subnet}.1")
        address = f"{subnet}.{number}"
        self.workloads[namespace] = (host, address, f"{subnet}.1")
        self.services["workloads"].append({"namespace": namespace, "addresses": [address]})
        self.write_services()
        return host, address

    def export(self, namespace, name, port, addresses, slice_name, protocol="TCP"):
        self.services["services"].append({
            "namespace": namespace, "name": name,
            "ports": [{"name": "http", "port": port, "protocol": protocol}],
            "endpoints": [{"address": address} for address in addresses],
            "export": {"slice": slice_name}})
        self.write_services()

    def unexport(self, namespace, name):
        self.services["services"] = [
            service for service in self.services["services"]
            if (service["namespace"], service["name"]) != (namespace, name)]
        self.write_services()

    def write_services(self):
        # JSON is YAML; the rename makes the change atomic for who watches the file.
        temporary = self.directory / "services.yaml.new"
        temporary.write_text(json.dumps(self.services, indent=1))
        temporary.rename(self.directory / "services.yaml")

    # Its peer.

    @property
    def socket(self):
        return self.directory / "data" / "api.sock"

    def configuration(self):
        out = {
            "dataDir": str(self.directory / "data"),
            "cluster": self.name,
            "listen": f"{self.address}:{self.gossip_port}",
            "advertise": [
                f"{self.address}:{self.gossip_port}",
                *([self.extra_address] if self.extra_address else [])],
            "api": {"listen": ""},
            "metrics": {"listen": ""},
            "log": {"level": os.environ.get("STARLING_LAB_LOG", "info")},
        }
        if self.node:
            listeners = [f"{gateway}:53" for _, _, gateway in self.workloads.values()]
            out["platform"] = "standalone"
            out["standalone"] = {
                "services": str(self.directory / "services.yaml"),
                "dns": {"listen": listeners or ["127.0.0.1:53"]},
            }
            out["gateway"] = {
                "listen": f"{self.address}:{self.gateway_port}",
                "advertise": [f"{self.address}:{self.gateway_port}"],
            }
            if self.plan_files:
                out["gateway"]["planFile"] = [str(path) for path in self.plan_files]
        return out

    def start(self, token=None):
        """Starts the peer; with a token it enrols itself."""
        config = self.configuration()
        if token:
            path = self.directory / "token"
            path.write_text(token)
            path.chmod(0o600)
            config["joinTokenFile"] = str(path)
        path = self.directory / "starlingd.yaml"
        path.write_text(json.dumps(config, indent=1))
        self.write_services()
        command = [*self.lab.wrapper, str(binaries() / "starlingd"), "--config", str(path)]
        if self.node:
            command = self.node.command(command)
        log = open(self.directory / "starlingd.log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        self.lab.processes.append(self.process)
        for number in range(len(self.plan_files)):
            if number not in self.gateways:
                self.start_gateway(number)

    @property
    def plan_files(self):
        """Of each gateway that is a process of its own."""
        count = self.lab.gateway_processes.get(self.name, 0) if self.node else 0
        return [self.directory / f"gateway{number or ''}.json" for number in range(count)]

    def start_gateway(self, number=0):
        with open(self.directory / f"gateway{number or ''}.log", "ab") as log:
            self.gateways[number] = subprocess.Popen(
                self.node.command([
                    str(binaries() / "starling-gateway"), "--wait", "--plan",
                    str(self.plan_files[number])]), stdout=log, stderr=log)
        self.lab.processes.append(self.gateways[number])

    def kill_gateway(self, number, kind=signal.SIGKILL):
        self.gateways[number].send_signal(kind)
        self.gateways[number].wait(timeout=20)

    def wait_joined(self, timeout=20):
        def joined():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name}: starlingd ended: {self.log_tail()}")
            return self.api("/v1/status")["phase"] == "joined"
        eventually(joined, timeout, f"{self.name} joined; its log: {self.directory}/starlingd.log")

    def log_tail(self, lines=5):
        path = self.directory / "starlingd.log"
        text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
        return " | ".join(text)

    def kill(self, kind=signal.SIGKILL):
        # `ip netns exec` replaces itself by the daemon, so this is the daemon's own pid.
        self.process.send_signal(kind)
        self.process.wait(timeout=20)

    def api(self, path, body=None):
        connection = UnixConnection(self.socket)
        try:
            if body is None:
                connection.request("GET", path)
            else:
                connection.request(
                    "POST", path, body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{path}: {answer.status} {text.decode(errors='replace')}")
            return json.loads(text)
        finally:
            connection.close()

    def cli(self, *arguments, **options):
        return self.lab.cli(*arguments, "--peer", f"unix://{self.socket}", **options)

    # What a workload sees.

    def resolve(self, namespace, name, kind="A"):
        """(response code, addresses) as a workload of that namespace gets them."""
        host, _, server = self.workloads[namespace]
        return host.call(dns.query, server, name, kind)

    def fetch(self, namespace, url, timeout=5):
        host, _, _ = self.workloads[namespace]
        return host.call(_fetch, url, timeout)


def _fetch(url, timeout):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


class Lab:
    """Everything that a run makes, and the one place that takes it away again."""

    def __init__(self, isolated=True, keep=False, gateway_processes=None, wrapper=()):
        # By cluster, how many gateways are processes of their own; none: one inside the peer.
        self.gateway_processes = gateway_processes or {}
        # In front of each peer's command.
        self.wrapper = list(wrapper)
        self.isolated = isolated
        self.keep = keep
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="starling-lab-"))
        self.prefix = f"st{os.getpid()}"
        self.processes = []
        self.namespaces = []
        self.clusters = {}
        self.passphrase = self.directory / "passphrase"
        self.passphrase.write_text("a passphrase of the lab\n")
        self.passphrase.chmod(0o600)
        self.wan = None
        if isolated:
            self.wan = self.namespace("wan")
            self.wan.ip("link add br0 type bridge")
            self.wan.ip("link set br0 up")

    def __enter__(self):
        for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(kind, _interrupt)
        return self

    def __exit__(self, *_):
        if not self.keep:
            self.close()

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()
        for namespace in reversed(self.namespaces):
            namespace.delete()
        subprocess.run(["rm", "-rf", str(self.directory)], check=False)

    def namespace(self, name):
        made = namespaces.Namespace(f"{self.prefix}-{name}")
        self.namespaces.append(made)
        return made

    def port(self):
        """A free port for UDP and TCP on loopback."""
        while True:
            with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
                stream.bind(("127.0.0.1", 0))
                number = stream.getsockname()[1]
                try:
                    datagram.bind(("127.0.0.1", number))
                except OSError:
                    continue
                return number

    def cluster(self, name):
        made = Cluster(self, name, len(self.clusters))
        self.clusters[name] = made
        return made

    def spawn(self, namespace, command):
        process = subprocess.Popen(
            namespace.command(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def cli(self, *arguments, check=True, stdin=None):
        """Runs `starling`; its standard output, or the whole result where `check` is off."""
        environment = dict(
            os.environ, STARLING_CONFIG=str(self.directory / "admin" / "config.yaml"),
            STARLING_PASSPHRASE_FILE=str(self.passphrase), NO_COLOR="1")
        done = subprocess.run(
            [str(binaries() / "starling"), *map(str, arguments)], capture_output=True, text=True,
            env=environment, input=stdin)
        if check and done.returncode != 0:
            raise RuntimeError(
                f"starling {' '.join(map(str, arguments))}: exit {done.returncode}: "
                f"{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout if check else done


def _interrupt(number, _):
    raise SystemExit(128 + number)
