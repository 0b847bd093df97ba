#!/usr/bin/env python3
"""Check Lariat's permessage-deflate against zlib, with every combination of parameters.

    python3 deflate.py PATH/TO/lariat [PATH/TO/examples/autobahn]

The script starts its own servers: with default options, with contexts, and without compression. It
offers each combination that a client can offer. The response must follow RFC 7692, and messages
must come back from /echo. The script decompresses them with a zlib that has the negotiated window
and context, and not more. Then it tests the other direction: the example is a client that gets
every allowed response to its offer and echoes. It must disconnect after responses that are not
allowed. Standard library only.
"""

import base64
import hashlib
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
    """The server or the client behaved incorrectly."""


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


def extensions(head):
    return re.findall(r"(?im)^sec-websocket-extensions: *(.*?)\r?$", head)


def parse_parameters(value):
    """Return the parameters of an offer or a response, which must contain exactly one
    permessage-deflate."""
    name, *parameters = [part.strip() for part in value.split(";")]
    need(name == NAME, f"the extension is {value!r}")
    agreed = {}
    for parameter in parameters:
        key, _, text = parameter.partition("=")
        need(key not in agreed, f"a repeated parameter in {value!r}")
        agreed[key] = int(text) if text else None
    return agreed


class Peer:
    """One side of a conversation that compresses with zlib, on a connected socket."""

    def __init__(self, connected, masks):
        self.socket, self.masks, self.unread = connected, masks, b""
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def more(self):
        got = self.socket.recv(1 << 16)
        need(got, "the other side disconnected")
        self.unread += got

    def take(self, count):
        while len(self.unread) < count:
            self.more()
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def head(self):
        """Read a request or a response up to the empty line."""
        while b"\r\n\r\n" not in self.unread:
            self.more()
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        return head.decode()

    def start(self, our_bits, their_bits):
        """Set the windows. `agreed` says which side does not use context takeover."""
        ours, theirs = ("client", "server") if self.masks else ("server", "client")
        self.forgets, self.they_forget = (f"{side}_no_context_takeover" in self.agreed for side in (ours, theirs))
        self.our_bits, self.their_bits = our_bits, their_bits
        self.forget_ours()
        self.inflater = zlib.decompressobj(-self.their_bits)

    def forget_ours(self):
        # zlib cannot compress with a window of 8 bits. Level 0 needs no window.
        level = 0 if self.our_bits == 8 else 6
        self.deflater = zlib.compressobj(level, zlib.DEFLATED, -max(9, self.our_bits))

    def frame(self, first, payload):
        length, masked = len(payload), 0x80 if self.masks else 0
        if length < 126:
            head = struct.pack("!BB", first, masked | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", first, masked | 126, length)
        else:
            head = struct.pack("!BBQ", first, masked | 127, length)
        if not self.masks:
            return head + payload
        key = os.urandom(4)
        return head + key + mask(key, payload)

    def send(self, message, fragments):
        compressed = self.deflater.compress(message) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        need(compressed.endswith(TAIL), "zlib's flush")
        compressed = compressed[:-4]
        if self.forgets:
            self.forget_ours()
        cuts = sorted(random.randrange(len(compressed) + 1) for _ in range(fragments - 1))
        pieces = [compressed[a:b] for a, b in zip([0, *cuts], [*cuts, len(compressed)])]
        frames = []
        for index, piece in enumerate(pieces):
            first = (0x42 if index == 0 else 0) | (0x80 if index == len(pieces) - 1 else 0)
            frames.append(self.frame(first, piece))
        self.socket.sendall(b"".join(frames))

    def receive_frame(self):
        """Read a frame. Return its first byte and its payload."""
        first, second = self.take(2)
        need(bool(second & 0x80) != self.masks, "clients mask, servers do not")
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.take(8))
        key = b"" if self.masks else self.take(4)
        payload = self.take(length)
        return first, payload if self.masks else mask(key, payload)

    def receive(self):
        """Read a complete message. Return it, whether it was compressed, and the number of bytes on
        the wire."""
        first, payload = self.receive_frame()
        need(first in (0x82, 0xC2), f"a frame begins with {first:#x}")
        if first == 0x82:
            return payload, False, len(payload)
        if self.they_forget:
            self.inflater = zlib.decompressobj(-self.their_bits)
        out, rest = [], payload + TAIL
        while rest or out[-1:] != [b""]:
            # Small steps are needed: zlib detects references that are too far back only in its
            # window, not in its output.
            out.append(self.inflater.decompress(rest, 64))
            rest = self.inflater.unconsumed_tail
        need(not self.inflater.eof, "a final block")
        return b"".join(out), True, len(payload)


