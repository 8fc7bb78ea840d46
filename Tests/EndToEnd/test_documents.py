"""Documents say what the programs say."""

import pathlib
import re
import unittest

from lab import reference

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Documents(unittest.TestCase):
    def test_the_command_reference_is_current(self):
        self.assertEqual(
            reference.PATH.read_text(), reference.current(),
            "run: cd deploy && python3 -m lab.reference")

    def test_links_lead_somewhere(self):
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
                with self.subTest(page=page.name, target=target):
                    self.assertTrue((page.parent / target).exists())

    def test_every_metric_is_described(self):
        described = (ROOT / "docs" / "operations.md").read_text()
        found = set()
        for source in (ROOT / "Sources" / "Runtime").rglob("*.swift"):
            found |= set(re.findall(r'"(starling_[a-z_]+)"', source.read_text()))
        self.assertGreater(len(found), 20)
        for name in sorted(found):
            with self.subTest(metric=name):
                self.assertIn(name, described)

    def test_manifests_name_the_images_of_this_release(self):
        source = (ROOT / "Sources/Runtime/Telemetry/StarlingVersion.swift").read_text()
        release = re.search(r'current = "([^"]+)"', source)[1]
        folder = ROOT / "deploy" / "kubernetes"
        tags = re.findall(r"newTag: ([^}\s]+)", (folder / "kustomization.yaml").read_text())
        self.assertEqual(tags, [release] * 2)

    def test_one_command_applies_every_manifest(self):
        folder = ROOT / "deploy" / "kubernetes"
        resources = re.findall(r"^  - (\S+\.yaml)$", (folder / "kustomization.yaml").read_text(), re.M)
        manifests = {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")}
        self.assertEqual(set(resources), manifests - {"kustomization.yaml"})


if __name__ == "__main__":
    unittest.main()
