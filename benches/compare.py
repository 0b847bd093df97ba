#!/usr/bin/env python3
"""Compares Lariat with other WebSocket servers: the cost of a message, a handshake and a
connection, in one run.

    python3 benches/compare.py [--rounds N] [--scenarios echo,text] [--peer NAME='command {port}'] [--out DIR]

The script builds Lariat and its peers (benches/peers, and uWebSockets if there is a C++20
compiler). It starts all of them at once, with one thread each, on one core. `lariat load` loads
them from another core, one after another, round by round. Each round begins with another server.

* Ratios are taken within a round, and medians over rounds, so that load on the machine affects all
  servers.
* CPU time is that of the server's process, including the kernel's part, from the scheduler's
  account in /proc/PID/task/*/schedstat in nanoseconds. It is measured from the last open connection
  to the last answer.
* Latencies count from the intended time of sending, at a fixed rate.
* Memory is the private dirty pages of a fresh server, before and with all connections.
* strace counts system calls, and valgrind's dhat counts allocations and instructions in user space.
  They count in separate lock-step runs, if these tools are installed.
* The floor is an echo server without a protocol: epoll_wait, read, write
  (benches/peers/src/bin/floor.rs).

`--scenarios wss` adds Lariat and uWebSockets with TLS 1.3, which a run without this option leaves
out. Both have the same certificate, with a key on P-256. uWebSockets then needs OpenSSL's headers.

A peer is any command that serves WebSockets on 127.0.0.1:{port}. It echoes each message on /echo,
and sends each message on /broadcast to all clients. A dash stands for what a server cannot do.
Needs Linux, Rust and Python 3.9.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import textwrap

from beside import chart, counts, loads, report
from beside.scenarios import SCENARIOS
from beside.servers import PROGRAMS, ROOT, build, find_abilities, peer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], type=peer, metavar="NAME='command {port}'", help="another server")
    keys = [scenario.key for scenario in SCENARIOS if not scenario.group]
    parser.add_argument("--scenarios", default=",".join(keys), help=f"some of {','.join(keys)}, or wss")
    parser.add_argument("--servers", default=",".join(PROGRAMS), help="some of the peers that are built")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hold", type=float, default=1, help="lengthens each load by this factor")
    parser.add_argument("--no-counts", action="store_true", help="without strace and valgrind")
    parser.add_argument("--no-memory", action="store_true", help="without the 19,000 connections")
    parser.add_argument("--out", default=os.path.join(ROOT, "benches", "results"), help="folder for README.md, chart.svg, results.json")
    parser.add_argument("--base", default=report.BASE, help="the server that the others are divided by")
    chosen = parser.parse_args()
    named = chosen.scenarios.split(",")
    chosen.scenarios = [scenario for scenario in SCENARIOS if scenario.key in named or scenario.group and scenario.group in named]
    chosen.tls = any(scenario.variant == "tls" for scenario in chosen.scenarios)
    chosen.servers = [name for name in PROGRAMS if name in chosen.servers.split(",")]
    return chosen


NOTES = """\
The comparison covers `lariat serve` and the small servers of [benches/peers]({peers}). Each uses
one thread and TCP_NODELAY, as a user of the library would write it. uWebSockets is the C++ library
itself, in the version that the crate libuwebsockets-sys 0.0.10 contains, built with `-O3 -flto`.
Both tungstenites have a read buffer of 4 KiB. tokio-tungstenite and tokio-websockets echo by
`forward`, which flushes when there is nothing more to read. mio + tungstenite and fastwebsockets
flush each message. ws-rs has compression, but it aborts with today's Rust. The floor calls
`epoll_wait`, `read` and `write` and implements no protocol: it counts bytes and writes a stored
echo.

