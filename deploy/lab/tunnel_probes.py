"""Traffic that notices what a tunnel does to it, and someone in the middle."""

import random
import socket
import struct
import threading
import time

ETH_P_ALL = 3


def make_socket(host, kind, address=None):
    def make():
        made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # SO_RCVBUFFORCE: the reader may be late on a busy machine, which is no loss of the tunnel's.
        made.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)
        if address:
            made.bind(address)
        return made
    return host.call(make)


def wire(lab, name):
    """A socket that sees and says whole frames on a host's outer device."""
    def make():
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        made.bind((lab.device(name), 0))
        made.settimeout(0.1)
        return made
    return lab.hosts[name].call(make)


class NumberedDatagrams:
    """Datagrams with numbers from one host to the other, one way, at a steady pace."""

    def __init__(self, source, sink, target, port, interval=0.001, size=200):
        self.interval, self.size = interval, size
        self.target = (target, port)
        self.sender = make_socket(source, socket.SOCK_DGRAM)
        self.receiver = make_socket(sink, socket.SOCK_DGRAM, (target, port))
        self.receiver.settimeout(0.2)
        self.stopping = threading.Event()
        self.sent, self.arrivals, self.began = 0, [], time.monotonic()
        self.threads = [threading.Thread(target=f) for f in (self._receive, self._send)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        padding = bytes(self.size - 8)
        due = time.monotonic()
        while not self.stopping.is_set():
            self.sender.sendto(struct.pack("!Q", self.sent) + padding, self.target)
            self.sent += 1
            due += self.interval
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            else:
                due = time.monotonic()

    def _receive(self):
        idle = 0
        while idle < 3:
            try:
                data = self.receiver.recv(2048)
            except TimeoutError:
                idle = idle + 1 if self.stopping.is_set() else 0
                continue
            self.arrivals.append((time.monotonic(), struct.unpack("!Q", data[:8])[0]))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.sender.close()
        self.receiver.close()
        numbers = [number for _, number in self.arrivals]
        times = [at for at, _ in self.arrivals]
        gaps = [b - a for a, b in zip(times, times[1:])]
        longest = max(gaps, default=0)
        at = times[gaps.index(longest)] - self.began if gaps else 0
        return {
            "sent": self.sent, "lost": self.sent - len(set(numbers)),
            "repeated": len(numbers) - len(set(numbers)),
            "longest_gap_ms": round(longest * 1e3), "longest_gap_at_s": round(at, 1)}


class EchoedStream:
    """A TCP connection where everything is said back and compared."""

    def __init__(self, source, sink, target, port):
        self.listener = make_socket(sink, socket.SOCK_STREAM, (target, port))
        self.listener.listen(1)
        self.client = make_socket(source, socket.SOCK_STREAM)
        self.client.settimeout(20)
        self.stopping = threading.Event()
        self.rounds, self.longest, self.intact = 0, 0.0, True
        echo = threading.Thread(target=self._echo)
        echo.start()
        self.client.connect((target, port))
        exchange = threading.Thread(target=self._exchange)
        exchange.start()
        self.threads = [exchange, echo]

    def _echo(self):
        connection, _ = self.listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def _exchange(self):
        rng = random.Random(7)
        try:
            while not self.stopping.is_set():
                said = rng.randbytes(2000)
                began = time.monotonic()
                self.client.sendall(said)
                heard = b""
                while len(heard) < len(said):
                    data = self.client.recv(65536)
                    if not data:
                        raise OSError("closed")
                    heard += data
                self.longest = max(self.longest, time.monotonic() - began)
                self.rounds += 1
                if heard != said:
                    self.intact = False
                time.sleep(0.002)
        except OSError:
            self.intact = False
        self.client.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.listener.close()
        return {
            "rounds": self.rounds, "intact": self.intact and self.rounds > 0,
            "longest_gap_ms": round(self.longest * 1e3)}


class Forger:
    """Records control datagrams of host b on the wire, and says them again to both sides: as they
    were, with a bit changed, and cut."""

    IP, UDP = 14, 34

    def __init__(self, lab, rng, interval=0.005):
        self.rng, self.interval, self.sent = rng, interval, 0
        self.wire = wire(lab, "b")
        self.recorded = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=f) for f in (self._record, self._forge)]
        for thread in self.threads:
            thread.start()

    def _record(self):
        while not self.stopping.is_set():
            try:
                frame, origin = self.wire.recvfrom(65536)
            except TimeoutError:
                continue
            # Outgoing ones go to a; handshake datagrams and session messages are control.
            if len(frame) > 1514 or len(frame) <= self.UDP + 8 or origin[2] != 4:
                continue
            if frame[self.UDP + 8] >> 4 not in (2, 3) or frame[23] != 17:
                continue
            if len(self.recorded) < 5000:
                self.recorded.append(frame)
            else:
                self.recorded[self.rng.randrange(5000)] = frame

    def _forge(self):
        while not self.stopping.is_set():
            time.sleep(self.interval)
            if not self.recorded:
                continue
            frame = bytearray(self.rng.choice(self.recorded))
            payload = frame[self.UDP + 8:]
            way = self.rng.randrange(3)
            if way == 1:
                payload[self.rng.randrange(len(payload))] ^= 1 << self.rng.randrange(8)
            elif way == 2:
                payload = payload[:self.rng.randrange(1, len(payload))]
            head = frame[:self.UDP + 8]
            struct.pack_into("!H", head, self.IP + 2, 28 + len(payload))
            # UDP without a checksum (RFC 768); the IP header gets a right one.
            struct.pack_into("!HH", head, self.UDP + 4, 8 + len(payload), 0)
            struct.pack_into("!H", head, self.IP + 10, 0)
            words = struct.unpack("!10H", head[self.IP:self.UDP])
            total = sum(words)
            total = (total & 0xffff) + (total >> 16)
            total = (total & 0xffff) + (total >> 16)
            struct.pack_into("!H", head, self.IP + 10, ~total & 0xffff)
            try:
                self.wire.send(bytes(head + payload))
                self.sent += 1
            except OSError:
                pass

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.wire.close()
