#!/usr/bin/env python3
"""Run the examples with the Python package `websockets` as their clients, and as the server of one.

    python examples.py target/debug/examples

Cargo builds that folder: `cargo build --examples`. Needs requirements.txt. The package offers
compression, which the clients of tests/examples do not.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

PATIENCE = 20  # seconds
FOLDER = ""
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


@contextlib.asynccontextmanager
async def example(name, *arguments):
    """Start an example. Yield its WebSocket URL and its process."""
    process = await asyncio.create_subprocess_exec(
        os.path.join(FOLDER, name), "127.0.0.1:0", *arguments, stdin=-1, stdout=-1, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        first = (await process.stdout.readline()).decode().split()
        equal(first[:2], ["listening", "on"], "the first line")
        yield f"ws://{first[2]}", process
        equal(process.returncode, None, "the exit code while it runs")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def join(url):
    return connect(url, proxy=None)


async def closed_with(client):
    """Read up to the server's Close frame."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code, closed.rcvd.reason


@check
async def rpc():
    """200 requests at once, from each of three clients."""

    async def ask(url):
        async with join(url) as client:
            for number in range(200):
                request = {"jsonrpc": "2.0", "id": number, "method": "echo", "params": ["x" * 10 * number]}
                await client.send(json.dumps(request))
            answers = [json.loads(await client.recv()) for _ in range(200)]
        found = {answer["id"]: len(answer["result"][0]) for answer in answers}
        equal(found, {number: 10 * number for number in range(200)}, "answers")

    async with example("rpc") as (url, _):
        await asyncio.gather(ask(url), ask(url), ask(url))


@check
async def gateway():
    async with example("gateway") as (url, process):
        try:
            async with join(f"{url}/lobby?token=wrong"):
                raise AssertionError("a wrong token is accepted")
        except InvalidStatus as refused:
            equal(refused.response.status_code, 401, "status")
        async with join(f"{url}/lobby?token=ada-1") as ada, join(f"{url}/lobby?token=ben-2") as ben:
            equal([await ada.recv(), await ada.recv()], ["* here: Ada", "* Ben joins"], "Ada's messages")
            equal(await ben.recv(), "* here: Ada, Ben", "Ben's message")
            await ada.send("/kick Ben")
            equal(await closed_with(ben), (1008, "kicked"), "Ben's Close")
            equal(await ada.recv(), "* Ben leaves", "Ada's message")
            process.stdin.write(b"say hello\n")
            equal(await ada.recv(), "* operator: hello", "the operator's message")


@check
async def game():
    async with example("game") as (url, _), join(url) as player:
        equal(json.loads(await player.recv())["you"], 1, "number")
        await player.send("right")
        ticks = [json.loads(await player.recv())["tick"] for _ in range(30)]
        equal(ticks, list(range(ticks[0], ticks[0] + 30)), "ticks")
        await player.send("fly")
        equal((await closed_with(player))[0], 1008, "code")


@check
async def device():
    """The device is a client of this package's server, and serves its clients."""
    connections = asyncio.Queue()

    async def upstream(connection):
        await connections.put([json.loads(await connection.recv()) for _ in range(4)])
        # The device loses its server, and returns.
        connection.transport.abort()

    async with serve(upstream, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with example("device", f"ws://127.0.0.1:{port}/measures") as (url, _), join(url) as watcher:
            for _ in range(2):
                measures = await connections.get()
                equal([list(measure) for measure in measures], [["temperature"], ["time"]] * 2, "measures")
            seen = set()
            while seen != {"waiting", "connecting", "open"}:
                seen.add(json.loads(await watcher.recv())["link"])


async def hosted(name, question, answer):
    async with example(name, "127.0.0.1:0") as (url, process):
        address, port = (await process.stdout.readline()).decode().split()[-1].split(":")
        async with join(url) as client:
            await client.send(question)
            equal(await client.recv(), answer, "answer")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.sendto(b"hello\n", (address, int(port)))
            equal(await client.recv(), "hello", "the datagram")


@check
async def mio_host():
    await hosted("mio_host", "who?", "who?")


@check
async def tokio_host():
    await hosted("tokio_host", "why?", "why? Because.")


async def run():
    failed = 0
    for function in CHECKS:
        try:
            async with asyncio.timeout(PATIENCE):
                await function()
            print(f"ok    {function.__name__}")
        except Exception as error:
            failed += 1
            print(f"FAIL  {function.__name__}: {type(error).__name__}: {error}")
        sys.stdout.flush()
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    global FOLDER
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    FOLDER = sys.argv[1]
    sys.exit(asyncio.run(run()))


if __name__ == "__main__":
    main()
