#!/usr/bin/env python3
"""Check a Lariat program's permessage-deflate against zlib, with every combination of parameters.

    python3 deflate.py PATH/TO/lariat

Starts servers of its own: as it is, with contexts, without compression. Each combination that a client can
offer is offered; the response must be what RFC 7692 allows, and messages must come back from /echo, decompressed by a zlib
that has no larger window, and no other context, than was agreed on. Standard library only.
"""

import base64
import itertools
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

PATIENCE = 20
TAIL = b"\x00\x00\xff\xff"
NAME = "permessage-deflate"


class Wrong(Exception):
    """The server did not do what it should."""


def need(condition, what):
    if not condition:
        raise Wrong(what)


class Server:
    def __init__(self, lariat, *arguments):
        self.command = [lariat, "serve", "--listen", "127.0.0.1:0", *arguments]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        match = re.match(r"Lariat listens on 127\.0\.0\.1:(\d+)", line)
        need(match, f"the ready line is {line!r}")
        self.port = int(match[1])
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)


def parse_response(value):
    """The parameters of a response, which must be exactly one permessage-deflate."""
    name, *parameters = [part.strip() for part in value.split(";")]
    need(name == NAME, f"the extension is {value!r}")
    agreed = {}
    for parameter in parameters:
        key, _, text = parameter.partition("=")
        need(key not in agreed, f"doubled in {value!r}")
        agreed[key] = int(text) if text else None
    return agreed


