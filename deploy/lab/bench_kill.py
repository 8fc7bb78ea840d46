"""kill -9 in a loop while changes are pushed: every acknowledged one is there afterwards."""

import random
import sys
import threading
import time

from . import bench_gossip, clusters


def main(options):
    def say(text):
        print(text, file=sys.stderr, flush=True)

    acknowledged, number = [], 0
    with bench_gossip.LoopbackLab() as lab:
        lab.cli("init", "--name", "kill", "--out", lab.directory / "admin")
        peer = lab.cluster("only")
        peer.start(lab.cli("token", "create", "--cluster", "only").strip())
        peer.wait_joined()
        rng = random.Random(1)
        for round_number in range(options.rounds):
            body = bench_gossip.sign(lab, peer, number)
            number += 1
            timer = threading.Timer(rng.uniform(0, 0.02), peer.kill)
            timer.start()
            try:
                result = peer.api("/v1/changesets", body)["results"][0]
                if result["outcome"] == "accepted":
                    acknowledged.append(result["id"])
            except (OSError, RuntimeError, ValueError, clusters.http.client.HTTPException):
                pass  # killed before it answered: nothing was promised
            timer.join()
            peer.start()
            peer.wait_joined()
            # A superseded change may be forgotten, so each is looked for at once.
            if acknowledged:
                found = peer.api(f"/v1/changesets/{acknowledged[-1]}")
                if found["state"] != "counting":
                    return {"failed": f"{acknowledged[-1]} is {found['state']}"}
            if (round_number + 1) % 20 == 0:
                say(f"{round_number + 1} kills, {len(acknowledged)} acknowledged, none lost")
    return {"kills": options.rounds, "acknowledged": len(acknowledged), "lost": 0}
