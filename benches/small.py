#!/usr/bin/env python3
"""Compares the size and the memory of small echo servers: Lariat in Rust and in C, and others.

    python3 benches/small.py [--servers lariat-rust,wslay] [--mongoose DIR] [--libwebsockets DIR] [--out FILE]
    python3 benches/small.py --kernel
    python3 benches/small.py --attack --servers lariat-rust

Builds what can be built here, optimised for size and stripped, and prints a table:

* size: the stripped program, and beside it the shared libraries that it needs, those of the C
  library and of the compiler (libc, ld.so, libgcc_s) excepted, because every process has them;
* `RssAnon` in KiB: at the start, with 100 and with 1,000 idle connections, and with 100 connections
  that each echo messages of 1 KiB in a closed loop for 3 s, the highest of what was seen meanwhile;
* `RssFile` in KiB at that time: pages of the program and of its libraries that lie in memory. They
  are not written to, and the kernel can drop them.

Each value is the median of several starts (`--starts`), because the kernel moves the stack by up to
8 KiB at random. The environment of a server is empty. The client is this script, with plain sockets
of Python. `RssAnon` counts each page that a process has written to, also of the data of a program.
`Private_Dirty` would count pages of files that have just been written as well.

`--mongoose` is a folder with `mongoose.c` and `mongoose.h`, `--libwebsockets` one with the sources
of libwebsockets, to be built without TLS, client and extensions (needs cmake). A server that cannot
be built is left out, with the reason. Needs Linux, Rust, a C and a C++20 compiler, and on Debian
libwebsockets-dev, libwslay-dev, nettle-dev and libcivetweb-dev.
"""
import argparse
import glob
import json
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import size as smallest

ROOT = smallest.ROOT
SOURCES = os.path.join(ROOT, "benches", "small")
PEERS = os.path.join(ROOT, "benches", "peers")
TARGET = os.path.abspath(os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "small"))
FLAGS = ["-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-s", "-Wall", "-Wextra"]
# What every process has.
COMMON = ("linux-vdso", "libc.so", "ld-linux", "libgcc_s", "libm.so", "libpthread", "libdl", "librt")
# CivetWeb has a thread for each connection.
THREADS = 1_010
FEW, MANY = 100, 1_000
SECONDS = 3
MESSAGE = bytes(1 << 10)
# A masking key of zeros is as good for a server as any other.
FRAME = b"\x82\xfe" + len(MESSAGE).to_bytes(2, "big") + bytes(4) + MESSAGE
ECHO = b"\x82\x7e" + len(MESSAGE).to_bytes(2, "big") + MESSAGE


class NotBuilt(Exception):
    """Why a server is left out."""


@dataclass
class Server:
    name: str
    command: list

    @property
    def program(self):
        return self.command[0]


# ---------------------------------------------------------------- how they are built


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "error" in line] or done.stdout.splitlines()[-1:]
        raise NotBuilt(f"{' '.join(command[:3])}: {errors[0][:300] if errors else 'failed'}")
    return done.stdout


def compiled(name, *rest, compiler="cc", source=None):
    program = os.path.join(TARGET, name)
    run(compiler, *FLAGS, source or os.path.join(SOURCES, f"{name}.c"), *rest, "-o", program)
    return program


def cargo(folder, target, *command, flags="", toolchain=(), **environment):
    variables = {**os.environ, "RUSTFLAGS": flags, "CARGO_TARGET_DIR": os.path.join(TARGET, target), **environment}
    run("cargo", *toolchain, command[0], "--quiet", *command[1:], cwd=folder, env=variables)


def lariat_rust(_):
    return [smallest.build("small", "lariat-small", smallest.STATIC)]


def rust_for(target, name, flags="", toolchain=(), options=()):
    host = run("rustc", "-vV").partition("host: ")[2].split()[0]
    triple = host.replace("-gnu", target)
    flags = f"-C relocation-model=static {flags}"
    command = ["build", "--profile", "small", "--bin", "lariat-small", "--target", triple, *options]
    cargo(smallest.PACKAGE, name, *command, flags=flags, toolchain=toolchain)
    return [os.path.join(TARGET, name, triple, "small", "lariat-small")]


def lariat_musl(_):
    return rust_for("-musl", "musl")


def lariat_nightly(_):
    options = ["-Z", "build-std=std,panic_abort", "-Z", "build-std-features="]
    return rust_for("-gnu", "nightly", "-Zunstable-options -Cpanic=immediate-abort", ["+nightly"], options)


