#!/usr/bin/env python3
"""Send a Lariat server literal bytes that no well-behaved client sends, and read what comes back.

    python3 raw.py 127.0.0.1:PORT

Bad requests and their statuses, bad frames and their close codes, connections that break at every
byte. Each conversation is sent whole and byte by byte, frames also in one piece with the request.
Standard library only.
"""

import base64
import hashlib
import os
import re
import select
import socket
import struct
import sys
import time

KIB, MIB = 1024, 1024 * 1024
MAX_MESSAGE = 16 * MIB  # the server's defaults
MAX_HEAD = 8 * KIB
MAX_HEADERS = 64
PATIENCE = 5  # seconds for one answer
TOTAL = 300  # seconds for everything
PAUSE = 0.0001  # seconds between bytes that are sent one by one

ADDRESS = ("", 0)
DEADLINE = 0.0


class Wrong(Exception):
    """The server behaved incorrectly."""


# ---------------------------------------------------------------- one TCP connection


class Peer:
    """A socket that sends literal bytes and reads heads, frames and the end."""

    def __init__(self):
        if time.monotonic() > DEADLINE:
            raise Wrong("not run: out of time")
        self.socket = socket.create_connection(ADDRESS, PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, octets, slowly=False):
        """Send everything. If the server has stopped reading, this shows when its answer is read.
        """
        try:
            if slowly:
                for i in range(len(octets)):
                    self.socket.sendall(octets[i : i + 1])
                    time.sleep(PAUSE)
            else:
                self.socket.sendall(octets)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def more(self):
        """Read some bytes. Return False at the end."""
        try:
            octets = self.socket.recv(1 << 18)
        except TimeoutError:
            raise Wrong(f"no answer for {PATIENCE} s, after {brief(self.unread)}") from None
        except ConnectionResetError:
            raise Wrong(f"reset, after {brief(self.unread)}") from None
        self.unread += octets
        return bool(octets)

    def take(self, size):
        while len(self.unread) < size:
            if not self.more():
                raise Wrong(f"the connection ended, after {brief(self.unread)}")
        octets, self.unread = self.unread[:size], self.unread[size:]
        return octets

    def head(self):
        """Read a response head. Return its status and (name, value) pairs, with names in lower
        case."""
        while b"\r\n\r\n" not in self.unread:
            if not self.more():
                raise Wrong(f"the connection ended before a response: {brief(self.unread)}")
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]*", first)
        if not status:
            raise Wrong(f"no status line: {brief(first)}")
        headers = []
        for line in lines:
            field = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t]*?)[ \t]*", line)
            if not field:
                raise Wrong(f"no header line: {brief(line)}")
            headers.append((field[1].decode().lower(), field[2].decode()))
        return int(status[1]), headers

    def frame(self):
        """Read one frame of the server. Return its bytes."""
        first, second = header = self.take(2)
        if first & 0x70 or second & 0x80:
            raise Wrong(f"RSV or MASK in a frame of the server: {header.hex()}")
        length = second
        if second == 126:
            header += (extended := self.take(2))
            (length,) = struct.unpack(">H", extended)
        elif second == 127:
            header += (extended := self.take(8))
            (length,) = struct.unpack(">Q", extended)
        return header + self.take(length)

    def end(self):
        """Check that the server ends the connection properly, without another byte."""
        while self.more():
            pass
        if self.unread:
            raise Wrong(f"unexpected bytes before the end: {brief(self.unread)}")


def brief(octets):
    shown = octets if len(octets) <= 40 else octets[:40]
    return f"{shown!r}" + (f"... ({len(octets)} bytes)" if len(octets) > 40 else "")


# ---------------------------------------------------------------- requests

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HOST = b"Host: 127.0.0.1"
UPGRADE = b"Upgrade: websocket"
CONNECTION = b"Connection: Upgrade"
SEC_KEY = b"Sec-WebSocket-Key: " + KEY
VERSION = b"Sec-WebSocket-Version: 13"
GOOD = [HOST, UPGRADE, CONNECTION, SEC_KEY, VERSION]


def request(*lines, first=b"GET /echo HTTP/1.1", eol=b"\r\n"):
    return eol.join([first, *lines]) + eol + eol


def upgrade(*more, first=b"GET /echo HTTP/1.1", without=None, eol=b"\r\n"):
    """Return a valid upgrade request with added lines or without one line."""
    lines = [line for line in GOOD if line != without]
    return request(*lines, *more, first=first, eol=eol)


