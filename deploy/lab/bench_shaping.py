"""Rates that slices are held to: ceilings, guarantees on a link that is too narrow, classes."""

import subprocess
import time

from . import tunnel_lab

A, B = ("a", "0"), ("b", "0")
# What surrounds an inner packet: IPv4, UDP, the tunnel's header and tag.
OUTER_BYTES = 20 + 8 + 32
CEILING_ERROR = 0.03
SHARE_ERROR = 0.05
# Kilobits a second, and whether by UDP: more of that takes more than two processors can offer.
CEILINGS = (
    (2_000, True), (2_000, False), (50_000, True), (50_000, False), (500_000, False),
    (2_000_000, False))


class Load:
    """More than may go, from a to b, in the slice with a number, until `stop`."""

    def __init__(self, lab, number, seconds, rate=None, streams=4, octet=0, port=5300):
        port = str(port + number)
        target = tunnel_lab.inner("b", number)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.server = subprocess.Popen(
            lab.hosts["b"].command(["iperf3", "-s", "-1", "-p", port, "-B", target]), **quiet)
        time.sleep(0.3)
        command = ["iperf3", "-c", target, "-p", port, "-t", str(seconds), "-S", str(octet)]
        if rate:
            command += ["-u", "-b", f"{rate}K", "-l", "1200"]
        else:
            command += ["-P", str(streams)]
        self.client = subprocess.Popen(lab.hosts["a"].command(command), **quiet)

    def stop(self):
        for process in (self.client, self.server):
            process.kill()
            process.wait()


def counts(lab):
    """Inner bytes and packets that gateway b has received, by slice, and by class."""
    status = lab.status(B)
    return time.monotonic(), {t["slice"]: t for t in status["tunnels"]}


def rates(lab, seconds, settle=1.5):
    """Kilobits a second by slice over so many seconds: inner, on the link, and by class."""
    time.sleep(settle)
    began, before = counts(lab)
    time.sleep(seconds)
    ended, after = counts(lab)
    out = {}
    for name, tunnel in after.items():
        bits = 8 / 1e3 / (ended - began)
        received = tunnel["receivedBytes"] - before[name]["receivedBytes"]
        packets = tunnel["receivedPackets"] - before[name]["receivedPackets"]
        out[name] = {
            "inner": received * bits, "outer": (received + packets * OUTER_BYTES) * bits,
            "classes": {
                kind: (count["receivedBytes"] - before[name]["classes"][kind]["receivedBytes"])
                * bits for kind, count in tunnel["classes"].items()}}
    return out


def ceiling(kilobits, seconds, is_udp):
    slices = {"bench": {"qos": {"ceilingKbps": kilobits}}}
    with tunnel_lab.TunnelLab() as lab:
        lab.start_gateways(slices=slices)
        lab.wait_up()
        load = Load(lab, 0, seconds + 30, rate=int(kilobits * 1.3) if is_udp else None)
        found = rates(lab, seconds)["bench"]["inner"]
        load.stop()
        queues = [
            queue for queue in lab.status(A)["queues"]
            if queue["bytes"] or queue["refused"] or queue["delayed"]]
    return {
        "ceiling_kbps": kilobits, "load": "udp" if is_udp else "tcp", "measured_kbps": round(found),
        "error": round(found / kilobits - 1, 4), "queues": queues,
        # Otherwise the machine itself was the limit, and nothing was held back.
        "is_held_back": bool(queues)}


def guarantees(seconds):
    """Three slices that all want more; what is left beyond the guarantees is shared equally."""
    link = 200_000
    wanted = {"gold": 100_000, "silver": 40_000, "plain": 0}
    slices = {
        name: {"qos": {"ceilingKbps": 190_000, "guaranteedKbps": rate, "priority": 4}}
        for name, rate in wanted.items()}
    with tunnel_lab.TunnelLab() as lab:
        lab.start_gateways(slices=slices, extra={"linkKbps": link})
        for number in range(3):
            lab.wait_up(tunnel_lab.inner("b", number))
        # The one without a guarantee presses without regard for losses.
        loads = [
            Load(lab, number, seconds + 30, rate=190_000 if name == "plain" else None)
            for number, name in enumerate(slices)]
        found = rates(lab, seconds)
        for load in loads[:2]:
            load.stop()
        alone = rates(lab, 2)["plain"]["inner"]
        loads[2].stop()
    outer = sum(rate["outer"] for rate in found.values())
    inner = sum(rate["inner"] for rate in found.values())
    rest = (link * inner / outer - sum(wanted.values())) / 3
    rows = []
    for name, rate in wanted.items():
        expected = rate + rest
        rows.append({
            "slice": name, "guaranteed_kbps": rate, "expected_kbps": round(expected),
            "measured_kbps": round(found[name]["inner"]),
            "error": round(found[name]["inner"] / expected - 1, 4)})
    return {
        "link_kbps": link, "measured_link_kbps": round(outer),
        "link_error": round(outer / link - 1, 4), "slices": rows,
        "plain_alone_kbps": round(alone)}


def classes(seconds):
    """Best effort, background and expedited traffic want all of one slice."""
    kilobits = 30_000
    octets = {"standard": 0, "background": 8 << 2, "expedited": 46 << 2}
    weights = {"standard": 4, "background": 1, "expedited": 16}
    with tunnel_lab.TunnelLab() as lab:
        lab.start_gateways(slices={"bench": {"qos": {"ceilingKbps": kilobits}}})
        lab.wait_up()
        idle = lab.rtt(tunnel_lab.INNER["b"], 0.01, 100)["p50_us"]
        loads = []
        for number, octet in enumerate(octets.values()):
            loads.append(
                Load(lab, 0, seconds + 30, rate=kilobits, octet=octet, port=5300 + number))
        found = rates(lab, seconds)["bench"]["classes"]
        # A class that has little to say goes between them.
        loaded = lab.rtt(tunnel_lab.INNER["b"], 0.02, 100, options=["-Q", str(18 << 2)])
        for load in loads:
            load.stop()
    total = sum(found.values())
    return {
        "ceiling_kbps": kilobits, "measured_kbps": round(total), "rtt_idle_p50_us": idle,
        "rtt_assured_under_load_p50_us": loaded["p50_us"],
        "shares": {
            name: {"expected": round(weight / 21, 4), "measured": round(found[name] / total, 4)}
            for name, weight in weights.items()}}


def main(options, say):
    seconds = max(4.0, options.seconds)
    result, problems = {"ceilings": []}, []
    for kilobits, is_udp in CEILINGS:
        row = ceiling(kilobits, seconds, is_udp)
        say(str(row))
        result["ceilings"].append(row)
        if row["error"] > CEILING_ERROR or row["is_held_back"] and row["error"] < -CEILING_ERROR:
            problems.append(f"{row['load']} at {kilobits} kbit/s: {row['measured_kbps']}")
    result["guarantees"] = guarantees(seconds)
    say(str(result["guarantees"]))
    problems += [
        f"{row['slice']}: {row['measured_kbps']} of {row['expected_kbps']}"
        for row in result["guarantees"]["slices"] if abs(row["error"]) > SHARE_ERROR]
    if abs(result["guarantees"]["link_error"]) > CEILING_ERROR:
        problems.append(f"the link carried {result['guarantees']['measured_link_kbps']} kbit/s")
    result["classes"] = classes(seconds)
    say(str(result["classes"]))
    problems += [
        f"class {name}: {share['measured']} of {share['expected']}"
        for name, share in result["classes"]["shares"].items()
        if abs(share["measured"] / share["expected"] - 1) > SHARE_ERROR]
    return result | ({"failed": "; ".join(problems)} if problems else {})
