#!/usr/bin/env python3
"""Talk to a Lariat server through the Python package `websockets`.

    python websockets_client.py ws://127.0.0.1:PORT

The package checks the protocol: the accept key, masking, opcodes, UTF-8, the closing handshake.
This script checks what the server does with the messages. Needs requirements.txt.
"""

import asyncio
import json
import os
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

MIB = 1024 * 1024
SIZES = [0, 1, 125, 126, 127, 65535, 65536, MIB]
EACH = 20  # seconds for one check
TOTAL = 180  # seconds for all of them

CHECKS = []
BASE = ""


def check(name):
    """Register a coroutine function as a check."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {brief(got)}, wanted {brief(wanted)}")


def brief(value):
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}... ({len(value)} long)"


def client(path="/echo", **options):
    """Return a connection that never uses a proxy and has no limits of its own."""
    settings = {"proxy": None, "compression": None, "max_size": None, "ping_interval": None}
    return connect(BASE + path, **{**settings, **options})


def text_of(size, alphabet):
    """Return text of exactly `size` bytes of UTF-8."""
    unit = alphabet.encode()
    text = (unit * (size // len(unit))).decode()
    return text + "." * (size - len(text.encode()))


async def echoes(ws, message):
    await ws.send(message)
    equal(await ws.recv(), message, "echo")


# ---------------------------------------------------------------- messages


@check("text, one byte per character, at every length encoding")
async def _():
    async with client() as ws:
        for size in SIZES:
            await echoes(ws, text_of(size, "Hello, Lariat. "))


@check("text, two to four bytes per character, at every length encoding")
async def _():
    async with client() as ws:
        for size in SIZES:
            await echoes(ws, text_of(size, "κόσμε→𝄞€ñ"))


@check("binary, at every length encoding")
async def _():
    async with client() as ws:
        for size in SIZES:
            await echoes(ws, os.urandom(size))


@check("binary, 10 MiB of random bytes")
async def _():
    async with client() as ws:
        await echoes(ws, os.urandom(10 * MIB))


@check("binary, 16 MiB: the largest message by default")
async def _():
    async with client() as ws:
        await echoes(ws, os.urandom(16 * MIB))


@check("17 MiB are closed with 1009")
async def _():
    ws = await client()
    # The library's send may fail when the server closes at the same time. So this checks the Close
    # frame, not the result of the send.
    sending = asyncio.create_task(ws.send(bytes(17 * MIB)))
    await ws.wait_closed()
    await asyncio.wait([sending])
    sending.exception()
    if ws.protocol.close_rcvd is None:
        raise AssertionError("no Close frame came")
    equal(ws.protocol.close_rcvd.code, 1009, "close code")


@check("fragmented text, cut between characters")
async def _():
    async with client() as ws:
        await ws.send(["κό", "", "σμε", "→", "𝄞"])
        equal(await ws.recv(), "κόσμε→𝄞", "echo")


@check("fragmented text, cut inside characters")
async def _():
    text = "κόσμε→𝄞€"
    octets = text.encode()
    async with client() as ws:
        await ws.send([octets[i : i + 1] for i in range(len(octets))], text=True)
        equal(await ws.recv(), text, "echo")


@check("fragmented binary: empty, small and large fragments")
async def _():
    sizes = [0, 1, 125, 0, 126, 65535, 65536, 300_000, 7, 0]
    parts = [os.urandom(size) for size in sizes]
    async with client() as ws:
        await ws.send(parts)
        equal(await ws.recv(), b"".join(parts), "echo")
        await ws.send(os.urandom(1) for _ in range(2000))
        equal(len(await ws.recv()), 2000, "length")


@check("pings between fragments are answered before the message ends")
async def _():
    async with client() as ws:

        async def parts():
            for part in [b"one", b"two", b"three"]:
                yield part
                await asyncio.wait_for(await ws.ping(b"after " + part), 5)

        await ws.send(parts())
        equal(await ws.recv(), b"onetwothree", "echo")


@check("1000 pipelined messages are echoed in order")
async def _():
    async with client() as ws:

        async def send():
            for i in range(1000):
                await ws.send(f"message {i} " + "x" * (i % 300))

        sending = asyncio.create_task(send())
        for i in range(1000):
            equal(await ws.recv(), f"message {i} " + "x" * (i % 300), f"message {i}")
        await sending


# ---------------------------------------------------------------- control frames


@check("pings are answered with their payload")
async def _():
    async with client() as ws:
        # The library completes a ping when a Pong with the same payload arrives.
        for payload in [b"", b"x", "κόσμε".encode(), b"\x00\xff" * 10, os.urandom(125)]:
            await asyncio.wait_for(await ws.ping(payload), 5)
        for waiter in [await ws.ping(f"many {i}") for i in range(50)]:
            await asyncio.wait_for(waiter, 5)
        await ws.pong(b"nobody asked")
        await echoes(ws, "still here")


@check("the close handshake echoes code and reason")
async def _():
    for code, reason in [
        (1000, ""),
        (1000, "done"),
        (1001, "going away"),
        (1011, "trouble"),
        (3000, "κόσμε"),
        (4999, "r" * 123),
    ]:
        async with client() as ws:
            await echoes(ws, "hello")
            await ws.close(code, reason)
            answer = ws.protocol.close_rcvd
            if answer is None:
                raise AssertionError(f"no Close frame answered {code}")
            equal((answer.code, answer.reason), (code, reason), "Close frame")


@check("messages just before the Close frame are echoed")
async def _():
    async with client() as ws:
        for i in range(100):
            await ws.send(f"{i}")
        closing = asyncio.create_task(ws.close(1000, "enough"))
        for i in range(100):
            equal(await ws.recv(), f"{i}", "echo")
        await closing
        equal(ws.close_code, 1000, "close code")


# ---------------------------------------------------------------- opening handshake


@check("subprotocols are offered and none is chosen")
async def _():
    async with client(subprotocols=["chat", "superchat"]) as ws:
        equal(ws.subprotocol, None, "subprotocol")
        await echoes(ws, "hello")


@check("permessage-deflate is offered: accepted or declined, messages come back")
async def _():
    async with client(compression="deflate") as ws:
        agreed = [extension.name for extension in ws.protocol.extensions]
        for message in ["", "hello", "hello", text_of(MIB, "κόσμε→𝄞€ñ"), bytes(MIB), os.urandom(MIB)]:
            await echoes(ws, message)
        await ws.send(["frag", "ment", "ed"])
        equal(await ws.recv(), "fragmented", "echo")
        await asyncio.wait_for(await ws.ping(b"plain"), 5)
    return "agreed on " + (", ".join(agreed) or "no extension")


@check("an Origin and more headers are accepted")
async def _():
    headers = {"Cookie": "a=b; c=d", "Authorization": "Basic YTpi", "X-Empty": ""}
    async with client("/echo?a=b&c", origin="http://elsewhere.test", additional_headers=headers) as ws:
        await echoes(ws, "hello")


@check("an upgrade at an unknown path is refused with 404")
async def _():
    try:
        async with client("/nope"):
            pass
    except InvalidStatus as refused:
        equal(refused.response.status_code, 404, "status")
        return
    raise AssertionError("the upgrade was accepted")


# ---------------------------------------------------------------- many clients


@check("100 connections at once, each with its own messages")
async def _():
    everyone = asyncio.Barrier(100)

    async def one(number):
        async with client() as ws:
            async with asyncio.timeout(EACH):
                await everyone.wait()
            for i in range(10):
                await echoes(ws, f"client {number} message {i}")

    await asyncio.gather(*(one(number) for number in range(100)))


@check("/broadcast reaches all 10 clients, the sender too, in one order")
async def _():
    clients = [await client("/broadcast") for _ in range(10)]
    try:
        for i, ws in enumerate(clients):
            message = f"from {i}" if i % 2 else f"from {i}".encode()
            await ws.send(message)
            for receiver in clients:
                equal(await asyncio.wait_for(receiver.recv(), 5), message, "broadcast")
        await asyncio.gather(*(ws.send(f"burst {i}") for i, ws in enumerate(clients)))
        heard = [[await asyncio.wait_for(ws.recv(), 5) for _ in clients] for ws in clients]
        equal(sorted(heard[0]), [f"burst {i}" for i in range(10)], "burst")
        for one in heard[1:]:
            equal(one, heard[0], "order")
        # One client leaves. The others still receive each other's messages, and nothing about it.
        await clients.pop().close()
        await clients[0].send("nine")
        for ws in clients:
            equal(await asyncio.wait_for(ws.recv(), 5), "nine", "broadcast")
    finally:
        await asyncio.gather(*(ws.close() for ws in clients))


# ---------------------------------------------------------------- plain HTTP


def http(method, path, **request):
    """Send one request on its own connection. Return the status, the headers and the body."""
    address = urlsplit(BASE)
    connection = HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request(method, path, **request)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def lengths_agree(headers, body):
    equal(headers["Content-Length"], str(len(body)), "Content-Length")


@check("HTTP: / is a page")
async def _():
    status, headers, body = http("GET", "/")
    equal(status, 200, "status")
    equal(headers.get_content_type(), "text/html", "content type")
    lengths_agree(headers, body)
    if b"<html" not in body.lower() and b"<!doctype html" not in body.lower():
        raise AssertionError(f"no page: {brief(body)}")


@check("HTTP: /healthz is 200")
async def _():
    status, headers, body = http("GET", "/healthz")
    equal(status, 200, "status")
    lengths_agree(headers, body)


@check("HTTP: an unknown path is 404 with a body")
async def _():
    for path in ["/nope", "/echo/nope", "/ECHO", "/..", "/%00"]:
        status, headers, body = http("GET", path)
        equal(status, 404, f"status of {path}")
        lengths_agree(headers, body)
        if not body:
            raise AssertionError("the body is empty")


@check("HTTP: HEAD has the headers of GET and no body")
async def _():
    for path in ["/", "/healthz", "/nope"]:
        status, headers, body = http("GET", path)
        head_status, head_headers, head_body = http("HEAD", path)
        equal(head_status, status, f"status of {path}")
        equal(head_headers["Content-Length"], headers["Content-Length"], "Content-Length")
        equal(head_headers["Content-Type"], headers["Content-Type"], "Content-Type")
        equal(head_body, b"", "body")


@check("HTTP: POST is 405 with Allow")
async def _():
    for path in ["/", "/healthz"]:
        status, headers, body = http("POST", path)
        equal(status, 405, f"status of {path}")
        allowed = [method.strip() for method in (headers["Allow"] or "").split(",")]
        if "GET" not in allowed or "POST" in allowed:
            raise AssertionError(f"Allow is {headers['Allow']!r}")
        lengths_agree(headers, body)


@check("HTTP: a script talks in the chat")
async def _():
    path = "/chat/gate?name=websockets"
    join = {"join": {"room": "gate", "name": "Ada", "key": "k", "server": "", "after": 0}}
    async with connect(BASE + "/chat", proxy=None) as page:
        await page.send(json.dumps(join))
        while "welcome" not in json.loads(await asyncio.wait_for(page.recv(), 5)):
            pass
        chunks = {"body": iter([b"hel", b"lo"]), "encode_chunked": True, "headers": {"Transfer-Encoding": "chunked"}}
        for request in [{"body": b"hello"}, chunks]:
            status, headers, body = http("POST", path, **request)
            equal((status, body), (200, b"said in #gate, where 1 person is\n"), "answer")
            lengths_agree(headers, body)
            said = {}
            while "message" not in said:
                said = json.loads(await asyncio.wait_for(page.recv(), 5))
            equal((said["message"]["name"], said["message"]["text"]), ("websockets (script)", "hello"), "message")
    for status, request in [
        (400, {"body": b""}),
        (413, {"body": b"x" * 8193}),
        (403, {"body": b"hello", "headers": {"Origin": "http://elsewhere.test"}}),
    ]:
        equal(http("POST", path, **request)[0], status, "status")


@check("HTTP: a WebSocket path without an upgrade is 426")
async def _():
    for path in ["/echo", "/broadcast"]:
        status, headers, body = http("GET", path)
        equal(status, 426, f"status of {path}")
        equal((headers["Upgrade"] or "").lower(), "websocket", "Upgrade")
        lengths_agree(headers, body)


# ---------------------------------------------------------------- the run


async def run():
    failed = 0
    deadline = time.monotonic() + TOTAL
    for name, function in CHECKS:
        start = time.monotonic()
        try:
            async with asyncio.timeout(max(1, min(EACH, deadline - start))):
                note = await function()
            print(f"ok    {name}" + (f" ({note})" if note else ""))
        except Exception as error:
            failed += 1
            reason = f"{type(error).__name__}: {error}".removeprefix("AssertionError: ")
            print(f"FAIL  {name}: {reason} (after {time.monotonic() - start:.1f} s)")
        sys.stdout.flush()
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    global BASE
    if len(sys.argv) != 2 or urlsplit(sys.argv[1]).scheme != "ws":
        sys.exit(__doc__)
    BASE = sys.argv[1].rstrip("/")
    sys.exit(asyncio.run(run()))


if __name__ == "__main__":
    main()
