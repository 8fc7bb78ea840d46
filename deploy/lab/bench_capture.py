"""Known text goes through the tunnel while the outer link is recorded: what can be seen there?"""

import random
import shutil
import socket
import struct
import subprocess
import threading
import time

from . import tunnel_lab, tunnel_probes

# Bytes in a row that would show: the chance that sealed bytes contain one of them by accident is
# below 1 in 10^9 for the amounts here.
WINDOW = 8
# What the link needs for itself: ARP, and IPv6's neighbours and multicast listeners.
ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
KINDS = {1: "data", 2: "handshake", 3: "session"}


def text():
    """Text without repetition within itself, so that every piece of it is recognised."""
    rng = random.Random(23)
    return b"GET /starling/" + bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz ") for _ in range(498))


def send_stream(lab, total, block):
    target = (tunnel_lab.INNER["b"], 5006)
    listener = tunnel_probes.make_socket(lab.hosts["b"], socket.SOCK_STREAM, target)
    listener.listen(1)
    received = [0]

    def receive():
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1 << 20):
                received[0] += len(data)
    thread = threading.Thread(target=receive)
    thread.start()
    client = tunnel_probes.make_socket(lab.hosts["a"], socket.SOCK_STREAM)
    client.connect(target)
    left, chunk = total, block * 128
    while left > 0:
        # No faster than the recorder writes.
        client.sendall(chunk[:left])
        left -= len(chunk)
        time.sleep(0.001)
    client.close()
    thread.join()
    listener.close()
    return received[0]


def send_datagrams(lab, count, block):
    target = (tunnel_lab.INNER["a"], 5007)
    sink = tunnel_probes.make_socket(lab.hosts["a"], socket.SOCK_DGRAM, target)
    sink.settimeout(0.5)
    source = tunnel_probes.make_socket(lab.hosts["b"], socket.SOCK_DGRAM)
    received = 0
    for number in range(count):
        source.sendto(block[:100 + number % 400], target)
        if number % 64 == 63:
            time.sleep(0.002)
    try:
        while sink.recv(4096):
            received += 1
    except TimeoutError:
        pass
    sink.close()
    source.close()
    return received


def frames(path):
    """The frames of a capture file of tcpdump's usual kind (little-endian, Ethernet)."""
    with open(path, "rb") as file:
        head = file.read(24)
        if struct.unpack("<I", head[:4])[0] not in (0xA1B2C3D4, 0xA1B23C4D):
            raise ValueError("not a capture file that this reads")
        while len(entry := file.read(16)) == 16:
            _, _, kept, whole = struct.unpack("<IIII", entry)
            yield file.read(kept), whole


def judge(frame):
    """What a frame is: one of our kinds, `link`, `unreachable`, or what is wrong with it."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ARP:
        return "link"
    if kind == IPV6:
        # ICMPv6, possibly behind hop-by-hop options: neighbours and listeners.
        return "link" if frame[20] in (0, 58) and len(frame) < 200 else "foreign"
    start = 14 + (frame[14] & 15) * 4
    if kind == IPV4 and frame[23] == 1 and frame[start] == 3:
        # The kernel's word for a gateway that is not there yet; it quotes our sealed datagram.
        return "unreachable"
    if kind != IPV4 or frame[23] != 17:
        return "foreign"
    ports = struct.unpack("!HH", frame[start:start + 4])
    first = frame[start + 8] if len(frame) > start + 8 else 0
    if ports != (tunnel_lab.PORT, tunnel_lab.PORT) or first & 15 != 1:
        return "foreign"
    return KINDS.get(first >> 4, "foreign")


def visible(path, block):
    """Windows of the text, and both inner addresses in a row, that stand anywhere in a file."""
    data = path.read_bytes()
    windows = {block[i:i + WINDOW] for i in range(len(block) - WINDOW)}
    pairs = [(a, b) for a in "ab" for b in "ab" if a != b]
    windows |= {
        socket.inet_aton(tunnel_lab.INNER[a]) + socket.inet_aton(tunnel_lab.INNER[b])
        for a, b in pairs}
    return sum(1 for window in windows if window in data), len(windows)


def main(options, say):
    if not shutil.which("tcpdump"):
        return {"failed": "please install: tcpdump"}
    block = text()
    with tunnel_lab.TunnelLab(offloads=False) as lab:
        path = lab.directory / "link.pcap"
        # From before the first handshake on.
        recorder = subprocess.Popen(
            lab.hosts["b"].command([
                "tcpdump", "-i", lab.device("b"), "-w", str(path), "-s", "0", "-B", "65536", "-U",
                "-Z", "root"]),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(1)
        lab.start_gateways()
        lab.wait_up()
        stream = send_stream(lab, int(options.capture * 1e6), block)
        datagrams = send_datagrams(lab, 2000, block)
        lab.processes[("a", "0")].send_signal(10)
        time.sleep(1)
        recorder.terminate()
        said = recorder.communicate(timeout=20)[1]
        lost = next(
            (int(line.split()[0]) for line in said.splitlines() if "dropped by kernel" in line), 0)
        kinds = {}
        for frame, _ in frames(path):
            kind = judge(frame)
            kinds[kind] = kinds.get(kind, 0) + 1
        found, windows = visible(path, block)
        result = {
            "text_bytes_received": stream, "text_datagrams_received": datagrams,
            "recorded_bytes": path.stat().st_size, "not_recorded_frames": lost, "frames": kinds,
            "windows_searched": windows, "windows_found": found}
    say(str(result))
    if found or kinds.get("foreign"):
        result["failed"] = "something other than our datagrams, or some of the text, was to be seen"
    elif kinds.get("data", 0) * 1400 < stream:
        result["failed"] = "too little was recorded to say anything"
    return result
