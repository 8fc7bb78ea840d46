"""deploy/images [--tag TAG] [--out DIR] [--mirror URL] [--suite SUITE] [--json]"""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from . import clusters

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Peers do not run as root: this is the user that peer.yaml names.
USER = 65532
# Of packages only what runs is wanted, and their licenses.
LEFT_OUT = [
    "/usr/share/*", "/usr/include/*", "/usr/lib/*/gconv/*", "/usr/bin/*", "/usr/sbin/*",
    "/usr/lib/ssl/misc/*", "/usr/lib/*/engines-3/*", "/usr/lib/*/ossl-modules/*", "/etc/alternatives*",
    "/etc/cron*", "/etc/logrotate.d*",
]
STAYS = ["/usr/share/doc/*/copyright", "/usr/share/ca-certificates/*", "/usr/share/iproute2/*"]
# What mmdebstrap leaves of its own work and of this machine.
NOT_OURS = [
    "dev", "proc", "sys", "etc/apt", "etc/dpkg", "etc/resolv.conf", "etc/hostname", "etc/fstab",
    "etc/debconf.conf", "etc/machine-id", "var/cache", "var/lib/apt", "var/lib/dpkg", "var/log",
]
# In the image of nodes, beside ip and nft. The shell is not busybox's, whose own ip would come before ip.
TOOLS = "cat cp cut date df echo env grep head kill ls mkdir mv ping ps pwd rm sed sleep sort tail "
TOOLS += "test tr wc"


class Failure(Exception):
    pass


class Image:
    def __init__(self, name, about, packages, kept, programs, user, checks):
        self.name = name
        self.about = about
        self.packages = packages
        # The packages' programs that are for use; with any, only the libraries that they need stay.
        self.kept = kept
        self.programs = programs
        self.user = user
        self.checks = checks


# Each check runs in the finished root file system: what is missing there shows here and not in a cluster.
IMAGES = [
    Image(
        "starling", "The peer, its command line, the gateway, and what feeds node agents",
        ["ca-certificates", "libc6", "libgcc-s1", "liblz4-1", "libsodium23", "libsqlite3-0",
         "libssl3", "libstdc++6", "zlib1g"], [],
        ["starlingd", "starling", "starling-gateway", "starling-node-feed"], USER,
        [["starlingd", "--version"], ["starling", "--version"], ["starling-gateway", "--help"],
         ["starling-node-feed", "--help"]]),
    Image(
        "starling-node", "The node agent and the CNI plugin",
        ["busybox-static", "dash", "iproute2", "netbase", "nftables", "tar"],
        ["busybox", "dash", "ip", "bridge", "nft", "tar"],
        ["starling-node", "starling-cni"], 0,
        [["starling-node", "--help"], ["starling-cni"],
         ["sh", "-ec", "cp /etc/passwd /tmp/a && mv -f /tmp/a /tmp/b && rm /tmp/b"],
         ["ip", "-V"], ["nft", "--version"],
         # nft knows protocols by name from there alone.
         ["grep", "-q", "^ipv6-icmp", "/etc/protocols"]]),
]


def run(command, what, **options):
    options.setdefault("stdout", subprocess.PIPE)
    try:
        done = subprocess.run(
            [str(word) for word in command], stderr=subprocess.PIPE, text=True, **options)
    except FileNotFoundError as error:
        raise Failure(f"{what}: {error.filename} is not installed") from error
    if done.returncode:
        lines = (done.stderr or done.stdout or "").strip().splitlines()
        errors = [line for line in lines if re.match(r"(E|Err):", line)]
        raise Failure("\n  ".join(
            [f"{what}: {command[0]} gave {done.returncode}"] + (errors or lines)[-8:]))
    return done.stdout


def commit():
    """Its name, with a mark where the tree has changes, and its time."""
    git = ["git", "-C", ROOT]
    try:
        name = run(git + ["rev-parse", "HEAD"], "git").strip()
        if run(git + ["status", "--porcelain", "--untracked-files=no"], "git").strip():
            name += "-dirty"
        time = run(git + ["log", "-1", "--format=%ct"], "git").strip()
    except Failure:
        name, time = "unknown", os.environ.get("SOURCE_DATE_EPOCH", "")
        if not time:
            raise Failure("this is no git clone: set SOURCE_DATE_EPOCH to the release's time")
    return name, int(os.environ.get("SOURCE_DATE_EPOCH", time))