class Client:
    """A client that compresses with zlib."""

    def __init__(self, port, offers):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = "".join(f"Sec-WebSocket-Extensions: {offer}\r\n" for offer in offers)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{lines}\r\n".encode()
        )
        self.unread = b""
        while b"\r\n\r\n" not in self.unread:
            self.more()
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        need(head.startswith(b"HTTP/1.1 101 "), f"the response is {head!r}")
        values = re.findall(r"(?im)^sec-websocket-extensions: *(.*?)\r?$", head.decode())
        need(len(values) <= 1, f"the response is {head!r}")
        self.agreed = parse_response(values[0]) if values else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def more(self):
        got = self.socket.recv(1 << 16)
        need(got, "the server hung up")
        self.unread += got

    def take(self, count):
        while len(self.unread) < count:
            self.more()
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def start(self, client_bits):
        self.client_bits = client_bits
        self.server_bits = self.agreed.get("server_max_window_bits", 15)
        self.forget_ours()
        self.inflater = zlib.decompressobj(-self.server_bits)

    def forget_ours(self):
        # zlib cannot compress in a window of 8 bits, but it need not refer to anything.
        level = 0 if self.client_bits == 8 else 6
        self.deflater = zlib.compressobj(level, zlib.DEFLATED, -max(9, self.client_bits))

    def frame(self, first, payload):
        key = os.urandom(4)
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", first, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", first, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", first, 0x80 | 127, length)
        mask = int.from_bytes((key * (length // 4 + 1))[:length], "big")
        masked = (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")
        return head + key + masked

    def send(self, message, fragments):
        compressed = self.deflater.compress(message) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        need(compressed.endswith(TAIL), "zlib's flush")
        compressed = compressed[:-4]
        if "client_no_context_takeover" in self.agreed:
            self.forget_ours()
        cuts = sorted(random.randrange(len(compressed) + 1) for _ in range(fragments - 1))
        pieces = [compressed[a:b] for a, b in zip([0, *cuts], [*cuts, len(compressed)])]
        frames = []
        for index, piece in enumerate(pieces):
            first = (0x42 if index == 0 else 0) | (0x80 if index == len(pieces) - 1 else 0)
            frames.append(self.frame(first, piece))
        self.socket.sendall(b"".join(frames))

    def receive(self):
        """A whole message, whether it was compressed, and how many bytes travelled."""
        first, second = self.take(2)
        need(first in (0x82, 0xC2), f"a frame begins with {first:#x}")
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", self.take(2))
        elif second == 127:
            (length,) = struct.unpack("!Q", self.take(8))
        payload = self.take(length)
        if first == 0x82:
            return payload, False, length
        if "server_no_context_takeover" in self.agreed:
            self.inflater = zlib.decompressobj(-self.server_bits)
        out, rest = [], payload + TAIL
        while rest or out[-1:] != [b""]:
            # In small steps: zlib finds what lies too far back only if it lies in the window, not in its output.
            out.append(self.inflater.decompress(rest, 64))
            rest = self.inflater.unconsumed_tail
        need(not self.inflater.eof, "a final block")
        return b"".join(out), True, length


def messages():
    """(name, message, whether it must come back compressed)"""
    words = ["the", "quick", "brown", "fox", "κόσμε", "jumps", "over", "it", "again", "and"]
    text = " ".join(random.choice(words) for _ in range(9000)).encode()
    letters = bytes(random.randrange(97, 123) for _ in range(36_000))
    yield "text", text, True
    yield "empty", b"", False
    yield "short", b"short", False
    yield "the same", text[:5000], True
    yield "the same again", text[:5000], True
    yield "noise", os.urandom(5000), False
    yield "letters, repeated far behind", letters + letters[:2000], True
    yield "letters again", letters[:3000], True


def converse(client):
    sizes = {}
    for name, message, is_compressed in messages():
        client.send(message, random.choice([1, 1, 2, 5]))
        got, was_compressed, size = client.receive()
        need(got == message, f"{name}: other bytes came back")
        need(was_compressed == is_compressed, f"{name}: compressed is {was_compressed}")
        sizes[name] = size
    if "server_no_context_takeover" in client.agreed:
        need(sizes["the same"] == sizes["the same again"], f"no context, but {sizes}")
    elif client.server_bits >= 14:
        need(sizes["the same again"] * 5 < sizes["the same"] + 200, f"a context, but {sizes}")


def check_offer(port, offered, keeps):
    """One combination, offered and used."""
    parts = [NAME]
    for key, value in offered.items():
        parts.append(key if value == "" else f"{key}={value}")
    with Client(port, ["; ".join(parts)]) as client:
        agreed = client.agreed
        need(agreed is not None, "not accepted")
        known = {"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"}
        need(set(agreed) <= known, f"agreed on {agreed}")
        for side in ("server", "client"):
            key = f"{side}_no_context_takeover"
            need((key in agreed) == (key in offered or not keeps), f"agreed on {agreed}")
        need(agreed.get("server_max_window_bits") == offered.get("server_max_window_bits"), f"agreed on {agreed}")
        hint = offered.get("client_max_window_bits")
        bits = agreed.get("client_max_window_bits", 15)
        if hint is None:
            need("client_max_window_bits" not in agreed, f"agreed on {agreed}")
        else:
            need(bits <= int(hint or 15), f"agreed on {agreed}")
        client.start(min(bits, int(hint or 15)))
        converse(client)


def combinations():
    for ours, theirs in itertools.product([False, True], repeat=2):
        for server_bits in [None, *range(9, 16)]:
            for client_bits in [None, "", *range(8, 16)]:
                offered = {}
                if theirs:
                    offered["server_no_context_takeover"] = ""
                if ours:
                    offered["client_no_context_takeover"] = ""
                if server_bits is not None:
                    offered["server_max_window_bits"] = server_bits
                if client_bits is not None:
                    offered["client_max_window_bits"] = client_bits
                items = list(offered.items())
                random.shuffle(items)
                yield dict(items)


def check_declined(port):
    """Offers of which only the last one, if any, is in order."""
    bad = [
        "server_max_window_bits=8", "server_max_window_bits=16", "server_max_window_bits", "server_max_window_bits=010",
        "client_max_window_bits=7", "client_max_window_bits=", "server_no_context_takeover=1", "unknown", "unknown=\"a,b\"",
        "client_no_context_takeover; client_no_context_takeover", "client_max_window_bits; client_max_window_bits=10",
    ]
    for parameters in bad:
        with Client(port, [f"{NAME}; {parameters}"]) as client:
            need(client.agreed is None, f"{parameters}: agreed on {client.agreed}")
        for lines in ([f"x-other, {NAME}; {parameters}, {NAME}; server_max_window_bits=\"1\\1\""],
                      [f"{NAME}; {parameters}", f"{NAME}; server_max_window_bits=11"]):
            with Client(port, lines) as client:
                need(client.agreed and client.agreed.get("server_max_window_bits") == 11, f"{lines}: {client.agreed}")
    return len(bad)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lariat = sys.argv[1]
    seed = int(os.environ.get("LARIAT_SEED", "7692"))
    random.seed(seed)
    failures, start = 0, time.monotonic()
    for keeps, arguments in [(False, []), (True, ["--deflate-contexts", "1GiB"])]:
        count = 0
        with Server(lariat, *arguments) as server:
            count += check_declined(server.port)
            for offered in combinations():
                count += 1
                try:
                    check_offer(server.port, offered, keeps)
                except (Wrong, OSError, zlib.error) as error:
                    failures += 1
                    print(f"FAILED {arguments} {offered}: {error!r}")
        print(f"{' '.join(arguments) or 'as it is'}: {count} offers")
    with Server(lariat, "--no-deflate") as server, Client(server.port, [NAME]) as client:
        if client.agreed is not None:
            failures += 1
            print(f"FAILED --no-deflate: agreed on {client.agreed}")
    print(f"{failures} failures, {time.monotonic() - start:.0f} s, seed {seed}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
