#!/usr/bin/env python3
"""Counts user-space instructions per echoed message of 20 bytes of text, with callgrind.

    cargo build --release && python3 benches/instructions.py [PATH/TO/lariat]

For each depth, the server runs twice, with different numbers of messages from 16 connections. The
cost of a message is the difference of the counts, divided by the difference of the messages. So the
start of the server does not count. Unlike times, instructions are the same on a busy machine. Needs
valgrind.
"""
import re
import socket
import subprocess
import sys
import tempfile

SERVER = sys.argv[1] if len(sys.argv) > 1 else "target/release/lariat"
CONNECTIONS, SIZE = 16, 20
REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(payload, key=b"\x11\x22\x33\x44"):
    masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    return bytes([0x81, 0x80 | len(payload)]) + key + masked


def receive(stream, count):
    while count > 0:
        piece = stream.recv(count)
        if not piece:
            sys.exit("the server has disconnected")
        count -= len(piece)


def load(port, rounds, depth):
    streams = []
    for _ in range(CONNECTIONS):
        stream = socket.create_connection(("127.0.0.1", port), timeout=60)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(REQUEST)
        assert b" 101 " in stream.recv(4096)
        streams.append(stream)
    batch = frame(b"a" * SIZE) * depth
    for _ in range(rounds):
        for stream in streams:
            stream.sendall(batch)
        for stream in streams:
            receive(stream, depth * (SIZE + 2))
    for stream in streams:
        stream.close()


def instructions(rounds, depth):
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", SERVER, "--listen", "127.0.0.1:0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            port = int(re.search(r":(\d+)", server.stdout.readline()).group(1))
            load(port, rounds, depth)
        finally:
            server.send_signal(2)
            errors = server.communicate(timeout=60)[1]
        return int(re.search(r"Collected : (\d+)", errors).group(1))


for depth, few, many in [(1, 500, 1500), (32, 100, 300)]:
    more = instructions(many, depth) - instructions(few, depth)
    print(f"depth {depth:2}: {more / ((many - few) * CONNECTIONS * depth):.0f} instructions a message")
