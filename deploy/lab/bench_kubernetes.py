"""Peers as operators of real API servers: how fast exports and endpoints arrive elsewhere, what a large
service and many of them cost, what happens while a peer, a cluster or an API server is away."""

import os
import sys
import threading
import time

from . import clusters
from .bench_gossip import percentile, resident
from .kubernetes_api import kubeconfigs
from .kubernetes_lab import NAMESPACE, KubernetesLab

ZONE = f"{NAMESPACE}.svc.clusterset.local"


def pod(number):
    return f"10.200.{number // 250}.{number % 250 + 1}"


def until(check, timeout, what):
    """Milliseconds until `check` is true, asked as fast as it answers."""
    began = time.monotonic()
    clusters.eventually(check, timeout, what, interval=0.001)
    return (time.monotonic() - began) * 1e3


def spread(samples, prefix):
    return {
        f"{prefix}_p50_ms": round(percentile(samples, 0.5), 1),
        f"{prefix}_p99_ms": round(percentile(samples, 0.99), 1),
        f"{prefix}_max_ms": round(max(samples), 1)}


def answers(cluster, name):
    code, found = cluster.resolve(f"{name}.{ZONE}")
    return found if code == "NOERROR" else []


def lag(lab, everyone, options, say):
    """ServiceExport applied → A record elsewhere after an NXDOMAIN; endpoint changed → answer."""
    origin, others = everyone[0], everyone[1:]
    samples, written = [], []
    for number in range(options.runs):
        name = f"lag-{number}"
        origin.service(name, [pod(number)])
        for cluster in others:
            if cluster.resolve(f"{name}.{ZONE}")[0] != "NXDOMAIN":
                raise RuntimeError(f"{name} is known before it is exported")
        times = []

        # Asking more often would take the processor from what is measured.
        def watch(cluster, began, name=name, times=times):
            clusters.eventually(lambda: answers(cluster, name), 30, name, interval=0.004)
            times.append((time.monotonic() - began) * 1e3)
        began = time.monotonic()
        watchers = [threading.Thread(target=watch, args=(c, began)) for c in others]
        for watcher in watchers:
            watcher.start()
        origin.export_service(name)
        written.append((time.monotonic() - began) * 1e3)
        for watcher in watchers:
            watcher.join()
        if len(times) < len(others):
            raise TimeoutError(f"{name} was not answered everywhere within 30 s")
        samples += times
        time.sleep(0.05)
    out = {"runs": options.runs, **spread(samples, "export_to_answer"),
           "api_write_p50_ms": round(percentile(written, 0.5), 1)}
    say(f"export to answer: {out}")

    origin.service("headless", [pod(0)], headless=True)
    origin.export_service("headless")
    clusters.eventually(
        lambda: all(answers(c, "headless") for c in others), 30, "the headless service")
    samples = []
    for number in range(options.runs // 2):
        count = 2 if number % 2 == 0 else 1
        began = time.monotonic()
        origin.endpoints("headless", [pod(index) for index in range(count)])
        for cluster in others:
            clusters.eventually(
                lambda: len(answers(cluster, "headless")) == count, 30, "the endpoint",
                interval=0.001)
            samples.append((time.monotonic() - began) * 1e3)
        time.sleep(0.05)
    out |= spread(samples, "endpoint_to_answer")
    return out


def cut(lab, everyone, options, say):
    """A cluster that nobody reaches leaves the answers and comes back, again and again."""
    near, far = everyone[0], everyone[-1]
    far.service("cut", [pod(0)], headless=True)
    far.export_service("cut")
    clusters.eventually(lambda: answers(near, "cut"), 30, "the exported name")
    out = {"cut_to_gone_ms": [], "healed_to_back_ms": []}
    # Soon after it came back it goes again: a member that flaps.
    for _ in range(4):
        lab.cut(far)
        out["cut_to_gone_ms"].append(
            round(until(lambda: not answers(near, "cut"), 60, "the answer leaves")))
        time.sleep(2)
        lab.heal()
        out["healed_to_back_ms"].append(
            round(until(lambda: answers(near, "cut"), 60, "the answer is back")))
        say(f"cut: gone after {out['cut_to_gone_ms'][-1]} ms, "
            f"back after {out['healed_to_back_ms'][-1]} ms")
        time.sleep(3)
    lab.gather()
    return out


def traffic(everyone):
    return sum(
        cluster.metric("starling_gossip_sent_datagram_bytes_total")
        + cluster.metric("starling_gossip_sent_frame_bytes_total") for cluster in everyone)


def requests(cluster):
    return cluster.metric("starling_kubernetes_requests_total")


def quiet(everyone):
    """Waits until what there was to write is written: less than a request a second, five seconds long."""
    def is_quiet():
        before = [requests(c) for c in everyone]
        time.sleep(5)
        return all(requests(c) - b < 5 for c, b in zip(everyone, before))
    clusters.eventually(is_quiet, 600, "the operators have nothing more to write")


def imported(cluster, name):
    """Addresses in the slices that were made of an import."""
    found = cluster.kube.list(
        "EndpointSlice", NAMESPACE, f"multicluster.kubernetes.io/service-name={name}")
    return sum(len(item["endpoints"]) for item in found)


def large(lab, everyone, options, say):
    """One Service with many endpoints, and a rolling restart of all of them."""
    origin, others, count = everyone[0], everyone[1:], options.endpoints
    origin.service("large", [pod(number) for number in range(count)], headless=True)
    sent = traffic(everyone)
    origin.export_service("large")
    out = {"endpoints": count}
    out["large_arrived_ms"] = round(until(
        lambda: all(imported(c, "large") == count for c in others), 120, "all endpoints"))
    out["large_bytes_per_endpoint"] = round((traffic(everyone) - sent) / count)
    quiet = traffic(everyone)
    time.sleep(10)
    idle = (traffic(everyone) - quiet) / 10
    say(f"large: {out}")

    sent, asked = traffic(everyone), [requests(c) for c in everyone]
    began, batch, lost = time.monotonic(), 25, 0
    pods = [pod(number) for number in range(count)]
    for start in range(0, count, batch):
        # New Pods come before old ones go; each has a new address.
        shard = start // 100
        for index in range(start, min(start + batch, count)):
            pods[index] = pod(count + index)
        origin.endpoints("large", pods[shard * 100:(shard + 1) * 100], shard)
        if not all(answers(c, "large") for c in others):
            lost += 1
        time.sleep(0.25)
    out["restart_seconds"] = round(time.monotonic() - began, 1)
    wanted = {pod(count + index) for index in range(count)}

    def settled():
        own = origin.kube.list(
            "EndpointSlice", NAMESPACE, "multicluster.kubernetes.io/service-name=large")
        there = {e["addresses"][0] for item in own for e in item["endpoints"]}
        return there == wanted and all(imported(c, "large") == count for c in others)
    out["restart_settled_ms"] = round(until(settled, 120, "the restart has arrived"))
    elapsed = time.monotonic() - began
    out["restart_bytes_per_changed_endpoint"] = round(
        (traffic(everyone) - sent - idle * elapsed) / count)
    out["restart_api_requests"] = [
        round(requests(c) - before) for c, before in zip(everyone, asked)]
    out["restart_moments_without_answer"] = lost
    origin.kube.delete("ServiceExport", NAMESPACE, "large")
    clusters.eventually(
        lambda: all(imported(c, "large") == 0 for c in others), 60, "the large service goes",
        interval=0.1)
    return out


def scale(lab, everyone, options, say):
    """Many exports; what the peers hold, how fast a change still is, what an idle minute asks."""
    origin, others = everyone[0], everyone[1:]
    each = options.endpoints_each
    for number in range(options.exports):
        origin.service(f"many-{number}", [pod(number * each + index) for index in range(each)])
    before = [requests(c) for c in everyone]
    began = time.monotonic()
    for number in range(options.exports):
        origin.export_service(f"many-{number}")

    def settled():
        last = f"many-{options.exports - 1}"
        if not all(answers(c, last) for c in others):
            return False
        return all(
            sum(bool(item["spec"].get("ips")) for item in
                c.kube.list("ServiceImport", NAMESPACE)) >= options.exports for c in others)
    clusters.eventually(settled, 600, "all imports have addresses", interval=0.5)
    out = {"exports": options.exports, "exported_endpoints": options.exports * each,
           "all_settled_seconds": round(time.monotonic() - began, 1),
           "requests_per_export": [
               round((requests(c) - b) / options.exports, 2) for c, b in zip(everyone, before)]}
    say(f"scale: {out}")
    quiet(everyone)
    asked, began = [requests(c) for c in everyone], time.monotonic()
    time.sleep(60)
    minutes = (time.monotonic() - began) / 60
    out["idle_requests_per_minute"] = [
        round((requests(c) - b) / minutes, 1) for c, b in zip(everyone, asked)]
    samples = []
    for number in range(20):
        name = f"many-{number * 37 % options.exports}-more"
        origin.service(name, [pod(number)])
        origin.export_service(name)
        samples.append(until(
            lambda: all(answers(c, name) for c in others), 30, "one more export"))
    out |= spread(samples, "change_at_scale")
    out["rss_megabytes"] = [round(resident(c.process) / 1024, 1) for c in everyone]
    return out


def lease(lab, everyone, options, say):
    """Another peer of the same cluster takes over when the holder dies, again and again."""
    cluster = everyone[0]
    pair = [cluster, lab.another_peer(cluster)]
    out = {
        "death_known_ms": [], "lease_taken_ms": [], "known_to_taken_ms": [],
        "death_to_answer_ms": []}

    def holder():
        found = cluster.kube.get("Lease", "starling-system", "starling")
        identity = found["spec"].get("holderIdentity") if found else None
        return next((p for p in pair if p.api("/v1/status")["node"] == identity), None)
    for number in range(options.takeovers):
        acting = clusters.eventually(holder, 30, "somebody holds the Lease", interval=0.05)
        other = next(p for p in pair if p is not acting)
        nodes = {p: p.api("/v1/status")["node"] for p in pair}
        time.sleep(12)
        name = f"lease-{number}"
        cluster.service(name, [pod(number)])
        began = time.monotonic()
        acting.kill()
        cluster.export_service(name)

        known = None

        def taken():
            nonlocal known
            if known is None and any(
                    m["node"] == nodes[acting] and m["state"] == "dead"
                    for m in other.api("/v1/members")):
                known = time.monotonic()
            found = cluster.kube.get("Lease", "starling-system", "starling")
            return found["spec"].get("holderIdentity") == nodes[other]
        clusters.eventually(taken, 60, "the Lease changes hands", interval=0.01)
        now = time.monotonic()
        known = known or now
        for figure, since, until_then in (
                ("death_known_ms", began, known), ("lease_taken_ms", began, now),
                ("known_to_taken_ms", known, now)):
            out[figure].append(round((until_then - since) * 1e3))
        clusters.eventually(lambda: answers(everyone[1], name), 60, "the export is answered")
        out["death_to_answer_ms"].append(round((time.monotonic() - began) * 1e3))
        say(
            f"lease: death known after {out['death_known_ms'][-1]} ms, "
            f"taken {out['known_to_taken_ms'][-1]} ms later")
        acting.start()
        acting.wait_joined()
    pair[1].kill()
    return out


def away(lab, everyone, options, say):
    """A cluster's API server is away for long: names go on and change, then all is as it should be."""
    near, far = everyone[0], everyone[1]
    near.service("stays", [pod(1)], headless=True)
    near.service("goes", [pod(2)], headless=True)
    for name in ("stays", "goes"):
        near.export_service(name)
    clusters.eventually(
        lambda: all(answers(far, name) for name in ("stays", "goes")), 30, "both names")
    began, silent = time.monotonic(), 0
    # The peer's is the first; the cluster's DNS knocks as well.
    far.proxies[0].attempts = 0
    for proxy in far.proxies:
        proxy.go()
    time.sleep(5)
    near.service("comes", [pod(3)], headless=True)
    near.export_service("comes")
    near.kube.delete("ServiceExport", NAMESPACE, "goes")
    out = {"away_seconds": options.away}
    out["comes_while_away_ms"] = round(until(lambda: answers(far, "comes"), 30, "a new name"))
    until(lambda: not answers(far, "goes"), 30, "a withdrawn name")
    while time.monotonic() - began < options.away:
        silent += not answers(far, "stays")
        time.sleep(1)
    out["away_moments_without_answer"] = silent
    out["away_attempts_per_minute"] = round(
        far.proxies[0].attempts / ((time.monotonic() - began) / 60), 1)
    for proxy in far.proxies:
        proxy.come()

    def settled():
        names = {item["metadata"]["name"] for item in far.kube.list("ServiceImport", NAMESPACE)}
        return {"stays", "comes"} <= names and "goes" not in names
    out["back_to_settled_ms"] = round(until(settled, 120, "the cluster's objects"))
    return out


def drift(everyone):
    """Objects of ours in each cluster that nothing explains: orphans."""
    orphans = 0
    for cluster in everyone:
        imports = {
            item["metadata"]["name"] for item in cluster.kube.list("ServiceImport", NAMESPACE)}
        for item in cluster.kube.list(
                "EndpointSlice", NAMESPACE, "app.kubernetes.io/managed-by=starling"):
            name = item["metadata"]["labels"].get("multicluster.kubernetes.io/service-name")
            orphans += name not in imports
    return orphans


def settled_drift(everyone):
    """What is left of it once the last change was carried out: lists are not of one moment."""
    orphans = drift(everyone)
    deadline = time.monotonic() + 10
    while orphans and time.monotonic() < deadline:
        time.sleep(0.5)
        orphans = drift(everyone)
    return orphans


SCENARIOS = {
    "lag": lag, "cut": cut, "large": large, "lease": lease, "scale": scale, "away": away}


def main(options):
    def say(text):
        print(text, file=sys.stderr, flush=True)
    paths = options.kubeconfigs.split(",") if options.kubeconfigs else kubeconfigs()
    if len(paths) < 2:
        raise SystemExit(
            "deploy/bench kubernetes: --kubeconfigs (or STARLING_TEST_KUBECONFIGS) has to name two API "
            "servers or more, with administrator's rights and the CRDs installed")
    chosen = options.only.split(",") if options.only else [n for n in SCENARIOS if n != "away"]
    result = {"clusters": len(paths), "load_before": os.getloadavg()[0]}
    proxied = "away" in chosen
    with KubernetesLab(paths, coredns=options.coredns, proxied=proxied) as lab:
        everyone = lab.form()
        result["server"] = everyone[0].kube.served()
        result["coredns"] = bool(options.coredns)
        say(f"{len(everyone)} clusters on {result['server']}")
        for name in chosen:
            began = time.monotonic()
            result |= SCENARIOS[name](lab, everyone, options, say)
            say(f"{name}: {time.monotonic() - began:.0f} s")
        result["orphans"] = settled_drift(everyone)
    result["load_after"] = os.getloadavg()[0]
    result["failed"] = result["orphans"] > 0
    return result
