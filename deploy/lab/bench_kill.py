"""kill -9 in a loop while changes are pushed: every acknowledged one is there afterwards."""

import random
import sys
import threading

from . import bench_gossip, clusters, demo

PUSHES_PER_ROUND = 4


def signed(lab, peer, number):
    """A changeset about a slice of its own, so that no later one makes it superfluous."""
    path, out = lab.directory / "kill.yaml", lab.directory / "kill.signed"
    path.write_text("\n".join([
        "apiVersion: starling.dev/v1alpha1", "kind: Slice", f"metadata: {{name: kill-{number}}}",
        "spec:", "  cidr: 10.11.0.0/16", "  members: []", ""]))
    peer.cli("sign", "-f", path, "--out", out)
    return demo.signed_bytes(out)


def push(peer, body, acknowledged):
    try:
        result = peer.api("/v1/changesets", body)["results"][0]
    except (OSError, RuntimeError, ValueError, clusters.http.client.HTTPException):
        return  # killed before it answered: nothing was promised
    if result["outcome"] == "accepted":
        acknowledged.append(result["id"])


def main(options):
    def say(text):
        print(text, file=sys.stderr, flush=True)

    acknowledged, pushed = [], 0
    rng = random.Random(options.seed)
    with bench_gossip.LoopbackLab() as lab:
        lab.cli("init", "--name", "kill", "--out", lab.directory / "admin")
        peer = lab.cluster("only")
        peer.start(lab.cli("token", "create", "--cluster", "only").strip())
        peer.wait_joined()
        for round_number in range(options.rounds):
            bodies = [signed(lab, peer, pushed + n) for n in range(PUSHES_PER_ROUND)]
            pushed += len(bodies)
            pushes = [
                threading.Thread(target=push, args=(peer, body, acknowledged))
                for body in bodies]
            timer = threading.Timer(rng.uniform(0, 0.02), peer.kill)
            for thread in [timer, *pushes]:
                thread.start()
            for thread in [timer, *pushes]:
                thread.join()
            peer.start()
            peer.wait_joined()
            if (round_number + 1) % 20 == 0:
                say(f"{round_number + 1} kills, {len(acknowledged)} of {pushed} acknowledged")
        lost = [
            id for id in acknowledged
            if peer.api(f"/v1/changesets/{id}")["state"] != "counting"]
    result = {
        "kills": options.rounds, "pushed": pushed, "acknowledged": len(acknowledged),
        "lost": len(lost)}
    return result | ({"failed": f"lost: {', '.join(lost[:5])}"} if lost else {})
