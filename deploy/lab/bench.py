"""deploy/bench gossip|state|kill|tunnel|kubernetes [--json]"""

import argparse
import json
import subprocess
import sys

from . import bench_gossip, bench_kill, bench_kubernetes, bench_tunnel, clusters


def main():
    parser = argparse.ArgumentParser(prog="deploy/bench")
    kinds = parser.add_subparsers(dest="kind", required=True)
    gossip = kinds.add_parser("gossip", help="real peers on loopback")
    gossip.add_argument("--peers", type=int, default=30)
    gossip.add_argument("--pushes", type=int, default=100)
    gossip.add_argument("--idle", type=int, default=20, help="seconds of idling to measure")
    gossip.add_argument("--serf", help="a script that measures Serf: SCRIPT PEERS")
    state = kinds.add_parser("state", help="the store and the state core at 100,000 changesets")
    state.add_argument("--changesets", type=int, default=100_000)
    kill = kinds.add_parser("kill", help="kill -9 during pushes; nothing acknowledged is lost")
    kill.add_argument("--rounds", type=int, default=200)
    kill.add_argument("--seed", type=int, default=1)
    tunnel = kinds.add_parser("tunnel", help="the gateway tunnel beside others (root)")
    tunnel.add_argument("--rounds", type=int, default=7)
    tunnel.add_argument("--seconds", type=float, default=2, help="of each throughput measurement")
    tunnel.add_argument("--pings", type=int, default=600)
    tunnel.add_argument("--anchors", help="a folder with up_NAME.sh scripts of other tunnels")
    tunnel.add_argument("--only", help="these systems alone: raw,starling,wireguard-go,...")
    tunnel.add_argument(
        "--rotation", action="store_true", help="keys and gateways change under load instead")
    tunnel.add_argument(
        "--hostile", type=int, default=0, help="so many hostile datagrams at a live gateway instead")
    tunnel.add_argument(
        "--integrity", type=float, default=0, help="so many GB over a bad path instead")
    tunnel.add_argument(
        "--shaping", action="store_true", help="rates, guarantees and classes instead")
    tunnel.add_argument(
        "--capture", type=float, default=0,
        help="so many MB of known text while the outer link is recorded instead")
    tunnel.add_argument(
        "--features", action="store_true",
        help="ours with a ceiling of 10 Gbit/s and services that are counted")
    tunnel.add_argument("--rekeys", type=int, default=1000)
    tunnel.add_argument("--rotations", type=int, default=20)
    tunnel.add_argument("--kills", type=int, default=4)
    tunnel.add_argument(
        "--load", default="50M", help="bits per second of each TCP stream beside the rotations")
    kubernetes = kinds.add_parser("kubernetes", help="peers as operators of real API servers (root)")
    kubernetes.add_argument(
        "--kubeconfigs", help="separated by commas; else STARLING_TEST_KUBECONFIGS")
    kubernetes.add_argument("--coredns", help="a CoreDNS binary: names are asked through it")
    kubernetes.add_argument(
        "--only", help="these alone: lag,cut,large,lease,scale,away (away is not run unless named)")
    kubernetes.add_argument("--runs", type=int, default=200, help="of exports")
    kubernetes.add_argument("--endpoints", type=int, default=2000, help="of the large Service")
    kubernetes.add_argument("--exports", type=int, default=1000, help="at scale")
    kubernetes.add_argument("--endpoints-each", type=int, default=10, help="of an export at scale")
    kubernetes.add_argument("--takeovers", type=int, default=4, help="of the Lease")
    kubernetes.add_argument("--away", type=int, default=600, help="seconds without an API server")
    for kind in (gossip, state, kill, tunnel, kubernetes):
        kind.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    if options.kind == "gossip":
        result = bench_gossip.main(options)
    elif options.kind == "tunnel":
        result = bench_tunnel.main(options)
    elif options.kind == "kubernetes":
        result = bench_kubernetes.main(options)
    elif options.kind == "kill":
        result = bench_kill.main(options)
    else:
        command = [str(clusters.binaries() / "starling-bench"), "state", str(options.changesets)]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:40} {value}")
    sys.exit(0 if not result.get("failed") else 1)


if __name__ == "__main__":
    main()
