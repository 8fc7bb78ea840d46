"""A cluster's API server as a user of kubectl sees it: one kept connection, server-side apply."""

import base64
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import time
import urllib.parse

# Path prefix and plural of the kinds that the lab makes.
KINDS = {
    "Namespace": ("api/v1", "namespaces"),
    "Service": ("api/v1", "services"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Secret": ("api/v1", "secrets"),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices"),
    "ServiceExport": ("apis/multicluster.x-k8s.io/v1beta1", "serviceexports"),
    "ServiceImport": ("apis/multicluster.x-k8s.io/v1beta1", "serviceimports"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
}


class Kubeconfig:
    """One context of a kubeconfig, resolved by kubectl; TLS with client certificates or a token."""

    def __init__(self, path):
        text = subprocess.run(
            ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "json",
             "--kubeconfig", str(path)], check=True, stdout=subprocess.PIPE).stdout
        config = json.loads(text)
        self.text = text.decode()
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        server = urllib.parse.urlsplit(cluster["server"])
        self.host, self.port = server.hostname, server.port or 443
        self.headers = {}
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        self.context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        if "client-certificate-data" in user:
            with tempfile.TemporaryDirectory() as folder:
                pem = pathlib.Path(folder) / "client.pem"
                pem.touch(mode=0o600)
                pem.write_bytes(
                    base64.b64decode(user["client-certificate-data"])
                    + base64.b64decode(user["client-key-data"]))
                self.context.load_cert_chain(pem)

    def through(self, path, port):
        """The same with another port of loopback, written to a file: for a proxy in between."""
        config = json.loads(self.text)
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path


class API:
    def __init__(self, kubeconfig):
        self.config = kubeconfig
        self.connection = None

    def call(self, method, path, body=None, kind="application/json"):
        """(status, answer); connects again where the server closed the connection."""
        for attempt in (0, 1):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPSConnection(
                    self.config.host, self.config.port, timeout=30, context=self.config.context)
            try:
                headers = dict(self.config.headers, **({"Content-Type": kind} if body else {}))
                self.connection.request(
                    method, "/" + path, json.dumps(body) if body else None, headers)
                answer = self.connection.getresponse()
                text = answer.read()
                return answer.status, json.loads(text) if text[:1] == b"{" else {}
            except (OSError, http.client.HTTPException):
                self.connection.close()
                self.connection = None
                if fresh or attempt:
                    raise
        raise AssertionError("unreachable")

    def path(self, kind, namespace, name=""):
        prefix, plural = KINDS[kind]
        scope = f"namespaces/{namespace}/" if namespace else ""
        return f"{prefix}/{scope}{plural}" + (f"/{name}" if name else "")

    def apply(self, kind, namespace, name, **members):
        """Server-side apply, as `kubectl apply --server-side` sends it."""
        version = KINDS[kind][0].split("/", 1)[1]
        labels = members.pop("labels", None)
        metadata = {"name": name, **({"labels": labels} if labels else {})}
        if namespace:
            metadata["namespace"] = namespace
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, **members}
        path = f"{self.path(kind, namespace, name)}?fieldManager=kubectl&force=true"
        # Shortly after a namespace was made the server may still know nothing of it.
        for _ in range(50):
            status, answer = self.call("PATCH", path, body, "application/apply-patch+yaml")
            if status not in (404, 429, 500):
                break
            time.sleep(0.1)
        if status >= 300:
            raise RuntimeError(f"apply {kind} {namespace}/{name}: {status} {answer.get('message')}")
        return answer

    def get(self, kind, namespace, name):
        status, answer = self.call("GET", self.path(kind, namespace, name))
        return answer if status == 200 else None

    def list(self, kind, namespace, selector=""):
        query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        status, answer = self.call("GET", self.path(kind, namespace) + query)
        if status != 200:
            raise RuntimeError(f"list {kind}: {status} {answer.get('message')}")
        return answer["items"]

    def delete(self, kind, namespace, name):
        return self.call("DELETE", self.path(kind, namespace, name))[0]

    def served(self):
        """The version of the server."""
        return self.call("GET", "version")[1]["gitVersion"]


def kubeconfigs():
    """Those that STARLING_TEST_KUBECONFIGS names, separated by commas."""
    return [path for path in os.environ.get("STARLING_TEST_KUBECONFIGS", "").split(",") if path]
