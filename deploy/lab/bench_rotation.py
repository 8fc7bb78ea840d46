"""Keys and certificates change in a loop while traffic runs and someone says control datagrams
again, altered and cut; then one of two gateways is killed. No packet may be lost by a rotation."""

import random
import signal
import subprocess
import time

from . import clusters, tunnel_lab, tunnel_probes

A, B = ("a", "0"), ("b", "0")
# An epoch lasts 100 ms at least; a forced one is asked for a little less often.
SPACING = 0.115


def rotate(lab, name):
    lab.plans.rotate(name)
    lab.write_plan(name)
    lab.processes[name].send_signal(signal.SIGHUP)


def tunnel(lab, name):
    return lab.status(name)["tunnels"][0]


def change_keys(lab, rekeys, rotations, say):
    """Forces rekeys and, spread among them, certificate rotations; gives how many took place."""
    before = tunnel(lab, A)
    done = rotated = 0
    every = max(1, rekeys // max(1, rotations))
    while done < rekeys:
        for _ in range(every):
            lab.processes[A if done % 2 else B].send_signal(signal.SIGUSR1)
            time.sleep(SPACING)
            done += 1
        if rotated < rotations:
            rotate(lab, A if rotated % 2 else B)
            rotated += 1
            count = before["handshakes"] + rotated
            clusters.eventually(
                lambda: tunnel(lab, A)["handshakes"] >= count, 10, f"rotation {rotated}",
                interval=0.05)
        say(f"{tunnel(lab, A)['rekeys'] - before['rekeys']} rekeys, {rotated} rotations")
    # Signals that met an epoch still under way merged into one.
    while tunnel(lab, A)["rekeys"] - before["rekeys"] < rekeys:
        lab.processes[A].send_signal(signal.SIGUSR1)
        time.sleep(SPACING)
    after = tunnel(lab, A)
    return {
        "rekeys": after["rekeys"] - before["rekeys"],
        "rotations": after["handshakes"] - before["handshakes"],
        "failed_handshakes": after["failedHandshakes"] - before["failedHandshakes"]}


def drops(lab):
    total = {}
    for name in lab.plans.names:
        status = lab.status(name)
        for counts in [status["drops"]] + [t["drops"] for t in status["tunnels"]]:
            for reason, count in counts.items():
                total[reason] = total.get(reason, 0) + count
    return total


def under_load(lab, options, streams, say):
    """One phase: rotations while numbered datagrams go one way, and TCP streams beside them."""
    target = tunnel_lab.INNER["b"]
    load = None
    server = None
    if streams:
        server = subprocess.Popen(
            lab.hosts["b"].command(["iperf3", "-s", "-1"]), stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        # Ended by us: nobody knows how long the rotations take.
        load = subprocess.Popen(
            lab.hosts["a"].command(
                ["iperf3", "-c", target, "-t", "3600", "-P", str(streams), "-b", options.load]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = drops(lab)
    numbered = tunnel_probes.NumberedDatagrams(lab.hosts["a"], lab.hosts["b"], target, 5001)
    stream = tunnel_probes.EchoedStream(lab.hosts["a"], lab.hosts["b"], target, 5002)
    forger = tunnel_probes.Forger(lab, random.Random(1))
    try:
        result = change_keys(lab, options.rekeys // 2, options.rotations // 2, say)
    finally:
        forger.stop()
        result_stream = stream.stop()
        result_numbered = numbered.stop()
        survived = load is not None and load.poll() is None
        for process in (load, server):
            if process:
                process.terminate()
                process.wait()
    after = drops(lab)
    return result | {
        "tcp_streams": streams, "tcp_streams_survived": survived if streams else None,
        "numbered": result_numbered, "echoed_stream": result_stream, "forged": forger.sent,
        "drops": {k: v - before.get(k, 0) for k, v in after.items() if v > before.get(k, 0)}}


def failover(options, say):
    """kill -9 of one gateway of two, and its return, under traffic."""
    rounds = []
    for number in range(options.kills):
        with tunnel_lab.TunnelLab() as lab:
            lab.start_gateways(replicas=(1, 2))
            lab.wait_up()
            victims = [name for name in lab.plans.names if name[0] == "b"]
            clusters.eventually(
                lambda: all(t["state"] == "established" for t in lab.status(A)["tunnels"]), 10,
                "both tunnels", interval=0.05)
            target = tunnel_lab.INNER["b"]
            flows = [
                tunnel_probes.NumberedDatagrams(lab.hosts["a"], lab.hosts["b"], target, 5010 + n)
                for n in range(4)]
            streams = [
                tunnel_probes.EchoedStream(lab.hosts["a"], lab.hosts["b"], target, 5020 + n)
                for n in range(4)]
            time.sleep(1)
            victim = victims[number % 2]
            child = lab.gateway_pid(victim)
            began = time.monotonic()
            subprocess.run(["kill", "-9", str(child)], check=True)
            lab.processes[victim].wait()
            time.sleep(2.5)
            lab.start_gateway(victim)
            clusters.eventually(
                lambda: all(t["state"] == "established" for t in lab.status(A)["tunnels"]), 10,
                "the tunnel is back", interval=0.05)
            back = time.monotonic() - began
            time.sleep(1)
            gaps = [flow.stop()["longest_gap_ms"] for flow in flows]
            stops = [stream.stop() for stream in streams]
            rounds.append({
                "killed": "/".join(victim), "flow_gaps_ms": gaps,
                "tcp_gaps_ms": [s["longest_gap_ms"] for s in stops],
                "tcp_survived": all(s["intact"] for s in stops), "back_after_s": round(back, 2)})
            say(f"kill {number + 1}: {rounds[-1]}")
    return rounds


def main(options, say):
    result = {}
    with tunnel_lab.TunnelLab() as lab:
        lab.start_gateways()
        lab.wait_up()
        result["four_streams"] = under_load(lab, options, 4, say)
        result["one_way"] = under_load(lab, options, 0, say)
    result["failover"] = failover(options, say)
    problems = []
    for phase in ("four_streams", "one_way"):
        if result[phase]["numbered"]["lost"] or result[phase]["numbered"]["repeated"]:
            problems.append(f"{phase}: {result[phase]['numbered']}")
        if not result[phase]["echoed_stream"]["intact"]:
            problems.append(f"{phase}: a connection broke")
        if result[phase]["failed_handshakes"]:
            problems.append(f"{phase}: failed handshakes")
    if result["four_streams"]["tcp_streams_survived"] is False:
        problems.append("four_streams: a stream ended")
    for entry in result["failover"]:
        if not entry["tcp_survived"]:
            problems.append(f"failover: a connection broke: {entry}")
        if max(entry["flow_gaps_ms"]) > 1000:
            problems.append(f"failover: longer than a second: {entry}")
    return result | ({"failed": "; ".join(problems)} if problems else {})
