"""The gateway tunnel beside others, interleaved on one machine: throughput, processor time, small
datagrams, round trips. Machines are noisy, so ratios within a round count, and their medians."""

import os
import pathlib
import shutil
import statistics
import sys
import tempfile

from . import bench_capture, bench_rotation, bench_shaping, bench_weather, namespaces, tunnel_lab

OURS = "starling"
RAW = "raw"
# What each anchor's script needs.
PROGRAMS = {
    "wireguard-go": ["wireguard-go", "wg"], "nebula": ["nebula", "nebula-cert"],
    "openvpn": ["openvpn", "openssl"]}
# Figures where ours over theirs counts, and those where it should be small.
FIGURES = {
    "tcp1_gbps": ("tcp1", "gbps"), "tcp4_gbps": ("tcp4", "gbps"),
    "tcp1_daemon_cpu_s_per_gbit": ("tcp1", "daemon_cpu_s_per_gbit"),
    "tcp4_daemon_cpu_s_per_gbit": ("tcp4", "daemon_cpu_s_per_gbit"),
    "udp64_received_pps": ("udp64", "received_pps"),
    "rtt_2ms_p50_us": ("rtt_2ms", "p50_us"), "rtt_back_to_back_p50_us": ("rtt_0ms", "p50_us")}
# issue 4, "It is done when": (mode, figure, anchor, least or most ratio or value)
GOALS = [
    ("on", "tcp1_gbps", "wireguard-go", "least", 8), ("on", "tcp1_gbps", "nebula", "least", 5),
    ("on", "tcp1_gbps", "openvpn", "least", 7), ("off", "tcp1_gbps", "wireguard-go", "least", 2.5),
    ("on", "tcp1_daemon_cpu_s_per_gbit", None, "most", 0.30),
    ("off", "tcp1_daemon_cpu_s_per_gbit", None, "most", 0.85),
    ("on", "udp64_received_pps", None, "least", 150_000),
    ("on", "rtt_2ms_added_us", "openvpn", "most", 1.1),
    ("on", "rtt_back_to_back_added_us", None, "most", 65)]


def anchors(folder, wanted, say):
    """Scripts of the other tunnels, and what is missing for the others."""
    found, missing = {}, {}
    if folder is None:
        return found, {"anchors": "no --anchors DIR"}
    for name, programs in PROGRAMS.items():
        if wanted and name not in wanted:
            continue
        script = pathlib.Path(folder) / f"up_{name}.sh"
        lacking = [p for p in programs if not shutil.which(p)]
        if lacking:
            missing[name] = f"not installed: {', '.join(lacking)}"
        elif not script.exists():
            missing[name] = f"no {script.name} in {folder}"
        else:
            found[name] = script
    for name, why in missing.items():
        say(f"{name}: left out: {why}")
    return found, missing


def every_feature():
    """A plan's parts that the plainest one leaves out."""
    services = [
        {"slice": "bench", "cluster": cluster, "namespace": "bench", "name": f"of-{cluster}",
         "addresses": [tunnel_lab.INNER[cluster]]} for cluster in "ab"]
    qos = {"ceilingKbps": 10_000_000, "guaranteedKbps": 1_000_000, "priority": 1, "dscp": 18}
    return {"slices": {"bench": {"qos": qos}}, "extra": {"services": services}}


def measure(name, script, offloads, options, tool):
    """One system, once, on a fresh link."""
    with tunnel_lab.TunnelLab(offloads) as lab:
        target = tunnel_lab.INNER["b"]
        if name == RAW:
            target = tunnel_lab.OUTER["b"]
        elif name == OURS:
            lab.start_gateways(**(every_feature() if options.features else {}))
        else:
            lab.start_anchor(script)
        lab.wait_up(target)
        row = {"system": name, "offloads": "on" if offloads else "off",
               "load": os.getloadavg()[0]}
        if offloads:
            row["rtt_2ms"] = lab.rtt(target, 0.002, options.pings)
            row["rtt_0ms"] = lab.rtt(target, 0, options.pings * 3)
        row["tcp1"] = lab.tcp(target, 1, options.seconds)
        row["tcp4"] = lab.tcp(target, 4, options.seconds)
        if tool and offloads:
            row["udp64"] = lab.small_datagrams(target, tool, options.seconds)
        return row


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


