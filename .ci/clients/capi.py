#!/usr/bin/env python3
"""Run the hosts in C (capi/examples) with the Python package `websockets` as their client: with
each compiler that is there, under valgrind, and with the sanitizers of gcc (addresses, undefined
behaviour).

    python capi.py target/debug

Cargo builds that folder: `cargo build -p lariat-capi`. Needs requirements.txt, gcc and valgrind.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

PATIENCE = 60  # seconds; valgrind is slow
CAPI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "capi")
STRICT = ["-std=gnu99", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
VALGRIND = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=9"]


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def compile_example(name, folder, compiler, *flags):
    program = os.path.join(folder, f"capi-{name}-{compiler}{'-'.join(flags).replace('=', '').replace(',', '')}")
    source, library = os.path.join(CAPI, "examples", f"{name}.c"), os.path.join(folder, "liblariat_c.a")
    include = os.path.join(CAPI, "include")
    libraries = ["-lpthread", "-ldl", "-lm"]
    subprocess.run([compiler, *STRICT, *flags, "-I", include, source, library, *libraries, "-o", program], check=True)
    return program


@contextlib.asynccontextmanager
async def running(command):
    """Start a host. Yield its address and its process. In the end it must stop without an error."""
    process = await asyncio.create_subprocess_exec(*command, "127.0.0.1:0", stdin=-1, stdout=-1)
    try:
        first = (await process.stdout.readline()).decode().split()
        equal(first[:2], ["listening", "on"], "the first line")
        yield first[2], process
        equal(await process.wait(), 0, "the exit code")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def misbehave(address):
    """Connect, say something wrong or nothing, and reset."""
    host, port = address.rsplit(":", 1)
    for text in [b"", b"GET / HT", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\xff"]:
        with socket.create_connection((host, int(port))) as stream:
            stream.sendall(text)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def echo(command):
    async with running(command) as (address, process):
        misbehave(address)
        async with connect(f"ws://{address}/", proxy=None) as client, connect(f"ws://{address}/", proxy=None):
            for message in ["hello", "", "é" * 50_000, b"\0\xff" * 1_000, b""]:
                await client.send(message)
                equal(await client.recv(), message, "the echo")
            process.send_signal(signal.SIGTERM)
            await client.wait_closed()
            equal(client.close_code, 1001, "the code")


async def chat(command):
    def join(room, *subprotocols):
        return connect(f"ws://{address}{room}", subprotocols=subprotocols or None, proxy=None)

    async with running(command) as (address, process):
        misbehave(address)
        try:
            async with join("/tea"):
                raise AssertionError("a client without the subprotocol is accepted")
        except InvalidStatus as refused:
            equal(refused.response.status_code, 400, "status")
        async with join("/tea", "chat") as ann, join("/tea", "other", "chat") as bob:
            equal(bob.subprotocol, "chat", "the subprotocol")
            await ann.recv()
            await bob.send("a cup?")
            equal((await ann.recv()).split(" ", 1)[1], "a cup?", "what Ann hears")
            await bob.send(b"bytes")
            await bob.wait_closed()
            equal(bob.close_code, 1003, "the code")
        process.stdin.close()


async def status(command):
    async with running(command) as (address, process):
        misbehave(address)
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{address}/").read())
        assert b"<script>" in page, page
        async with connect(f"ws://{address}/counters", proxy=None) as client:
            for _ in range(2):
                names = [each["name"] for each in json.loads(await client.recv())]
                assert names, "no interface"
        process.send_signal(signal.SIGINT)


async def main(folder):
    for example in [echo, chat, status]:
        name = example.__name__
        ways = [(VALGRIND, compile_example(name, folder, compiler)) for compiler in ["gcc", "clang"] if shutil.which(compiler)]
        ways.append(([], compile_example(name, folder, "gcc", "-fsanitize=address,undefined", "-fno-sanitize-recover")))
        for before, program in ways:
            async with asyncio.timeout(PATIENCE):
                await example([*before, program])
            print(f"ok: {' '.join([*before[:1], os.path.basename(program)])}", flush=True)


asyncio.run(main(sys.argv[1]))
