#!/usr/bin/env python3
"""Talk TLS with the Lariat program as foreign clients do, and as hostile ones do.

    python tls.py PATH/TO/lariat [PATH/TO/ws_client.mjs]

The script makes certificates with `lariat cert` and starts its own servers. Its clients are
OpenSSL in three forms (the package `websockets`, `openssl s_client`, curl), and Node. Hostile
clients are bytes on a socket, and OpenSSL in memory, whose ciphertext the script cuts and holds
back. A client beside them measures how long its echoes take. Needs requirements.txt.
"""

import asyncio
import contextlib
import ctypes
import functools
import multiprocessing
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

from websockets.asyncio.client import connect as ws_connect

KIB, MIB = 1 << 10, 1 << 20
PATIENCE = 10  # seconds for an answer
QUICK = 2  # seconds for an end that needs no answer of the peer
HANDSHAKE = 10  # seconds that a server gives to a handshake
LATENCY = 0.1  # seconds that an echo of a well-behaved client takes, in 99 of 100 cases
BUSY = 0.1  # seconds of CPU in a second in which nothing happens
GROWTH = 2 * MIB  # bytes of memory that may stay after a check, in the allocator and for later use
LARIAT, NODE_CLIENT, FOLDER = "", "", ""
# A pattern that the names of checks must match, to run some of them.
CHOSEN = os.environ.get("LARIAT_TLS_CHECKS", "")
CHECKS = []


def check(name):
    """Register a function as a check."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {brief(got)}, wanted {brief(wanted)}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def brief(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(value)} long)"


def until(condition, what, within=PATIENCE):
    """Wait until a function returns something true, and return it."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        true(time.monotonic() < deadline, f"not within {within} s: {what}")
        time.sleep(0.02)
    return value


# ---------------------------------------------------------------- certificates and servers


def certificate(folder, *arguments):
    """Write a certificate with `lariat cert`. Return the folder."""
    path = os.path.join(FOLDER, folder) if folder else FOLDER
    os.makedirs(path, exist_ok=True)
    subprocess.run([LARIAT, "cert", "--dir", path, *arguments], check=True, capture_output=True)
    return path


class Server:
    """The program with TLS, from its start to its end."""

    def __init__(self, *arguments, folder=None, log="warn"):
        self.folder = folder or FOLDER
        self.arguments = [*self.pair(self.folder), *arguments]
        if "--listen" not in arguments:
            self.arguments += ["--listen", "127.0.0.1:0"]
        self.level = log

    @staticmethod
    def pair(folder):
        return ["--tls-cert", f"{folder}/lariat-cert.pem", "--tls-key", f"{folder}/lariat-key.pem"]

    def __enter__(self):
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [LARIAT, "serve", *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "RUST_LOG": f"lariat={self.level}"},
        )
        self.ready = self.process.stdout.readline()
        ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)(?= and|: open)", self.ready)]
        if not ports and "unix:" not in self.ready and "sock" not in self.ready:
            self.process.kill()
            raise AssertionError(f"the ready line is {self.ready!r}: {self.log()}")
        self.port, self.plain_port = (*ports, None, None)[:2]
        return self

    def __exit__(self, kind, *_):
        status = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        if kind is None:
            equal(status, None, f"the server has ended: {self.log()[-2000:]}")
            true("panicked" not in self.log(), self.log()[-2000:])

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def cpu(self):
        """Return the seconds of CPU that the process has used."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Return the private dirty memory, in bytes."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty")) << 10

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def metric(self, name):
        """Return the sum of a metric, over its labels."""
        with Tls(self) as client:
            text = client.get("/metrics")[1].decode()
        values = re.findall(rf"^{name}(?:{{.*}})? (\d+)$", text, re.M)
        true(values, f"/metrics has no {name}")
        return sum(map(int, values))

    def rests(self, seconds=0.5):
        """Check that the process does nothing now. Return the share of a CPU that it uses."""
        before = self.cpu()
        time.sleep(seconds)
        used = (self.cpu() - before) / seconds
        true(used <= BUSY, f"nothing happens, but the server uses {used:.0%} of a CPU")
        return used


# ---------------------------------------------------------------- clients


@functools.cache
def context(folder=None, version=None, alpn=None):
    """Return the TLS of a client that trusts the CA of a folder."""
    made = ssl.create_default_context(cafile=f"{folder or FOLDER}/lariat-ca.pem")
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols([alpn])
    return made


TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(first, payload):
    """Return a client's frame. For a server, a masking key of zero is as good as any other."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", first, 0x80 | length) + bytes(4) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 0xFE, length) + bytes(4) + payload
    return struct.pack("!BBQ", first, 0xFF, length) + bytes(4) + payload


def answer_to(first, payload):
    """Return the frame of a server with the same content."""
    masked = frame(first, payload)
    size = len(masked) - len(payload) - 4
    return bytes([masked[0], masked[1] & 0x7F]) + masked[2:size] + payload


