#!/usr/bin/env python3
"""Test the C library as it is installed: its header as C and C++ of several years, the hosts in C
(capi/examples) with the Python package `websockets` and openssl as their peers, under valgrind and
the sanitizers of gcc (addresses, undefined behaviour), and the code in docs/embedding.md.

    make -C capi install PREFIX=/tmp/lariat PROFILE=dev FEATURES=tls
    python capi.py /tmp/lariat          # all
    python capi.py /tmp/lariat uv glib  # some functions of this file

Needs requirements.txt, gcc, g++, clang, make, pkg-config, openssl, valgrind, libuv and GLib.
"""

import asyncio
import contextlib
import http
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

from websockets.asyncio.client import connect as begin
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus

PATIENCE = 100  # seconds; valgrind is slow
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CAPI = os.path.join(ROOT, "capi")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
VALGRIND = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=9"]
# GLib's thread for signals is never joined.
VALGRIND_GLIB = [*VALGRIND, "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover"]
PACKAGES = {"uv": "libuv", "glib": "glib-2.0"}
START = time.monotonic()


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def ok(*what):
    print(f"{time.monotonic() - START:5.1f} s  ok:", *what, flush=True)


def run(*command, **options):
    """Run a command that must succeed. Return what it prints."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
    done = subprocess.run(command, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} has failed with {done.returncode}:\n{done.stdout}")
    return done.stdout


def pkg_config(folder, *arguments):
    environment = {**os.environ, "PKG_CONFIG_PATH": os.path.join(folder, "lib", "pkgconfig")}
    return run("pkg-config", *arguments, env=environment).split()


def compile_host(compiler, source, program, libraries, *flags):
    package = PACKAGES.get(os.path.basename(source).removesuffix(".c"))
    more = pkg_config("", "--cflags", "--libs", package) if package else []
    run(compiler, "-std=gnu99", "-g", *WARNINGS, *flags, source, *libraries, *more, "-o", program)
    return program


# ---- the header ---------------------------------------------------------------------------------

def header():
    """The header alone must compile without a warning, also for 32 bits."""
    code = '#include "lariat.h"\nint main(void) { return sizeof(lariat_stats) + LARIAT_OK == 0; }\n'
    c = ["-Wstrict-prototypes", "-Wmissing-prototypes"]
    ways = [(compiler, "c", [f"-std={std}", *c]) for std in ["c99", "c11", "c17", "c2x"] for compiler in ["gcc", "clang"]]
    ways += [(compiler, "c++", [f"-std={std}"]) for std in ["c++11", "c++17", "c++20"] for compiler in ["g++", "clang++"]]
    # The compiler's own stddef.h and stdint.h: no C library for 32 bits is needed.
    ways += [(compiler, "c", ["-std=c11", "-m32", "-ffreestanding", *c]) for compiler in ["gcc", "clang"]]
    for compiler, language, flags in ways:
        run(compiler, "-x", language, *flags, *WARNINGS, "-fsyntax-only", f"-I{CAPI}/include", "-", input=code)
    ok(f"the header in {len(ways)} ways")


def every_function(library):
    program = os.path.join(CAPI, "tests", "every_function.py")
    ok("every_function.py", run(sys.executable, program, library, os.path.join(CAPI, "include", "lariat.h")).strip())


def throws(folder, program):
    """A C++ exception ends the program, and does not come through."""
    libraries = pkg_config(folder, "--cflags", "--libs", "--static", "lariat")
    run("g++", "-std=c++17", *WARNINGS, os.path.join(CAPI, "tests", "throws.cc"), *libraries, "-o", program)
    done = subprocess.run([program], capture_output=True, text=True, env=with_library(folder))
    equal((done.returncode, done.stdout), (-signal.SIGABRT, ""), "how a program with an exception ends")
    ok("a C++ exception ends the program")


def with_library(folder):
    return {**os.environ, "LD_LIBRARY_PATH": os.path.join(folder, "lib")}


# ---- hosts and their peers ----------------------------------------------------------------------

def connect(url, **options):
    return begin(url, **{"open_timeout": PATIENCE, "ping_interval": None, "proxy": None, **options})


@contextlib.asynccontextmanager
async def running(command, *arguments, environment=None, code=0):
    """Start a host. Yield its address and its process. In the end it must stop without an error."""
    process = await asyncio.create_subprocess_exec(*command, *arguments, stdin=-1, stdout=-1, env=environment)
    try:
        first = (await process.stdout.readline()).decode().split()
        equal(first[:2], ["listening", "on"], "the first line")
        yield first[2], process
        equal(await process.wait(), code, "the exit code")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"


def misbehave(address):
    """Connect, say something wrong or nothing, and reset. Or send much, read nothing, and leave."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as stream, contextlib.suppress(ConnectionError):
        stream.sendall(REQUEST + (b"\x82\xfe\x20\x00mask" + b"x" * 0x2000) * 40)
        stream.shutdown(socket.SHUT_WR)
    for text in [b"", b"GET / HT", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\xff"]:
        with socket.create_connection((host, int(port))) as stream:
            stream.sendall(text)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def check_echo(client):
    for message in ["hello", "", "é" * 50_000, b"\0\xff" * 1_000, b""]:
        await client.send(message)
        equal(await client.recv(), message, "the echo")


async def echo(command):
    async with running(command, "127.0.0.1:0") as (address, process):
        misbehave(address)
        async with connect(f"ws://{address}/") as client, connect(f"ws://{address}/"):
            await check_echo(client)
            process.send_signal(signal.SIGTERM)
            await client.wait_closed()
            equal(client.close_code, 1001, "the code")


async def chat(command):
    def join(room, *subprotocols):
        return connect(f"ws://{address}{room}", subprotocols=subprotocols or None)

    async with running(command, "127.0.0.1:0") as (address, process):
        misbehave(address)
        equal(await refused(join("/tea")), 400, "status of a client without the subprotocol")
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
    async with running(command, "127.0.0.1:0") as (address, process):
        misbehave(address)
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{address}/").read())
        assert b"<script>" in page, page
        async with connect(f"ws://{address}/counters") as client:
            for _ in range(2):
                names = [each["name"] for each in json.loads(await client.recv())]
                assert names, "no interface"
        process.send_signal(signal.SIGINT)


async def uv(command):
    async def hears(client, wanted):
        """Wait for a text. In between, libuv's timer tells how many are there."""
        while re.fullmatch(r"\d+ here", text := await client.recv()):
            pass
        assert re.fullmatch(wanted, text), text

    async with running(command, "127.0.0.1:0") as (address, process):
        misbehave(address)
        port = address.rsplit(":")[1]
        equal(await refused(connect(f"ws://{address}/", origin="http://elsewhere")), 403, "another origin")
        rebound = connect("ws://rebound.example/", host="127.0.0.1", port=int(port))
        equal(await refused(rebound), 421, "another name")
        async with connect(f"ws://{address}/") as ann, connect(f"ws://localhost:{port}/") as bob:
            await bob.send("good morning")
            await hears(ann, r"\d from 127\.0\.0\.1:\d+: good morning")
            await ann.send(b"\0")
            await ann.send("and to you")
            await hears(bob, r"\d from 127\.0\.0\.1:\d+: and to you")
            equal([await bob.recv() for _ in range(2)], ["2 here"] * 2, "what the timer tells")
            await ann.close()
            equal(await bob.recv(), "1 here", "what the timer tells")
            process.send_signal(signal.SIGTERM)
            await bob.wait_closed()
            equal(bob.close_code, 1001, "the code")


async def glib(command):
    async with running(command, "127.0.0.1:0") as (address, process):
        misbehave(address)
        equal(await refused(connect(f"ws://{address}/", origin="http://elsewhere")), 403, "another origin")
        async with connect(f"ws://{address}/") as client, connect(f"ws://{address}/") as other:
            for text, count in [("one", 1), ("two", 2), ("reset", 0), (b"four", 1)]:
                await client.send(text)
                while "yours" not in (answer := json.loads(await client.recv())):
                    pass
                equal(answer, {"yours": count}, "the number of its messages")
            while (counters := json.loads(await other.recv()))["clients"] != 2 or counters["received"] < 4:
                pass  # those that misbehave are counted as well, and leave
            assert counters["sent"] > 4 and counters["bytes"] > 100, counters
            process.send_signal(signal.SIGINT)


async def refused(attempt):
    """Return the status with which a connection is refused."""
    try:
        async with attempt:
            raise AssertionError("it is accepted")
    except InvalidStatus as error:
        return error.response.status_code


async def device(command):
    await device_reports(command, "ws", None, [])


async def device_reports(command, scheme, tls, authorities):
    """A server of another project loses its device twice, and gets it back."""
    sessions = asyncio.Queue()

    def process_request(connection, request):
        if request.headers.get("Authorization") != "Bearer secret":
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "")

    async def handler(connection):
        await sessions.put(connection)
        await connection.wait_closed()

    options = {"open_timeout": PATIENCE, "subprotocols": ["readings"], "ssl": tls, "process_request": process_request}
    async with serve(handler, "localhost", 0, family=socket.AF_INET, **options) as server:
        port = server.sockets[0].getsockname()[1]
        # A name is looked up on a thread, whose memory valgrind reports if it still ends.
        host = "localhost" if tls else "127.0.0.1"
        process = await asyncio.create_subprocess_exec(*command, f"{scheme}://{host}:{port}/", "secret", *authorities)
        try:
            for way in ["close", "abort", "stay"]:
                connection = await sessions.get()
                equal(connection.subprotocol, "readings", "the subprotocol")
                for _ in range(2):
                    assert json.loads(await connection.recv())["load"] >= 0
                await connection.send("now")
                assert json.loads(await connection.recv())["load"] >= 0
                if way == "close":
                    await connection.close(4000, "come back")
                elif way == "abort":
                    connection.transport.abort()
            process.send_signal(signal.SIGTERM)
            await connection.wait_closed()
            equal(connection.close_code, 1001, "the code")
            equal(await process.wait(), 0, "the exit code")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def jobs(command):
    """Answers of threads reach the client that has asked, or nobody, even in a shutdown."""
    async with running(command, "127.0.0.1:0") as (address, process):
        misbehave(address)
        equal(await refused(connect(f"ws://{address}/", origin="http://elsewhere")), 403, "another origin")
        async with asyncio.TaskGroup() as group:
            for number, primes in [("10", 4), ("100000", 9_592), ("0", 0), ("3", 1)] * 3:
                group.create_task(ask(address, number, f"{number}: {primes}"))
            for nonsense in ["", "x", "-1", "1" * 60, "10000001", b"10"]:
                group.create_task(ask(address, nonsense, "send a number, at most 10000000"))
        async with connect(f"ws://{address}/") as client:
            await client.send("1" * 65)
            await client.wait_closed()
            equal(client.close_code, 1009, "the code for a large message")
        # They leave while a thread works for them.
        for leave in [lambda client: client.close(), lambda client: asyncio.sleep(0, client.transport.abort())]:
            async with connect(f"ws://{address}/") as client:
                await client.send("300000")
                await leave(client)
        # The rest waits unread while a thread works for a client, so answers come in order.
        async with connect(f"ws://{address}/") as client:
            for number in ["50000", "10", "20"]:
                await client.send(number)
            equal([await client.recv() for _ in range(3)], ["50000: 5133", "10: 4", "20: 8"], "the order")
        # At the end, two threads work, and jobs wait.
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(6):
                client = await stack.enter_async_context(connect(f"ws://{address}/"))
                await client.send("500000")
            process.send_signal(signal.SIGINT)
            await client.wait_closed()


