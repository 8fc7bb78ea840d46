"""Plans for two gateways of one slice without a control plane: keys and certificates as the peers
would make them, by OpenSSL."""

import base64
import json
import os
import pathlib
import subprocess

CLUSTERS = ("a", "b")
SLICE = "bench"


def _openssl(arguments, data=None):
    return subprocess.run(
        ["openssl"] + arguments, input=data, check=True, capture_output=True).stdout


def _text(data):
    return base64.b64encode(data).decode()


class Authority:
    """One cluster's CA."""

    def __init__(self, directory, cluster):
        self.cluster = cluster
        self.key = directory / f"{cluster}-ca.key"
        self.certificate = directory / f"{cluster}-ca.crt"
        _openssl([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(self.key), "-out", str(self.certificate), "-days", "30",
            "-subj", f"/CN={cluster}"])

    @property
    def der(self):
        return _openssl(["x509", "-in", str(self.certificate), "-outform", "DER"])

    def leaf(self, directory, uri):
        """A new leaf for a URI: its DER and its private key's."""
        key, request = directory / "leaf.key", directory / "leaf.csr"
        extensions = directory / "leaf.ext"
        extensions.write_text(
            f"subjectAltName=URI:{uri}\nkeyUsage=digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\n")
        _openssl([
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(key), "-out", str(request), "-subj", "/CN=gateway"])
        certificate = _openssl([
            "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey",
            str(self.key), "-set_serial", str(int.from_bytes(os.urandom(8)) >> 1), "-days", "1",
            "-extfile", str(extensions), "-outform", "DER"])
        private = _openssl(["pkcs8", "-topk8", "-nocrypt", "-in", str(key), "-outform", "DER"])
        return certificate, private


class GatewayPlans:
    """The plans of gateways `a` and `b` (several replicas each, if asked for) in a folder."""

    def __init__(self, directory, replicas=(1, 1), slices=(SLICE,)):
        self.slices = slices
        self.directory = pathlib.Path(directory)
        self.authorities = {c: Authority(self.directory, c) for c in CLUSTERS}
        self.keys, self.leaves = {}, {}
        self.names = [
            (cluster, str(number))
            for cluster, count in zip(CLUSTERS, replicas) for number in range(count)]
        for name in self.names:
            self.keys[name] = _openssl(["genpkey", "-algorithm", "X25519", "-outform", "DER"])
            self.rotate(name)

    @staticmethod
    def uri(name, slice_name):
        set_id = "00" * 32
        return f"spiffe://{set_id}/cluster/{name[0]}/slice/{slice_name}/gateway/{name[1]}"

    def rotate(self, name):
        """Makes new leaves; the next `write` carries them."""
        for part in self.slices:
            self.leaves[name, part] = self.authorities[name[0]].leaf(
                self.directory, self.uri(name, part))

    def public(self, name):
        der = _openssl(
            ["pkey", "-inform", "DER", "-pubout", "-outform", "DER"], self.keys[name])
        return der[-32:]

    def write(self, name, listen, slices, endpoints, extra=None):
        """Writes one gateway's plan. `slices`: by name its device, address, blocks by cluster, and
        what else its entry is to say; `endpoints` are by gateway; `extra` is said of the gateway."""
        cluster, replica = name
        plan = {
            "cluster": cluster, "replica": replica, "listen": listen,
            # The raw key ends the PKCS #8 form (RFC 8410).
            "staticKey": _text(self.keys[name][-32:]), "slices": [], "peers": [],
        } | (extra or {})
        for part, entry in slices.items():
            certificate, private = self.leaves[name, part]
            plan["slices"].append({
                "slice": part, "device": entry["device"], "addresses": [entry["address"]],
                "localBlocks": [entry["blocks"][cluster]], "mtu": 1420,
                "certificate": _text(certificate), "privateKey": _text(private)}
                | entry.get("extra", {}))
            plan["peers"] += [{
                "slice": part, "cluster": other[0], "replica": other[1],
                "endpoints": [endpoints[other]], "staticKey": _text(self.public(other)),
                "certificateAuthority": _text(self.authorities[other[0]].der),
                "spiffeURI": self.uri(other, part), "remoteBlocks": [entry["blocks"][other[0]]]}
                for other in self.names if other[0] != cluster]
        path = self.directory / f"{cluster}{replica}.json"
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(plan))
        temporary.replace(path)
        return path
