"""A cluster is drained, serves nothing any more, and comes back, while clients notice nothing."""

import random
import sys
import threading
import time
import unittest

from lab import clusters, demo, namespaces


class Clients:
    """Workloads of a cluster that resolve the name and ask one of its addresses, again and again."""

    def __init__(self, cluster, number=3):
        self.cluster = cluster
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        # (when it was asked, what came)
        self.answers, self.failures = [], []
        self.threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(number)]
        for thread in self.threads:
            thread.start()

    def _ask(self):
        while not self.stopping.is_set():
            begin, addresses = time.monotonic(), []
            try:
                code, addresses = self.cluster.resolve("shop", demo.NAME)
                if code != "NOERROR" or not addresses:
                    raise ValueError(f"{code} {addresses}")
                url = f"http://{random.choice(addresses)}:8080/"
                status, body = self.cluster.fetch("shop", url, timeout=5)
                if status != 200:
                    raise ValueError(f"status {status}")
                with self.lock:
                    self.answers.append((begin, body.strip()))
            except (OSError, ValueError) as error:
                with self.lock:
                    self.failures.append(f"{addresses}: {error!r}")

    def since(self, moment):
        """Who answered what was asked after a moment."""
        with self.lock:
            return [body for begin, body in self.answers if begin >= moment]

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(10)


class Drain(unittest.TestCase):
    def setUp(self):
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no traffic without namespaces: {reason}")

    def serve(self, lab, name):
        host = lab.clusters[name].workloads["shop"][0]
        return lab.spawn(host, [sys.executable, str(demo.WEB), "8080", f"hello from cluster {name}"])

    def test_no_request_fails_when_a_cluster_is_drained(self):
        with clusters.Lab() as lab:
            story = demo.Demo(lab, lambda text: None)
            story.form_cluster_set()
            story.push_slice()
            _, address = lab.clusters["c"].workload("shop")
            self.serve(lab, "c")
            lab.clusters["c"].export("shop", "web", 8080, [address], demo.SLICE)
            a = lab.clusters["a"]
            clusters.eventually(
                lambda: len(a.resolve("shop", demo.NAME)[1]) == 2, 20, "both clusters' endpoints")
            for address in a.resolve("shop", demo.NAME)[1]:
                clusters.eventually(
                    lambda: a.fetch("shop", f"http://{address}:8080/", timeout=1)[0] == 200, 20,
                    f"{address} answers")
            clients = Clients(a)
            try:
                self.drained_and_back(lab, clients)
            finally:
                clients.stop()
            self.assertEqual(clients.failures, [])
            self.assertGreater(len(clients.answers), 100)

    def drained_and_back(self, lab, clients):
        def both(moment):
            return {"hello from cluster b", "hello from cluster c"} <= set(clients.since(moment))

        def only_c(moment):
            answers = clients.since(moment)
            return len(answers) >= 50 and set(answers) == {"hello from cluster c"}

        begin = time.monotonic()
        clusters.eventually(lambda: both(begin), 20, "both serve")
        lab.clusters["c"].cli("drain", "b", "--wait", "--yes")
        clusters.eventually(
            lambda: len(lab.clusters["a"].resolve("shop", demo.NAME)[1]) == 1, 20,
            "the name leads to c alone")
        drained = time.monotonic()
        clusters.eventually(lambda: only_c(drained), 20, "c alone serves what is asked now")
        # Nobody asks b any more: what serves there may go.
        server = next(
            p for p in lab.processes if p.args[-1] == "hello from cluster b" and p.poll() is None)
        server.kill()
        server.wait()
        gone = time.monotonic()
        clusters.eventually(lambda: only_c(gone), 20, "c serves alone")
        self.serve(lab, "b")
        _, address, _ = lab.clusters["b"].workloads["shop"]
        clusters.eventually(
            lambda: lab.clusters["b"].fetch("shop", f"http://{address}:8080/", timeout=1), 20,
            "b's server is back")
        lab.clusters["a"].cli("undrain", "b", "--wait", "--yes")
        back = time.monotonic()
        clusters.eventually(lambda: both(back), 20, "both serve again")


if __name__ == "__main__":
    unittest.main()