async def ask(address, question, answer):
    async with connect(f"ws://{address}/") as client:
        await client.send(question)
        equal(await client.recv(), answer, "the answer")


# ---- TLS ----------------------------------------------------------------------------------------

def certificates(folder):
    """An authority, and a certificate of it for this host."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = ["-x509", "-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign"]
    run("openssl", "req", *authority, *key, "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    own = ["-subj", "/CN=localhost", "-addext", names, "-addext", "basicConstraints=critical,CA:false"]
    signer = ["-x509", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"]
    try:
        run("openssl", "req", *own, *signer, *key, "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem")
    except AssertionError:  # before OpenSSL 3
        run("openssl", "req", "-new", "-subj", "/CN=localhost", *key[:-2], "-keyout", f"{folder}/key.pem", "-out", f"{folder}/csr.pem")
        with open(f"{folder}/names", "w") as file:
            file.write(names)
        run("openssl", "x509", "-req", "-in", f"{folder}/csr.pem", *signer[1:], "-CAcreateserial", "-days", "2",
            "-extfile", f"{folder}/names", "-out", f"{folder}/cert.pem")


async def tls_echo(command, folder):
    """wss://, served to Python and to openssl, with TLS 1.2 and 1.3."""
    files = [f"{folder}/cert.pem", f"{folder}/key.pem"]
    async with running(command, "127.0.0.1:0", *files) as (address, process):
        misbehave(address)
        for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
            trust = ssl.create_default_context(cafile=f"{folder}/ca.pem")
            trust.minimum_version = trust.maximum_version = version
            async with connect(f"wss://{address}/", ssl=trust) as client:
                await check_echo(client)
        with contextlib.suppress(ssl.SSLCertVerificationError):
            async with connect(f"wss://{address}/"):
                raise AssertionError("a stranger's certificate is accepted")
        arguments = ["-connect", address, "-CAfile", f"{folder}/ca.pem", "-verify_return_error", "-quiet", "-servername", "localhost"]
        client = await asyncio.create_subprocess_exec("openssl", "s_client", *arguments, stdin=-1, stdout=-1, stderr=-1)
        client.stdin.write(REQUEST + b"\x81\x85mask" + bytes(a ^ b for a, b in zip(b"hello", b"maskm")))
        response = await client.stdout.readuntil(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in response, response
        equal(await client.stdout.readexactly(7), b"\x81\x05hello", "the echo to openssl")
        process.send_signal(signal.SIGTERM)
        # The Close frame of the server.
        equal(await client.stdout.readexactly(4), b"\x88\x02\x03\xe9", "the end to openssl")
        client.stdin.close()
        await client.wait()


async def tls_renewed(command, folder):
    """A certificate that is replaced: those who come after SIGHUP get it, unless it is broken."""
    files = ["cert.pem", "key.pem"]
    with tempfile.TemporaryDirectory() as own:
        for name in ["ca.pem", "ca.key", *files]:
            shutil.copy(f"{folder}/{name}", own)

        async def shown():
            """Return the certificate of the server, without a check."""
            reader, writer = await asyncio.open_connection(*address.rsplit(":", 1), ssl=ssl._create_unverified_context())
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            return certificate

        async with running(command, "127.0.0.1:0", *[f"{own}/{name}" for name in files]) as (address, process):
            trust = ssl.create_default_context(cafile=f"{own}/ca.pem")
            async with connect(f"wss://{address}/", ssl=trust) as client:
                first = await shown()
                certificates(own)
                equal(await shown(), first, "the certificate before SIGHUP")
                process.send_signal(signal.SIGHUP)
                end = time.monotonic() + PATIENCE
                while (second := await shown()) == first:
                    assert time.monotonic() < end, "there is no new certificate"
                    await asyncio.sleep(0.05)
                with open(f"{own}/cert.pem", "w") as file:
                    file.write("broken")
                process.send_signal(signal.SIGHUP)
                # Between the two, a turn ends and the files are read.
                await check_echo(client)
                await check_echo(client)
                equal(await shown(), second, "the certificate after a broken file")
            process.send_signal(signal.SIGTERM)


async def tls_device(command, folder):
    """lariat_connect to wss:// of another project's server, which it trusts by a file."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    await device_reports(command, "wss", tls, [f"{folder}/ca.pem"])


async def tls_strangers(command, folder):
    """A server whose authority nobody trusts is refused, and a file that is none as well."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    # The device trusts the files that OpenSSL trusts: here, an authority of nobody's.
    stranger = os.path.join(folder, "stranger")
    os.mkdir(stranger)
    certificates(stranger)

    async def handler(connection):
        raise AssertionError("the device trusts a stranger")

    async with serve(handler, "localhost", 0, family=socket.AF_INET, ssl=tls) as server:
        url = f"wss://localhost:{server.sockets[0].getsockname()[1]}/"
        for authorities in [[f"{stranger}/ca.pem"], []]:
            environment = {**os.environ, "SSL_CERT_FILE": f"{stranger}/ca.pem"}
            process = await asyncio.create_subprocess_exec(*command, url, "secret", *authorities, stderr=-1, env=environment)
            line = (await process.stderr.readline()).decode()
            assert "disconnected with 1006: " in line and "certificate" in line.lower(), line
            process.send_signal(signal.SIGTERM)
            await process.communicate()
            equal(process.returncode, 0, "the exit code")
    process = await asyncio.create_subprocess_exec(*command, url, "secret", f"{folder}/key.pem", stderr=-1)
    _, error = await process.communicate()
    equal((process.returncode, error[:40]), (1, b"device: the authorities cannot be used: "), "no authority")


# ---- docs/embedding.md --------------------------------------------------------------------------

def blocks(language):
    with open(os.path.join(ROOT, "docs", "embedding.md")) as file:
        return re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.M | re.S)


