#!/usr/bin/env python3
"""Plants every bug of `mutants.py` into a copy of the cores and the simulator, one switch each, builds
the copy once, and lets the swarm look for each bug by itself. Prints which invariant caught which.

    Simulations/Mutants/run.py [--seeds 2000] [--only N] [--work DIR]
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORES = ["Base", "Membership", "Replication", "Slices", "Naming", "Tunnel", "Kubernetes", "Peer"]
SWITCH = """
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Which planted bug is active; 0: none.
public let activeMutant: Int = getenv("STARLING_MUTANT").flatMap { Int(String(cString: $0)) } ?? 0
"""
MANIFEST = """// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]
let package = Package(
  name: "mutants", platforms: [.macOS(.v15)],
  dependencies: [.package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")],
  targets: [
    .target(name: "Base", swiftSettings: settings),
    .target(name: "Membership", dependencies: ["Base"], swiftSettings: settings),
    .target(name: "Replication", dependencies: ["Base"], swiftSettings: settings),
    .target(name: "Slices", dependencies: ["Base", "Replication"], swiftSettings: settings),
    .target(name: "Naming", dependencies: ["Base", "Slices"], swiftSettings: settings),
    .target(
      name: "Peer", dependencies: ["Base", "Membership", "Replication", "Slices", "Naming"],
      swiftSettings: settings),
    .target(name: "Tunnel", dependencies: ["Base"], swiftSettings: settings),
    .target(
      name: "Kubernetes", dependencies: ["Base", "Replication", "Slices"], swiftSettings: settings),
    .target(
      name: "Simulator",
      dependencies: [
        "Base", "Membership", "Replication", "Slices", "Naming", "Tunnel", "Kubernetes", "Peer",
      ],
      path: "Simulations/Simulator", swiftSettings: settings),
    .executableTarget(
      name: "starling-sim",
      dependencies: [
        "Simulator", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Simulations/starling-sim", swiftSettings: settings),
  ])
"""
# The swarm alone: scenarios need the daemon's libraries, which take minutes to build.
TOOL = """
import ArgumentParser

@main struct StarlingSim: ParsableCommand {
  static let configuration = CommandConfiguration(subcommands: [Swarm.self])
}
"""


def plant(work):
    """Copies what is needed and applies all bugs; stops where one does not fit any more."""
    for folder in [f"Sources/{core}" for core in CORES] + [
        "Simulations/Simulator",
    ]:
        shutil.copytree(ROOT / folder, work / folder, dirs_exist_ok=True)
    tool = work / "Simulations/starling-sim"
    tool.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "Simulations/starling-sim/Swarm.swift", tool)
    (tool / "StarlingSim.swift").write_text(TOOL)
    (work / "Package.swift").write_text(MANIFEST)
    (work / "Sources/Base/Mutant.swift").write_text(SWITCH)
    touched = set()
    for number, (name, file, text, replacement) in enumerate(MUTANTS, 1):
        path = work / file
        source = path.read_text()
        replacement = replacement.replace("MUTANT", f"(activeMutant == {number})")
        if "//NEXT" in source and text == "init() {}":
            # A further rule: beside the one before.
            body = replacement.split("\n")[1]
            source = source.replace("//NEXT", f"{body}\n//NEXT")
        else:
            if source.count(text) != 1:
                sys.exit(f"mutant {number} ({name}): its text is {source.count(text)} times in {file}")
            source = source.replace(text, replacement)
        if "import Base" not in source:
            source = "import Base\n" + source
        path.write_text(source)
        touched.add(file)
    return len(touched)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=2000)
    options.add_argument("--only", type=int)
    options.add_argument("--work", type=pathlib.Path)
    arguments = options.parse_args()
    work = arguments.work or pathlib.Path(tempfile.mkdtemp(prefix="starling-mutants-"))
    work.mkdir(parents=True, exist_ok=True)
    plant(work)
    subprocess.run(
        ["swift", "build", "-c", "release", "-j", "1", "--package-path", str(work)], check=True,
        stdout=sys.stderr)
    binary = work / ".build/release/starling-sim"
    survivors = 0
    for number in range(0, len(MUTANTS) + 1):
        if arguments.only is not None and number != arguments.only:
            continue
        # 0: no bug at all; the copy has to pass.
        name = MUTANTS[number - 1][0] if number else "no bug"
        run = subprocess.run(
            [str(binary), "swarm", "--seeds", str(arguments.seeds if number else 100),
             "--until-failure", "--json"],
            env=dict(os.environ, STARLING_MUTANT=str(number)), capture_output=True, text=True)
        caught = ""
        if run.returncode > 1 or run.returncode < 0:
            caught = "10: the process ended with a trap"
        elif run.stdout:
            found = json.loads(run.stdout)
            if found["violations"]:
                caught = f"seed {found['failed_seeds'][0]}, {found['violation_sentences'][0]}"
        missed = bool(caught) != bool(number)
        survivors += missed
        print(f"{number:3} {'MISSED' if missed else 'ok':6} {name}: {caught or 'nothing found'}", flush=True)
    if not arguments.work:
        shutil.rmtree(work)
    sys.exit(1 if survivors else 0)


main()