Ratios are taken within a round, and medians over rounds. CPU time is the server's, including the
kernel's part. System calls, allocations and instructions are from lock-step runs with 16
connections (1 MiB: 2; publish: 100 receivers). There, an opening handshake includes its closing
handshake."""

NOTES_TLS = """\
With TLS, both servers have one certificate, with a key on P-256, and the driver verifies it. All
agree on TLS 1.3, X25519 and AES-256-GCM. A resumed handshake exchanges keys, but has no
certificate and no signature. uWebSockets uses {openssl}; low-memory is its own option
`ssl_prefer_low_memory_usage`. Handshakes are 128 at a time, unless the table says 8: the driver
keeps 8 tickets. With few at a time a handshake costs more, because the server waits for each of
them. The latency of a handshake is that of the opening handshake, after TLS."""


def page(times, calls, blocks, chosen, names, connections):
    """Writes the tables, with the explanations that they need."""
    typical, worst = report.spread(times, chosen.scenarios, names, chosen.base)
    parts = [
        "# Lariat beside other servers" + (", with TLS" if chosen.tls else ""),
        textwrap.fill(
            f"`{shlex.join(['python3', 'benches/compare.py', *sys.argv[1:]])}` on {report.machine()}: "
            f"{chosen.rounds} rounds, everything interleaved in one "
            f"run. In single rounds a ratio was {typical:.0f} % from its median (the worst one {worst:.0f} %).",
            100,
        ),
        "![CPU time of the server per message](chart.svg)",
        report.costs(times, chosen.scenarios, names, chosen.base),
    ]
    if times.memory:
        parts.append(report.memory(times, names, connections))
    parts += [report.speeds(times, chosen.scenarios, names), report.latencies(times, chosen.scenarios, names)]
    if calls:
        parts.append(report.system_calls(calls, chosen.scenarios, names))
        for key, digits, title in (("allocations", 2, "heap allocations per message"), ("instructions", 0, "instructions in user space per message")):
            parts.append(report.heap(blocks, chosen.scenarios, names, key, digits, title))
    peers = os.path.relpath(os.path.join(ROOT, "benches", "peers"), chosen.out)
    notes = [NOTES.format(peers=peers), *([NOTES_TLS.format(openssl=openssl())] if chosen.tls else [])]
    return "\n\n".join([*parts, *notes]) + "\n"


def openssl():
    """Returns the name and version of the OpenSSL that pkg-config knows."""
    found = subprocess.run(["pkg-config", "--modversion", "openssl"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return f"OpenSSL {found.stdout.strip()}".strip()


def write(folder, name, content):
    with open(os.path.join(folder, name), "w") as file:
        file.write(content)


def main():
    chosen = arguments()
    loads.raise_limit()
    servers = build(chosen.servers, chosen.tls) + chosen.peer
    for server in servers:
        server.abilities = frozenset(find_abilities(server))
        print(f"{server.name}: {', '.join(sorted(server.abilities)) or 'does not answer'}", file=sys.stderr)
    names = [server.name for server in servers]
    times = loads.measure(servers, chosen.scenarios, chosen.rounds, chosen.hold)
    connections = 0 if chosen.no_memory else loads.memory(times, servers)
    calls, blocks, failures = ({}, {}, []) if chosen.no_counts else counts.count(servers, chosen.scenarios)
    os.makedirs(chosen.out, exist_ok=True)
    values = dict(machine=report.machine(), cpu_ns=times.cpu, per_second=times.speed, latency=times.latency)
    if chosen.tls:
        values.update(memory_tls=times.memory_tls)
    values.update(memory=times.memory, system_calls=calls, heap=blocks, rounds=chosen.rounds)
    write(chosen.out, "results.json", json.dumps(values, indent=1) + "\n")
    text = page(times, calls, blocks, chosen, names, connections)
    write(chosen.out, "README.md", text)
    write(chosen.out, "chart.svg", chart.chart(times, chosen.scenarios, names, chosen.base))
    print(text)
    for failure in times.failures + failures:
        print(f"left out: {failure}", file=sys.stderr)
    if any(failure.startswith(servers[0].name) for failure in times.failures + failures):
        sys.exit(1)


if __name__ == "__main__":
    main()
