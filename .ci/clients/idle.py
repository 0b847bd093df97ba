#!/usr/bin/env python3
"""Check the memory of an idle connection in the released program: at most 64 bytes, 640 with TLS
1.3, and 4,096 with TLS 1.2.

    python3 idle.py PATH/TO/lariat [CONNECTIONS]
    python3 idle.py --tls PATH/TO/lariat [CONNECTIONS]

The script opens 19,000 connections and lets each echo 64 KiB, one after another. It reads the
program's private dirty memory with one connection, when all are open, and when all have echoed. It
fails if memory has grown by more than 64 bytes per connection. `cargo test --test memory` measures
the same for a program with larger entries, because it contains the simulator.

With `--tls`, it opens 5,000 connections of each version, one server after the other, and each
echoes 16 KiB.
"""

import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ALLOWED = 64
ALLOWED_TLS = {"TLS 1.2": 4_096, "TLS 1.3": 640}
REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SIZE, SIZE_TLS = 64 << 10, 16 << 10


def private_dirty(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty")) << 10


def rest(pid):
    """Return the value when it no longer changes."""
    before = -1
    for _ in range(50):
        now = private_dirty(pid)
        if now == before:
            break
        before = now
        time.sleep(0.3)
    return now


class Tls:
    """A stream with TLS in memory. It needs less memory than a socket of `ssl`."""

    def __init__(self, stream, tls):
        self.stream, self.incoming, self.outgoing = stream, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.wait(self.tls.do_handshake)

    def wait(self, step, *arguments):
        while True:
            try:
                outcome = step(*arguments)
            except ssl.SSLWantReadError:
                outcome = None
            if octets := self.outgoing.read():
                self.stream.sendall(octets)
            if outcome is not None or step == self.tls.do_handshake and self.tls.cipher():
                return outcome
            octets = self.stream.recv(SIZE)
            self.incoming.write(octets) if octets else self.incoming.write_eof()

    def sendall(self, octets):
        self.wait(self.tls.write, octets)

    def recv(self, size):
        return self.wait(self.tls.read, size)


def connect(port, tls=None):
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
    if tls:
        stream = Tls(stream, tls)
    stream.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = stream.recv(4096)
        if not piece:
            sys.exit(f"the server has disconnected: {answer}")
        answer += piece
    assert b" 101 " in answer, answer
    return stream


def echo(stream, size):
    kind, length = (126, size.to_bytes(2, "big")) if size < 65536 else (127, size.to_bytes(8, "big"))
    # For a server, a masking key of zero is as good as any other.
    stream.sendall(bytes([0x82, 0x80 | kind]) + length + bytes(4) + bytes(size))
    wanted, answer = bytes([0x82, kind]) + length + bytes(size), bytearray()
    while len(answer) < len(wanted):
        piece = stream.recv(SIZE)
        if not piece:
            sys.exit("the server has disconnected")
        answer += piece
    assert answer == wanted


def certificates(program, folder):
    """Write certificates. Return the server's options, and clients for each version."""
    subprocess.run([program, "cert", "--dir", folder], check=True, stdout=subprocess.DEVNULL)
    clients = {}
    for name, version in [("TLS 1.2", ssl.TLSVersion.TLSv1_2), ("TLS 1.3", ssl.TLSVersion.TLSv1_3)]:
        clients[name] = ssl.create_default_context(cafile=f"{folder}/lariat-ca.pem")
        clients[name].minimum_version = clients[name].maximum_version = version
    return ["--tls-cert", f"{folder}/lariat-cert.pem", "--tls-key", f"{folder}/lariat-key.pem"], clients


def measure(program, options, tls, count, size, allowed):
    # Pages of a recently written file would count as dirty.
    with open(program, "rb") as file:
        os.fsync(file.fileno())
    server = subprocess.Popen([program, "--listen", "127.0.0.1:0", *options], stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+)", server.stdout.readline()).group(1))
        # The loop's buffer for reads comes with the first connection, once for all.
        first = connect(port, tls)
        before = rest(server.pid)
        print(f"with one connection, before {count} others: {before} bytes", flush=True)
        streams = [connect(port, tls) for _ in range(count)]
        echoes = f"each echoed {size >> 10} KiB"
        for what, step in [("idle", lambda: None), (echoes, lambda: [echo(stream, size) for stream in streams])]:
            step()
            more = rest(server.pid) - before
            print(f"{what}: {more} bytes more, {more / count:.1f} a connection", flush=True)
            if more > allowed * count:
                sys.exit(f"{what}: that is more than {allowed} bytes a connection")
    finally:
        server.kill()
        server.wait()


def main():
    arguments = sys.argv[1:]
    is_tls = arguments[:1] == ["--tls"]
    program, *count = arguments[is_tls:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        if is_tls:
            options, clients = certificates(program, folder)
            for version, tls in clients.items():
                print(version)
                measure(program, options, tls, int(*count or [5_000]), SIZE_TLS, ALLOWED_TLS[version])
        else:
            measure(program, [], None, int(*count or [19_000]), SIZE, ALLOWED)


main()
