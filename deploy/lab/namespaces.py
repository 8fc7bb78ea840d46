"""Network namespaces as hosts, and code that runs inside them."""

import concurrent.futures
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def supported():
    """Why namespaces and TUN devices cannot be used here; None where they can."""
    if os.geteuid() != 0:
        return "not running as root"
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun is missing"
    probe = f"starling-probe-{os.getpid()}"
    try:
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
        if made.returncode != 0:
            return "ip netns add: " + made.stderr.strip()
        tun = subprocess.run(
            ["ip", "-n", probe, "tuntap", "add", "dev", "probe0", "mode", "tun"],
            capture_output=True, text=True)
        if tun.returncode != 0:
            return "creating a TUN device: " + tun.stderr.strip()
        return None
    except FileNotFoundError:
        return "the ip command (iproute2) is missing"
    finally:
        subprocess.run(["ip", "netns", "del", probe], capture_output=True)


class Namespace:
    """One network namespace, made at once, gone with `delete`."""

    def __init__(self, name):
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.ip("link set lo up")

    def ip(self, arguments):
        self.check(["ip"] + arguments.split())

    def check(self, command):
        done = subprocess.run(self.command(command), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def command(self, command):
        return ["ip", "netns", "exec", self.name] + list(command)

    def call(self, function, *arguments):
        """Runs a function with its sockets in this namespace (in a thread of its own)."""
        def entered():
            handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                if _libc.setns(handle, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {self.name}")
            finally:
                os.close(handle)
            return function(*arguments)
        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(entered).result()

    def delete(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


def connect(a, a_device, b, b_device):
    """A veth pair between two namespaces, both ends up."""
    a.ip(f"link add {a_device} type veth peer name {b_device} netns {b.name}")
    a.ip(f"link set {a_device} up")
    b.ip(f"link set {b_device} up")
