"""The demo's story, held to its result: real packets between namespaces."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from lab import clusters, namespaces

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


if __name__ == "__main__":
    unittest.main()
