#!/usr/bin/env python3
"""Measures the size of the smallest server, which is what Lariat adds to a program.

    python3 benches/size.py [--max-3 KIB] [--max-s KIB]

Builds `benches/size`, an echo server, as a package outside the workspace and without
default features, with the versions of `Cargo.lock`, at `opt-level = 3` and at `opt-level = "s"`.
Prints both sizes, the number of crates (as the README counts them) and the anonymous memory
(`RssAnon`) after the start. Fails if a size exceeds its limit.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = os.path.join(ROOT, "benches", "size")
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "size")
# A listening socket on the example's address, 127.0.0.1:9998, in /proc/net/tcp.
LISTENS = re.compile(r"0100007F:270E [0-9A-F:]+ 0A ")


def build(profile):
    """Builds the program. Returns its path.

    A program contains the paths of source files, for the messages of panics. So the length of the
    checkout's path and of cargo's would be a part of the size; both are replaced.
    """
    cargo = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    flags = [f"--remap-path-prefix={path}={name}" for path, name in ((ROOT, "/lariat"), (cargo, "/cargo"))]
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}
    command = ["cargo", "build", "--quiet", "--profile", profile, "--target-dir", TARGET]
    subprocess.run(command, cwd=PACKAGE, env=environment, check=True)
    return os.path.join(TARGET, profile, "lariat-size")


def crates():
    """Returns Lariat and its dependencies on this system."""
    command = ["cargo", "tree", "--package", "lariat", "--edges", "normal", "--no-default-features", "--prefix", "none"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted({line.removesuffix(" (*)") for line in listed.splitlines() if line})


def is_listening():
    with open("/proc/net/tcp") as table:
        return any(LISTENS.search(line) for line in table)


def memory(program):
    """Returns the program's `RssAnon` when it listens, or `None` if another one uses the port."""
    if not os.path.exists("/proc/net/tcp") or is_listening():
        return None
    server = subprocess.Popen([program], stdin=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if server.poll() is not None or is_listening():
                break
            time.sleep(0.05)
        time.sleep(0.2)
        with open(f"/proc/{server.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
        return fields.get("RssAnon", "").strip() or None
    finally:
        server.kill()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-3", type=float, metavar="KIB", help="the limit at opt-level = 3")
    parser.add_argument("--max-s", type=float, metavar="KIB", help='the bar at opt-level = "s"')
    options = parser.parse_args()

    shutil.copyfile(os.path.join(ROOT, "Cargo.lock"), os.path.join(PACKAGE, "Cargo.lock"))
    failures = []
    print(f"{'opt-level':9} {'bytes':>9} {'KiB':>7} {'at most':>8} {'RssAnon after start':>20}")
    for level, profile, bar in [("3", "release", options.max_3), ('"s"', "small", options.max_s)]:
        program = build(profile)
        size = os.path.getsize(program)
        is_above = bar is not None and size > bar * 1024
        failures += [level] if is_above else []
        most = "" if bar is None else f"{bar:g}"
        print(f"{level:9} {size:9,} {size / 1024:7.1f} {most:>8} {memory(program) or 'not measured':>20}"
              f"{'  too large' if is_above else ''}")
    print(f"{len(crates())} crates, Lariat's own included")
    if failures:
        sys.exit(f"the smallest server is too large at opt-level = {' and '.join(failures)}: "
                 "`cargo bloat` in benches/size shows what is in it")


if __name__ == "__main__":
    main()