class Raw:
    """A socket to a server, without TLS."""

    def __init__(self, server, first=b"", receive_buffer=None, path=None):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path or ("127.0.0.1", server.port))
        if not path:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.give(first)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def give(self, octets):
        """Send bytes. Return False if the server has disconnected."""
        try:
            self.socket.sendall(octets)
            return True
        except ConnectionError:
            return False

    def give_slowly(self, octets, pause=0.0):
        for i in range(len(octets)):
            if not self.give(octets[i : i + 1]):
                return False
            if pause:
                time.sleep(pause)
        return True

    def take(self):
        """Read some bytes, none at the end."""
        try:
            return self.socket.recv(1 << 18)
        except ConnectionError:
            return b""

    def rest(self, within=QUICK):
        """Read to the end, which must be near. Return all bytes."""
        octets, deadline = b"", time.monotonic() + within
        while True:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                more = self.take()
            except TimeoutError:
                raise AssertionError(f"the server has not disconnected within {within} s") from None
            if not more:
                return octets
            octets += more

    def end_output(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Tls(Raw):
    """A client with TLS in memory: it decides when which ciphertext is sent and read."""

    def __init__(self, server, version=None, before=b"", shake=True, tls=None, name="localhost", **options):
        super().__init__(server, before, **options)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = tls or context(server.folder, version)
        self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.unread = b""
        if shake:
            self.shake()

    def feed(self):
        """Read ciphertext from the socket. Return False at the end."""
        octets = self.take()
        self.incoming.write(octets) if octets else self.incoming.write_eof()
        return bool(octets)

    def step(self):
        """Do a step of the handshake. Return its ciphertext, and whether the handshake is over."""
        try:
            self.tls.do_handshake()
            is_over = True
        except ssl.SSLWantReadError:
            is_over = False
        return self.outgoing.read(), is_over

    def shake(self):
        while True:
            octets, is_over = self.step()
            self.give(octets)
            if is_over:
                return
            self.feed()

    def encrypt(self, octets):
        """Return ciphertext that is not sent yet."""
        self.tls.write(octets) if octets else None
        return self.outgoing.read()

    def send(self, octets):
        return self.give(self.encrypt(octets))

    def decrypt(self):
        """Read plaintext from the ciphertext that is here. Return False after `close_notify`."""
        try:
            while octets := self.tls.read(1 << 18):
                self.unread += octets
            return False
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLZeroReturnError:
            return False

    def read(self, size):
        while len(self.unread) < size:
            is_open = self.decrypt()
            if len(self.unread) >= size:
                break
            true(is_open, f"the server has closed, after {brief(self.unread)}")
            if not self.feed():
                raise AssertionError(f"the server has disconnected, after {brief(self.unread)}")
        octets, self.unread = self.unread[:size], self.unread[size:]
        return octets

    def head(self):
        while b"\r\n\r\n" not in self.unread:
            self.unread = self.read(len(self.unread) + 1) + self.unread
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        return head.decode()

    def get(self, path):
        """Return the head and the body of a page."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = self.head()
        return head, self.read(int(re.search(r"(?i)\r\ncontent-length: (\d+)", head)[1]))

    def open(self):
        """Become a WebSocket."""
        self.send(REQUEST)
        head = self.head()
        true(head.startswith("HTTP/1.1 101 "), f"no upgrade: {head}")
        return self

    def expect(self, payload, first=0x82):
        wanted = answer_to(first, payload)
        got = self.read(len(wanted))
        true(got == wanted, f"a wrong echo of {len(payload)} bytes: {brief(got)}")

    def echo(self, payload, first=0x82):
        self.send(frame(first, payload))
        self.expect(payload, first)

    def closes(self):
        """Read to `close_notify`, and then to the end of the stream. Both must come, in this order.
        """
        while self.decrypt():
            true(self.feed(), "the server has disconnected without close_notify")
        equal(self.unread, b"", "more from the server")
        while octets := self.take():
            self.incoming.write(octets)


class Beside:
    """A well-behaved client in a process of its own, which measures its echoes meanwhile."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(theirs,))
        self.process.start()
        true(self.pipe.poll(PATIENCE) and self.pipe.recv() == "ready", "the well-behaved client is not served")
        return self

    def run(self, pipe):
        client = Tls(self.server).open()
        pipe.send("ready")
        times, number = [], 0
        while not pipe.poll(0.02):
            number += 1
            began = time.monotonic()
            client.echo(random.randbytes(random.choice((10, 1_000, 20_000))))
            if number % 5 == 0:
                # A new one is served as well.
                with Tls(self.server) as other:
                    other.open().echo(b"hello")
            times.append(time.monotonic() - began)
        pipe.send(times)

    def __exit__(self, kind, *_):
        with contextlib.suppress(OSError):
            self.pipe.send("stop")
        times = self.pipe.recv() if kind is None and self.pipe.poll(PATIENCE) else None
        self.process.kill()
        self.process.join()
        if kind is None:
            true(times, "the well-behaved client was not served")
            times.sort()
            slow = times[len(times) * 99 // 100]
            self.note = f"{len(times)} echoes beside, the slow ones in {1000 * slow:.0f} ms"
            true(slow <= LATENCY, f"the echoes of a well-behaved client took {1000 * slow:.0f} ms")


def command(*arguments, given="", within=PATIENCE, **options):
    """Run a program. Return its exit code, and its output with its errors."""
    done = subprocess.run(
        arguments, input=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=within, **options
    )
    return done.returncode, done.stdout


# ---------------------------------------------------------------- foreign clients

SIZES = [0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, MIB, 10 * MIB]


def websocket(server, version):
    """Return a client of the package `websockets`. It uses one thread. With two, Python 3.11 reads
    and writes the same OpenSSL object at once, and then a request is sometimes never sent.
    """
    options = {"compression": None, "proxy": None, "max_size": None, "max_queue": None, "ping_interval": None}
    options |= {"host": "127.0.0.1", "port": server.port, "open_timeout": PATIENCE}
    return ws_connect(f"wss://localhost:{server.port}/echo", ssl=context(version=version), **options)


def foreign(version):
    with Server() as server:
        return asyncio.run(foreign_clients(server, version))


async def foreign_clients(server, version):
    async with websocket(server, version) as ws:
        tls = ws.transport.get_extra_info("ssl_object")
        name, (cipher, _, _) = tls.version(), tls.cipher()
        equal(name, {TLS12: "TLSv1.2", TLS13: "TLSv1.3"}[version], "version")
        messages = [random.randbytes(size) for size in SIZES] + ["", "κόσμε→𝄞€ñ", "x" * 70_000]
        for message in messages:
            await ws.send(message)
            true(await received(ws) == message, f"a wrong echo of {len(message)} bytes or characters")
        messages = [f"message {i}" for i in range(2_000)]
        for message in messages:
            await ws.send(message)
        equal([await received(ws) for _ in messages], messages, "2,000 echoes")
    for code, reason in [(1000, ""), (1001, "gone"), (4321, "ñ")]:
        async with websocket(server, version) as ws:
            await ws.close(code, reason)
            equal((ws.protocol.close_rcvd.code, ws.protocol.close_rcvd.reason), (code, reason), "close")
    return f"{name}, {cipher}"


async def received(ws):
    return await asyncio.wait_for(ws.recv(), PATIENCE)


async def shut_down_by_openssl(server, version):
    async with websocket(server, version):
        pass


@check("websockets, TLS 1.2 alone: all sizes, text, 2,000 at once, close codes")
def _():
    return foreign(TLS12)


@check("websockets, TLS 1.3 alone: all sizes, text, 2,000 at once, close codes")
def _():
    return foreign(TLS13)


@check("Node and ws: all their checks, over wss")
def _():
    if not NODE_CLIENT:
        return "NOT CHECKED, no ws_client.mjs was given"
    with Server() as server:
        code, out = command(
            "node",
            NODE_CLIENT,
            f"wss://localhost:{server.port}",
            within=60,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": f"{FOLDER}/lariat-ca.pem"},
        )
        equal(code, 0, f"exit code: {out[-2000:]}")
        return out.splitlines()[-1]


def s_client(server, *arguments, given=None):
    request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" if given is None else given
    return command(
        "openssl",
        "s_client",
        *("-connect", f"127.0.0.1:{server.port}", "-servername", "localhost", "-ign_eof"),
        *("-CAfile", f"{FOLDER}/lariat-ca.pem", "-verify_return_error", "-verify_hostname", "localhost"),
        *arguments,
        given=request,
    )


@check("openssl s_client: both versions verify, agree on http/1.1, and resume")
def _():
    with Server() as server:
        for version, name in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")]:
            kept = os.path.join(FOLDER, f"session{version}")
            code, out = s_client(server, version, "-alpn", "h2,http/1.1", "-sess_out", kept)
            equal(code, 0, f"exit code: {out}")
            for wanted in ["Verify return code: 0 (ok)", "ALPN protocol: http/1.1", f"New, {name}", "HTTP/1.1 200 OK"]:
                true(wanted in out, f"{version}: no {wanted!r} in {out}")
            code, out = s_client(server, version, "-alpn", "http/1.1", "-sess_in", kept)
            equal(code, 0, f"exit code: {out}")
            for wanted in [f"Reused, {name}", "HTTP/1.1 200 OK"]:
                true(wanted in out, f"{version}: no {wanted!r} in {out}")
        equal(server.metric("lariat_tls_handshakes_total") >= 5, True, "lariat_tls_handshakes_total")


@check("protocols by ALPN: http/1.1 or none, but not h2 alone")
def _():
    with Server() as server:
        for alpn, wanted in [("http/1.1", "http/1.1"), (None, None)]:
            with Tls(server, tls=context(alpn=alpn)) as client:
                equal(client.tls.selected_alpn_protocol(), wanted, "protocol")
                client.open().echo(b"hello")
        try:
            Tls(server, tls=context(alpn="h2"))
        except ssl.SSLError as error:
            true("no application protocol" in str(error), f"another alert: {error}")
            return
        raise AssertionError("h2 alone was accepted")


@check("versions before 1.2 are refused with an alert")
def _():
    with Server() as server:
        for version in ["-tls1", "-tls1_1"]:
            code, out = s_client(server, version, "-cipher", "DEFAULT:@SECLEVEL=0")
            true(code != 0 and re.search("alert (protocol version|handshake failure)", out), f"{version}: {out}")


@check("curl: each path answers over https as over http, and posts to the chat")
def _():
    with Server("--listen", "127.0.0.1:0", "--listen", "plain:127.0.0.1:0") as server:
        # And what their pages link to.
        paths = ["/", "/echo", "/broadcast", "/healthz", "/readyz", "/nope"]
        form = ["curl", "-s", "-i", "--noproxy", "*", "--http1.1", "--max-time", "5"]
        form += ["--cacert", f"{FOLDER}/lariat-ca.pem"]
        for path in paths:
            answers = []
            for base in [f"https://localhost:{server.port}", f"http://localhost:{server.plain_port}"]:
                code, out = command(*form, base + path)
                equal(code, 0, f"curl {base}{path}")
                head, _, body = out.partition("\n\n")
                if path == "/metrics":
                    head, body = re.sub(r"(?m)^(Content-Length): .*$", r"\1", head), ""
                if " 426 " in head.partition("\n")[0]:
                    # It says what to do, with the scheme of the port.
                    scheme = base.partition(":")[0].replace("http", "ws")
                    true(f'new WebSocket("{scheme}://...")' in body, f"{base}{path} says {body}")
                    head, body = re.sub(r"(?m)^(Content-Length): .*$", r"\1", head), ""
                answers.append((head, body))
            equal(answers[0], answers[1], f"https and http of {path}")
            paths += sorted(set(re.findall(r'(?:href|src)="(/[^"#]*)"', body)) - set(paths))
        code, out = command(*form, "-d", "hello", f"https://localhost:{server.port}/chat/lobby")
        true(code == 0 and re.match(r"HTTP/1.1 2\d\d ", out), f"POST to the chat: {code}, {out}")
        return f"{len(paths)} paths, then {out.splitlines()[0]}"


@check("a client certificate: with a valid one, with none, not with one of another CA")
def _():
    certificate("", "--client", "Anna")
    other = certificate("other", "--client", "Mallory")
    with Server("--tls-client-ca", f"{FOLDER}/lariat-ca.pem", log="debug") as server:
        for version in [TLS12, TLS13]:
            for folder in [FOLDER, None, other]:
                tls = ssl.create_default_context(cafile=f"{FOLDER}/lariat-ca.pem")
                tls.minimum_version = tls.maximum_version = version
                if folder:
                    tls.load_cert_chain(f"{folder}/lariat-client.pem", f"{folder}/lariat-client-key.pem")
                try:
                    with Tls(server, tls=tls) as client:
                        client.open().echo(b"hello")
                    is_served = True
                except (ssl.SSLError, AssertionError) as error:
                    is_served, why = False, str(error)
                equal(is_served, folder != other, f"{version.name}, certificate of {folder}")
                if folder == other:
                    true("UNKNOWN_CA" in why or "CERTIFICATE" in why, f"no alert about the certificate: {why}")
        return why


@check("SNI: each name gets its certificate, another name and none the first one")
def _():
    second = certificate("second", "two.example", "*.wild.example")
    with Server(*Server.pair(second)) as server:
        for name, folder in [
            ("localhost", FOLDER),
            ("two.example", second),
            ("a.wild.example", second),
            ("TWO.example", second),
            ("127.0.0.1", FOLDER),
        ]:
            with Tls(server, tls=context(folder), name=name) as client:
                client.open().echo(b"hello")
        tls = ssl.create_default_context(cafile=f"{FOLDER}/lariat-ca.pem")
        tls.check_hostname = False
        for name in ["nobody.example", None]:
            with Tls(server, tls=tls, name=name) as client:
                names = [value for _, value in client.tls.getpeercert()["subjectAltName"]]
                true("localhost" in names, f"{name} gets the certificate for {names}")


@check("plain HTTP on the port with TLS gets a 400 that says what to do")
def _():
    with Server() as server:
        code, out = command("curl", "-s", "-i", "--noproxy", "*", "--max-time", "5", f"http://127.0.0.1:{server.port}/")
        equal(code, 0, "exit code of curl")
        true(out.startswith("HTTP/1.1 400 ") and "https://" in out, out)
        with Raw(server, REQUEST) as client:
            answer = client.rest()
        true(answer.startswith(b"HTTP/1.1 400 ") and b"wss://" in answer, f"a WebSocket gets {answer}")


# ---------------------------------------------------------------- reload


def serial(server, folder=None):
    with Tls(server, tls=context(folder)) as client:
        client.open().echo(b"hello")
        return client.tls.getpeercert()["serialNumber"]


@check("certificates are read again while clients are connected; a broken file changes nothing")
def _():
    folder = certificate("reload")
    with Server(folder=folder) as server:
        first = serial(server, folder)
        clients = [Tls(server, version).open() for version in (TLS12, TLS13)]
        certificate("reload")
        second = until(lambda: (new := serial(server, folder)) != first and new, "the new certificate", 5)
        for client in clients:
            client.echo(random.randbytes(100_000))
        clients.append(Tls(server).open())
        equal(server.metric("lariat_tls_reload_failures_total"), 0, "failures")
        equal(server.metric("lariat_tls_reload_failed"), 0, "whether the last attempt failed")

        path = f"{folder}/lariat-cert.pem"
        with open(path, "r+") as file:
            good = file.read()
            file.seek(0)
            file.truncate()
            file.write(good[: len(good) // 3])
        until(lambda: server.metric("lariat_tls_reload_failures_total") == 1, "the failure is counted", 5)
        true("could not be read again" in server.log() and path in server.log(), f"the log says {server.log()}")
        equal(serial(server, folder), second, "the certificate after a broken file")
        os.unlink(path)
        until(lambda: server.metric("lariat_tls_reload_failures_total") == 2, "a missing file is counted", 5)
        equal(server.metric("lariat_tls_reload_failed"), 1, "whether the last attempt failed")
        equal(serial(server, folder), second, "the certificate after a missing file")

        with open(path, "w") as file:
            file.write(good)
        done = server.metric("lariat_tls_reloads_total")
        until(lambda: server.metric("lariat_tls_reloads_total") == done + 1, "the good file is read", 5)
        equal(server.metric("lariat_tls_reload_failed"), 0, "whether the last attempt failed")
        equal(serial(server, folder), second, "the certificate of the good file")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.metric("lariat_tls_reloads_total") == done + 2, "SIGHUP reads again", 5)
        for client in clients:
            client.echo(b"still here")


# ---------------------------------------------------------------- below TLS


@check("the PROXY protocol before TLS: in one segment with the ClientHello, and byte by byte")
def _():
    one = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"
    two = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1")
    two += struct.pack("!HH", 4711, 443)
    limited = ["--max-connections-per-address", "1"]
    with Server("--proxy-protocol", "--trust-proxy", "127.0.0.1", *limited) as server:
        for header in [one, two]:
            for way in ["apart", "together", "slowly", "cut"]:
                with Tls(server, shake=False) as client:
                    hello, _ = client.step()
                    if way == "apart":
                        client.give(header)
                        time.sleep(0.02)
                        client.give(hello)
                    elif way == "together":
                        client.give(header + hello)
                    elif way == "slowly":
                        client.give_slowly(header + hello, 0.0002)
                    else:
                        client.give(header + hello[:100])
                        time.sleep(0.02)
                        client.give(hello[100:])
                    client.feed()
                    client.shake()
                    client.open().echo(random.randbytes(50_000))
                    # The header has the client's address: another connection is one too many.
                    with Raw(server, one) as other:
                        equal(other.rest(), b"", "the answer to the second connection of an address")
                    with Tls(server, before=one.replace(b"192.0.2.7", b"192.0.2.8")) as other:
                        other.open()
                    client.echo(b"still here")
                    client.send(frame(0x88, b""))
                    client.expect(b"", 0x88)
                    client.closes()
        with Tls(server, shake=False) as client:
            client.give(client.step()[0])
            client.rest()
        server.rests()


@check("TLS over a Unix socket")
def _():
    path = os.path.join(FOLDER, "lariat.sock")
    with Server("--listen", f"unix:{path}") as server:
        for version in [TLS12, TLS13]:
            with Tls(server, version, path=path) as client:
                client.open()
                for size in [0, 1, 20_000, MIB]:
                    client.echo(random.randbytes(size))


# ---------------------------------------------------------------- ends


def logged(server, what, count):
    return until(lambda: server.log().count(what) >= count, f"{what!r} in the log, {count} times", QUICK)


CUT_OFF = "TLS: the stream was cut off"


@check("ends: clean after a Close frame, reported if they are inside a message")
def _():
    close = frame(0x88, struct.pack("!H", 1000))
    with Server(log="debug") as server:
        for version in [TLS12, TLS13]:
            # The server's close_notify precedes its FIN.
            with Tls(server, version) as client:
                client.open().send(close)
                client.expect(struct.pack("!H", 1000), 0x88)
                client.closes()
            # close_notify and FIN right behind the Close frame.
            with Tls(server, version) as client:
                octets = client.open().encrypt(close)
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.tls.unwrap()
                client.give(octets + client.outgoing.read())
                client.end_output()
                client.expect(struct.pack("!H", 1000), 0x88)
                client.closes()
            # FIN without close_notify behind the Close frame.
            with Tls(server, version) as client:
                client.open().send(close)
                client.end_output()
                client.expect(struct.pack("!H", 1000), 0x88)
                client.closes()
            # close_notify without a Close frame: no clean end for WebSocket, but one for TLS.
            with Tls(server, version) as client:
                client.open()
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.tls.unwrap()
                client.give(client.outgoing.read())
                client.closes()
                client.tls.unwrap()
            # Everything of a few sizes, then the end.
            for count in range(1, 8):
                for size in [65_000, 65_536, 131_072]:
                    with Tls(server, version) as client:
                        client.open().send(frame(0x82, bytes(size)) * count + close)
                        for _ in range(count):
                            client.expect(bytes(size))
                        client.expect(struct.pack("!H", 1000), 0x88)
                        client.closes()
            # A shutdown by OpenSSL itself.
            asyncio.run(shut_down_by_openssl(server, version))
        time.sleep(0.1)
        equal(server.log().count(CUT_OFF), 0, "streams that were cut off, after clean ends")
        number = 0
        for version in [TLS12, TLS13]:
            message = frame(0x82, bytes(50_000))
            # Between two records of a message, in a record, and in a frame of one record.
            for cut in ["record", "half", "frame"]:
                with Tls(server, version) as client:
                    octets = client.open().encrypt(message[:100] if cut == "frame" else message)
                    if cut != "frame":
                        size = 5 + int.from_bytes(octets[3:5], "big")
                        octets = octets[: size if cut == "record" else size // 2]
                    client.give(octets)
                    client.end_output()
                    client.rest()
                number += 1
                logged(server, CUT_OFF, number)
            # The same with close_notify is an end of TLS, but not of WebSocket.
            with Tls(server, version) as client:
                octets = client.open().encrypt(message[:100])
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.tls.unwrap()
                client.give(octets + client.outgoing.read())
                client.rest()
        equal(server.log().count(CUT_OFF), number, "streams that were cut off")
        return f"{number} were cut off"


@check("4.5 MB and a Close frame to a slow reader: all of it, then close_notify, then FIN")
def _():
    with Server() as server:
        for version in [TLS12, TLS13]:
            payload = random.randbytes(4_500_000)
            with Tls(server, version, receive_buffer=32 * KIB) as client:
                octets = client.open().encrypt(frame(0x82, payload) + frame(0x88, b"\x03\xe8"))
                client.give(octets)
                client.end_output()
                received = []
                while octets := client.socket.recv(20_000):
                    received.append(octets)
                    if len(received) % 20 == 0:
                        time.sleep(0.01)
                client.incoming.write(b"".join(received))
                true(not client.decrypt(), "no close_notify")
                wanted = answer_to(0x82, payload) + answer_to(0x88, b"\x03\xe8")
                true(client.unread == wanted, f"{len(client.unread)} of {len(wanted)} bytes, or wrong ones")


@check("records cut anywhere, in both directions")
def _():
    with Server() as server:
        for version in [TLS12, TLS13]:
            for most in [1, 7, 300, 5_000]:
                with Tls(server, version) as client:
                    client.open()
                    payloads = [random.randbytes(random.choice((0, 1, 100, 3 * most, 16_384))) for _ in range(30)]
                    payloads = payloads[:4] if most == 1 else payloads
                    octets, at = b"".join(client.encrypt(frame(0x82, payload)) for payload in payloads), 0
                    while at < len(octets):
                        size = random.randint(1, most)
                        client.give(octets[at : at + size])
                        at += size
                        if random.random() < 0.02:
                            time.sleep(0.001)
                    for payload in payloads:
                        client.expect(payload)


@check("a client that does not read its echoes: memory is bounded, and then it gets every byte")
def _():
    with Server("--memory-budget", "64MiB", "--max-message", "4MiB") as server:
        before = server.memory()
        for version in [TLS12, TLS13]:
            with Tls(server, version, receive_buffer=32 * KIB) as client:
                client.open()
                payloads = [random.randbytes(MIB) for _ in range(24)]
                octets = memoryview(b"".join(client.encrypt(frame(0x82, payload)) for payload in payloads))
                at, idle_since = 0, time.monotonic()
                client.socket.setblocking(False)
                while time.monotonic() - idle_since < 0.5:
                    with contextlib.suppress(BlockingIOError):
                        at += client.socket.send(octets[at : at + (1 << 18)])
                        idle_since = time.monotonic()
                true(at < len(octets), "the server has read everything from a client that does not read")
                held = server.memory() - before
                true(held < 24 * MIB, f"{held} bytes are held for one client")
                server.rests()
                received = bytearray()
                size = sum(len(answer_to(0x82, payload)) for payload in payloads)
                while len(received) < size:
                    waiting = [client.socket] if at < len(octets) else []
                    readable, writable, _ = select.select([client.socket], waiting, [], 5)
                    true(readable or writable, f"nothing happens after {len(received)} of {size} bytes")
                    if writable:
                        at += client.socket.send(octets[at : at + (1 << 18)])
                    if readable:
                        true(client.feed(), "the server has disconnected")
                        client.decrypt()
                        received += client.unread
                        client.unread = b""
                equal(len(received), size, "received bytes")
                true(received == b"".join(answer_to(0x82, payload) for payload in payloads), "wrong bytes")
        return f"{held >> 10} KiB held"


# ---------------------------------------------------------------- hostile clients


@contextlib.contextmanager
def attacked(server):
    """Hostile clients run inside. Others are served meanwhile. Afterwards the server has no more
    descriptors than before, does nothing, and has not grown."""
    descriptors = server.descriptors()
    notes = []
    with Beside(server) as beside:
        yield notes
    notes.append(beside.note)
    until(lambda: server.descriptors() <= descriptors, "all connections have ended", QUICK)
    notes.append(f"then {server.rests():.0%} of a CPU")
    grown = server.memory() - server.calm
    notes.append(f"{grown >> 10} KiB more memory")
    true(grown <= GROWTH, f"the server has grown by {grown} bytes")


HOSTILE = None


def crowd(server):
    """Connect 2,000 clients that are silent in their handshakes."""
    began = hello(server)
    # Nothing, a part of the ClientHello, or all of it.
    clients = [Raw(server, [b"", began[:100], began][i % 3]) for i in range(2_000)]
    for client in clients:
        client.socket.setblocking(False)
    return clients


def calm(server):
    """Note the memory of a server that has had a crowd and large messages once."""
    for version in [TLS12, TLS13]:
        with Tls(server, version) as client:
            client.open().echo(bytes(MIB))
    # Its own descriptors are all open since it serves.
    until(lambda: server.metric("lariat_connections") <= 1, "both have left")
    descriptors = server.descriptors()
    for client in crowd(server):
        client.reset()
    until(lambda: server.descriptors() <= descriptors, "all connections have ended")
    server.calm = server.memory()


def hostile(name):
    """Register a check with hostile clients. All of them meet one server."""

    def register(function):
        def run():
            with attacked(HOSTILE) as notes:
                notes.extend(filter(None, [function(HOSTILE)]))
            return "; ".join(notes)

        check(name)(run)
        return function

    return register


def hello(server, version=None):
    """Return the first bytes of a client."""
    with Tls(server, version, shake=False) as client:
        return client.step()[0]


def record(kind, content, version=b"\x03\x03"):
    return bytes([kind]) + version + len(content).to_bytes(2, "big") + content


@hostile("garbage, HTTP/2, SSLv2, SSLv3 and random bytes end at once")
def _(server):
    garbage = {
        "zeros": bytes(1_000),
        "text": b"hello, is this TLS?\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
        "SSLv2": b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10\x01\0\x80" + bytes(40),
        "SSLv3": record(22, b"\x01\0\0\x2b\x03\0" + bytes(35) + b"\0\x02\0\x0a\x01\0", b"\x03\0"),
        "no ClientHello": record(22, b"\x02\0\0\x04abcd"),
        "data first": record(23, b"abcd"),
        "unknown type": record(99, b"abcd"),
        "an alert": record(21, b"\x02\x28"),
        "broken ClientHello": record(22, b"\x01\0\0\x10" + b"\xff" * 16),
    }
    for i in range(200):
        garbage[f"random {i}"] = random.randbytes(random.randint(20_000, 40_000))
        # Behind the head of a record, so that it is not refused at its first byte.
        garbage[f"record {i}"] = record(22, b"\x01" + random.randbytes(3) + random.randbytes(16_000)) * 3
    for what, octets in garbage.items():
        with Raw(server, octets) as client:
            try:
                client.rest()
            except AssertionError as error:
                raise AssertionError(f"{what}: {error}: {octets[:20].hex()}") from None
    return f"{len(garbage)} of them"


@hostile("a ClientHello in single bytes is understood")
def _(server):
    for version in [TLS12, TLS13]:
        with Tls(server, version, shake=False) as client:
            client.give_slowly(client.step()[0], 0.0002)
            client.feed()
            client.shake()
            client.open().echo(b"hello")
        # Each byte in a record of its own.
        with Tls(server, version, shake=False) as client:
            octets = client.step()[0][5:]
            client.give(b"".join(record(22, octets[i : i + 1], b"\x03\x01") for i in range(len(octets))))
            client.feed()
            client.shake()
            client.open().echo(b"hello")


@hostile("a ClientHello that is cut at every byte, then FIN or RST")
def _(server):
    octets = hello(server)
    for cut in range(len(octets)):
        with Raw(server, octets[:cut]) as client:
            client.end_output()
            client.rest()
        Raw(server, octets[:cut]).reset()
    return f"{len(octets)} bytes"


STATES = ["connected", "hello", "answered", "half", "finished", "ticket", "request", "open", "half a record"]


def reach(client, state):
    """Bring a new client to a state."""
    place = STATES.index(state)
    if place >= STATES.index("hello"):
        client.give(client.step()[0])
    if place >= STATES.index("answered"):
        client.feed()
    if state == "half":
        flight, _ = client.step()
        client.give(flight[: len(flight) // 2])
    elif state == "finished":
        client.give(client.step()[0])
    elif place >= STATES.index("ticket"):
        client.shake()
    if state == "request":
        client.send(REQUEST[:50])
    elif place >= STATES.index("open"):
        client.open()
    if state == "half a record":
        client.give(client.encrypt(frame(0x82, bytes(9_000)))[:5_000])


@hostile("FIN or RST in every state of a handshake and after it")
def _(server):
    for version in [TLS12, TLS13]:
        for state in STATES:
            for _ in range(5):
                client = Tls(server, version, shake=False)
                reach(client, state)
                client.reset()
                with Tls(server, version, shake=False) as client:
                    reach(client, state)
                    client.end_output()
                    try:
                        client.rest()
                    except AssertionError as error:
                        raise AssertionError(f"{version.name}, {state}: {error}") from None
    return f"{len(STATES)} states"


@hostile("records that are too long, empty, forged, or that never end a message")
def _(server):
    # The head of a message of 65,535 bytes, and the message.
    announced = b"\x01\0\xff\xff" + bytes(65_535)
    for what, octets in {
        # rustls allows what TLS 1.2 allows, 2,048 bytes of overhead.
        "too long": b"\x16\x03\x01" + (16_384 + 2_048 + 1).to_bytes(2, "big"),
        "64 KiB in records of one byte": b"".join(record(22, bytes([byte])) for byte in announced),
        "64 KiB in records of 16 KiB": record(22, b"\x01\0\xff\xff" + bytes(16_380)) + record(22, bytes(16_384)) * 3,
        "16 MiB are announced": record(22, b"\x01\xff\xff\xff" + bytes(16_000)) + record(22, bytes(16_384)) * 3,
        "empty records": record(22, b"") * 10_000,
        "an empty alert": record(21, b""),
        "warnings": record(21, b"\x01\x5a") * 10_000,
        "ChangeCipherSpec": hello(server) + record(20, b"\x01") * 10_000,
        "warnings after the hello": hello(server) + record(21, b"\x01\x5a") * 10_000,
    }.items():
        with Raw(server) as client:
            client.give(octets)
            try:
                client.rest()
            except AssertionError as error:
                raise AssertionError(f"{what}: {error}") from None
    for version in [TLS12, TLS13]:
        for what, octets in {
            "forged": record(23, random.randbytes(100)),
            "forged, of the largest length": record(23, random.randbytes(16_384 + 256)),
            "one byte too long": record(23, random.randbytes(16_384 + 257)),
            "far too long": b"\x17\x03\x03\xff\xff",
            "empty": record(23, b"") * 10_000,
            "plain alerts": record(21, b"\x01\0") * 10_000,
            "a plain handshake": hello(server) * 100,
        }.items():
            with Tls(server, version) as client:
                # A record of the largest length is fine.
                client.open().echo(random.randbytes(20_000))
                client.give(octets)
                try:
                    client.rest()
                except AssertionError as error:
                    raise AssertionError(f"{version.name}, {what}: {error}") from None


@hostile("64 KiB of a handshake, byte by byte, in segments of their own")
def _(server):
    before = server.cpu()
    with Raw(server) as client:
        octets = record(22, b"\x01\0\xff\xff" + bytes(16_380)) + record(22, bytes(16_384)) * 3
        for i in range(len(octets)):
            if not client.give(octets[i : i + 1]):
                break
        client.rest()
    used = server.cpu() - before
    true(used < 3, f"{used:.1f} s of CPU for a client that sends single bytes")
    return f"{i} bytes taken, {used:.2f} s of CPU"


# The structure of an SSLObject in CPython 3.11 to 3.13: its head, its socket, then OpenSSL's SSL.
SSL_OFFSET = 24


def key_update(client):
    """Return the ciphertext of a KeyUpdate, which the package ssl cannot send."""
    library = ctypes.CDLL("libssl.so.3")
    for function in [library.SSL_key_update, library.SSL_do_handshake, library.SSL_get_version]:
        function.argtypes = [ctypes.c_void_p] + ([ctypes.c_int] if function is library.SSL_key_update else [])
    library.SSL_get_version.restype = ctypes.c_char_p
    session = ctypes.c_void_p.from_address(id(client.tls._sslobj) + SSL_OFFSET)
    equal(library.SSL_get_version(session), b"TLSv1.3", "version")
    equal(library.SSL_key_update(session, 1), 1, "SSL_key_update")
    equal(library.SSL_do_handshake(session), 1, "SSL_do_handshake")
    return client.outgoing.read()


@hostile("KeyUpdate: some are obeyed, a flood is refused")
def _(server):
    with Tls(server, TLS13) as client:
        client.open()
        for i in range(100):
            client.give(key_update(client))
            client.echo(random.randbytes(1_000))
    with Tls(server, TLS13) as client:
        client.open()
        client.give(b"".join(key_update(client) for _ in range(10_000)))
        client.rest()
    # Each with a ping, by a client that reads no pongs.
    with Tls(server, TLS13, receive_buffer=4 * KIB) as client:
        client.open()
        octets = b"".join(key_update(client) + client.encrypt(frame(0x89, b"")) for _ in range(10_000))
        client.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            client.give(octets)
        grown = server.memory() - server.calm
        true(grown < 4 * MIB, f"{grown} bytes for a client that sends KeyUpdate")


@hostile("renegotiation of TLS 1.2 is refused")
def _(server):
    for letter in ["R", "R\nR\nR"]:
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-legacy_renegotiation"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            time.sleep(0.2)
            for line in letter.split():
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(line + "\n")
                    process.stdin.flush()
                time.sleep(0.1)
            out, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        true("RENEGOTIATING" in out, f"openssl has not tried: {out}")
        true("no renegotiation" in out, f"it was not refused: {out[-1000:]}")


@hostile("2,000 silent handshakes end at their deadline, and others are served meanwhile")
def _(server):
    began = time.monotonic()
    clients, ends = crowd(server), []
    crowded = time.monotonic()
    poller = select.epoll()
    for client in clients:
        poller.register(client.socket, select.EPOLLIN)
    memory = server.memory() - server.calm
    by_number = {client.socket.fileno(): client for client in clients}
    while by_number and time.monotonic() < crowded + HANDSHAKE + QUICK:
        for number, _ in poller.poll(0.1):
            client = by_number[number]
            if not client.take():
                poller.unregister(number)
                ends.append(time.monotonic())
                del by_number[number]
                client.socket.close()
    equal(len(by_number), 0, "handshakes that are still there")
    first, last = min(ends) - began, max(ends) - crowded
    true(first > HANDSHAKE - 1, f"one ended after {first:.1f} s already")
    return f"after {first:.1f} to {last:.1f} s; {memory >> 10} KiB meanwhile"


@hostile("1,000 clients that shake hands and leave")
def _(server):
    before, began = server.cpu(), time.monotonic()
    for i in range(1_000):
        with Tls(server, TLS12 if i % 2 else TLS13) as client:
            client.send(REQUEST)
            if i % 3 == 0:
                client.reset()
    return f"{time.monotonic() - began:.1f} s, {server.cpu() - before:.2f} s of CPU"


@check("the server that met hostile clients ends cleanly")
def _():
    HOSTILE.process.send_signal(signal.SIGTERM)
    equal(HOSTILE.process.wait(PATIENCE), 0, "exit code")
    true("panicked" not in HOSTILE.log(), HOSTILE.log()[-2000:])


# ---------------------------------------------------------------- the run


def run():
    failed = 0
    checks = [(name, function) for name, function in CHECKS if re.search(CHOSEN, name)]
    for name, function in checks:
        began = time.monotonic()
        try:
            note = function()
            print(f"ok    {name}" + (f" ({note})" if note else "") + f" {time.monotonic() - began:.1f} s")
        except Exception as error:
            failed += 1
            reason = f"{type(error).__name__}: {error}".removeprefix("AssertionError: ")
            print(f"FAIL  {name}: {reason}, after {time.monotonic() - began:.1f} s")
        sys.stdout.flush()
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    global LARIAT, NODE_CLIENT, FOLDER, HOSTILE
    if len(sys.argv) not in (2, 3) or not os.access(sys.argv[1], os.X_OK):
        sys.exit(__doc__)
    LARIAT, NODE_CLIENT = os.path.abspath(sys.argv[1]), "".join(sys.argv[2:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    FOLDER = tempfile.mkdtemp()
    try:
        certificate("")
        HOSTILE = Server()
        HOSTILE.__enter__()
        calm(HOSTILE)
        status = run()
    finally:
        if HOSTILE and HOSTILE.process.poll() is None:
            HOSTILE.process.kill()
        shutil.rmtree(FOLDER)
    sys.exit(status)


if __name__ == "__main__":
    main()