def excerpts():
    """A block of C in the page is a whole program, or lines of an example."""
    examples = {}
    for name in os.listdir(os.path.join(CAPI, "examples")):
        with open(os.path.join(CAPI, "examples", name)) as file:
            examples[name] = " ".join(file.read().split())
    shown = blocks("c")
    for block in shown:
        if "int main(" not in block and not any(" ".join(block.split()) in text for text in examples.values()):
            raise AssertionError(f"docs/embedding.md shows code that is in no example:\n{block}")
    ok(f"{len(shown)} blocks of C in docs/embedding.md")


async def first_hour(folder):
    """The commands of the page, in a home of their own: they install, compile the program of the
    page in each way, and start it."""
    programs = [block for block in blocks("c") if "int main(" in block]
    commands = [block for block in blocks("sh") if "-o hello" in block or "make -C capi install " in block]
    equal((len(programs), len(commands)), (1, 5), "the blocks of the first hour")
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "hello.c"), "w") as file:
            file.write(programs[0])
        os.symlink(CAPI, os.path.join(home, "capi"))
        environment = {**os.environ, "HOME": home, "PROFILE": "dev", "FEATURES": "tls", "CARGO_HOME": cargo_home()}
        environment["RUSTUP_HOME"] = os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))
        install, *ways = commands
        await asyncio.to_thread(run, "sh", "-ec", install, cwd=home, env=environment)
        prefix = install.partition("PREFIX=")[2].split()[0].replace("$HOME", home)
        environment["PKG_CONFIG_PATH"] = os.path.join(prefix, "lib", "pkgconfig")
        for way in ways:
            # The last line starts it, for the reader on a port of his own.
            *build, start = way.strip().splitlines()
            await asyncio.to_thread(run, "sh", "-ec", "\n".join(build), cwd=home, env=environment)
            command = ["sh", "-ec", f"cd {home}; exec env {start} 127.0.0.1:0"]
            async with running(command, environment=environment, code=-signal.SIGTERM) as (address, process):
                async with connect(f"ws://{address}/") as client:
                    await check_echo(client)
                process.send_signal(signal.SIGTERM)
    ok("the first hour of docs/embedding.md")


