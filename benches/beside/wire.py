"""A small WebSocket client for counted runs, without timing: everything is in lock-step and the
same each time."""
import os
import socket
import ssl
import zlib

KEY = b"\x11\x22\x33\x44"
DEFLATE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"


def frame(payload, opcode=1, compressed=False):
    """Returns a complete masked frame."""
    length = len(payload)
    head = bytes([0x80 | (0x40 if compressed else 0) | opcode])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + length.to_bytes(8, "big")
    key = int.from_bytes((KEY * (length // 4 + 1))[:length], "little")
    return head + KEY + (int.from_bytes(payload, "little") ^ key).to_bytes(length, "little")


def compress(payload):
    """Returns a payload compressed as permessage-deflate requires."""
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Wire:
    """One connection."""

    def __init__(self, port, path, deflate=False, context=None, session=None):
        """With an SSL context, it speaks TLS and may resume a session."""
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.stream = context.wrap_socket(self.stream, server_hostname="localhost", session=session)
        offer = f"Sec-WebSocket-Extensions: {DEFLATE}\r\n" if deflate else ""
        self.stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
        )
        self.reader = self.stream.makefile("rb", 1 << 16)
        self.response = []
        while line := self.reader.readline().strip():
            self.response.append(line.decode().lower())
        if not self.response or " 101 " not in self.response[0]:
            raise ConnectionError(f"no upgrade: {self.response[:1]}")

    def has_deflate(self):
        return any(line.startswith("sec-websocket-extensions:") and "permessage-deflate" in line for line in self.response)

    def send(self, data):
        self.stream.sendall(data)

    def receive(self):
        """Returns the payload of the next message, as received. Fragments are joined."""
        payload = b""
        while True:
            first, length = self._read(2)
            length &= 0x7F
            if length >= 126:
                length = int.from_bytes(self._read(2 if length == 126 else 8), "big")
            piece = self._read(length)
            if first & 0x0F in (0, 1, 2):
                payload += piece
                if first & 0x80:
                    return payload

    def _read(self, count):
        data = self.reader.read(count)
        if len(data) < count:
            raise ConnectionError("the server has disconnected")
        return data

    def close(self):
        self.reader.close()
        self.stream.close()


def echo(port, connections, rounds, batch, depth, deflate=False, path="/echo"):
    """Several connections send `batch`, which has `depth` messages. When all echoes have arrived,
    they send again."""
    wires = [Wire(port, path, deflate) for _ in range(connections)]
    for _ in range(rounds):
        for wire in wires:
            wire.send(batch)
        for wire in wires:
            for _ in range(depth):
                wire.receive()
    for wire in wires:
        wire.close()
    return rounds * connections * depth


def publish(port, connections, rounds, batch, depth, path="/broadcast"):
    """One connection sends `batch`. When all others have received its `depth` messages, it sends
    again."""
    wires = [Wire(port, path) for _ in range(connections)]
    for _ in range(rounds):
        wires[0].send(batch)
        for wire in wires[1:]:
            for _ in range(depth):
                wire.receive()
    for wire in wires:
        wire.close()
    return rounds * (connections - 1) * depth


def handshakes(port, rounds, path="/echo"):
    """Opens and closes one connection after another."""
    for _ in range(rounds):
        wire = Wire(port, path)
        wire.send(frame(b"\x03\xe8", opcode=8))
        wire.reader.read()
        wire.close()
    return rounds


def abilities(port, has_deflate_port):
    """Returns the abilities of a server: {"echo", "publish", "deflate"} or fewer."""
    found = set()
    hello = frame(b"hello")
    try:
        wire = Wire(port, "/echo")
        wire.stream.settimeout(3)
        wire.send(hello)
        if wire.receive() == b"hello":
            found.add("echo")
        wire.close()
    except OSError:
        return found
    try:
        wires = [Wire(port, "/broadcast") for _ in range(2)]
        wires[1].stream.settimeout(1)
        wires[0].send(hello)
        if wires[1].receive() == b"hello":
            found.add("publish")
    except OSError:
        pass
    finally:
        for wire in wires:
            wire.close()
    try:
        wire = Wire(has_deflate_port, "/echo", deflate=True)
        if wire.has_deflate():
            found.add("deflate")
        wire.close()
    except OSError:
        pass
    return found


def tls_abilities(port, ca):
    """Returns the abilities of a server with TLS: {"tls", "resumption"} or fewer."""
    found, session = set(), None
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        for _ in range(2):
            wire = Wire(port, "/echo", context=context, session=session)
            wire.send(frame(b"hello"))
            if wire.receive() == b"hello":
                found.add("resumption" if wire.stream.session_reused else "tls")
            session = wire.stream.session
            wire.close()
    except OSError:
        pass
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cores():
    """Returns a core for the server and one for the client, if there are two."""
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}
