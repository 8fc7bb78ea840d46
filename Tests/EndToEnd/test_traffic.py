"""The demo's story, held to its result: real packets between namespaces."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from lab import clusters, demo, namespaces

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"


class Traffic(unittest.TestCase):
    def test_the_demo_says_all_is_well(self):
        environment = dict(os.environ, STARLING_BIN=str(clusters.binaries()))
        done = subprocess.run(
            [sys.executable, "-m", "lab.demo", "--json"], cwd=DEPLOY, env=environment,
            capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(result["clusters"], 3)
        self.assertTrue(result["survived_peer_loss"])
        self.assertTrue(result["forged_change_rejected"])
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no traffic without namespaces: {reason}")
        self.assertTrue(result["http_ok"])
        self.assertTrue(result["http_via_tunnel"])
        self.assertIn("AES_256_GCM", result["tunnel_cipher"].replace("-", "_"))

    def test_rules_that_somebody_flushed_come_back(self):
        reason = namespaces.supported()
        if reason:
            self.skipTest(f"no packet rules without namespaces: {reason}")
        with clusters.Lab() as lab:
            story = demo.Demo(lab, lambda text: None)
            story.form_cluster_set()
            story.push_slice()
            story.call_by_name()
            self.assertTrue(story.result["http_ok"])
            node = lab.clusters["a"].node
            node.check(["nft", "flush", "ruleset"])
            self.assertNotIn("starling", node.check(["nft", "list", "ruleset"]))
            clusters.eventually(
                lambda: "map dst-blue" in node.check(["nft", "list", "ruleset"]), 20,
                "rules are back")
            story.call_by_name()
            self.assertTrue(story.result["http_ok"])
            self.assertTrue(story.result["outsider_kept_out"])


if __name__ == "__main__":
    unittest.main()