def cargo_home():
    return os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))


# ---- the installed library ----------------------------------------------------------------------

async def installed(folder, work):
    """Nothing but pkg-config is needed: with the shared library, and with the static one alone."""
    source = os.path.join(CAPI, "examples", "echo.c")
    shared = pkg_config(folder, "--cflags", "--libs", "lariat")
    program = compile_host("gcc", source, os.path.join(work, "echo-shared"), shared)
    needed = re.findall(r"NEEDED.*?(liblariat\S*)", run("objdump", "-p", program))
    with open(os.path.join(ROOT, "Cargo.toml")) as file:
        version = re.search(r'^version = "(.*)"', file.read(), re.M).group(1)
    equal(needed, [f"liblariat.so.{'.'.join(version.split('.')[:2])}"], "the library that the program needs")
    equal(pkg_config(folder, "--modversion", "lariat"), [version], "the version")
    symbols = re.findall(r" T (\S+)$", run("nm", "-D", "--defined-only", f"{folder}/lib/liblariat.so"), re.M)
    with open(os.path.join(CAPI, "include", "lariat.h")) as file:
        equal(set(symbols), set(re.findall(r"^[a-z].*\b(lariat_\w+)\(", file.read(), re.M)), "the symbols of the library")
    await echo_with(program, with_library(folder))

    only = os.path.join(work, "static")
    make = ["make", "--no-print-directory", "-C", CAPI, "install-static", f"PREFIX={only}", "PROFILE=dev", "FEATURES=tls"]
    run(*make)
    equal(sorted(os.listdir(f"{only}/lib")), ["liblariat.a", "pkgconfig"], "what is installed")
    static = pkg_config(only, "--cflags", "--libs", "--static", "lariat")
    program = compile_host("clang", source, os.path.join(work, "echo-static"), static)
    await echo_with(program, None)
    run(*make[:4], "uninstall", f"PREFIX={only}")
    equal([files for _, _, files in os.walk(only) if files], [], "what is left")

    # A package is built in another place than where it will be.
    staged = os.path.join(work, "staged")
    run("make", "-C", CAPI, "install", f"DESTDIR={staged}", "PREFIX=/usr", "LIBDIR=/usr/lib/there", "PROFILE=dev", "FEATURES=tls")
    with open(f"{staged}/usr/lib/there/pkgconfig/lariat.pc") as file:
        assert "libdir=/usr/lib/there\nincludedir=/usr/include\n" in file.read()
    equal(os.path.realpath(f"{staged}/usr/lib/there/liblariat.so"), f"{staged}/usr/lib/there/liblariat.so.{version}", "the link")
    assert os.path.exists(f"{staged}/usr/include/lariat.h")
    ok("installed with make, found with pkg-config")


