#!/usr/bin/env python3
"""Check the memory of an idle connection in the released program: at most 64 bytes.

    python3 idle.py PATH/TO/lariat [CONNECTIONS]

The script opens 19,000 connections and lets each echo 64 KiB, one after another. It reads the
program's private dirty memory before the first connection, when all are open, and when all have
echoed. It fails if memory has grown by more than 64 bytes per connection. `cargo test --test
memory` measures the same for a program with larger entries, because it contains the simulator.
"""

import os
import re
import resource
import socket
import subprocess
import sys
import time

ALLOWED = 64
REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SIZE = 64 << 10
# For a server, a masking key of zero is as good as any other.
MESSAGE = b"\x82\xff" + SIZE.to_bytes(8, "big") + bytes(4) + bytes(SIZE)
ECHO = b"\x82\x7f" + SIZE.to_bytes(8, "big") + bytes(SIZE)


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


def connect(port):
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
    stream.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = stream.recv(4096)
        if not piece:
            sys.exit(f"the server has disconnected: {answer}")
        answer += piece
    assert b" 101 " in answer, answer
    return stream


def echo(stream):
    stream.sendall(MESSAGE)
    answer = bytearray()
    while len(answer) < len(ECHO):
        piece = stream.recv(SIZE)
        if not piece:
            sys.exit("the server has disconnected")
        answer += piece
    assert answer == ECHO


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 19_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Pages of a recently written file would count as dirty.
    with open(program, "rb") as file:
        os.fsync(file.fileno())
    server = subprocess.Popen([program, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+)", server.stdout.readline()).group(1))
        before = rest(server.pid)
        print(f"before the first of {count}: {before} bytes", flush=True)
        streams = [connect(port) for _ in range(count)]
        steps = [("idle", lambda: None), ("each echoed 64 KiB", lambda: [echo(stream) for stream in streams])]
        for what, step in steps:
            step()
            more = rest(server.pid) - before
            print(f"{what}: {more} bytes more, {more / count:.1f} a connection", flush=True)
            if more > ALLOWED * count:
                sys.exit(f"{what}: that is more than {ALLOWED} bytes a connection")
    finally:
        server.kill()
        server.wait()


main()
