"""The simulator as its users run it: the same figures everywhere, on values and on real bytes."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

SIM = pathlib.Path(os.environ["STARLING_BIN"]) / "starling-sim"


def run(*arguments):
    done = subprocess.run([SIM, "run", *arguments, "--json"], capture_output=True, text=True)
    return json.loads(done.stdout), done.returncode


class Simulator(unittest.TestCase):
    def test_real_bytes_change_no_figure(self):
        values, ended = run("push", "--nodes", "60", "--seconds", "30")
        self.assertEqual((ended, values["violations"]), (0, 0))
        wire, ended = run("push", "--nodes", "60", "--seconds", "30", "--wire")
        self.assertEqual((ended, wire["violation_sentences"]), (0, []))
        self.assertLess(abs(wire["p50_ms"] - values["p50_ms"]), 0.2 * values["p50_ms"])
        self.assertLess(
            abs(wire["payload_copies_per_peer"] - values["payload_copies_per_peer"]), 1)

    def test_a_rolling_upgrade_loses_nothing(self):
        figures, ended = run("upgrade", "--nodes", "12")
        self.assertEqual((ended, figures["violation_sentences"]), (0, []))

    def test_a_run_is_fixed_by_its_seed(self):
        traces = [run("heal", "--seed", "3", "--wire", "--nodes", "12")[0] for _ in range(2)]
        self.assertEqual(*[figures["trace_hash"] for figures in traces])

    def test_scenarios_have_the_same_keys(self):
        listed = subprocess.run([SIM, "list"], capture_output=True, text=True, check=True).stdout
        names = [line.split()[0] for line in listed.splitlines()]
        self.assertIn("absent30d", names)
        keys = [list(run(name, "--nodes", "6", "--seconds", "30")[0]) for name in names]
        for name, other in zip(names, keys):
            self.assertEqual(other, keys[0], name)

    def test_the_report_needs_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "report.html"
            run("heal", "--nodes", "12", "--report", str(page))
            text = page.read_text()
        self.assertIn("<svg", text)
        self.assertIn("the fleet falls into 2 parts", text)
        for outside in ["src=", "href=", "@import", "url("]:
            self.assertNotIn(outside, text)