def lariat_library(kind, flags):
    """Builds the C library, optimised for size. Returns its folder."""
    environment = {f"CARGO_PROFILE_RELEASE_{name}": value for name, value in
                   (("OPT_LEVEL", "s"), ("PANIC", "abort"), ("STRIP", "true"))}
    command = ["rustc", "--release", "--package", "lariat-capi", "--no-default-features", "--lib", "--crate-type", kind]
    cargo(ROOT, kind, *command, "--", *flags, **environment)
    return os.path.join(TARGET, kind, "release")


HEADER = f"-I{os.path.join(ROOT, 'capi', 'include')}"


def lariat_c_static(_):
    library = os.path.join(lariat_library("staticlib", smallest.STATIC), "liblariat_c.a")
    return [compiled("lariat-static", "-no-pie", HEADER, library, source=os.path.join(SOURCES, "lariat.c"))]


def lariat_c_shared(_):
    folder = lariat_library("cdylib", [])
    linked = [HEADER, f"-L{folder}", "-llariat_c", f"-Wl,-rpath,{folder}"]
    return [compiled("lariat-shared", *linked, source=os.path.join(SOURCES, "lariat.c"))]


def libwebsockets(_):
    return [compiled("libwebsockets", "-lwebsockets")]


def libwebsockets_small(options):
    if not options.libwebsockets:
        raise NotBuilt("it needs --libwebsockets DIR")
    folder = os.path.join(TARGET, "libwebsockets-build")
    chosen = ["CMAKE_BUILD_TYPE=MinSizeRel", "LWS_WITH_SSL=OFF", "LWS_WITHOUT_CLIENT=ON", "LWS_WITHOUT_EXTENSIONS=ON",
              "LWS_WITHOUT_TESTAPPS=ON", "LWS_WITH_SHARED=OFF", "LWS_WITH_MINIMAL_EXAMPLES=OFF"]
    run("cmake", "-S", options.libwebsockets, "-B", folder, *(f"-D{option}" for option in chosen))
    run("cmake", "--build", folder, "-j2")
    linked = [f"-I{folder}", f"-I{folder}/include", f"{folder}/lib/libwebsockets.a", "-lcap"]
    source = os.path.join(SOURCES, "libwebsockets.c")
    return [compiled("libwebsockets-small", *linked, source=source)]


def wslay(_):
    return [compiled("wslay", "-lwslay", "-lnettle")]


def mongoose(options, name="mongoose", flags=()):
    if not options.mongoose:
        raise NotBuilt("it needs --mongoose DIR")
    library = os.path.join(options.mongoose, "mongoose.c")
    source = os.path.join(SOURCES, "mongoose.c")
    # Its own code is not meant for -Wextra.
    return [compiled(name, "-w", f"-I{options.mongoose}", *flags, library, source=source)]


def mongoose_small(options):
    # What its header takes for operating systems of small devices.
    return mongoose(options, "mongoose-small", ["-DMG_IO_SIZE=1460"])


def civetweb(_):
    return [compiled("civetweb", "-lcivetweb", "-lpthread"), str(THREADS)]


def uwebsockets(_):
    metadata = run("cargo", "metadata", "--quiet", "--format-version=1", "--locked", "--all-features", cwd=PEERS)
    crate = next(package for package in json.loads(metadata)["packages"] if package["name"] == "libuwebsockets-sys")
    sources = os.path.join(os.path.dirname(crate["manifest_path"]), "uWebSockets")
    usockets = os.path.join(sources, "uSockets", "src")
    flags = [*FLAGS, "-w", "-DLIBUS_NO_SSL", "-DUWS_NO_ZLIB", f"-I{usockets}"]
    objects = os.path.join(TARGET, "uwebsockets-objects")
    os.makedirs(objects, exist_ok=True)
    run("cc", "-std=c11", *flags, "-c", *glob.glob(f"{usockets}/*.c"), f"{usockets}/eventing/epoll_kqueue.c", cwd=objects)
    program = os.path.join(TARGET, "uwebsockets")
    source = os.path.join(SOURCES, "uwebsockets.cpp")
    run("c++", "-std=c++20", *flags, f"-I{sources}/src", source, *glob.glob(f"{objects}/*.o"), "-pthread", "-o", program)
    return [program]


def tungstenite(_):
    environment = {"CARGO_PROFILE_RELEASE_OPT_LEVEL": "s", "CARGO_PROFILE_RELEASE_STRIP": "true"}
    cargo(PEERS, "peers", "build", "--release", "--locked", "--bin", "mio_tungstenite", **environment)
    return [os.path.join(TARGET, "peers", "release", "mio_tungstenite")]