def figures(row):
    return {
        name: row[part].get(field) for name, (part, field) in FIGURES.items() if part in row}


def add_added(table, rounds):
    """Round trips above the bare link's in the same round."""
    for per_system in rounds:
        bare = per_system.get(RAW, {})
        for name, row in per_system.items():
            for short in ("rtt_2ms", "rtt_back_to_back"):
                figure = f"{short}_p50_us"
                if name != RAW and figure in row and figure in bare:
                    row[f"{short}_added_us"] = row[figure] - bare[figure]
                    table.setdefault(name, set()).add(f"{short}_added_us")


def summarise(rows):
    result = {"medians": {}, "ratios": {}}
    for mode in ("on", "off"):
        numbers = sorted({row["round"] for row in rows if row["offloads"] == mode})
        rounds = [
            {row["system"]: figures(row) for row in rows
             if row["round"] == number and row["offloads"] == mode} for number in numbers]
        add_added({}, rounds)
        systems = sorted({name for per_system in rounds for name in per_system})
        medians, ratios = {}, {}
        for name in systems:
            names = sorted({f for per_system in rounds for f in per_system.get(name, {})})
            medians[name] = {
                f: rounded(median([r[name].get(f) for r in rounds if name in r])) for f in names}
            if name in (OURS, RAW):
                continue
            ratios[name] = {
                f: rounded(median([
                    r[OURS][f] / r[name][f] for r in rounds
                    if r.get(name, {}).get(f) and r.get(OURS, {}).get(f)])) for f in names}
        result["medians"][mode], result["ratios"][mode] = medians, ratios
    return result


def judge(summary):
    goals = []
    for mode, figure, anchor, direction, bound in GOALS:
        if anchor:
            value = summary["ratios"][mode].get(anchor, {}).get(figure)
        else:
            value = summary["medians"][mode].get(OURS, {}).get(figure)
        met = None
        if value is not None:
            met = value >= bound if direction == "least" else value <= bound
        goals.append({
            "offloads": mode, "figure": figure, "over": anchor, direction: bound, "value": value,
            "met": met})
    return goals


def main(options):
    def say(text):
        print(text, file=sys.stderr, flush=True)

    problem = namespaces.supported()
    if problem:
        return {"failed": problem}
    lacking = [p for p in ("iperf3", "ethtool", "openssl") if not shutil.which(p)]
    if lacking:
        return {"failed": f"please install: {' '.join(lacking)}"}
    if options.rotation:
        return bench_rotation.main(options, say)
    if options.shaping:
        return bench_shaping.main(options, say)
    if options.capture:
        return bench_capture.main(options, say)
    if options.hostile or options.integrity:
        return bench_weather.main(options, say)
    wanted = options.only.split(",") if options.only else None
    scripts, missing = anchors(options.anchors, wanted, say)
    systems = [RAW, OURS, *scripts]
    if wanted:
        systems = [name for name in systems if name in wanted]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tool = tunnel_lab.build(folder, "datagrams")
        if not tool:
            missing["udp64"] = "no C compiler for lab/datagrams.c"
        for number in range(options.rounds):
            for offloads in (True, False):
                # Another order each round: what heats up or drifts hits everyone.
                for name in systems[number % len(systems):] + systems[:number % len(systems)]:
                    try:
                        row = measure(name, scripts.get(name), offloads, options, tool)
                    except (RuntimeError, TimeoutError, ValueError, KeyError) as error:
                        say(f"round {number + 1}: {name}: {error}")
                        continue
                    row["round"] = number
                    rows.append(row)
                    shown = {k: rounded(v) for k, v in figures(row).items()}
                    say(f"round {number + 1} offloads {row['offloads']} {name}: {shown}")
    summary = summarise(rows)
    return {
        "rounds": options.rounds, "seconds": options.seconds, "processors": os.cpu_count(),
        "load_median": rounded(median([row["load"] for row in rows])), "missing": missing,
        **summary, "goals": judge(summary)}
