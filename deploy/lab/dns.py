"""A DNS client small enough to run inside any namespace (RFC 1035)."""

import os
import socket
import struct

TYPES = {"A": 1, "TXT": 16, "AAAA": 28, "SRV": 33, "PTR": 12}
CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def query(server, name, kind="A", timeout=1.0, port=53):
    """(response code, [addresses as text]); raises OSError where nothing answers."""
    identity = os.urandom(2)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    question = labels + b"\0" + struct.pack(">HH", TYPES[kind], 1)
    message = identity + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + question
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.settimeout(timeout)
        channel.sendto(message, (server, port))
        while True:
            answer = channel.recv(4096)
            if answer[:2] == identity:
                return _parse(answer)


def _parse(answer):
    flags, questions, answers = struct.unpack(">HHH", answer[2:8])
    at = 12
    for _ in range(questions):
        at = _skip_name(answer, at) + 4
    found = []
    for _ in range(answers):
        at = _skip_name(answer, at)
        kind, _, _, length = struct.unpack(">HHIH", answer[at:at + 10])
        data = answer[at + 10:at + 10 + length]
        at += 10 + length
        if kind == 1:
            found.append(socket.inet_ntop(socket.AF_INET, data))
        elif kind == 28:
            found.append(socket.inet_ntop(socket.AF_INET6, data))
    return CODES.get(flags & 15, str(flags & 15)), found


def _skip_name(message, at):
    while message[at]:
        if message[at] >= 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1