def mask(key, payload):
    length = len(payload)
    keys = int.from_bytes((key * (length // 4 + 1))[:length], "big")
    return (int.from_bytes(payload, "big") ^ keys).to_bytes(length, "big")


class Client(Peer):
    """A client: sends an offer and reads the response."""

    def __init__(self, port, offers):
        super().__init__(socket.create_connection(("127.0.0.1", port), PATIENCE), masks=True)
        lines = "".join(f"Sec-WebSocket-Extensions: {offer}\r\n" for offer in offers)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{lines}\r\n".encode()
        )
        head = self.head()
        need(head.startswith("HTTP/1.1 101 "), f"the response is {head!r}")
        values = extensions(head)
        need(len(values) <= 1, f"the response is {head!r}")
        self.agreed = parse_parameters(values[0]) if values else None


class Answerer(Peer):
    """A server: reads an offer and sends a response."""

    def __init__(self, listener):
        super().__init__(listener.accept()[0], masks=False)
        head = self.head()
        self.path = head.split(" ")[1]
        self.key = re.search(r"(?im)^sec-websocket-key: *(.*?)\r?$", head)[1]
        values = extensions(head)
        need(len(values) == 1, f"the request is {head!r}")
        self.offer = parse_parameters(values[0])

    def answer(self, value):
        digest = hashlib.sha1((self.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        line = f"Sec-WebSocket-Extensions: {value}\r\n" if value else ""
        self.socket.sendall(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n{line}\r\n".encode()
        )

    def close(self):
        self.socket.sendall(self.frame(0x88, struct.pack("!H", 1000)))
        need(self.receive_frame() == (0x88, struct.pack("!H", 1000)), "our Close is not answered")


def messages():
    """Return (name, message, whether it must come back compressed)."""
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


def converse(peer, compresses=True, keeps=True):
    """Send messages and check their echoes. The other side can compress with this window and keep
    contexts if `agreed` allows it."""
    sizes = {}
    for name, message, is_compressed in messages():
        peer.send(message, random.choice([1, 1, 2, 5]))
        got, was_compressed, size = peer.receive()
        need(got == message, f"{name}: the echo differs")
        need(was_compressed == (is_compressed and compresses), f"{name}: compressed is {was_compressed}")
        sizes[name] = size
    if peer.they_forget or not keeps or not compresses:
        need(sizes["the same"] == sizes["the same again"], f"no context, but {sizes}")
    elif peer.their_bits >= 14:
        need(sizes["the same again"] * 5 < sizes["the same"] + 200, f"a context, but {sizes}")


def check_offer(port, offered, keeps):
    """Test one combination of parameters."""
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
        client.start(min(bits, int(hint or 15)), agreed.get("server_max_window_bits", 15))
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
    """Test offers of which at most the last one is valid."""
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


# ---- Lariat as the client ------------------------------------------------------------------------


def responses(offer):
    """Return every allowed response to an offer."""
    most = {side: int(offer.get(f"{side}_max_window_bits") or 15) for side in ("server", "client")}
    for forgets, they_forget in itertools.product([True, False], repeat=2):
        if "server_no_context_takeover" in offer and not forgets:
            continue
        for server_bits in [None, *range(8, most["server"] + 1)]:
            if server_bits is None and "server_max_window_bits" in offer:
                continue
            for client_bits in [None, *range(8, most["client"] + 1)]:
                response = {}
                if forgets:
                    response["server_no_context_takeover"] = ""
                if they_forget:
                    response["client_no_context_takeover"] = ""
                if server_bits is not None:
                    response["server_max_window_bits"] = server_bits
                if client_bits is not None:
                    response["client_max_window_bits"] = client_bits
                yield response


def bad_responses(offer):
    """Return responses after which a client must fail the connection (RFC 7692 §5.1, §7.1)."""
    good = {name: value or "" for name, value in next(responses(offer)).items()}
    base = show(good)
    yield from ["x-other", f"{base}, {base}", f"{base}, x-other", f"{base}; unknown", f"{base}; server_no_context_takeover=1"]
    yield from [f"{base}; client_max_window_bits", f"{base}; client_max_window_bits=7", f"{base}; client_max_window_bits=16"]
    yield from [f"{base}; server_max_window_bits=010", f"{base}; server_max_window_bits", f"{base}; client_max_window_bits=\"\""]
    yield f"{base}; server_no_context_takeover; server_no_context_takeover"
    if "server_no_context_takeover" in offer:
        yield show({name: value for name, value in good.items() if name != "server_no_context_takeover"})
    for side in ("server", "client"):
        bits = offer.get(f"{side}_max_window_bits")
        if bits and bits < 15:
            yield show({**good, f"{side}_max_window_bits": bits + 1})


def show(parameters):
    return "; ".join([NAME, *(f"{key}={value}" if value != "" else key for key, value in parameters.items())])


def check_response(peer, response, keeps):
    """Test one allowed response and the messages after it."""
    items = list(response.items())
    random.shuffle(items)
    peer.answer(show(dict(items)))
    peer.agreed = response
    client_bits = response.get("client_max_window_bits", 15)
    peer.start(response.get("server_max_window_bits", 15), client_bits)
    # The client's own offer limits its window even if the response has no parameter. Nobody
    # compresses with a window of 8 bits.
    limit = int(peer.offer.get("client_max_window_bits") or 15)
    peer.their_bits = min(client_bits, limit)
    converse(peer, compresses=peer.their_bits > 8, keeps=keeps)
    peer.close()


def check_refused(peer, response):
    peer.answer(response)
    got = peer.socket.recv(1)
    need(got == b"", f"it answered {got!r} to {response!r}")


def check_client(example, window_bits, keeps):
    """Let the example echo the messages of a server, case by case."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE)
    command = [example, f"ws://127.0.0.1:{listener.getsockname()[1]}", str(window_bits), *(["contexts"] if keeps else [])]
    failures = 0
    with listener, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            with Answerer(listener) as peer:
                need(peer.path == "/getCaseCount", peer.path)
                need(("server_no_context_takeover" in peer.offer) != keeps, f"the offer is {peer.offer}")
                smaller = {"server_max_window_bits": window_bits, "client_max_window_bits": window_bits}
                windows = {name: bits for name, bits in peer.offer.items() if name.endswith("_bits")}
                need(windows == (smaller if window_bits < 15 else {"client_max_window_bits": None}), f"the offer is {peer.offer}")
                cases = [(check_response, response, keeps) for response in responses(peer.offer)]
                cases += [(check_refused, response) for response in bad_responses(peer.offer)]
                peer.answer(None)
                peer.socket.sendall(peer.frame(0x81, str(len(cases)).encode()))
                peer.close()
            for check, response, *arguments in cases:
                with Answerer(listener) as peer:
                    try:
                        check(peer, response, *arguments)
                    except (Wrong, OSError, zlib.error) as error:
                        failures += 1
                        print(f"FAILED as a client with {command[2:]}, answered {response}: {error!r}")
            with Answerer(listener) as peer:
                need(peer.path.startswith("/updateReports"), peer.path)
                peer.answer(None)
                peer.close()
            need(process.stdout.read() == f"{len(cases)} cases\n", "the example lost count")
        finally:
            if process.poll() is None:
                process.kill()
    print(f"as a client with {' '.join(command[2:])}: {len(cases)} responses")
    return failures


def main():
    if len(sys.argv) not in (2, 3):
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
    for window_bits, keeps in [(15, False), (15, True), (12, True), (9, False)] if len(sys.argv) == 3 else []:
        failures += check_client(sys.argv[2], window_bits, keeps)
    print(f"{failures} failures, {time.monotonic() - start:.0f} s, seed {seed}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