# Their keys, their names in the table, and what builds them and returns how to start them.
SERVERS = {
    "lariat-rust": ("Lariat, Rust, `Config::small`", lariat_rust),
    "lariat-nightly": ("the same, with a standard library of its own (nightly)", lariat_nightly),
    "lariat-musl": ("the same, static, with musl", lariat_musl),
    "lariat-c-static": ("Lariat, C, `liblariat.a`", lariat_c_static),
    "lariat-c-shared": ("Lariat, C, `liblariat.so`", lariat_c_shared),
    "libwebsockets": ("libwebsockets, Debian", libwebsockets),
    "libwebsockets-small": ("libwebsockets, static, no TLS, no client", libwebsockets_small),
    "wslay": ("wslay, epoll", wslay),
    "mongoose": ("Mongoose", mongoose),
    "mongoose-small": ("Mongoose, `MG_IO_SIZE=1460`", mongoose_small),
    "uwebsockets": ("uWebSockets", uwebsockets),
    "civetweb": (f"CivetWeb, {THREADS:,} threads", civetweb),
    "tungstenite": ("mio + tungstenite", tungstenite),
}


def build(options):
    os.makedirs(TARGET, exist_ok=True)
    servers = []
    for key in options.servers:
        name, make = SERVERS[key]
        try:
            servers.append(Server(name, make(options)))
        except (NotBuilt, FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    return servers


# ---------------------------------------------------------------- what is measured


def libraries(program):
    """Returns the shared libraries of a program that not every process has."""
    done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    paths = [line.split("=> ")[1].split(" (")[0] for line in done.stdout.splitlines() if "=> /" in line]
    return [path for path in paths if not os.path.basename(path).startswith(COMMON)]


def resident(pid):
    """Returns `RssAnon` and `RssFile` in KiB."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status if line.startswith("Rss"))
    return int(fields["RssAnon"].split()[0]), int(fields["RssFile"].split()[0])


def rest(pid):
    """Returns `RssAnon` when it no longer changes."""
    before = None
    for _ in range(50):
        now, _ = resident(pid)
        if now == before:
            break
        before = now
        time.sleep(0.1)
    return now


def connect(port):
    stream = socket.create_connection(("127.0.0.1", port), timeout=20)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(smallest.REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = stream.recv(4096)
        assert piece, f"the server has disconnected: {answer}"
        answer += piece
    assert b" 101 " in answer.split(b"\r\n")[0], answer
    return stream


def echo(streams, pid):
    """Lets each connection echo in a closed loop. Returns the highest `RssAnon`, the last `RssFile`
    and the number of echoes.
    """
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ, bytearray())
            stream.sendall(FRAME)
        end, look, most, echoes = time.monotonic() + SECONDS, 0, (0, 0), 0
        while (now := time.monotonic()) < end:
            if now >= look:
                look, seen = now + 0.05, resident(pid)
                most = (max(most[0], seen[0]), seen[1])
            for key, _ in selector.select(0.05):
                got = key.data
                piece = key.fileobj.recv(1 << 16)
                assert piece, "the server has disconnected"
                got += piece
                if len(got) >= len(ECHO):
                    assert got == ECHO, "this is no echo"
                    got.clear()
                    echoes += 1
                    key.fileobj.sendall(FRAME)
    seen = resident(pid)
    return max(most[0], seen[0]), seen[1], echoes


class Running:
    """A server, until it is left."""

    def __init__(self, server):
        if server.program.endswith("lariat-small"):
            self.port, command = smallest.ADDRESS[1], server.command
        else:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            command = [server.program, str(self.port), *server.command[1:]]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={})
        self.pid, self.streams = self.process.pid, []

    def __enter__(self):
        # Without a connection, which would be the first one.
        listens = f"0100007F:{self.port:04X} 00000000:0000 0A"
        for _ in range(100):
            with open("/proc/net/tcp") as table:
                if listens in table.read():
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.__exit__()
        raise AssertionError("the server does not listen on 127.0.0.1")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in self.streams:
            stream.close()

    def connect(self, count):
        self.streams += [connect(self.port) for _ in range(count - len(self.streams))]
        return rest(self.pid)


def measure_once(server):
    with Running(server) as idle:
        values = [rest(idle.pid), idle.connect(FEW), idle.connect(MANY)]
    with Running(server) as active:
        active.connect(FEW)
        return [*values, *echo(active.streams, active.pid)]


def measure(server, starts):
    return [statistics.median(column) for column in zip(*(measure_once(server) for _ in range(starts)))]


def kib(path):
    return os.path.getsize(os.path.realpath(path)) / 1024


def attack(server):
    """Lets clients take what memory they can: some leave messages unfinished, the others request
    echoes and read nothing. Returns `RssAnon` at the start, with all clients, at most, and when
    they have gone.
    """
    frame = b"\x82\xfe" + (16 << 10).to_bytes(2, "big") + bytes(4) + bytes(16 << 10)
    with Running(server) as running:
        start, idle = rest(running.pid), running.connect(MANY)
        for stream in running.streams:
            stream.setblocking(False)
        left = {stream: frame[:-1] if place < 300 else frame for place, stream in enumerate(running.streams)}
        most, end = 0, time.monotonic() + 20
        while time.monotonic() < end:
            for place, stream in enumerate(running.streams):
                try:
                    left[stream] = left[stream][stream.send(left[stream]):] or (frame if place >= 300 else b"")
                except OSError:
                    # The kernel takes no more, or the server has closed it.
                    pass
            most = max(most, resident(running.pid)[0])
        for stream in running.streams:
            stream.close()
        return start, idle, most, rest(running.pid)


def kernel():
    """Returns the bytes of kernel memory of an idle TCP socket, without its buffers."""
    def slabs():
        with open("/proc/slabinfo") as table:
            rows = [line.split() for line in table.readlines()[2:]]
        return {fields[0]: (int(fields[1]), int(fields[3])) for fields in rows}

    before, sockets = slabs(), 8 * MANY
    with socket.create_server(("127.0.0.1", 0)) as listener:
        streams = []
        while len(streams) < sockets:
            streams += [socket.create_connection(listener.getsockname()), listener.accept()[0]]
        after = slabs()
        for stream in streams:
            stream.close()
    grown = {name: (count - before.get(name, (0, 0))[0]) * size for name, (count, size) in after.items()}
    # Others may allocate at the same time. What grew by less than an object for a socket is theirs.
    return sum(size for name, size in grown.items() if size >= 0.9 * sockets * after[name][1]) / sockets


def row(server, values):
    needed = libraries(server.program)
    names = ", ".join(os.path.basename(path).split(".so")[0] for path in needed)
    beside = f"{sum(map(kib, needed)):,.0f} ({names})" if needed else "-"
    start, few, many, active, files, echoes = values
    cells = [server.name, f"{kib(server.program):,.0f}", beside, f"{start:,.0f}", f"{few:,.0f}", f"{many:,.0f}",
             f"{active:,.0f}", f"{files:,.0f}"]
    print(f"{server.name}: {echoes / SECONDS:,.0f} echoes a second, of a client in Python", file=sys.stderr)
    return f"| {' | '.join(cells)} |"


HEAD = f"""\
| server | program, KiB | its libraries, KiB | `RssAnon` at start | {FEW} idle | {MANY:,} idle | {FEW} active | `RssFile` |
|---|--:|--:|--:|--:|--:|--:|--:|"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=",".join(SERVERS), help="some of those that can be built")
    parser.add_argument("--mongoose", metavar="DIR", help="where mongoose.c and mongoose.h are")
    parser.add_argument("--libwebsockets", metavar="DIR", help="where the sources of libwebsockets are")
    parser.add_argument("--starts", type=int, default=5, help="how often each server is started")
    parser.add_argument("--attack", action="store_true", help="only measures servers that clients attack")
    parser.add_argument("--kernel", action="store_true", help="only measures what the kernel needs for a TCP socket (as root)")
    parser.add_argument("--out", metavar="FILE", help="also writes the table to a file")
    options = parser.parse_args()
    options.servers = options.servers.split(",")
    if unknown := set(options.servers) - set(SERVERS):
        parser.error(f"no server {', '.join(unknown)}: {', '.join(SERVERS)}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10 * MANY), hard))

    if options.kernel:
        print(f"an idle TCP socket: {kernel():,.0f} bytes of the kernel's memory, without its buffers")
        return
    if options.attack:
        for server in build(options):
            start, idle, most, after = attack(server)
            print(f"{server.name}: {start} KiB at the start, {idle} with {MANY:,} idle connections, at most {most} "
                  f"under attack, {after} afterwards")
        return
    rows = []
    for server in build(options):
        try:
            rows.append(row(server, measure(server, options.starts)))
            print(rows[-1], file=sys.stderr, flush=True)
        except (AssertionError, OSError) as error:
            print(f"left out: {server.name}: {error}", file=sys.stderr)
    table = "\n".join([HEAD, *rows])
    print(table)
    if options.out:
        with open(options.out, "w") as file:
            file.write(table + "\n")


if __name__ == "__main__":
    main()