async def echo_with(program, environment):
    async with running([program, "127.0.0.1:0"], environment=environment) as (address, process):
        async with connect(f"ws://{address}/") as client:
            await check_echo(client)
        process.send_signal(signal.SIGTERM)


async def python_host(folder):
    command = [sys.executable, f"{CAPI}/examples/echo.py", f"{folder}/lib/liblariat.so", "127.0.0.1:0"]
    async with running(command) as (address, process):
        async with connect(f"ws://{address}/") as client:
            await check_echo(client)
            # A signal may come inside a callback.
            for _ in range(500):
                await client.send("hello")
            process.send_signal(signal.SIGINT)
            async for message in client:
                equal(message, "hello", "the echo")
            equal(client.close_code, 1001, "the code")
    ok("echo.py")


# ---- all of it ----------------------------------------------------------------------------------

async def main(folder, names):
    turns = asyncio.Semaphore(os.cpu_count() or 2)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        certificates(work)

        async def example(test, compiler, before, flags, *more):
            name = test.__name__.removeprefix("tls_").replace("strangers", "device").replace("renewed", "echo")
            program = os.path.join(work, f"{test.__name__}-{compiler}-{'sanitized' if flags else 'plain'}")
            libraries = [f"-I{folder}/include", f"{folder}/lib/liblariat.a", "-lpthread", "-ldl", "-lm"]
            source = os.path.join(CAPI, "examples", f"{name}.c")
            async with turns:
                await asyncio.to_thread(compile_host, compiler, source, program, libraries, *flags)
                async with asyncio.timeout(PATIENCE):
                    await test([*before, program], *more)
            ok(*before[:1], os.path.basename(program))

        async def other(test, *arguments):
            async with turns:
                outcome = await asyncio.to_thread(test, *arguments)
                if asyncio.iscoroutine(outcome):
                    await outcome

        chosen = [test for test in [
            *[(test, *way) for test in [echo, chat, status, uv, glib, device, jobs] for way in [
                ("gcc", VALGRIND_GLIB if test is glib else VALGRIND, []), ("clang", [], []), ("gcc", [], SANITIZERS)]],
            *[(test, "gcc", [], SANITIZERS, work) for test in [tls_echo, tls_renewed, tls_device, tls_strangers]],
            (header,),
            (every_function, f"{folder}/lib/liblariat.so"),
            (throws, folder, os.path.join(work, "throws")),
            (python_host, folder),
            (excerpts,),
        ] if not names or test[0].__name__ in names]
        async with asyncio.TaskGroup() as group:
            for test, *arguments in chosen:
                group.create_task((example if arguments[:1] in (["gcc"], ["clang"]) else other)(test, *arguments))
        # These use the folder that Cargo builds in.
        for test, *arguments in [(installed, folder, work), (first_hour, folder)]:
            if not names or test.__name__ in names:
                await test(*arguments)


asyncio.run(main(os.path.abspath(sys.argv[1]), sys.argv[2:]))
