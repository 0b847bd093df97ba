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
from dataclasses import dataclass, field

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
# The certificate of the servers with TLS, and the CA that the driver trusts.
CERTIFICATES = os.path.join(TARGET, "peers", "certificates")
CA, CERTIFICATE, KEY = (os.path.join(CERTIFICATES, f"lariat-{name}.pem") for name in ("ca", "cert", "key"))


@dataclass
class Server:
    """How to start a server. `command` is empty if the server has no variant without TLS."""

    name: str
    command: list
    has_deflate_command: bool = False
    tls_command: list = field(default_factory=list)
    abilities: frozenset = frozenset()

    def variants(self):
        """The variants that run as a process of their own."""
        return [variant for variant, exists in (("", self.command), ("deflate", self.has_deflate_command), ("tls", self.tls_command)) if exists]

    def arguments(self, port, variant=""):
        command = self.tls_command if variant == "tls" else self.command
        filled = [part.replace("{port}", str(port)) for part in command]
        return filled + ["deflate"] if variant == "deflate" and self.has_deflate_command else filled


class Running:
    """A running server, on its own core, until it is stopped."""

    def __init__(self, server, variant="", prefix=()):
        self.server, self.variant, self.port = server, variant, wire.free_port()
        self.log = tempfile.TemporaryFile()
        core, _ = wire.cores()
        self.process = subprocess.Popen(
            [*prefix, *server.arguments(self.port, variant)],
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


def build(names, with_tls=False):
    """Builds Lariat and the named peers. Returns how to start each."""
    run("cargo", "build", "--release", "--quiet", cwd=ROOT)
    servers = [Server("Lariat", [LARIAT, "serve", "--listen", "127.0.0.1:{port}"])]
    if with_tls:
        os.makedirs(CERTIFICATES, exist_ok=True)
        run(LARIAT, "cert", "--dir", CERTIFICATES, stdout=subprocess.DEVNULL)
        servers[0].tls_command = [*servers[0].command, "--tls-cert", CERTIFICATE, "--tls-key", KEY]
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
        if path and name == "uWebSockets" and with_tls and (secure := build_uwebsockets(folder, with_tls=True)):
            servers[-1].tls_command = [secure, "{port}", CERTIFICATE, KEY]
            servers.append(Server("uWebSockets low-memory", [], tls_command=[*servers[-1].tls_command, "low-memory"]))
    return servers


def build_uwebsockets(folder, with_tls=False, name="uwebsockets"):
    """Returns the path of the program, or None if it cannot be built."""
    program = os.path.join(folder, f"{name}_tls" if with_tls else name)
    source = os.path.join(PEERS, f"{name}.cpp")
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
    flags = ["-O3", "-flto=auto", "-DLIBUS_USE_OPENSSL" if with_tls else "-DLIBUS_NO_SSL", f"-I{usockets}"]
    flags += ["-march=x86-64-v3"] if platform.machine() == "x86_64" else []
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as objects:
        c = [*glob.glob(f"{usockets}/*.c"), f"{usockets}/eventing/epoll_kqueue.c"]
        crypto = f"{usockets}/crypto"
        try:
            run("cc", "-std=c11", "-w", *flags, "-c", *c, *([f"{crypto}/openssl.c"] if with_tls else []), cwd=objects)
            if with_tls:
                run("c++", "-std=c++20", "-w", *flags, "-c", f"{crypto}/sni_tree.cpp", cwd=objects)
            made = [os.path.join(objects, name) for name in os.listdir(objects)]
            libraries = ["-pthread", *(["-lssl", "-lcrypto"] if with_tls else []), "-lz"]
            run("c++", "-std=c++20", "-w", *flags, f"-I{sources}/src", source, *made, *libraries, "-o", program)
        except subprocess.CalledProcessError:
            needed = "with TLS it needs OpenSSL's headers" if with_tls else "it needs zlib's headers"
            print(f"uWebSockets is left out: it did not build ({needed})")
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
    running = {variant: Running(server, variant) for variant in server.variants()}
    ports = {variant: one.port for variant, one in running.items()}
    try:
        found = wire.abilities(ports[""], ports.get("deflate", ports[""])) if "" in ports else set()
        return found | wire.tls_abilities(ports["tls"], CA) if "tls" in ports else found
    finally:
        for one in running.values():
            one.stop()