def padded(size):
    """Return a valid request of exactly `size` bytes."""
    rest = len(upgrade(b"X-Pad: "))
    return upgrade(b"X-Pad: " + b"p" * (size - rest))


REFUSED = []
ACCEPTED = []


def refuse(name, octets, *statuses, **headers):
    """Add a case: the request gets one of these statuses, and these headers (each a pattern)."""
    REFUSED.append((name, octets, statuses, headers))


def accept(name, octets):
    """Add a case: the request is upgraded."""
    ACCEPTED.append((name, octets))


# Sec-WebSocket-Key (RFC 6455 section 4.2.1)
refuse("no key", upgrade(without=SEC_KEY), 400)
refuse("two keys", upgrade(SEC_KEY), 400)
refuse("two different keys", upgrade(b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="), 400)
for name, key in [
    ("empty", b""),
    ("of 15 bytes", base64.b64encode(bytes(15))),
    ("of 17 bytes", base64.b64encode(bytes(17))),
    ("without padding", KEY.rstrip(b"=")),
    ("with half its padding", KEY[:-1]),
    ("that is not base64", b"!" * 22 + b"=="),
    ("of the URL alphabet", b"--__" * 5 + b"-A=="),
    ("with a space inside", KEY[:10] + b" " + KEY[11:]),
    ("followed by another", KEY + b", " + KEY),
]:
    refuse(f"a key {name}", upgrade(b"Sec-WebSocket-Key: " + key, without=SEC_KEY), 400)

# Sec-WebSocket-Version (section 4.2.2, 4.4)
for version in [b"0", b"8", b"12", b"14", b"255"]:
    refuse(
        f"version {version.decode()}",
        upgrade(b"Sec-WebSocket-Version: " + version, without=VERSION),
        426,
        sec_websocket_version="13",
    )
refuse("no version", upgrade(without=VERSION), 400, 426)
refuse("an empty version", upgrade(b"Sec-WebSocket-Version:", without=VERSION), 400, 426)
refuse("version 130", upgrade(b"Sec-WebSocket-Version: 130", without=VERSION), 400, 426)
refuse("version x", upgrade(b"Sec-WebSocket-Version: x", without=VERSION), 400, 426)
refuse("two different versions", upgrade(b"Sec-WebSocket-Version: 8"), 400, 426)

# Upgrade and Connection
refuse(
    "no Upgrade", upgrade(without=UPGRADE), 426, upgrade="(?i)websocket", connection=r"(?i)(.*,\s*)?upgrade(\s*,.*)?"
)
refuse("no Connection", upgrade(without=CONNECTION), 400, 426)
refuse("an upgrade to h2c", upgrade(b"Upgrade: h2c", without=UPGRADE), 400, 426)
refuse("an upgrade to websockets", upgrade(b"Upgrade: websockets", without=UPGRADE), 400, 426)
refuse("Connection: keep-alive", upgrade(b"Connection: keep-alive", without=CONNECTION), 400, 426)

# Host (RFC 9112 section 3.2)
refuse("no Host", upgrade(without=HOST), 400)
refuse("two Hosts", upgrade(HOST), 400)
refuse("two different Hosts", upgrade(b"Host: elsewhere.test"), 400)
refuse("a page without Host", request(first=b"GET / HTTP/1.1"), 400)

# The form of the head (RFC 9112 sections 2.2, 5.1, 5.2)
refuse("bare LF everywhere", upgrade(eol=b"\n"), 400)
refuse("a bare LF after the request line", upgrade().replace(b"\r\n", b"\n", 1), 400)
refuse("a bare LF after a header", upgrade().replace(HOST + b"\r\n", HOST + b"\n"), 400)
refuse("a bare LF as the last line", upgrade()[:-2] + b"\n", 400)
refuse("bare LFs at the end", upgrade()[:-4] + b"\n\n", 400)
refuse("a bare CR in a value", upgrade(b"X-Test: a\rb"), 400)
refuse("a bare CR after a header", upgrade().replace(HOST + b"\r\n", HOST + b"\r"), 400)
refuse("NUL in a value", upgrade(b"X-Test: a\0b"), 400)
refuse("NUL in a name", upgrade(b"X-Te\0st: a"), 400)
refuse("NUL in the target", upgrade(first=b"GET /echo\0 HTTP/1.1"), 400)
refuse("a folded header, with a space", upgrade(b"X-Test: a", b" b"), 400)
refuse("a folded header, with a tab", upgrade(b"X-Test: a", b"\tb"), 400)
refuse("white space before the first header", upgrade().replace(HOST, b" " + HOST), 400)
refuse("a header without colon", upgrade(b"X-Test"), 400)
refuse("a header without name", upgrade(b": value"), 400)
refuse("white space before the colon", upgrade(b"X-Test : value"), 400)
refuse("a control character in a value", upgrade(b"X-Test: a\x01b"), 400)
refuse("a request line without version", upgrade(first=b"GET /echo"), 400)
refuse("a request line without target", upgrade(first=b"GET HTTP/1.1"), 400)
refuse("a request line with one word too many", upgrade(first=b"GET /echo now HTTP/1.1"), 400)
refuse("no HTTP at all", b"hello\r\n\r\n", 400)
refuse("a TLS ClientHello", bytes.fromhex("16030100f4010000f00303") + bytes(range(1, 200)), 400)
refuse("a WebSocket frame", bytes.fromhex("818537fa213d7f9f4d5158") + b"\r\n\r\n", 400)

# Bodies (RFC 9112 section 6)
refuse("a body announced", upgrade(b"Content-Length: 5"), 400)
refuse("a body announced and sent", upgrade(b"Content-Length: 5") + b"Hello", 400)
refuse("a huge body announced", upgrade(b"Content-Length: 99999999999"), 400, 413)
refuse("a negative length", upgrade(b"Content-Length: -1"), 400)
refuse("a length that is not a number", upgrade(b"Content-Length: x"), 400)
refuse("two lengths", upgrade(b"Content-Length: 0", b"Content-Length: 5"), 400)
refuse("a chunked body", upgrade(b"Transfer-Encoding: chunked"), 400)
refuse("a chunked body, sent", upgrade(b"Transfer-Encoding: chunked") + b"5\r\nHello\r\n0\r\n\r\n", 400)
refuse("a page with a body", request(HOST, b"Content-Length: 5", first=b"GET / HTTP/1.1") + b"Hello", 400)

# Methods and versions
for method in [b"POST", b"PUT", b"DELETE"]:
    refuse(
        f"{method.decode()} for a page",
        request(HOST, first=method + b" / HTTP/1.1"),
        405,
        allow=r"(.*,\s*)?GET(\s*,.*)?",
    )
refuse("POST for an upgrade", upgrade(first=b"POST /echo HTTP/1.1"), 405, allow=r"(.*,\s*)?GET(\s*,.*)?")
refuse("HTTP/1.0 for an upgrade", upgrade(first=b"GET /echo HTTP/1.0"), 400)
refuse("HTTP/2.0", upgrade(first=b"GET /echo HTTP/2.0"), 400, 505)
refuse("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 405, 505)
refuse("an unknown path", upgrade(first=b"GET /nope HTTP/1.1"), 404)

# Sizes
refuse(f"a head of {MAX_HEAD + 1} bytes", padded(MAX_HEAD + 1), 431)
refuse("a head of 20 KiB", padded(20 * KIB), 431)
refuse("a head that does not end", upgrade()[:-2] + b"X-Pad: " + b"p" * MAX_HEAD, 431)
refuse("a target that does not end", b"GET /" + b"p" * MAX_HEAD, 414, 431)
refuse(f"{MAX_HEADERS + 1} headers", upgrade(*[b"X-Test: 1"] * (MAX_HEADERS - 4)), 431)
refuse("1000 short headers", upgrade(*[b"X:1"] * 1000), 431)

# Valid requests
accept("the plain request", upgrade())
accept("Connection in two lines", upgrade(b"Connection: keep-alive"))
accept(
    "Connection in two lines, the other way around",
    request(HOST, UPGRADE, b"Connection: keep-alive", CONNECTION, SEC_KEY, VERSION),
)
accept("Connection as a list", upgrade(b"Connection: keep-alive, Upgrade", without=CONNECTION))
accept("Connection as an odd list", upgrade(b"Connection: ,keep-alive ,\tuPGRADE,", without=CONNECTION))
accept("Upgrade as a list", upgrade(b"Upgrade: h2c, websocket", without=UPGRADE))
accept("Upgrade in two lines", upgrade(b"Upgrade: h2c"))
accept(
    "header names and tokens in other cases",
    request(
        b"hOST: 127.0.0.1",
        b"upgrade: WebSocket",
        b"CONNECTION: UPGRADE",
        b"sec-websocket-key: " + KEY,
        b"SEC-WEBSOCKET-VERSION: 13",
    ),
)
accept("no space after the colons", upgrade().replace(b": ", b":"))
accept("white space around the values", request(*[line.replace(b": ", b": \t ") + b" \t" for line in GOOD]))
accept("a query", upgrade(first=b"GET /echo?a=b&c HTTP/1.1"))
accept("bytes beyond ASCII in a value", upgrade(b"X-Test: \xc3\xa9\xff"))
accept("an empty header", upgrade(b"X-Test:"))
accept("an unknown extension", upgrade(b'Sec-WebSocket-Extensions: x-unknown; a=1; b="2"'))
accept(
    "an impossible offer of compression",
    upgrade(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99"),
)
accept("subprotocols offered", upgrade(b"Sec-WebSocket-Protocol: chat, superchat"))
accept("any Origin", upgrade(b"Origin: http://elsewhere.test"))
accept(f"{MAX_HEADERS} headers", upgrade(*[b"X-Test: 1"] * (MAX_HEADERS - 5)))
accept(f"a head of {MAX_HEAD} bytes", padded(MAX_HEAD))


def check_refused(octets, statuses, wanted, slowly):
    with Peer() as peer:
        peer.send(octets, slowly)
        status, headers = peer.head()
        if status not in statuses:
            raise Wrong(f"status {status}, not {' or '.join(map(str, statuses))}")
        fields = dict(headers)
        if len(fields) != len(headers):
            raise Wrong(f"doubled headers: {headers}")
        if "close" not in re.split(r"\s*,\s*", fields.get("connection", "").lower()):
            raise Wrong(f"Connection is {fields.get('connection')!r}, without close")
        body = peer.take(int(fields.get("content-length", "-1")))
        if not body:
            raise Wrong("the body is empty")
        for name, pattern in wanted.items():
            value = fields.get(name.replace("_", "-"), "")
            if not re.fullmatch(pattern, value):
                raise Wrong(f"{name.replace('_', '-')} is {value!r}")
        peer.end()


def open_handshake(peer):
    """Read the answer to a valid request with the key of RFC 6455."""
    status, headers = peer.head()
    if status != 101:
        raise Wrong(f"status {status}, not 101")
    accept_key = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    fields = {name: value.lower() if name in ("upgrade", "connection") else value for name, value in headers}
    for name, value in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", accept_key.decode()),
        ("sec-websocket-protocol", None),
        ("sec-websocket-extensions", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ]:
        if fields.get(name) != value:
            raise Wrong(f"{name} is {fields.get(name)!r}, not {value!r}")


def check_accepted(octets, slowly):
    with Peer() as peer:
        peer.send(octets, slowly)
        open_handshake(peer)
        still_open(peer)


def still_open(peer):
    """Check an echo and the closing handshake."""
    peer.send(HELLO + frame(0x88, close_body(1000)))
    if (echo := peer.frame()) != HELLO_ECHO:
        raise Wrong(f"the echo is {brief(echo)}")
    if (answer := peer.frame()) != b"\x88\x02\x03\xe8":
        raise Wrong(f"the Close is answered with {brief(answer)}")
    peer.end()


# ---------------------------------------------------------------- frames

MASK = bytes.fromhex("37fa213d")
HELLO = bytes.fromhex("818537fa213d7f9f4d5158")
HELLO_ECHO = b"\x81\x05Hello"


def masked(octets, key=MASK):
    stream = (key * (len(octets) // 4 + 1))[: len(octets)]
    return (int.from_bytes(octets, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(octets), "big")


def length_of(size):
    """Return the minimal encoding of a masked frame's length."""
    if size < 126:
        return bytes([0x80 | size])
    if size < 65536:
        return b"\xfe" + struct.pack(">H", size)
    return b"\xff" + struct.pack(">Q", size)


def frame(first, payload=b"", length=None):
    """Return a masked frame: its first byte, its payload, and optionally a wrong length."""
    return bytes([first]) + (length or length_of(len(payload))) + MASK + masked(payload)


def header(first, size):
    """Return the header of a masked frame whose payload does not follow."""
    return bytes([first]) + length_of(size) + MASK


def close_body(code, reason=b""):
    return struct.pack(">H", code) + reason


FRAMES = []


def exchange(name, sent, *answers, ways=("whole", "byte by byte", "with the request")):
    """Add a case: these bytes get these answers. A frame is bytes. A close code is an int and ends
    the connection."""
    FRAMES.append((name, sent, answers, ways))


ONCE = ("whole",)
TEXT, BINARY, CLOSE, PING, PONG, MORE = 0x81, 0x82, 0x88, 0x89, 0x8A, 0x80

# Valid conversations
exchange("a text", HELLO, HELLO_ECHO)
exchange("an empty text", frame(TEXT), b"\x81\x00")
exchange("a binary message", frame(BINARY, b"\0\xff"), b"\x82\x02\0\xff")
exchange("a masking key of zeros", b"\x81\x85\0\0\0\0Hello", HELLO_ECHO)
exchange("125 bytes", frame(TEXT, b"x" * 125), b"\x81\x7d" + b"x" * 125)
exchange("126 bytes", frame(TEXT, b"x" * 126), b"\x81\x7e\x00\x7e" + b"x" * 126)
exchange(
    "65535 bytes", frame(BINARY, b"x" * 65535), b"\x82\x7e\xff\xff" + b"x" * 65535, ways=("whole", "with the request")
)
exchange(
    "65536 bytes",
    frame(BINARY, b"x" * 65536),
    b"\x82\x7f" + struct.pack(">Q", 65536) + b"x" * 65536,
    ways=("whole", "with the request"),
)
exchange("fragments", frame(0x01, b"Hel") + frame(0x00) + frame(MORE, b"lo"), HELLO_ECHO)
exchange("empty fragments", frame(0x02) + frame(0x00) + frame(MORE), b"\x82\x00")
exchange("a ping", frame(PING, b"Hello"), b"\x8a\x05Hello")
exchange("an empty ping", frame(PING), b"\x8a\x00")
exchange("a ping of 125 bytes", frame(PING, b"\xff" * 125), b"\x8a\x7d" + b"\xff" * 125)
exchange("an unsolicited pong", frame(PONG, b"Hello") + HELLO, HELLO_ECHO)
exchange(
    "a ping between fragments", frame(0x01, b"Hel") + frame(PING, b"?") + frame(MORE, b"lo"), b"\x8a\x01?", HELLO_ECHO
)
exchange(
    "characters cut between fragments",
    b"".join(frame(first, octet) for first, octet in zip([1, 0, 0, 0x80], [b"\xf0", b"\x9d", b"\x84", b"\x9e"])),
    b"\x81\x04\xf0\x9d\x84\x9e",
)
exchange("three messages at once", HELLO * 3, *[HELLO_ECHO] * 3)

# Masking (RFC 6455 section 5.1)
exchange("an unmasked text", b"\x81\x05Hello", 1002)
exchange("an unmasked empty text", b"\x81\x00", 1002)
exchange("an unmasked ping", b"\x89\x00", 1002)
exchange("an unmasked close", b"\x88\x02\x03\xe8", 1002)
exchange("a valid text, then an unmasked one", HELLO + b"\x81\x05Hello", HELLO_ECHO, 1002)

# RSV and opcodes (section 5.2)
for bits in range(1, 8):
    exchange(f"RSV {bits:03b} in a text", frame(TEXT | bits << 4, b"Hello"), 1002)
for first, what in [(MORE, "continuation"), (PING, "ping"), (PONG, "pong"), (CLOSE, "close")]:
    exchange(
        f"RSV1 in a {what}", frame(0x01, b"a") + frame(first | 0x40) if first == MORE else frame(first | 0x40), 1002
    )
for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF]:
    exchange(f"opcode {opcode:X}", frame(0x80 | opcode), 1002)
    exchange(f"opcode {opcode:X}, with a payload", frame(0x80 | opcode, b"Hello") + HELLO, 1002)
    exchange(f"opcode {opcode:X} inside a message", frame(0x01, b"Hel") + frame(0x80 | opcode), 1002)

# Control frames (section 5.5)
for first, what in [(PING, "ping"), (PONG, "pong"), (CLOSE, "close")]:
    exchange(f"a fragmented {what}", frame(first & 0x7F, close_body(1000)), 1002)
    exchange(f"a {what} of 126 bytes", frame(first, close_body(1000, b"x" * 124)), 1002)
    exchange(f"a {what} of 65536 bytes, announced", header(first, 65536), 1002)

# Fragments (section 5.4)
exchange("a stray continuation", frame(MORE, b"Hello"), 1002)
exchange("a stray unfinished continuation", frame(0x00, b"Hello"), 1002)
exchange("a continuation after a finished message", HELLO + frame(MORE, b"!"), HELLO_ECHO, 1002)
exchange(
    "a continuation after finished fragments",
    frame(0x01, b"Hel") + frame(MORE, b"lo") + frame(MORE, b"!"),
    HELLO_ECHO,
    1002,
)
for first in [0x01, 0x02, TEXT, BINARY]:
    exchange(f"first byte {first:02x} inside a message", frame(0x01, b"Hel") + frame(first, b"lo"), 1002)

# Lengths (section 5.2)
exchange("5 in 16 bits", frame(TEXT, b"Hello", length=b"\xfe\0\x05"), 1002)
exchange("0 in 16 bits", frame(TEXT, b"", length=b"\xfe\0\0"), 1002)
exchange("125 in 16 bits", frame(BINARY, b"x" * 125, length=b"\xfe\0\x7d"), 1002)
exchange("5 in 64 bits", frame(TEXT, b"Hello", length=b"\xff" + struct.pack(">Q", 5)), 1002)
exchange("65535 in 64 bits", frame(BINARY, b"x" * 65535, length=b"\xff" + struct.pack(">Q", 65535)), 1002, ways=ONCE)
exchange("65535 in 64 bits, announced", b"\x82\xff" + struct.pack(">Q", 65535) + MASK, 1002)
exchange("5 in 16 bits, in a ping", frame(PING, b"Hello", length=b"\xfe\0\x05"), 1002)
exchange("the top bit of 64", b"\x82\xff" + struct.pack(">Q", 1 << 63) + MASK, 1002)
exchange("all bits of 64", b"\x82\xff" + b"\xff" * 8 + MASK, 1002)
exchange("the top bit of 64, and 5", b"\x81\xff" + struct.pack(">Q", 1 << 63 | 5) + MASK + masked(b"Hello"), 1002)

# Limits
for size in [MAX_MESSAGE + 1, 1 << 31, 1 << 32, (1 << 32) + 5, (1 << 63) - 1]:
    exchange(f"{size} bytes announced", header(BINARY, size), 1009)
exchange("a text too large, announced", header(TEXT, MAX_MESSAGE + 1), 1009)
exchange("a first fragment too large, announced", header(0x02, MAX_MESSAGE + 1), 1009)
exchange("a message too large in its second fragment", frame(0x02, b"x") + header(MORE, MAX_MESSAGE), 1009)
exchange(
    "a message too large in its second half",
    frame(0x02, bytes(10 * MIB)) + header(0x00, 6 * MIB + 1),
    1009,
    ways=ONCE,
)

# Close frames (section 5.5.1, 7.4)
exchange("a close without a body", frame(CLOSE), b"\x88\x00", None)
exchange("a close with one byte", frame(CLOSE, b"\x03"), 1002)
for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]:
    exchange(f"close code {code}", frame(CLOSE, close_body(code)), 1002)
for code in [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]:
    exchange(f"close code {code}", frame(CLOSE, close_body(code)), b"\x88\x02" + close_body(code), None)
exchange("a close with a reason", frame(CLOSE, close_body(1000, b"done")), b"\x88\x06\x03\xe8done", None)
exchange(
    "a close with the longest reason",
    frame(CLOSE, close_body(1000, b"x" * 123)),
    b"\x88\x7d\x03\xe8" + b"x" * 123,
    None,
)
exchange("a text after a close", frame(CLOSE, close_body(1000)) + HELLO, b"\x88\x02\x03\xe8", None)
exchange(
    "an unmasked frame after a close", frame(CLOSE, close_body(1000)) + b"\x81\x05Hello", b"\x88\x02\x03\xe8", None
)
exchange("a second close", frame(CLOSE, close_body(1000)) + frame(CLOSE, close_body(1001)), b"\x88\x02\x03\xe8", None)
exchange("a close inside a message", frame(0x01, b"Hel") + frame(CLOSE, close_body(1000)), b"\x88\x02\x03\xe8", None)
exchange("a text and a close at once", HELLO + frame(CLOSE, close_body(1000)), HELLO_ECHO, b"\x88\x02\x03\xe8", None)
exchange("a close reason that is not UTF-8", frame(CLOSE, close_body(1000, b"no\xff")), 1007)
exchange("a close reason that ends inside a character", frame(CLOSE, close_body(1000, b"no\xe2\x82")), 1007)
exchange("a close reason with a surrogate", frame(CLOSE, close_body(1000, b"\xed\xa0\x80")), 1007)

# UTF-8 (section 8.1)
for what, octets in [
    ("the byte ff", b"Hi\xff"),
    ("a lone continuation byte", b"\x80"),
    ("an overlong slash", b"\xc0\xaf"),
    ("an overlong NUL of three bytes", b"\xe0\x80\x80"),
    ("a surrogate", b"\xed\xa0\x80"),
    ("a character beyond Unicode", b"\xf4\x90\x80\x80"),
    ("the byte f5", b"\xf5\x80\x80\x80"),
    ("a character that is cut short", b"\xe2\x82A"),
]:
    exchange(f"text with {what}", frame(TEXT, octets), 1007)
    exchange(f"text with {what}, after 1000 bytes", frame(TEXT, b"x" * 1000 + octets + b"x" * 1000), 1007)
    exchange(f"text with {what}, in fragments", frame(0x01, octets[:1]) + frame(MORE, octets[1:] + b"x"), 1007)
    # The rest is announced but never sent. The answer must not wait for it.
    exchange(f"text with {what}, unfinished frame", header(TEXT, 1000) + masked(b"ok" + octets), 1007)
    exchange(f"text with {what}, unfinished message", frame(0x01, b"ok" + octets), 1007)
exchange("text that ends inside a character", frame(TEXT, b"Hi\xe2\x82"), 1007)
exchange("fragments that end inside a character", frame(0x01, b"Hi\xe2") + frame(MORE, b"\x82"), 1007)
exchange("text with a surrogate after two of its bytes, unfinished", header(TEXT, 1000) + masked(b"\xed\xa0"), 1007)
exchange("text beyond Unicode after two of its bytes, unfinished", header(TEXT, 1000) + masked(b"\xf4\x90"), 1007)
exchange(
    "bad UTF-8 in a later fragment, unfinished",
    frame(0x01, b"fine") + frame(PING) + header(0x00, 70000) + masked(b"fine\xff"),
    b"\x8a\x00",
    1007,
)
exchange("a valid text, then a bad one", HELLO + frame(TEXT, b"\xff"), HELLO_ECHO, 1007)
exchange("the same bytes in a binary message", frame(BINARY, b"\xff\xed\xa0\x80"), b"\x82\x04\xff\xed\xa0\x80")
exchange("bad UTF-8 in a ping", frame(PING, b"\xff"), b"\x8a\x01\xff")


def check_exchange(sent, answers, way):
    with Peer() as peer:
        if way == "with the request":
            peer.send(upgrade() + sent)
            open_handshake(peer)
        else:
            peer.send(upgrade())
            open_handshake(peer)
            peer.send(sent, slowly=way == "byte by byte")
        read_answers(peer, answers)


def read_answers(peer, answers):
    for answer in answers:
        if answer is None:  # the closing handshake is done
            peer.end()
            return
        got = peer.frame()
        if isinstance(answer, bytes):
            if got != answer:
                raise Wrong(f"got {brief(got)}, not {brief(answer)}")
        else:
            closed_with(got, answer)
            peer.end()
            return
    still_open(peer)


def closed_with(got, code):
    if got[0] != 0x88 or got[1] > 125:
        raise Wrong(f"got {brief(got)}, not Close {code}")
    body = got[2:]
    if body[:2] != struct.pack(">H", code):
        raise Wrong(f"Close {struct.unpack('>H', body[:2])[0] if body else 'without code'}, not {code}")
    body[2:].decode()


# ---------------------------------------------------------------- checks that do not fit into the
# tables

OTHERS = []


def other(name):
    def register(function):
        OTHERS.append((name, function))
        return function

    return register


def fragments_without_end(fragment):
    """Send only fragments: the connection is closed with 1008, long before the message is too
    large."""
    with Peer() as peer:
        peer.send(upgrade())
        open_handshake(peer)
        peer.send(frame(0x02))
        for _ in range(512):
            peer.send(fragment * 4096)
            if select.select([peer.socket], [], [], 0)[0]:
                break
        else:
            raise Wrong("2 million fragments were accepted")
        closed_with(peer.frame(), 1008)
        peer.end()


@other("fragments of one byte without end")
def _():
    fragments_without_end(frame(0x00, b"x"))


@other("empty fragments without end")
def _():
    fragments_without_end(frame(0x00))


@other("two requests for a page get one answer and the end")
def _():
    with Peer() as peer:
        peer.send(request(HOST, first=b"GET /healthz HTTP/1.1") * 2)
        status, headers = peer.head()
        if status != 200:
            raise Wrong(f"status {status}")
        peer.take(int(dict(headers)["content-length"]))
        peer.end()


@other("the target may be a whole URL (RFC 9112 section 3.2.2)")
def _():
    check_accepted(upgrade(first=b"GET http://127.0.0.1/echo HTTP/1.1"), False)


@other("nothing sent, then the end")
def _():
    with Peer() as peer:
        peer.socket.shutdown(socket.SHUT_WR)
        peer.end()


CONVERSATION = upgrade() + HELLO + frame(0x01, b"Hel") + frame(PING, b"?") + frame(MORE, b"lo") + frame(CLOSE)


class Witness:
    """A connection that must not be affected by the others."""

    def __enter__(self):
        self.peer = Peer()
        self.peer.send(upgrade())
        open_handshake(self.peer)
        return self

    def __exit__(self, error, *_):
        try:
            if error is None:
                still_open(self.peer)
                check_accepted(upgrade(), False)
        finally:
            self.peer.socket.close()

    def look(self, when):
        try:
            self.peer.send(HELLO)
            if (echo := self.peer.frame()) != HELLO_ECHO:
                raise Wrong(f"the echo is {brief(echo)}")
        except Wrong as error:
            raise Wrong(f"{when}: on another connection, {error}") from None


def reset(peer):
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


@other("resets at every byte of a conversation, at once")
def _():
    with Witness() as witness:
        for cut in range(len(CONVERSATION) + 1):
            with Peer() as peer:
                peer.send(CONVERSATION[:cut])
                reset(peer)
            witness.look(f"reset after {cut} bytes")


@other("resets at every byte of a conversation, after the server has read it")
def _():
    with Witness() as witness:
        for cut in range(len(CONVERSATION) + 1):
            with Peer() as peer:
                peer.send(CONVERSATION[:cut])
                witness.look(f"before the reset after {cut} bytes")
                reset(peer)
            witness.look(f"reset after {cut} bytes")


@other("resets during a large echo")
def _():
    large = frame(BINARY, os.urandom(4 * MIB))
    with Witness() as witness:
        for read in range(0, 200_000, 10_000):
            with Peer() as peer:
                peer.send(upgrade() + large)
                open_handshake(peer)
                peer.take(read)
                reset(peer)
            witness.look(f"reset after reading {read} bytes")


@other("the end at every byte of a conversation")
def _():
    with Witness() as witness:
        for cut in range(len(CONVERSATION)):
            with Peer() as peer:
                peer.send(CONVERSATION[:cut])
                peer.socket.shutdown(socket.SHUT_WR)
                try:
                    while peer.more():
                        pass
                except Wrong as error:
                    raise Wrong(f"end after {cut} bytes: {error}") from None
            witness.look(f"end after {cut} bytes")


@other("200 silent connections do not block others")
def _():
    silent = [Peer() for _ in range(200)]
    try:
        check_accepted(upgrade(), False)
    finally:
        for peer in silent:
            peer.socket.close()


# ---------------------------------------------------------------- the run


def cases():
    """Return all checks: section, name, function and its arguments."""
    for name, octets, statuses, wanted in REFUSED:
        for way in ["whole", "byte by byte"]:
            yield "bad requests", f"{name}, {way}", check_refused, (octets, statuses, wanted, way == "byte by byte")
    for name, octets in ACCEPTED:
        for way in ["whole", "byte by byte"]:
            yield "valid requests", f"{name}, {way}", check_accepted, (octets, way == "byte by byte")
    for name, sent, answers, ways in FRAMES:
        for way in ways:
            yield "frames", f"{name}, {way}", check_exchange, (sent, answers, way)
    for name, function in OTHERS:
        yield "other", name, function, ()


def main():
    global ADDRESS, DEADLINE
    address = re.fullmatch(r"\[?([^\[\]]+)\]?:(\d+)", sys.argv[1]) if len(sys.argv) == 2 else None
    if not address:
        sys.exit(__doc__)
    ADDRESS = (address[1], int(address[2]))
    DEADLINE = time.monotonic() + TOTAL
    passed = failed = 0
    sections = {}
    for section, name, function, arguments in cases():
        start = time.monotonic()
        try:
            function(*arguments)
            passed += 1
        except (Wrong, OSError, ValueError) as error:
            failed += 1
            print(f"FAIL  {section}: {name}: {error}", flush=True)
        count, seconds = sections.get(section, (0, 0))
        sections[section] = count + 1, seconds + time.monotonic() - start
    for section, (count, seconds) in sections.items():
        print(f"{section}: {count} checks in {seconds:.1f} s")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
