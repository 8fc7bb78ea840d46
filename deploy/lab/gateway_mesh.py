"""Gateways of one slice on one network, each in a namespace, from plans without a control plane."""

import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from . import clusters, gateway_pair, namespaces

PORT = 7900
SLICE = gateway_pair.SLICE


def _text(data):
    return base64.b64encode(data).decode()


class Mesh:
    """Namespaces with a gateway each, joined by a bridge; gone, with all that runs there, at the end."""

    def __init__(self, names):
        self.names = list(names)
        self.prefix = f"stm{os.getpid()}-"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="starling-mesh-"))
        self.directory.chmod(0o755)
        self.processes = {}
        self.others = []
        self.wan = namespaces.Namespace(self.prefix + "wan")
        self.hosts = {}
        self.wan.ip("link add br0 type bridge")
        self.wan.ip("link set br0 up")
        self.authorities, self.keys, self.leaves = {}, {}, {}
        self.endpoints, self.listen = {}, {}
        for name in self.names:
            host = self.hosts[name] = namespaces.Namespace(self.prefix + name)
            namespaces.connect(self.wan, f"to-{name}", host, "eth0")
            self.wan.ip(f"link set to-{name} master br0")
            host.ip(f"addr add {self.outer(name)}/24 dev eth0")
            self.authorities[name] = gateway_pair.Authority(self.directory, name)
            self.keys[name] = gateway_pair._openssl(
                ["genpkey", "-algorithm", "X25519", "-outform", "DER"])
            self.leaves[name] = self.leaf(name)
            self.listen[name] = f"{self.outer(name)}:{PORT}"
            self.endpoints[name] = {
                other: [f"{self.outer(other)}:{PORT}"] for other in self.names if other != name}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*self.processes.values(), *self.others]:
            if process.poll() is None:
                process.kill()
            process.wait()
        for host in [*self.hosts.values(), self.wan]:
            host.delete()
        shutil.rmtree(self.directory, ignore_errors=True)

    # Addresses

    def outer(self, name):
        return f"192.0.2.{10 + self.names.index(name)}"

    def inner(self, name):
        return f"10.9.{16 * self.names.index(name)}.1"

    def block(self, name):
        return f"10.9.{16 * self.names.index(name)}.0/20"

    # Certificates

    @staticmethod
    def uri(name, slice_name=SLICE):
        return f"spiffe://{'00' * 32}/cluster/{name}/slice/{slice_name}/gateway/0"

    def leaf(self, name, uri=None, authority=None):
        return (authority or self.authorities[name]).leaf(
            self.directory, uri or self.uri(name))

    def leaf_between(self, name, start, end):
        """A leaf that is valid from `start` to `end` (YYMMDDHHMMSSZ)."""
        authority = self.authorities[name]
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        (folder / "index").touch()
        (folder / "serial").write_text("10\n")
        (folder / "ca.conf").write_text("\n".join([
            "[ca]", "default_ca=own", "[own]", f"database={folder}/index",
            f"serial={folder}/serial", f"new_certs_dir={folder}", "default_md=sha256",
            "policy=any", "x509_extensions=leaf", "[any]", "commonName=supplied", "[leaf]",
            f"subjectAltName=URI:{self.uri(name)}", "keyUsage=digitalSignature",
            "extendedKeyUsage=serverAuth,clientAuth", ""]))
        key, request, out = folder / "leaf.key", folder / "leaf.csr", folder / "leaf.crt"
        openssl = gateway_pair._openssl
        openssl([
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            str(key), "-out", str(request), "-subj", "/CN=gateway"])
        openssl([
            "ca", "-batch", "-notext", "-config", str(folder / "ca.conf"), "-in", str(request),
            "-out", str(out), "-cert", str(authority.certificate), "-keyfile",
            str(authority.key), "-startdate", start, "-enddate", end])
        return (
            openssl(["x509", "-in", str(out), "-outform", "DER"]),
            openssl(["pkcs8", "-topk8", "-nocrypt", "-in", str(key), "-outform", "DER"]))

    # Plans and processes

    def public(self, name):
        der = gateway_pair._openssl(
            ["pkey", "-inform", "DER", "-pubout", "-outform", "DER"], self.keys[name])
        return der[-32:]

    def path(self, name):
        return self.directory / f"{name}.json"

    def write(self, name, peers=None, mtu=1420):
        certificate, private = self.leaves[name]
        plan = {
            "cluster": name, "replica": "0", "listen": self.listen[name],
            "staticKey": _text(self.keys[name][-32:]),
            "slices": [{
                "slice": SLICE, "device": "tun0", "addresses": [f"{self.inner(name)}/16"],
                "localBlocks": [self.block(name)], "mtu": mtu,
                "certificate": _text(certificate), "privateKey": _text(private)}],
            "peers": [{
                "slice": SLICE, "cluster": other, "replica": "0",
                "endpoints": self.endpoints[name][other],
                "staticKey": _text(self.public(other)),
                "certificateAuthority": _text(self.authorities[other].der),
                "spiffeURI": self.uri(other), "remoteBlocks": [self.block(other)]}
                for other in self.names if other != name and (peers is None or other in peers)],
        }
        temporary = self.path(name).with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(plan))
        temporary.replace(self.path(name))

    def command(self, name, *options):
        return [
            str(clusters.binaries() / "starling-gateway"), "--plan", str(self.path(name)), *options]

    def start(self, name, *options):
        self.write(name)
        with open(self.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen(
                self.hosts[name].command(self.command(name, *options)), stdout=log, stderr=log)

    def stop(self, name, kind=signal.SIGTERM):
        # `ip netns exec` replaces itself by the gateway.
        self.processes[name].send_signal(kind)
        self.processes[name].wait(timeout=10)

    def log(self, name):
        return self.directory / f"{name}.log"

    def said(self, name):
        return self.log(name).read_text(errors="replace") if self.log(name).exists() else ""

    def status(self, name):
        return json.loads((self.directory / f"{name}.json.status").read_text())

    def tunnel(self, name, other):
        """What a gateway says of its tunnel to another cluster; None before there is one."""
        return next((t for t in self.status(name)["tunnels"] if t["cluster"] == other), None)

    def wait_for(self, name, other, check, what, timeout=20):
        return clusters.eventually(
            lambda: (t := self.tunnel(name, other)) and check(t) and t, timeout,
            f"{name} to {other}: {what}; {self.said(name)[-600:]}", interval=0.05)

    def ping(self, name, other, timeout=15):
        command = self.hosts[name].command(["ping", "-c", "1", "-W", "1", self.inner(other)])
        clusters.eventually(
            lambda: subprocess.run(command, capture_output=True).returncode == 0, timeout,
            f"{name} reaches {other}", interval=0.1)
