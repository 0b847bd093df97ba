#!/usr/bin/env python3
"""Compare one loop with two, and Lariat with uWebSockets, which has a thread for each loop.

    cargo build --release --example cores && cargo build --release
    python3 benches/loops.py [ROUNDS]

Publish: 1,000 clients are members of a topic. One of them publishes 200 messages of 64 bytes a
second, and all get each of them. Echo: 64 connections with 32 messages of 64 bytes under way each.
The loads of all servers alternate, and each round begins with another server, so that other load on
the machine affects all. Ratios are of pairs within a round.

CPU time is that of all threads of the server, in user space and in the kernel, from
/proc/PID/task/*/schedstat. Instructions are those in user space, with callgrind: the difference of
two runs with 10 and 40 messages, three times. There, each message is sent when all clients have the
last one, since a server that finds several at once needs fewer. Each load checks that each client
gets each message exactly once.

uWebSockets (benches/peers/uwebsockets_threads.cpp) needs a C++20 compiler, and instructions need
valgrind. Without them, the script leaves these out.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.request

from beside import wire
from beside.servers import LARIAT, TARGET, build_uwebsockets

CORES = os.path.join(TARGET, "release", "examples", "cores")
CLIENTS, RATE, HOLD = 1000, 200, 4
PUBLISH = ["-c", str(CLIENTS), "--subscribe", "--size", "64"]
ECHO = ["-c", "64", "--echo", "--depth", "32", "--size", "64", "--hold", "1s"]


class Server:
    """A running server, below the command `below`."""

    def __init__(self, name, loops, command, path, below=()):
        self.name, self.loops, self.path = name, loops, path
        self.greets = command[0] == CORES
        errors = subprocess.PIPE if below else None
        self.process = subprocess.Popen([*below, *command], stdout=subprocess.PIPE, stderr=errors, text=True)
        self.port = int(re.search(r":(\d+)", self.process.stdout.readline()).group(1))

    def cpu(self):
        """Return the CPU time in nanoseconds."""
        tasks = f"/proc/{self.process.pid}/task"
        return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks))

    def load(self, options):
        """Load the server. Return the counts of messages."""
        command = [LARIAT, "load", f"ws://127.0.0.1:{self.port}{self.path}", *options, "--json", "-", "-q"]
        report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        messages = report["messages"]
        assert not report["errors"] and messages["unanswered"] == messages["wrong"] == 0, messages
        return messages

    def publish(self, rate):
        """Publish. Return the number of messages, and check that each client got each once."""
        messages = self.load([*PUBLISH, "-m", str(rate), "--hold", f"{HOLD}s"])
        published, greetings = messages["published"], CLIENTS if self.greets else 0
        assert messages["right"] == published * (CLIENTS - 1), messages
        assert messages["received"] == published * CLIENTS + greetings, messages
        return published

    def echo(self):
        """Return the number of messages, and that of each second."""
        messages = self.load(ECHO)
        return messages["right"], messages["per_second"]

    def open(self, count):
        """Return new connections, and the greetings that they have got."""
        wires = [wire.Wire(self.port, self.path) for _ in range(count)]
        return wires, [one.receive().decode() for one in wires] if self.greets else []

    def publish_in_turn(self, messages):
        """Publish each message when all clients have the last one."""
        wires, _ = self.open(CLIENTS)
        for _ in range(messages):
            wires[0].send(wire.frame(b"a" * 64))
            for one in wires:
                assert one.receive() == b"a" * 64
        for one in wires:
            one.close()

    def placement(self):
        """Return how many of 200 clients are on each loop."""
        wires, greetings = self.open(200)
        if self.greets:
            counts = [sum(f"loop {loop} of" in text for text in greetings) for loop in range(self.loops)]
        else:
            counts = [int(line) for line in urllib.request.urlopen(f"http://127.0.0.1:{self.port}/threads")]
        for one in wires:
            one.close()
        return counts

    def close(self):
        self.process.kill()
        self.process.wait()


def commands(uwebsockets, for_echo):
    """Return the name, the number of loops, the command and the path of each server."""
    for loops in (1, 2):
        if for_echo:
            yield "Lariat", loops, [LARIAT, "serve", "--listen", "127.0.0.1:0", "--loops", str(loops)], "/echo"
        else:
            yield "Lariat", loops, [CORES, "127.0.0.1:0", str(loops)], "/"
    for loops in (1, 2) if uwebsockets else ():
        command = [uwebsockets, str(wire.free_port()), str(loops)]
        yield "uWebSockets", loops, command, "/echo" if for_echo else "/broadcast"


def instructions(description):
    """Return the instructions of a server for each delivery of a message."""
    counts = []
    few, many = 10, 40
    for messages in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            below = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
            with contextlib.closing(Server(*description, below)) as server:
                server.publish_in_turn(messages)
                server.process.send_signal(signal.SIGTERM)
                said = server.process.communicate(timeout=60)[1]
        counts.append(int(re.search(r"Collected : (\d+)", said).group(1)))
    return (counts[1] - counts[0]) / ((many - few) * CLIENTS)


def spread(values, digits):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def table(title, costs, others):
    """Print the cost of each server, and its ratios to the cost of others in the same rounds."""
    columns = [title, "CPU time", "relative to one loop", "relative to Lariat", *others]
    print(f"\n| {' | '.join(columns)} |")
    print("|---|--:|--:|--:|" + "--:|" * len(others))
    for (name, loops), values in costs.items():
        cells = [f"{name}, {loops}", f"{spread(values, 0)} ns"]
        for base in ((name, 1), ("Lariat", loops)):
            is_same = base == (name, loops)
            cells.append("1" if is_same else spread([one / other for one, other in zip(values, costs[base])], 2))
        print(f"| {' | '.join(cells + [other[name, loops] for other in others.values()])} |", flush=True)


def measure(descriptions, rounds, load):
    """Load all servers in turn. Return the CPU time of a message, and what else the load gives."""
    costs, speeds = {}, {}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(contextlib.closing(Server(*one))) for one in descriptions]
        for number in range(rounds):
            for place in range(len(servers)):
                server = servers[(place + number) % len(servers)]
                before = server.cpu()
                deliveries, speed = load(server)
                costs.setdefault((server.name, server.loops), []).append((server.cpu() - before) / deliveries)
                speeds.setdefault((server.name, server.loops), []).append(speed)
    order = [(name, loops) for name, loops, *_ in descriptions]
    return {key: costs[key] for key in order}, {key: speeds[key] for key in order}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    uwebsockets = build_uwebsockets(os.path.join(TARGET, "peers"), name="uwebsockets_threads")
    publishing = list(commands(uwebsockets, for_echo=False))
    for description in publishing:
        with contextlib.closing(Server(*description)) as server:
            counts = server.placement()
            assert len(counts) == server.loops and all(counts) and sum(counts) == 200, counts
            print(f"{server.name}, {server.loops}: of 200 clients, each loop has {counts}", flush=True)
    counted = {}
    if shutil.which("valgrind"):
        counted = {"instructions": {(one[0], one[1]): spread([instructions(one) for _ in range(3)], 0) for one in publishing}}
    costs, _ = measure(publishing, rounds, lambda server: (server.publish(RATE) * CLIENTS, 0))
    table("publish, for each delivery", costs, counted)
    costs, speeds = measure(list(commands(uwebsockets, for_echo=True)), rounds, Server.echo)
    table("echo, for each message", costs, {"messages a second": {key: spread(values, 0) for key, values in speeds.items()}})


main()
