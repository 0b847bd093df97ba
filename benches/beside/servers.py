"""Builds and runs the servers to compare."""
import glob
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

from . import wire

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(ROOT, "benches", "peers")
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
LARIAT = os.path.join(TARGET, "release", "lariat")

# In the order of the table: the name there, and the program.
PROGRAMS = {
    "uWebSockets": "uwebsockets",
    "mio + tungstenite": "mio_tungstenite",
    "tokio-tungstenite": "tokio_tungstenite",
    "fastwebsockets": "fastwebsockets",
    "tokio-websockets": "tokio_websockets",
    "ws-rs": "ws",
    "floor": "floor",
}
# These compress only if they are started with an option.
WITH_DEFLATE = {"uWebSockets"}


@dataclass
class Server:
    """How to start a server."""

    name: str
    command: list
    has_deflate_command: bool = False
    abilities: frozenset = frozenset()

    def arguments(self, port, deflate=False):
        filled = [part.replace("{port}", str(port)) for part in self.command]
        return filled + ["deflate"] if deflate and self.has_deflate_command else filled


class Running:
    """A running server, on its own core, until it is stopped."""

    def __init__(self, server, deflate=False, prefix=()):
        self.server, self.port = server, wire.free_port()
        self.log = tempfile.TemporaryFile()
        core, _ = wire.cores()
        self.process = subprocess.Popen(
            [*prefix, *server.arguments(self.port, deflate)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
        self._await()
        self.pid = self.process.pid

    def _await(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise SystemExit(f"{self.server.name} does not listen on port {self.port}: {self.errors()[-500:]}")

    def errors(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def interrupt(self):
        """Sends SIGINT to the server itself, also if a tool runs it, and waits."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            children = file.read().split()
        try:
            os.kill(int(children[0]) if children else self.process.pid, signal.SIGINT)
            self.process.wait(60)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        self.stop()

    def stop(self):
        """Kills the process and its children."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def run(*command, **options):
    subprocess.run(command, check=True, **options)


def build(names):
    """Builds Lariat and the named peers. Returns how to start each."""
    run("cargo", "build", "--release", "--quiet", cwd=ROOT)
    servers = [Server("Lariat", [LARIAT, "serve", "--listen", "127.0.0.1:{port}"])]
    folder = os.path.join(TARGET, "peers")
    rust = [name for name in names if name != "uWebSockets"]
    if rust:
        bins = [argument for name in rust for argument in ("--bin", PROGRAMS[name])]
        environment = {**os.environ, "CARGO_TARGET_DIR": folder}
        run("cargo", "build", "--release", "--quiet", "--locked", *bins, cwd=PEERS, env=environment)
    for name in names:
        path = build_uwebsockets(folder) if name == "uWebSockets" else os.path.join(folder, "release", PROGRAMS[name])
        if path:
            servers.append(Server(name, [path, "{port}"], name in WITH_DEFLATE))
    return servers


def build_uwebsockets(folder):
    """Returns the path of the program, or None if it cannot be built."""
    program, source = os.path.join(folder, "uwebsockets"), os.path.join(PEERS, "uwebsockets.cpp")
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
        return program
    if not (shutil.which("c++") and shutil.which("cc")):
        print("uWebSockets is left out: it needs a C++20 compiler")
        return None
    target = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout.partition("host: ")[2].split()[0]
    command = ["cargo", "metadata", "--quiet", "--format-version=1", "--locked", "--all-features", f"--filter-platform={target}"]
    metadata = subprocess.run(command, check=True, cwd=PEERS, stdout=subprocess.PIPE)
    crate = [package for package in json.loads(metadata.stdout)["packages"] if package["name"] == "libuwebsockets-sys"]
    sources = os.path.join(os.path.dirname(crate[0]["manifest_path"]), "uWebSockets")
    usockets = os.path.join(sources, "uSockets", "src")
    # Its own makefile uses -march=native, which valgrind does not support everywhere.
    flags = ["-O3", "-flto=auto", "-DLIBUS_NO_SSL", f"-I{usockets}"]
    flags += ["-march=x86-64-v3"] if platform.machine() == "x86_64" else []
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as objects:
        c = [*glob.glob(f"{usockets}/*.c"), f"{usockets}/eventing/epoll_kqueue.c"]
        try:
            run("cc", "-std=c11", *flags, "-c", *c, cwd=objects)
            made = [os.path.join(objects, name) for name in os.listdir(objects)]
            run("c++", "-std=c++20", "-w", *flags, f"-I{sources}/src", source, *made, "-lz", "-o", program)
        except subprocess.CalledProcessError:
            print("uWebSockets is left out: it did not build (it needs zlib's headers)")
            return None
    return program


def peer(text):
    """Returns a server from the command line: NAME='command {port}'."""
    name, equals, command = text.partition("=")
    if not (name and equals and "{port}" in command):
        raise ValueError(f"{text!r} is not NAME='command {{port}}'")
    return Server(name, shlex.split(command))


def find_abilities(server):
    """Finds out the abilities by asking the server."""
    with Running(server) as plain:
        if not server.has_deflate_command:
            return wire.abilities(plain.port, plain.port)
        with Running(server, deflate=True) as deflating:
            return wire.abilities(plain.port, deflating.port)
