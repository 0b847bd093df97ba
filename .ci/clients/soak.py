#!/usr/bin/env python3
"""Run hundreds of clients, good and bad, for any time. No good client may suffer, and nothing may
be left behind.

    python3 soak.py PATH/TO/lariat [SECONDS]

The script starts its own server with a small memory budget. Well-behaved clients measure the time
of their echoes. All other clients do what a server must tolerate. Every second the script checks
memory, descriptors and /metrics. It fails in these cases:

* A well-behaved client is closed, gets a wrong answer, or waits too long.
* More memory is held than the budget allows.
* Memory or descriptors are higher at the end than before.
"""

import asyncio
import logging
import multiprocessing
import os
import random
import re
import resource
import socket
import struct
import subprocess
import sys
import time
import urllib.request
import zlib

MIB = 1 << 20
BUDGET = 32 * MIB
# The longest time of a well-behaved client's echo, in 99 of 100 cases (seconds).
LATENCY = 0.1
REQUEST = (
    "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n"
)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
TAIL = b"\x00\x00\xff\xff"


def frame(first, payload, announced=None):
    """Return a client's frame. Its masking key is zero, which is as good as any other for a server.
    """
    length = len(payload) if announced is None else announced
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + bytes(4) + payload


class Refused(Exception):
    """The server did not upgrade the connection, which is allowed."""


class Gone(Exception):
    """The server has closed the connection with this code."""


class Client:
    """A connection that sends literal bytes."""

    async def open(port, headers="", limit=1 << 16):
        client = Client()
        client.reader, client.writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
        client.writer.write(REQUEST.format(headers).encode())
        try:
            head = await client.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            client.abort()
            raise Refused("no answer") from None
        if not head.startswith(b"HTTP/1.1 101 "):
            client.abort()
            raise Refused(head[9:12].decode())
        return client

    def send(self, data):
        self.writer.write(data)

    async def receive(self):
        """Read the next frame. Return its first byte and its payload."""
        try:
            first, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Gone(f"no Close frame: {error!r}") from None
        if first == 0x88:
            raise Gone(struct.unpack("!H", payload[:2])[0] if payload else 1005)
        return first, payload

    async def message(self):
        """Read the next message and answer pings."""
        while True:
            first, payload = await self.receive()
            if first == 0x89:
                self.send(frame(0x8A, payload))
            else:
                return first, payload

    async def until_gone(self):
        """Read until the server disconnects."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass

    def abort(self):
        """Send RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def leave(self):
        self.writer.close()


# ---------------------------------------------------------------- well-behaved clients


async def behave(port, end, latencies):
    """Send twenty messages a second and check each echo."""
    rng = random.Random()
    client = await Client.open(port)
    while time.monotonic() < end:
        message = rng.randbytes(rng.choice((10, 100, 1_000, 16_000)))
        sent = time.monotonic()
        client.send(frame(0x82, message))
        answer = await client.message()
        latencies.append(time.monotonic() - sent)
        if answer != (0x82, message):
            raise AssertionError(f"a wrong echo of {len(message)} bytes")
        await asyncio.sleep(rng.uniform(0.0, 0.1))
    client.send(frame(0x88, struct.pack("!H", 1000)))
    try:
        await client.receive()
    except Gone as gone:
        if gone.args[0] != 1000:
            raise
    client.leave()


def well_behaved(port, end, count, results):
    """Run a process of well-behaved clients. Report errors and latencies."""
    latencies = []

    async def run():
        await asyncio.gather(*(behave(port, end, latencies) for _ in range(count)))

    try:
        asyncio.run(run())
        results.put((None, latencies))
    except Exception as error:  # pylint: disable=broad-except
        results.put((f"a well-behaved client: {error!r}", latencies))


# ---------------------------------------------------------------- all the others


