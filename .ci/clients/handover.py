#!/usr/bin/env python3
"""Upgrade a Lariat server again and again, under load, and lose nothing.

    python handover.py PATH/TO/lariat [--upgrades 5] [--clients 2000] [--node PATH/TO/handover_client.mjs]

Each upgrade starts `lariat serve --handover` beside the process that serves, or sends it SIGUSR2.
The old one must exit with 0. Meanwhile these run, and none of them may lose its connection, or get
a message twice, late, altered or in another order:

* `lariat load`: most of the clients echo short messages; some echo 1 MiB each; some are members of
  a topic in which one speaks;
* the package websockets, with compression contexts on both sides: random and compressible messages
  in both directions, pings, and two people in a room of the chat;
* a large message that a client sends byte by byte, and one that it does not read, through all
  upgrades;
* with --node, the package ws;
* then, in three more upgrades of a server with TLS 1.3, `lariat load` and the package websockets.

At the end the metrics must have counted on, and every handover. Prints the longest time that a
client has waited. Needs requirements.txt.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

PATIENCE = 20  # seconds until something happens
PAUSE = 1.5  # seconds between two upgrades
ARGUMENTS = argparse.ArgumentParser()
ARGUMENTS.add_argument("lariat")
ARGUMENTS.add_argument("--upgrades", type=int, default=5)
ARGUMENTS.add_argument("--clients", type=int, default=2000)
ARGUMENTS.add_argument("--node")
ARGUMENTS.add_argument("--longest", type=float, help="the most milliseconds that a client may wait")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    """The processes that serve one address, one after the other."""

    def __init__(self, lariat, folder, name, options=()):
        self.port, self.log = free_port(), folder / f"{name}.log"
        self.command = [lariat, "serve", "--listen", f"127.0.0.1:{self.port}", "--handover", str(folder / f"{name}.sock")]
        self.command += ["--deflate-contexts", "64MiB", *options]
        self.upgrades = 0
        self.output = self.log.open("w")
        self.process = self.start()
        self.pid = self.process.pid

    def start(self):
        environment = {**os.environ, "RUST_LOG": "info"}
        return subprocess.Popen(self.command, stdout=self.output, stderr=self.output, env=environment)

    async def serves(self, lines):
        """Wait until a process has said that it serves, for the time with this number."""
        await until(lambda: self.log.read_text().count("Lariat listens on") >= lines, f"{self.log.name}: no process serves")

    def said(self, text):
        return self.log.read_text().count(text)

    async def upgrade(self):
        """Replace the process, and return the number of connections that were moved."""
        self.upgrades += 1
        old = self.process
        if self.upgrades % 2:
            self.process = self.start()
            self.pid = self.process.pid
        else:
            # The process starts its successor itself, so that is no child of this one.
            os.kill(self.pid, signal.SIGUSR2)
        await self.serves(self.upgrades + 1)
        if old is not None:
            await until(lambda: old.poll() is not None, "the old process does not end")
            assert old.returncode == 0, f"the old process has exited with {old.returncode}"
        if not self.upgrades % 2:
            self.process = None
            self.pid = listener_of(self.port)
        await until(lambda: self.said("handed over:") == self.upgrades, "the old process has not handed over")

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self.output.close()


def listener_of(port):
    """Return the process that listens at a port."""
    found = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return int(found.split("pid=")[1].split(",")[0])


async def until(done, problem):
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > PATIENCE:
            raise AssertionError(problem)
        await asyncio.sleep(0.01)


class Load:
    """A run of `lariat load`."""

    def __init__(self, lariat, folder, name, url, options):
        self.name, self.report = name, folder / f"load-{name}.json"
        command = [lariat, "load", url, "--quiet", "--json", str(self.report), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    async def end(self):
        await asyncio.to_thread(self.process.wait)
        problem = self.process.stderr.read()
        assert self.process.returncode == 0, f"lariat load ({self.name}): {problem}"
        return json.loads(self.report.read_text())


async def echoes(url, seed, stop, **options):
    """Echo random messages, in both directions at once, until `stop` is set."""
    draw = random.Random(seed)
    deflate = ClientPerMessageDeflateFactory(server_no_context_takeover=False, client_no_context_takeover=False)
    options |= {"extensions": [deflate], "compression": None} if seed % 2 else {}
    longest = sent = 0
    async with connect(url, max_size=None, ping_interval=0.5, ping_timeout=PATIENCE, **options) as client:
        words = [draw.randbytes(8).hex() for _ in range(50)]
        while not stop.is_set():
            if draw.random() < 0.05:
                message = draw.randbytes(draw.randrange(200_000))
            else:
                message = " ".join(draw.choices(words, k=draw.randrange(1, 300)))
            begun = time.monotonic()
            count = draw.randrange(1, 4)
            for _ in range(count):
                await client.send(message)
            for _ in range(count):
                assert await asyncio.wait_for(client.recv(), PATIENCE) == message, "another message came back"
            longest = max(longest, time.monotonic() - begun)
            sent += count
            await asyncio.sleep(draw.random() / 50)
    return sent, longest


async def talk(url, stop):
    """Two people say numbers in a room of the chat. Both must see all, once and in one order."""
    seen, said, silent = [[], []], [0, 0], set()

    def is_all_seen(place):
        """Whether both are silent, and their last messages have come to this one."""
        texts = [text for _, text in seen[place]]
        return len(silent) == 2 and all(f"{other} {said[other]}" in texts for other in (0, 1))

    async def person(place):
        async with connect(url, max_size=None) as client:
            join = {"room": "upgrade", "name": f"p{place}", "key": f"key{place}" * 4, "server": "", "after": 0, "last": ""}
            await client.send(json.dumps({"join": join}))

            async def listen():
                async for text in client:
                    message = json.loads(text)
                    if isinstance(message, dict) and "message" in message:
                        seen[place].append((message["message"]["n"], message["message"]["text"]))
                raise AssertionError("the chat has closed")

            listening = asyncio.create_task(listen())
            while not stop.is_set():
                said[place] += 1
                say = {"id": random.randbytes(8).hex(), "text": f"{place} {said[place]}", "age": 0}
                await client.send(json.dumps({"say": say}))
                await asyncio.sleep(0.1)
            silent.add(place)
            await until(lambda: listening.done() or is_all_seen(place), f"the last messages do not come to {place}")
            if listening.done():
                listening.result()
            listening.cancel()

    first = asyncio.create_task(person(0))
    await until(lambda: seen[0] or first.done(), "the first message does not come back")
    await asyncio.gather(first, person(1))
    later = [message for message in seen[0] if message[0] >= seen[1][0][0]]
    assert later == seen[1], f"the two saw other messages: {later} and {seen[1]}"
    numbers = [number for number, _ in seen[0]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"gaps in {numbers}"
    for place in (0, 1):
        own = [text for _, text in seen[0] if text.startswith(f"{place} ")]
        assert own == [f"{place} {number}" for number in range(1, said[place] + 1)], f"{own} of {said[place]}"
    return len(seen[0])


HANDSHAKE = (
    "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def slowly(port, stop, size=3_000_000):
    """Send one message bit by bit through all upgrades, and read the answer in the same way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    half = len(HANDSHAKE) // 2
    writer.write(HANDSHAKE[:half].encode())
    await writer.drain()
    await asyncio.sleep(PAUSE * 1.2)  # an upgrade in the middle of the opening handshake
    writer.write(HANDSHAKE[half:].encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    payload = random.Random(1).randbytes(size)
    frame = bytes([0x82, 0xFF]) + size.to_bytes(8, "big") + bytes(4) + payload
    begun, place = time.monotonic(), 0
    while place < len(frame):
        step = 1 if place < 20 else len(frame) // 200
        writer.write(frame[place : place + step])
        await writer.drain()
        place += step
        await asyncio.sleep(0.05 if place < 20 else 0 if stop.is_set() else 0.02)
    answer = await asyncio.wait_for(reader.readexactly(10 + size), PATIENCE)
    assert answer == bytes([0x82, 0x7F]) + size.to_bytes(8, "big") + payload, "the large message came back altered"
    writer.close()
    return time.monotonic() - begun


async def unread(port, stop, size=4_000_000):
    """Let a large answer wait through all upgrades, and read it then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(HANDSHAKE.encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    # A reader of asyncio stops at its limit.
    payload = random.Random(2).randbytes(size)
    writer.write(bytes([0x82, 0xFF]) + size.to_bytes(8, "big") + bytes(4) + payload)
    await stop.wait()
    answer = await asyncio.wait_for(reader.readexactly(10 + size), PATIENCE)
    assert answer[10:] == payload, "what was not read came altered"
    writer.close()


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as response:
        lines = response.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


async def run(arguments, folder):
    server = Server(arguments.lariat, folder, "plain")
    try:
        return await attend(arguments, folder, server)
    finally:
        server.stop()


async def attend(arguments, folder, server):
    lariat, upgrades = arguments.lariat, arguments.upgrades
    await server.serves(1)
    http, base = f"127.0.0.1:{server.port}", f"ws://127.0.0.1:{server.port}"
    hold = f"{PAUSE * (upgrades + 2) + 3}s"
    few = max(arguments.clients // 10, 1)
    crowd = arguments.clients - 2 * few
    loads = [
        Load(lariat, folder, "echo", f"{base}/echo", ["-c", str(crowd), "--echo", "-m", "2000", "--hold", hold]),
        Load(lariat, folder, "large", f"{base}/echo", ["-c", "8", "--echo", "--size", "1048576", "-m", "16", "--hold", hold]),
        Load(lariat, folder, "topic", f"{base}/broadcast", ["-c", str(2 * few), "--subscribe", "-m", "20", "--hold", hold]),
    ]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(echoes(f"{base}/echo", seed, stop)) for seed in range(20)]
    chat = asyncio.create_task(talk(f"{base}/chat", stop))
    others = [asyncio.create_task(slowly(server.port, stop)), asyncio.create_task(unread(server.port, stop))]
    node = None
    if arguments.node:
        node = subprocess.Popen(["node", arguments.node, base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = await asyncio.to_thread(node.stdout.readline)
        assert line.strip() == "open", f"the package ws: {line}"
    await asyncio.sleep(2)
    before = metrics(server.port)
    for _ in range(upgrades):
        await asyncio.sleep(PAUSE)
        await server.upgrade()
        for task in [*tasks, chat, *others]:
            if task.done():
                task.result()
                assert task in others, "a client has ended too early"
    await asyncio.sleep(PAUSE)
    after = metrics(server.port)
    stop.set()
    ends = await asyncio.gather(*tasks)
    said = await chat
    took, _ = await asyncio.gather(*others)
    reports = [await load.end() for load in loads]
    if node:
        output, _ = await asyncio.to_thread(node.communicate, "stop\n")
        assert node.returncode == 0 and output.startswith("ok"), f"the package ws: {output}"
        print(f"  package ws: {output.strip()}")
    longest = max(longest for _, longest in ends)
    print(f"  package websockets: {sum(sent for sent, _ in ends):,} messages, the longest wait {longest * 1000:.0f} ms")
    print(f"  chat: {said} messages, seen by both once and in order; a message of 3 MB took {took:.1f} s")
    for load, report in zip(loads, reports):
        check(load.name, report)
    slowest = reports[0]["latency"]["round_trip"]["max_us"] / 1000
    assert after["lariat_handovers_total"] == upgrades, after
    assert after["lariat_accepted_total"] > before["lariat_accepted_total"] > arguments.clients, "the counters began anew"
    moved, frozen = after['lariat_handover_connections{outcome="moved"}'], after["lariat_handover_frozen_seconds"]
    left = after['lariat_handover_connections{outcome="left"}']
    print(f"  last upgrade: {moved:.0f} connections moved, {left:.0f} left, frozen for {frozen * 1000:.1f} ms ({http})")
    return slowest


async def secured(arguments, folder):
    """The same with TLS: sessions go on with the next record."""
    subprocess.run([arguments.lariat, "cert", "--dir", folder], check=True, stdout=subprocess.DEVNULL)
    files = ["--tls-cert", str(folder / "lariat-cert.pem"), "--tls-key", str(folder / "lariat-key.pem")]
    server = Server(arguments.lariat, folder, "secured", files)
    try:
        await server.serves(1)
        url, ca = f"wss://localhost:{server.port}/echo", folder / "lariat-ca.pem"
        hold = f"{PAUSE * 5 + 2}s"
        load = Load(arguments.lariat, folder, "wss", url, ["-c", "300", "--echo", "-m", "1000", "--ca", str(ca), "--hold", hold])
        stop = asyncio.Event()
        context = ssl.create_default_context(cafile=ca)
        tasks = [asyncio.create_task(echoes(url, seed, stop, ssl=context)) for seed in range(6)]
        await asyncio.sleep(1.5)
        for _ in range(3):
            await asyncio.sleep(PAUSE)
            await server.upgrade()
            assert not any(task.done() for task in tasks), "a client with TLS has ended too early"
        stop.set()
        ends = await asyncio.gather(*tasks)
        check("wss", await load.end())
        print(f"  package websockets over TLS: {sum(sent for sent, _ in ends):,} messages")
    finally:
        server.stop()


def check(name, report):
    """Check that a run of `lariat load` has lost nothing."""
    messages, connections = report["messages"], report["connections"]
    bad = {key: messages[key] for key in ("wrong", "unanswered", "unexpected", "missed", "doubled", "out_of_order") if messages[key]}
    bad |= {key: connections[key] for key in ("failed", "lost", "reconnected") if connections[key]}
    assert not bad and not report["errors"] and messages["sent"] > 0, f"{name}: {bad or report['errors'] or messages}"
    text = f"{messages['sent']:,} sent, {messages['received']:,} received, on {connections['most']:,} connections"
    print(f"  lariat load, {name}: {text}")


async def main():
    arguments = ARGUMENTS.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="lariat-handover-") as folder:
        slowest = await run(arguments, pathlib.Path(folder))
        await secured(arguments, pathlib.Path(folder))
    if arguments.longest is not None:
        assert slowest <= arguments.longest, f"a client has waited for {slowest:.0f} ms"
    print(f"{arguments.upgrades} upgrades with {arguments.clients} clients: nothing was lost; the longest wait was {slowest:.0f} ms")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except AssertionError as error:
        sys.exit(f"FAILED: {error}")