def rfc3339(epoch):
    return run(["date", "-u", "-d", f"@{epoch}", "+%Y-%m-%dT%H:%M:%SZ"], "date").strip()


def base(image, suite, mirror, folder, epoch):
    """The packages of the distribution, as files: neither apt nor dpkg is among them."""
    archive = folder / "packages.tar"
    command = ["mmdebstrap", "--variant=extract", f"--include={','.join(image.packages)}",
               "--setup-hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh"]
    command += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    stays = STAYS + [f"{folder}/{name}" for name in image.kept for folder in ("/usr/bin", "/usr/sbin")]
    command += [f"--dpkgopt=path-include={path}" for path in stays]
    run(
        command + [suite, str(archive)] + ([mirror] if mirror else []),
        f"{image.name}: the packages {' '.join(image.packages)} of {suite}",
        env=dict(os.environ, SOURCE_DATE_EPOCH=str(epoch), LC_ALL="C.UTF-8"))
    root = folder / "base"
    root.mkdir()
    with tarfile.open(archive) as tar:
        kept = [
            member for member in tar.getmembers()
            if not any(
                re.match(rf"(\./)?{re.escape(path)}(/|$)", member.name) for path in NOT_OURS)]
        tar.extractall(root, members=kept)
    archive.unlink()
    (root / "proc").mkdir(exist_ok=True)
    if image.kept:
        prune(image, root)
    settle(root)
    return root


def enter(root):
    """Begins a command that runs in the image, with a /proc as every container has it."""
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *rights, "--mount", "--pid", "--fork", f"--mount-proc={root / 'proc'}", "chroot",
            str(root)]


def leads(root, path):
    """The names on the way of links inside of the image, and the file at their end."""
    found = []
    while len(found) < 8:
        # Folders are led to by relative links only.
        path = path.parent.resolve() / path.name
        found.append(path)
        if not path.is_symlink():
            break
        target = os.readlink(path)
        path = (root if target.startswith("/") else path.parent) / target.lstrip("/")
    return found