async def never_reads(port, _rng):
    """Send as long as the server accepts bytes, and read nothing."""
    client = await Client.open(port)
    client.writer.transport.pause_reading()
    # The server closes the connection at some point.
    for _ in range(16_384):
        client.send(frame(0x82, bytes(65_000)))
        await asyncio.wait_for(client.writer.drain(), 40)
        await asyncio.sleep(0.005)
    client.abort()


async def trickle(client, data, pause):
    for byte in data:
        client.send(bytes([byte]))
        await asyncio.sleep(pause)


async def slow_head(port, _rng):
    """Send a request that does not end."""
    client = Client()
    client.reader, client.writer = await asyncio.open_connection("127.0.0.1", port)
    sender = asyncio.ensure_future(trickle(client, REQUEST.encode(), 0.5))
    await client.until_gone()
    sender.cancel()
    client.leave()


async def slow_frame(port, rng):
    """Send a header or a payload that does not end."""
    client = await Client.open(port)
    whole = frame(0x82, bytes(5_000))
    sender = asyncio.ensure_future(trickle(client, whole[rng.choice((0, 9)) :], 1.0))
    await asyncio.wait([asyncio.ensure_future(client.until_gone())], timeout=rng.uniform(20, 150))
    sender.cancel()
    client.abort()


async def lingers(port, _rng):
    """Send a Close and keep the connection."""
    client = await Client.open(port)
    client.send(frame(0x88, struct.pack("!H", 1000)))
    await client.until_gone()
    await asyncio.sleep(10)
    client.leave()


async def hoards(port, rng):
    """Announce a large message, send most of it, and wait."""
    client = await Client.open(port)
    client.send(frame(0x82, bytes(rng.choice((1_000, 700_000, 1_000_000))), announced=MIB))
    await asyncio.wait([asyncio.ensure_future(client.until_gone())], timeout=rng.uniform(5, 30))
    client.abort()


async def resets(port, rng):
    """Send RST in every state."""
    client = Client()
    client.reader, client.writer = await asyncio.open_connection("127.0.0.1", port)
    said = [
        b"",
        REQUEST[:40].encode(),
        REQUEST.format("").encode(),
        REQUEST.format("").encode() + frame(0x82, bytes(100), announced=1_000),
        REQUEST.format("").encode() + frame(0x82, bytes(100_000)) * 4,
        REQUEST.format("").encode() + frame(0x88, b""),
    ]
    client.send(rng.choice(said))
    await asyncio.sleep(rng.choice((0, 0.001, 0.1)))
    client.abort()
    await asyncio.sleep(0.05)


async def storms(port, _rng):
    """Open two hundred connections at once and close them at once."""

    async def one():
        try:
            client = await Client.open(port)
        except Refused:
            return
        client.send(frame(0x81, b"hello"))
        await client.message()
        client.leave()

    await asyncio.gather(*(one() for _ in range(200)), return_exceptions=True)
    await asyncio.sleep(3)


async def babbles(port, rng):
    """Send another protocol."""
    client = await Client.open(port)
    client.send(rng.randbytes(rng.randrange(1, 2_000)))
    await asyncio.wait([asyncio.ensure_future(client.until_gone())], timeout=20)
    client.abort()


async def large(port, rng):
    """Send large messages, one after another. Memory may be too short for them."""
    client = await Client.open(port, limit=4 * MIB)
    message = rng.randbytes(rng.choice((1, 2, 4)) * 1_000_000)
    for _ in range(10):
        client.send(frame(0x82, message))
        first, answer = await client.message()
        assert (first, answer) == (0x82, message), "a wrong echo of a large message"
        await asyncio.sleep(0.2)
    client.leave()


async def compresses(port, rng):
    """Send compressed messages."""
    client = await Client.open(port, headers=DEFLATE)
    for _ in range(50):
        message = b"".join(b'{"price":%d},' % rng.randrange(10_000) for _ in range(rng.randrange(1, 2_000)))
        compressor = zlib.compressobj(wbits=-15)
        compressed = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        client.send(frame(0xC2, compressed[:-4]))
        first, answer = await client.message()
        if first == 0xC2:
            answer = zlib.decompressobj(wbits=-15).decompress(answer + TAIL)
        assert answer == message, "a wrong echo of a compressed message"
        await asyncio.sleep(0.05)
    client.leave()


