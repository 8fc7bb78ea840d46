"""A connection that notices what happens to it."""

import socket
import threading
import time


class Stream:
    """One TCP connection between workloads that always has something under way."""

    def __init__(self, client, server, address, port):
        self.stopping = threading.Event()
        self.problem, self.echoed, self.longest = None, 0, 0.0
        self.listener = server.call(socket.socket, socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("0.0.0.0", port))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        self.socket = client.call(socket.socket, socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect((address, port))
        self.thread = threading.Thread(target=self._talk, daemon=True)
        self.thread.start()

    def _serve(self):
        connection, _ = self.listener.accept()
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    def _talk(self):
        number = 0
        try:
            while not self.stopping.is_set():
                text = f"{number:08d}".encode()
                began = time.monotonic()
                self.socket.sendall(text)
                got = b""
                while len(got) < len(text):
                    piece = self.socket.recv(len(text) - len(got))
                    if not piece:
                        raise OSError("the stream ended")
                    got += piece
                if got != text:
                    raise OSError(f"{got} instead of {text}")
                self.longest = max(self.longest, time.monotonic() - began)
                self.echoed = number = number + 1
                time.sleep(0.002)
        except OSError as error:
            self.problem = error

    def stop(self):
        self.stopping.set()
        self.thread.join(25)
        self.socket.close()
        self.listener.close()


class Datagrams:
    """Numbered datagrams, one way, at a steady pace: nothing brings back what a tunnel loses."""

    def __init__(self, client, server, address, port, interval=0.002):
        def make(bound=None):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            # SO_RCVBUFFORCE: a reader that is late on a busy machine is no loss of the tunnel's.
            made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            if bound:
                made.bind(bound)
            made.settimeout(0.2)
            return made
        self.interval = interval
        self.target = (address, port)
        self.receiver = server.call(make, ("0.0.0.0", port))
        self.sender = client.call(make)
        self.stopping = threading.Event()
        self.sent, self.arrived = 0, set()
        self.threads = [threading.Thread(target=work, daemon=True) for work in (
            self._receive, self._send)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while not self.stopping.is_set():
            self.sender.sendto(b"%d" % self.sent, self.target)
            self.sent += 1
            time.sleep(self.interval)

    def _receive(self):
        quiet = 0
        while quiet < 5:
            try:
                self.arrived.add(int(self.receiver.recv(64)))
            except TimeoutError:
                quiet = quiet + 1 if self.stopping.is_set() else 0

    @property
    def lost(self):
        """After `stop`: how many did not arrive."""
        return self.sent - len(self.arrived)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(25)
        self.sender.close()
        self.receiver.close()
