#!/usr/bin/env python3
"""Measures the smallest server: the size of its program, and its memory.

    python3 benches/size.py [--max-3 KIB] [--max-s KIB] [--max-small KIB] [--max-start KIB] [--max-idle KIB]

Builds `benches/size`, an echo server, as a package outside the workspace and without default
features, with the versions of `Cargo.lock`:

* `3` and `"s"`: with the default configuration, at `opt-level = 3` and at `opt-level = "s"`;
* `small`: with `Config::small`, at `opt-level = "s"` and with `-C relocation-model=static`.

Prints their sizes, their anonymous memory (`RssAnon`) after the start, how much it grows with 100
idle connections, and the number of crates (as the README counts them). Fails if a value exceeds its
limit; `--max-small`, `--max-start` and `--max-idle` are about the same program. The kernel moves
the stack by up to 8 KiB at random, so each value of memory is the highest of several starts.
"""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = os.path.join(ROOT, "benches", "size")
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "size")
# The address of the programs, and how a socket that listens there looks in /proc/net/tcp.
ADDRESS = ("127.0.0.1", 9998)
LISTENS = re.compile(r"0100007F:270E [0-9A-F:]+ 0A ")
# Without it, a program can be loaded at any address, and each table of pointers in it must be
# written when it is: one page for each 4 KiB of them.
STATIC = ["-C", "relocation-model=static"]
IDLE = 100
STARTS = 8
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def build(profile, name="lariat-size", flags=()):
    """Builds a program. Returns its path.

    A program contains the paths of source files, for the messages of panics. So the length of the
    checkout's path and of cargo's would be a part of the size; both are replaced.
    """
    shutil.copyfile(os.path.join(ROOT, "Cargo.lock"), os.path.join(PACKAGE, "Cargo.lock"))
    cargo = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    remapped = [f"--remap-path-prefix={path}={name}" for path, name in ((ROOT, "/lariat"), (cargo, "/cargo"))]
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(remapped)}
    # With link-time optimisation, what is given to the last crate holds for all of them.
    command = ["cargo", "rustc", "--quiet", "--profile", profile, "--bin", name, "--target-dir", TARGET, "--", *flags]
    subprocess.run(command, cwd=PACKAGE, env=environment, check=True)
    return os.path.join(TARGET, profile, name)


def crates():
    """Returns Lariat and its dependencies on this system."""
    command = ["cargo", "tree", "--package", "lariat", "--edges", "normal", "--no-default-features", "--prefix", "none"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted({line.removesuffix(" (*)") for line in listed.splitlines() if line})


def is_listening():
    with open("/proc/net/tcp") as table:
        return any(LISTENS.search(line) for line in table)


def anonymous(pid):
    """Returns a process's `RssAnon` in KiB, when it no longer changes."""
    before = None
    for _ in range(50):
        with open(f"/proc/{pid}/status") as status:
            now = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
        if now == before:
            break
        before = now
        time.sleep(0.1)
    return now


def connect():
    """Opens a WebSocket that says nothing."""
    stream = socket.create_connection(ADDRESS, timeout=10)
    stream.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = stream.recv(4096)
        assert piece, f"the server has disconnected: {answer}"
        answer += piece
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return stream


def start_once(program):
    """Returns the memory of a program that listens, in KiB, and how much more it is with idle
    connections.
    """
    # The environment lies on the stack, and is not the program's.
    server = subprocess.Popen([program], stdin=subprocess.DEVNULL, env={})
    streams = []
    try:
        for _ in range(100):
            if server.poll() is not None or is_listening():
                break
            time.sleep(0.05)
        at_start = anonymous(server.pid)
        streams = [connect() for _ in range(IDLE)]
        return at_start, anonymous(server.pid) - at_start
    finally:
        server.kill()
        server.wait()
        for stream in streams:
            stream.close()


def memory(program):
    """Returns the highest values of several starts, or `None` if another program uses the port."""
    if not os.path.exists("/proc/net/tcp") or is_listening():
        return None
    measured = [start_once(program) for _ in range(STARTS)]
    return tuple(max(column) for column in zip(*measured))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-3", type=float, metavar="KIB", help="the limit of the program at opt-level = 3")
    parser.add_argument("--max-s", type=float, metavar="KIB", help='at opt-level = "s"')
    parser.add_argument("--max-small", type=float, metavar="KIB", help="with Config::small")
    parser.add_argument("--max-start", type=float, metavar="KIB", help="the limit of its memory after the start")
    parser.add_argument("--max-idle", type=float, metavar="KIB", help=f"of what {IDLE} idle connections add to it")
    options = parser.parse_args()

    programs = [
        ("3", build("release"), (options.max_3, None, None)),
        ('"s"', build("small"), (options.max_s, None, None)),
        ("small", build("small", "lariat-small", STATIC), (options.max_small, options.max_start, options.max_idle)),
    ]
    failures = []
    print(f"{'program':8} {'bytes':>8} {'KiB':>15} {'KiB at start':>15} {f'{IDLE} idle, KiB':>15}")
    for name, program, bars in programs:
        size = os.path.getsize(program)
        cells = []
        for what, value, bar in zip(("size", "start", "idle"), (size / 1024, *(memory(program) or (None, None))), bars):
            if bar is not None and (value is None or value > bar):
                failures.append(f"{what} of {name}")
            text = "not measured" if value is None else f"{value:.1f}" if what == "size" else f"{value}"
            cells.append(f"{text} of {bar:g}" if bar is not None else text)
        print(f"{name:8} {size:8,} " + " ".join(f"{cell:>15}" for cell in cells))
    print(f"{len(crates())} crates, Lariat's own included")
    if failures:
        sys.exit(f"above the limit: {', '.join(failures)}. `cargo bloat` in benches/size shows what is in a program, "
                 "/proc/PID/smaps where its memory is")


if __name__ == "__main__":
    main()