def prune(image, root):
    """Packages bring more than the image is for: a container with rights has little else in it."""
    loader = next(root.glob("lib*/ld-linux*.so.*"))
    wanted = set(leads(root, loader))
    for name in image.kept:
        programs = [
            folder / name for folder in (root / "usr/bin", root / "usr/sbin")
            if os.path.lexists(folder / name)]
        if not programs:
            raise Failure(f"{image.name}: the packages have no {name}")
        for program in programs:
            wanted.update(leads(root, program))
        inside = ["/" + str(path.relative_to(root)) for path in (loader, programs[0])]
        # It refuses what is static, and lists nothing.
        listed = subprocess.run(
            enter(root) + [inside[0], "--list", inside[1]], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout
        for library in re.findall(r"=> (/\S+)", listed):
            wanted.update(leads(root, root / library.lstrip("/")))
    for folder in ("bin", "sbin", "lib", "lib64", "libexec"):
        for path in sorted((root / "usr" / folder).rglob("*")):
            if (path.is_file() or path.is_symlink()) and path not in wanted:
                path.unlink()
    for path in sorted((root / "usr").rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def settle(root):
    """What packages do when they are configured, as far as it is needed here."""
    for path in ["dev", "etc/ssl/certs", "proc", "run", "sys", "tmp", "var/lib", "var/tmp", "root"]:
        (root / path).mkdir(parents=True, exist_ok=True)
    for path in ["tmp", "var/tmp"]:
        (root / path).chmod(0o1777)
    write(root / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
          f"starling:x:{USER}:{USER}:starling:/var/lib/starling:/bin/false\n"
          "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")
    write(root / "etc/group", f"root:x:0:\nstarling:x:{USER}:\nnogroup:x:65534:\n")
    write(root / "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    if authorities:
        write(root / "etc/ssl/certs/ca-certificates.crt",
              "".join(path.read_text().rstrip("\n") + "\n" for path in authorities))
    link(root, "dash", ["sh"])
    link(root, "busybox", TOOLS.split())
    for path in [root / "lib32", root / "libx32"]:
        if path.is_symlink() and not (path.exists() and any(path.iterdir())):
            path.unlink()
    # Caches of the loader hold what this machine has.
    (root / "etc/ld.so.cache").unlink(missing_ok=True)


def link(root, program, names):
    folder = root / "usr/bin"
    if (folder / program).exists():
        for name in names:
            if not os.path.lexists(folder / name):
                (folder / name).symlink_to(program)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)


def programs(image, folder):
    root = folder / "programs"
    for name in image.programs:
        source = clusters.binaries() / name
        if not source.is_file():
            raise Failure(f"{source} is missing: run deploy/build, or set STARLING_BIN")
        target = root / "usr/bin" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        run(["strip", "--strip-all", "-o", target, source], f"{image.name}: {name}")
        target.chmod(0o755)
    if image.user:
        (root / "var/lib/starling").mkdir(parents=True)
    return root


def check(image, folder, layers):
    """Runs each program once where it will run, with nothing but the image around it."""
    root = folder / "root"
    root.mkdir()
    for layer in layers:
        run(["tar", "--extract", "--same-permissions", "--no-same-owner", "--directory", root,
             "--file", layer], image.name)
    for command in image.checks:
        environment = {"PATH": PATH, "CNI_COMMAND": "VERSION", "HOME": "/"}
        done = subprocess.run(
            enter(root) + command, env=environment, input='{"cniVersion":"1.0.0"}', text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        # The agent prints how it is used as the answer to a flag that it does not know.
        usage = command[0] == "starling-node" and done.returncode == 64 and "usage:" in done.stdout
        if done.returncode and not usage:
            raise Failure(
                f"{image.name}: '{' '.join(command)}' does not run in the image "
                f"({done.returncode}):\n  {done.stdout.strip()}")


def layer(root, target, epoch):
    """Owners are root's but for the peer's own folder; order and times follow from nothing here."""
    def owned(member):
        member.uid = member.gid = USER if member.name == "var/lib/starling" else 0
        if member.name == "var/lib/starling":
            member.mode = 0o700
        elif member.isdir() and not member.mode & 0o1000:
            member.mode = 0o755
        member.uname = member.gname = ""
        member.mtime = epoch
        return member

    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, arcname=path.relative_to(root), recursive=False, filter=owned)
    return target


def assemble(image, folder, layers, tag, epoch, labels):
    """An OCI layout with one image."""
    layout = folder / "layout"
    at = f"{layout}:{tag}"
    created = rfc3339(epoch)
    run(["umoci", "init", "--layout", layout], image.name)
    run(["umoci", "new", "--image", at], image.name)
    for archive, what in layers:
        run(["umoci", "raw", "add-layer", "--image", at, "--history.created", created,
             "--history.author", "", "--history.created_by", what, archive], image.name)
    config = ["umoci", "config", "--image", at, "--no-history", "--created", created,
              "--os", "linux", "--architecture", ARCHITECTURES[platform.machine()],
              "--config.user", str(image.user), "--config.workingdir", "/",
              "--config.env", f"PATH={PATH}", "--config.cmd", image.programs[0]]
    for key, value in sorted(labels.items()):
        config += ["--config.label", f"org.opencontainers.image.{key}={value}"]
    run(config, image.name)
    run(["umoci", "gc", "--layout", layout], image.name)
    return layout


def read(layout, digest):
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())


def pack(image, layout, tag, target, epoch):
    """One file: an OCI layout, and beside it the manifest.json of `docker save`, which crane reads."""
    name = f"{image.name}:{tag}"
    index = json.loads((layout / "index.json").read_text())
    entry = index["manifests"][0]
    entry["annotations"] = {
        "io.containerd.image.name": f"docker.io/library/{name}",
        "org.opencontainers.image.ref.name": tag,
    }
    manifest = read(layout, entry["digest"])
    blob = lambda descriptor: "blobs/" + descriptor["digest"].replace(":", "/")
    (layout / "index.json").write_text(json.dumps(index, sort_keys=True))
    (layout / "manifest.json").write_text(json.dumps([{
        "Config": blob(manifest["config"]), "RepoTags": [name],
        "Layers": [blob(descriptor) for descriptor in manifest["layers"]]}]))
    part = target.with_name(target.name + ".part")
    run(["tar", "--create", "--file", part, "--directory", layout, "--sort=name",
         f"--mtime=@{epoch}", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX",
         "--format=ustar", "blobs", "index.json", "manifest.json", "oci-layout"], image.name)
    part.replace(target)
    return entry["digest"], sum(descriptor["size"] for descriptor in manifest["layers"])


def build(image, options, epoch, labels):
    with tempfile.TemporaryDirectory(prefix="starling-image.") as temporary:
        folder = pathlib.Path(temporary)
        packages = base(image, options.suite, options.mirror, folder, epoch)
        ours = programs(image, folder)
        layers = [
            (layer(packages, folder / "base-layer.tar", epoch),
             f"{options.suite}: {' '.join(image.packages)}"),
            (layer(ours, folder / "own-layer.tar", epoch), " ".join(image.programs)),
        ]
        check(image, folder, [archive for archive, _ in layers])
        layout = assemble(
            image, folder, layers, options.tag, epoch,
            dict(labels, title=image.name, description=image.about))
        target = options.out / f"{image.name}.tar"
        digest, compressed = pack(image, layout, options.tag, target, epoch)
        unpacked = sum(archive.stat().st_size for archive, _ in layers)
    return {
        "image": f"{image.name}:{options.tag}", "file": str(target), "digest": digest,
        "archive": hashlib.sha256(target.read_bytes()).hexdigest(),
        "compressedBytes": compressed, "unpackedBytes": unpacked,
    }


def suite():
    try:
        known = platform.freedesktop_os_release()
    except OSError:
        known = {}
    if known.get("ID") not in ("debian", "ubuntu") or not known.get("VERSION_CODENAME"):
        raise Failure("the programs were linked here: Debian or Ubuntu is needed, or --suite NAME")
    return known["VERSION_CODENAME"]


def version():
    program = clusters.binaries() / "starling"
    if not program.is_file():
        raise Failure(f"{program} is missing: run deploy/build, or set STARLING_BIN")
    return run([program, "--version"], "starling").strip()


def main():
    parser = argparse.ArgumentParser(
        prog="deploy/images",
        description="Makes the images starling and starling-node as archives (OCI and docker save).")
    parser.add_argument("--tag", help="default: the release, as `starling --version` prints it")
    parser.add_argument("--out", default=".build/images", help="folder of the archives: %(default)s")
    parser.add_argument(
        "--mirror", help="of the distribution; one that keeps old packages, such as a snapshot, gives "
        "the same digests again years later")
    parser.add_argument("--suite", help="of the distribution; default: this machine's, which the "
                        "programs are linked with")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    # Paths are the caller's.
    caller = pathlib.Path(os.environ.get("STARLING_CALLER", os.getcwd()))
    try:
        given = options.out != parser.get_default("out")
        options.out = ((caller if given else ROOT) / options.out).resolve()
        options.out.mkdir(parents=True, exist_ok=True)
        if platform.machine() not in ARCHITECTURES:
            raise Failure(f"no images for {platform.machine()}")
        options.suite = options.suite or suite()
        release = version()
        options.tag = options.tag or release
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", options.tag):
            raise Failure(f"--tag: '{options.tag}' is no tag of an image")
        revision, epoch = commit()
        labels = {
            "version": release, "revision": revision, "created": rfc3339(epoch),
            "licenses": "Apache-2.0", "vendor": "Starling",
        }
        for image in IMAGES:
            made = build(image, options, epoch, labels)
            if options.json:
                print(json.dumps(made), flush=True)
            else:
                print(f"{made['image']}\n  {made['file']}\n  {made['digest']}\n  "
                      f"{made['compressedBytes'] / 1e6:.1f} MB to pull, "
                      f"{made['unpackedBytes'] / 1e6:.1f} MB unpacked", flush=True)
    except (Failure, OSError, subprocess.TimeoutExpired) as error:
        print(f"deploy/images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
