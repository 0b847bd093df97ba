#!/usr/bin/env python3
"""Compare one server alone, one with Redis, and two that share Redis: CPU time and instructions of
the servers and of Redis for a message that is sent to 1,001 clients.

    cargo build --release
    python3 benches/servers.py [ROUNDS]

1,001 clients are at /broadcast; with two servers, each has half of them. One of them sends 200
messages of 64 bytes a second, and all get each of them. The loads of the three alternate, so that
other load on the machine affects all. CPU time is that of all threads, in user space and in the
kernel, from /proc/PID/task/*/schedstat. That of Redis is what it uses more than under the load of
the server without Redis. Instructions are those of the servers in user space, with callgrind: the
difference of two runs of the same length with different numbers of messages, so that the start, the
handshakes and idle times do not count. Needs redis-server, and valgrind for the instructions.
"""

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
LARIAT = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "lariat")
LOAD = ["-c", "1001", "--subscribe", "--size", "64", "--json", "-", "-q"]
SETUPS = {"one server": (1, False), "one server, Redis": (1, True), "two servers, Redis": (2, True)}


def cpu(process):
    """Return the CPU time of a process in nanoseconds."""
    tasks = os.listdir(f"/proc/{process.pid}/task")
    return sum(int(open(f"/proc/{process.pid}/task/{task}/schedstat").read().split()[0]) for task in tasks)


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def redis():
    """Run a Redis that writes nothing to disk. Give its process and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running(["redis-server", *options], stdout=subprocess.DEVNULL) as process:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield process, f"redis://127.0.0.1:{port}/"


@contextlib.contextmanager
def servers(setup, redis_url, below=()):
    """Run the servers of a setup, each below a command. Give their processes and their URLs."""
    count, has_redis = SETUPS[setup]
    command = [*below, LARIAT, "serve", "--listen", "127.0.0.1:0"]
    # Servers of another setup must not hear them.
    command += ["--redis", redis_url, "--redis-prefix", f"bench{count}"] if has_redis else []
    with contextlib.ExitStack() as stack:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE if below else None, "text": True}
        processes = [stack.enter_context(running(command, **pipes)) for _ in range(count)]
        ports = [re.search(r":(\d+)", process.stdout.readline()).group(1) for process in processes]
        yield processes, [f"ws://127.0.0.1:{port}/broadcast" for port in ports]


def load(urls, rate, hold):
    """Load the servers. Return the number of messages and of deliveries."""
    command = [LARIAT, "load", *urls, *LOAD, "-m", str(rate), "--hold", f"{hold}s"]
    messages = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["messages"]
    assert messages["unanswered"] == messages["wrong"] == 0, messages
    return messages["published"], messages["received"]


def instructions(setup, redis_url):
    """Return the instructions of all servers of a setup for a message."""
    counts = []
    for rate in (5, 20):
        with tempfile.TemporaryDirectory() as folder:
            below = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"]
            with servers(setup, redis_url, below) as (processes, urls):
                published, _ = load(urls, rate, 4)
                for process in processes:
                    process.send_signal(signal.SIGINT)
                said = [process.communicate(timeout=60)[1] for process in processes]
        counts.append((published, sum(int(re.search(r"Collected : (\d+)", text).group(1)) for text in said)))
    (few, less), (many, more) = counts
    return (more - less) / (many - few)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    costs = collections.defaultdict(list)
    with redis() as (redis_process, redis_url):
        with contextlib.ExitStack() as stack:
            started = {setup: stack.enter_context(servers(setup, redis_url)) for setup in SETUPS}
            for _ in range(rounds):
                for setup, (processes, urls) in started.items():
                    before, redis_before = sum(map(cpu, processes)), cpu(redis_process)
                    published, received = load(urls, 200, 4)
                    used, redis_used = sum(map(cpu, processes)) - before, cpu(redis_process) - redis_before
                    costs[setup].append((used / received, used / published / 1e3, redis_used / published / 1e3))
        counted = {}
        if shutil.which("valgrind"):
            counted = {setup: instructions(setup, redis_url) for setup in SETUPS}
    for setup, values in costs.items():
        delivery, message, _ = (statistics.median(column) for column in zip(*values))
        pairs = list(zip(values, costs["one server"]))
        ratio = statistics.median(value[0] / alone[0] for value, alone in pairs)
        of_redis = statistics.median(value[2] - alone[2] for value, alone in pairs)
        least, most = min(value[0] for value in values), max(value[0] for value in values)
        print(
            f"{setup}: servers {delivery:,.0f} ns per delivery ({least:,.0f} to {most:,.0f}), {message:,.0f} us per "
            f"message, {ratio:.2f} times one server; Redis {of_redis:,.0f} us per message"
            + (f"; {counted[setup]:,.0f} instructions per message" if counted else ""),
            flush=True,
        )


main()
