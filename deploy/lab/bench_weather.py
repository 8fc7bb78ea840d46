"""A live gateway under millions of hostile datagrams, and a long transfer over a bad path."""

import hashlib
import pathlib
import random
import socket
import struct
import subprocess
import threading
import time

from . import clusters, tunnel_lab, tunnel_probes

A, B = ("a", "0"), ("b", "0")
RELAY = "9900"


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def record(lab, seconds):
    """Datagrams that reached gateway b, handshake included, as a file for `weather noise`."""
    wire = tunnel_probes.wire(lab, "b")
    found, end = [], time.monotonic() + seconds
    # Rotations put whole handshakes among the samples.
    for _ in range(3):
        lab.plans.rotate(A)
        lab.write_plan(A)
        lab.processes[A].send_signal(1)
        time.sleep(0.3)
    while time.monotonic() < end:
        try:
            frame, origin = wire.recvfrom(65536)
        except TimeoutError:
            continue
        if origin[2] == 0 and len(frame) <= 1514 and frame[23:24] == b"\x11":
            found.append(frame[42:])
        if len(found) >= 5000:
            break
    wire.close()
    path = lab.directory / "samples"
    path.write_bytes(b"".join(struct.pack("!H", len(f)) + f for f in found if f))
    return path, len(found)


def hostile(options, say):
    """Random and changed datagrams at a gateway that carries traffic."""
    with tunnel_lab.TunnelLab() as lab:
        tool = tunnel_lab.build(lab.directory, "weather")
        lab.start_gateways()
        lab.wait_up()
        traffic = tunnel_probes.NumberedDatagrams(
            lab.hosts["a"], lab.hosts["b"], tunnel_lab.INNER["b"], 5001, interval=0.005)
        samples, count = record(lab, 3)
        say(f"{count} samples")
        pid = lab.processes[B].pid
        sizes, sent, seed = [], 0, 1
        share = max(1, options.hostile // 20)
        began = time.monotonic()
        while sent < options.hostile:
            sent += int(lab.hosts["a"].check([
                str(tool), "noise", tunnel_lab.OUTER["b"], str(tunnel_lab.PORT), str(share),
                str(samples), str(seed)]))
            seed += 1
            sizes.append(resident(pid))
            say(f"{sent} datagrams, {sizes[-1]} KiB")
        seconds = time.monotonic() - began
        status = lab.status(B)
        drops = dict(status["drops"])
        for tunnel in status["tunnels"]:
            for reason, number in tunnel["drops"].items():
                drops[reason] = drops.get(reason, 0) + number
        carried = traffic.stop()
        result = {
            "datagrams": sent, "per_second": round(sent / seconds), "seen": sum(drops.values()),
            "drops": drops, "rss_kib": sizes, "state": status["tunnels"][0]["state"],
            "handshakes": status["tunnels"][0]["handshakes"], "traffic": carried}
        # The first shares warm caches and buffers up.
        settled = sizes[len(sizes) // 4:]
        if settled and max(settled) - settled[0] > 1024:
            result["failed"] = f"memory grew: {sizes}"
        if lab.processes[B].poll() is not None or result["state"] != "established":
            result["failed"] = "the gateway did not survive"
        return result


def transfer(lab, total):
    """Sends `total` random bytes from a to b by TCP; the hashes of both ends, and the seconds."""
    target = (tunnel_lab.INNER["b"], 5005)
    listener = tunnel_probes.make_socket(lab.hosts["b"], socket.SOCK_STREAM, target)
    listener.listen(1)
    received = hashlib.sha256()

    def receive():
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1 << 20):
                received.update(data)
    thread = threading.Thread(target=receive)
    thread.start()
    client = tunnel_probes.make_socket(lab.hosts["a"], socket.SOCK_STREAM)
    client.connect(target)
    sent, left, rng = hashlib.sha256(), total, random.Random(11)
    began = time.monotonic()
    while left > 0:
        block = rng.randbytes(min(left, 1 << 20))
        sent.update(block)
        client.sendall(block)
        left -= len(block)
    client.close()
    thread.join()
    listener.close()
    return sent.hexdigest(), received.hexdigest(), time.monotonic() - began


def integrity(options, say):
    """A long transfer where datagrams are lost, come twice and out of order, while keys change."""
    with tunnel_lab.TunnelLab() as lab:
        tool = tunnel_lab.build(lab.directory, "weather")
        relay = subprocess.Popen(lab.hosts["a"].command([
            str(tool), "relay", RELAY, tunnel_lab.OUTER["a"], str(tunnel_lab.PORT),
            tunnel_lab.OUTER["b"], str(tunnel_lab.PORT), "50", "20", "50", "1"]))
        lab.start_gateways(via=f"{tunnel_lab.OUTER['a']}:{RELAY}")
        lab.wait_up()
        stop = threading.Event()

        def rekey():
            while not stop.wait(0.5):
                lab.processes[A].send_signal(10)
        keys = threading.Thread(target=rekey)
        keys.start()
        total = int(options.integrity * 1e9)
        sent, received, seconds = transfer(lab, total)
        stop.set()
        keys.join()
        relay.terminate()
        relay.wait()
        tunnel = lab.status(A)["tunnels"][0]
        result = {
            "bytes": total, "seconds": round(seconds, 1),
            "gbps": round(total * 8 / seconds / 1e9, 3), "sent_sha256": sent,
            "received_sha256": received, "rekeys": tunnel["rekeys"], "probe_loss": tunnel["loss"],
            "drops": lab.status(B)["tunnels"][0]["drops"]}
        say(f"{total} bytes in {seconds:.0f} s")
        return result | ({} if sent == received else {"failed": "the payload changed"})


def main(options, say):
    result = {}
    if options.hostile:
        result["hostile"] = hostile(options, say)
    if options.integrity:
        result["integrity"] = integrity(options, say)
    problems = [f"{name}: {part['failed']}" for name, part in result.items() if "failed" in part]
    return result | ({"failed": "; ".join(problems)} if problems else {})
