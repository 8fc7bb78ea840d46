"""Writes docs/cli.md from what `starling` says of itself: python3 -m lab.reference (from deploy/)."""

import json
import pathlib
import subprocess
import sys

from . import clusters

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "cli.md"
HIDDEN = {"help", "version"}


def names(argument):
    spelled = [
        ("-" if name["kind"] == "short" else "--") + name["name"]
        for name in argument.get("names", [])]
    spelled.sort(key=len)
    value = argument.get("valueName", "")
    if argument["kind"] == "positional":
        return f"`<{value}>`"
    text = ", ".join(f"`{name}`" for name in spelled)
    return text + (f" `<{value}>`" if argument["kind"] == "option" else "")


def row(argument):
    text = " ".join(argument.get("abstract", "").split()).replace("|", "\\|")
    default = argument.get("defaultValue")
    if default and "default" not in text:
        text += f" Default: `{default}`."
    values = argument.get("allValueStrings") or argument.get("allValues")
    if values:
        text += " One of " + ", ".join(f"`{value}`" for value in values) + "."
    return f"| {names(argument)} | {text} |"


def shown(command):
    return [
        argument for argument in command.get("arguments", [])
        if argument.get("shouldDisplay", True)
        and argument.get("preferredName", {}).get("name") not in HIDDEN]


def paragraphs(text):
    """Help's indented lines as code, the rest as text."""
    out, code = [], False
    for line in text.splitlines():
        indented = line.startswith("  ")
        if indented != code and (indented or line.strip()):
            while code and not out[-1]:
                out.pop()
            out.append("```" if code else "\n```")
            code = indented
            if not indented:
                out.append("")
        out.append(line[2:] if indented else line)
    if code:
        out.append("```")
    return "\n".join(out).strip()


def key(argument):
    return json.dumps([argument.get("names"), argument.get("valueName"), argument.get("abstract")])


def leaves(command, path):
    subcommands = [
        sub for sub in command.get("subcommands", [])
        if sub.get("shouldDisplay", True) and sub["commandName"] != "help"]
    if not subcommands:
        yield path, command
    for sub in subcommands:
        yield from leaves(sub, path + [sub["commandName"]])


def render(tree):
    root = tree["command"]
    commands = list(leaves(root, []))
    # Options that nearly every command takes are described once.
    counts = {}
    for _, command in commands:
        for argument in shown(command):
            counts.setdefault(key(argument), []).append(argument)
    common = {k for k, found in counts.items() if len(found) > len(commands) * 2 // 3}
    lines = [
        "# The `starling` command", "",
        "<!-- Written by deploy/lab/reference.py from the command's own help. -->", "",
        paragraphs(root["discussion"]), "", "## Options of every command", "",
        "| option | |", "| --- | --- |"]
    lines += [row(counts[k][0]) for k in counts if k in common]
    for path, command in commands:
        lines += ["", f"## {' '.join(path)}", "", command.get("abstract", "")]
        if command.get("discussion"):
            lines += ["", paragraphs(command["discussion"])]
        own = [argument for argument in shown(command) if key(argument) not in common]
        if own:
            lines += ["", "| argument | |", "| --- | --- |", *map(row, own)]
    return "\n".join(lines) + "\n"


def current():
    done = subprocess.run(
        [str(clusters.binaries() / "starling"), "--experimental-dump-help"],
        check=True, capture_output=True, text=True)
    return render(json.loads(done.stdout))


if __name__ == "__main__":
    PATH.write_text(current())
    print(f"wrote {PATH}", file=sys.stderr)