async def fragments(port, _rng):
    """Send a hundred thousand empty fragments."""
    client = await Client.open(port)
    client.send(frame(0x02, b"") + frame(0x00, b"") * 100_000 + frame(0x80, b"end"))
    assert await client.message() == (0x82, b"end")
    client.leave()
    await asyncio.sleep(1)


async def pipelines(port, _rng):
    """Send many small messages at once."""
    client = await Client.open(port)
    count = 20_000
    client.send(frame(0x82, b"x") * count)
    for _ in range(count):
        assert await client.message() == (0x82, b"x")
    client.leave()
    await asyncio.sleep(1)


HOSTILE = [
    (never_reads, 40),
    (slow_head, 30),
    (slow_frame, 60),
    (lingers, 20),
    (hoards, 60),
    (resets, 20),
    (storms, 1),
    (babbles, 20),
    (large, 4),
    (compresses, 10),
    (fragments, 2),
    (pipelines, 2),
]


async def again(kind, port, end, wrongs, counts):
    """Run one client of a kind after another."""
    rng = random.Random()
    while time.monotonic() < end:
        try:
            await kind(port, rng)
        except AssertionError as error:
            wrongs.append(f"{kind.__name__}: {error}")
            return
        except (Refused, Gone, ConnectionError, TimeoutError, asyncio.TimeoutError):
            # The server may refuse the connection.
            await asyncio.sleep(rng.uniform(0.05, 0.5))
        counts[kind.__name__] = counts.get(kind.__name__, 0) + 1


def hostile(port, end, kinds, results):
    """Run a process of all other clients. It has a low priority, because the server is to be
    measured."""
    os.nice(10)
    # asyncio warns of connections that the server has closed.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    wrongs, counts = [], {}

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        tasks = [asyncio.ensure_future(again(*kind)) for kind in everybody()]
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def everybody():
        for kind, count in kinds:
            for _ in range(count):
                yield kind, port, end, wrongs, counts

    asyncio.run(run())
    results.put((wrongs, counts))
    # Open connections end with the process.
    results.close()
    results.join_thread()
    os._exit(0)


# ---------------------------------------------------------------- the server, from outside


