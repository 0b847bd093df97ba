#!/usr/bin/env python3
"""Run the Lariat program as a user does: its ready line, its signals, its exit codes, its
certificates.

    python program.py PATH/TO/lariat

The script starts its own servers. Needs requirements.txt.
"""

import asyncio
import functools
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from websockets.asyncio.client import connect, unix_connect

PATIENCE = 10  # seconds for what should happen at once or "after a few seconds"
LARIAT = ""
CHECKS = []


def check(name):
    """Register a coroutine function as a check."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


class Server:
    """The program, from its start to its end."""

    def __init__(self, *arguments):
        self.arguments = arguments or ("serve", "--listen", "127.0.0.1:0")

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            LARIAT,
            *self.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.clients = []
        self.sockets = []
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        except TimeoutError:
            self.process.kill()
            raise AssertionError("no ready line") from None
        self.ready = line.decode()
        port = re.search(r"127\.0\.0\.1:(\d+)", self.ready)
        self.port = int(port[1]) if port else None
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            client.transport.abort()
        for stubborn in self.sockets:
            stubborn.close()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def connect(self, path="/echo"):
        client = await connect(f"ws://127.0.0.1:{self.port}{path}", proxy=None, ping_interval=None)
        self.clients.append(client)
        return client

    async def stubborn(self):
        """A WebSocket that never answers anything."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 "):
            raise AssertionError("no upgrade")
        self.sockets.append(writer)

    def signal(self, number):
        self.signalled = time.monotonic()
        self.process.send_signal(number)

    async def exits(self, within=PATIENCE):
        """Wait for the end. Return the exit code and the output after the ready line."""
        try:
            out, self.errors = await asyncio.wait_for(self.process.communicate(), within)
        except TimeoutError:
            raise AssertionError(f"still there after {within} s") from None
        equal(out, b"", "more on stdout")
        if b"panicked" in self.errors:
            raise AssertionError(self.errors.decode(errors="replace"))
        return self.process.returncode


def free_port():
    """Return a port that is free on both loopback addresses, or None without IPv6."""
    with socket.socket(socket.AF_INET6) as six, socket.socket(socket.AF_INET) as four:
        six.bind(("::1", 0))
        four.bind(("127.0.0.1", six.getsockname()[1]))
        return six.getsockname()[1]


async def served(url, **options):
    async with connect(url, proxy=None, **options) as client:
        await client.send("hello")
        equal(await asyncio.wait_for(client.recv(), 5), "hello", "echo")


# ---------------------------------------------------------------- listening


@check("the ready line with one listener")
async def _():
    async with Server() as server:
        port = server.port
        line = f"Lariat listens on 127.0.0.1:{port}: open http://127.0.0.1:{port}/ in a browser\n"
        equal(server.ready, line, "ready line")
        await served(f"ws://127.0.0.1:{port}/echo")
        server.signal(signal.SIGINT)
        equal(await server.exits(), 0, "exit code")


@check("both loopback addresses, and the ready line for them")
async def _():
    try:
        port = free_port()
    except OSError as error:
        return f"NOT CHECKED, this host has no [::1]: {error}"
    arguments = ["--listen", f"127.0.0.1:{port}", "--listen", f"[::1]:{port}"]
    async with Server("serve", *arguments) as server:
        line = f"Lariat listens on 127.0.0.1:{port} and [::1]:{port}: open http://localhost:{port}/ in a browser\n"
        equal(server.ready, line, "ready line")
        await served(f"ws://127.0.0.1:{port}/echo")
        await served(f"ws://[::1]:{port}/echo")
        server.signal(signal.SIGTERM)
        equal(await server.exits(), 0, "exit code")


@check("a Unix socket")
async def _():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "lariat.sock")
        async with Server("serve", "--listen", f"unix:{path}") as server:
            if path not in server.ready:
                raise AssertionError(f"the ready line is {server.ready!r}")
            async with unix_connect(path, "ws://localhost/echo", proxy=None) as client:
                await client.send("hello")
                equal(await asyncio.wait_for(client.recv(), 5), "hello", "echo")
            server.signal(signal.SIGTERM)
            equal(await server.exits(), 0, "exit code")


# ---------------------------------------------------------------- signals


async def everybody_leaves(number):
    """The signal closes 20 clients with 1001 and ends the program with 0."""
    async with Server() as server:
        clients = [await server.connect("/broadcast" if i % 2 else "/echo") for i in range(20)]
        await clients[0].send("last words")
        equal(await asyncio.wait_for(clients[0].recv(), 5), "last words", "echo")
        server.signal(number)
        for client in clients:
            await asyncio.wait_for(client.wait_closed(), PATIENCE)
            if client.protocol.close_rcvd is None:
                raise AssertionError("a client saw no Close frame")
            equal(client.protocol.close_rcvd.code, 1001, "close code")
        equal(await server.exits(), 0, "exit code")
        return f"gone after {time.monotonic() - server.signalled:.1f} s"


@check("SIGINT closes 20 clients with 1001 and exits with 0")
async def _():
    return await everybody_leaves(signal.SIGINT)


@check("SIGTERM closes 20 clients with 1001 and exits with 0")
async def _():
    return await everybody_leaves(signal.SIGTERM)


@check("SIGINT without clients exits at once with 0")
async def _():
    async with Server() as server:
        server.signal(signal.SIGINT)
        equal(await server.exits(within=2), 0, "exit code")