class Server:
    def __init__(self, lariat):
        arguments = ["serve", "--listen", "127.0.0.1:0", "--memory-budget", str(BUDGET), "--max-message", "4MiB"]
        self.process = subprocess.Popen([lariat, *arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.port = int(re.search(rb"127\.0\.0\.1:(\d+)", self.process.stdout.readline())[1])

    def metrics(self):
        """Return each sample by its name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    def private_dirty(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as rollup:
            return next(int(line.split()[1]) << 10 for line in rollup if line.startswith("Private_Dirty:"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def watch(server, end):
    """Sample every second: (seconds, private dirty bytes, buffered bytes, descriptors). Also yield
    errors."""
    samples, start = [], time.monotonic()
    while time.monotonic() < end:
        metrics = server.metrics()
        buffered = metrics["lariat_buffered_bytes"]
        samples.append((time.monotonic() - start, server.private_dirty(), buffered, server.descriptors()))
        if buffered > BUDGET:
            raise AssertionError(f"{buffered:.0f} bytes are held, of {BUDGET}")
        time.sleep(1)
    return samples


def rest(server):
    """Wait until only this script's connection is left, and two more seconds, for which spare
    buffers are kept."""
    quiet = 0
    for _ in range(300):
        metrics = server.metrics()
        connections = sum(count for name, count in metrics.items() if name.startswith("lariat_connections{"))
        quiet = quiet + 1 if connections <= 1 else 0
        if quiet > 25:
            return metrics
        time.sleep(0.1)
    raise AssertionError(f"{connections:.0f} connections are left after 30 seconds")


def report(samples, latencies, metrics, counts):
    step = max(1, len(samples) // 10)
    print("   seconds  private dirty  buffered  descriptors")
    for seconds, dirty, buffered, descriptors in samples[::step]:
        print(f"{seconds:10.0f}  {dirty / MIB:9.1f} MiB  {buffered / MIB:4.1f} MiB  {descriptors:11}")
    shares = ", ".join(f"{name} {percentile(latencies, share) * 1e3:.1f} ms" for name, share in PERCENTILES)
    print(f"{len(latencies)} echoes of well-behaved clients: {shares}")
    print("clients:", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    turns = [(float(le), count) for le, count in buckets(metrics, "lariat_turn_duration_seconds")]
    slow = [f"{count:.0f} of more than {le * 1e3:.1f} ms" for le, count in turns if le > 0.004 and count > 0]
    print(f"{metrics['lariat_turn_events_count']:.0f} turns, {', '.join(slow) or 'none of more than 4 ms'}")
    for name, value in sorted(metrics.items()):
        if re.match(r"lariat_(closed|refused|evictions|pauses|memory_budget_exh|accepted|turned|accept_errors)", name):
            print(f"{value:10.0f}  {name}")


PERCENTILES = [("median", 0.5), ("99 %", 0.99), ("99.9 %", 0.999), ("longest", 1.0)]


def buckets(metrics, name):
    """Return how many values exceeded each bound of a histogram."""
    found = [(key.split('"')[1], value) for key, value in metrics.items() if key.startswith(f"{name}_bucket")]
    return [(le, metrics[f"{name}_count"] - value) for le, value in found if le != "+Inf"]


def flat(samples):
    """Check that memory has not grown in the second half of the time."""
    half = len(samples) // 2
    before, after = (max(dirty for _, dirty, _, _ in part) for part in (samples[:half], samples[half:]))
    assert after <= before * 1.1 + 8 * MIB, f"memory has grown from {before} to {after} bytes"
    # Memory that the allocator keeps after it was freed is small and not counted.
    assert after <= BUDGET * 1.5, f"{after} bytes of memory for a budget of {BUDGET}"


def main():
    lariat, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = Server(lariat)
    try:
        server.metrics()
        descriptors, end = server.descriptors(), time.monotonic() + seconds
        results, others = multiprocessing.Queue(), multiprocessing.Queue()
        good = multiprocessing.Process(target=well_behaved, args=(server.port, end, 50, results))
        bad = [
            multiprocessing.Process(target=hostile, args=(server.port, end, part, others))
            for part in (HOSTILE[::2], HOSTILE[1::2])
        ]
        for process in [good, *bad]:
            process.start()
        samples = watch(server, end)
        wrong, latencies = results.get(timeout=60)
        wrongs, counts = [wrong] if wrong else [], {}
        for _ in bad:
            more, counted = others.get(timeout=60)
            wrongs += more
            counts.update(counted)
        for process in [good, *bad]:
            process.join(60)
        metrics = rest(server)
        report(samples, latencies, metrics, counts)
        left = (server.descriptors(), metrics["lariat_buffered_bytes"], server.private_dirty())
        print(f"when all have disconnected: {left[0]} descriptors, {left[1]:.0f} bytes held, {left[2] / MIB:.1f} MiB private dirty")
        assert not wrongs, wrongs
        assert left[0] <= descriptors, f"{left[0]} descriptors, {descriptors} before"
        assert left[1] < 4 * MIB, f"{left[1]:.0f} bytes are held without clients"
        assert metrics["lariat_evictions_total"] > 0, "memory did not run short"
        slow = percentile(latencies, 0.99)
        assert slow <= LATENCY, f"one echo in a hundred took more than {slow * 1e3:.0f} ms"
        flat(samples)
        assert server.process.poll() is None, "the server has ended"
    finally:
        server.process.terminate()
        server.process.wait(20)
    print("passed")


if __name__ == "__main__":
    main()