@check("clients that answer nothing do not keep the program from exiting with 0")
async def _():
    async with Server() as server:
        await server.stubborn()
        _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        server.sockets.append(silent)
        server.signal(signal.SIGTERM)
        equal(await server.exits(), 0, "exit code")
        return f"gone after {time.monotonic() - server.signalled:.1f} s"


@check("a second signal ends it at once")
async def _():
    async with Server() as server:
        await server.stubborn()
        client = await server.connect()
        server.signal(signal.SIGINT)
        # The Close frame shows that the first signal has arrived.
        await asyncio.wait_for(client.wait_closed(), PATIENCE)
        if server.process.returncode is not None:
            raise AssertionError("it ended after the first signal, though one client had not answered")
        server.signal(signal.SIGINT)
        code = await server.exits(within=2)
        return f"exit code {code}"


# ---------------------------------------------------------------- exit codes


async def outcome(*arguments):
    """Return the exit code, stdout and stderr of the program."""
    process = await asyncio.create_subprocess_exec(
        LARIAT, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    except TimeoutError:
        process.kill()
        raise AssertionError(f"still running after {PATIENCE} s") from None
    return process.returncode, out.decode(), errors.decode()


@check("a port that is in use: exit code 1, the address on stderr, nothing on stdout")
async def _():
    async with Server() as server:
        address = f"127.0.0.1:{server.port}"
        code, out, errors = await outcome("serve", "--listen", address)
        equal((code, out), (1, ""), "exit code and stdout")
        if address not in errors:
            raise AssertionError(f"stderr says {errors!r}")


@check("a bad address: exit code 1, a sentence that says what to write")
async def _():
    code, out, errors = await outcome("serve", "--listen", "nonsense")
    equal((code, out), (1, ""), "exit code and stdout")
    if "127.0.0.1:9998" not in errors:
        raise AssertionError(f"stderr says no way out: {errors!r}")


@check("wrong use: exit code 2, a word about it on stderr")
async def _():
    for arguments in [["--nonsense"], ["serve", "--listen"], ["nonsense"]]:
        code, out, errors = await outcome(*arguments)
        equal((code, out), (2, ""), f"exit code and stdout of {arguments}")
        if not errors:
            raise AssertionError(f"nothing on stderr for {arguments}")


@check("--help and --version: exit code 0")
async def _():
    for argument in ["--help", "--version"]:
        code, out, _ = await outcome(argument)
        equal(code, 0, f"exit code of {argument}")
        if "lariat" not in out.lower():
            raise AssertionError(f"{argument} says {out!r}")


# ---------------------------------------------------------------- certificates


def handshake(server, client, name):
    """Shake hands in memory. Return the certificate that the server got from the client."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server.wrap_bio(to_server, to_client, server_side=True)
    client = client.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [client, server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    equal(waiting, [], "handshakes that have not ended")
    return server.getpeercert()


@check("lariat cert: OpenSSL accepts its certificates, and both ends of a handshake do")
async def _():
    with tempfile.TemporaryDirectory() as folder:
        path = functools.partial(os.path.join, folder)
        names = ["localhost", "*.app.example", "127.0.0.1", "::1"]
        for arguments in [names, ["--client", "Anna"]]:
            code, _, errors = await outcome("cert", "--dir", folder, *arguments)
            equal((code, errors), (0, ""), "exit code and stderr")
        for file, *options in [
            ("lariat-cert.pem", "-purpose", "sslserver", "-verify_hostname", "localhost"),
            ("lariat-cert.pem", "-purpose", "sslserver", "-verify_hostname", "a.app.example"),
            ("lariat-cert.pem", "-purpose", "sslserver", "-verify_ip", "::1"),
            ("lariat-client.pem", "-purpose", "sslclient"),
        ]:
            command = ["openssl", "verify", "-x509_strict", *options, "-CAfile", path("lariat-ca.pem"), path(file)]
            verified = subprocess.run(command, capture_output=True, text=True)
            equal(verified.returncode, 0, f"{command}: {verified.stderr}")
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=path("lariat-ca.pem"))
        server.load_cert_chain(path("lariat-cert.pem"), path("lariat-key.pem"))
        server.verify_mode = ssl.CERT_REQUIRED
        client = ssl.create_default_context(cafile=path("lariat-ca.pem"))
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        client.load_cert_chain(path("lariat-client.pem"), path("lariat-client-key.pem"))
        for name in ["localhost", "a.app.example", "127.0.0.1", "::1"]:
            subject = handshake(server, client, name)["subject"]
            equal(subject, ((("commonName", "Anna"),),), "the client")
        try:
            handshake(server, client, "example.org")
        except ssl.SSLCertVerificationError:
            return
        raise AssertionError("a client accepts the certificate for another name")


# ---------------------------------------------------------------- the run


async def run():
    failed = 0
    for name, function in CHECKS:
        try:
            async with asyncio.timeout(4 * PATIENCE):
                note = await function()
            print(f"ok    {name}" + (f" ({note})" if note else ""))
        except Exception as error:
            failed += 1
            reason = f"{type(error).__name__}: {error}".removeprefix("AssertionError: ")
            print(f"FAIL  {name}: {reason}")
        sys.stdout.flush()
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    global LARIAT
    if len(sys.argv) != 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit(__doc__)
    LARIAT = os.path.abspath(sys.argv[1])
    sys.exit(asyncio.run(run()))


if __name__ == "__main__":
    main()
