#!/usr/bin/env python3
"""How long do clients wait while a new process takes over, and what memory does that take?

    cargo build --release && python3 benches/handover.py [IDLE [ECHOING [UPGRADES]]]

Starts `lariat serve --handover`, opens IDLE silent connections (18,000) and ECHOING ones (1,000),
on which `lariat load` echoes 2,000 messages of 20 bytes a second in all, and upgrades the server
UPGRADES times (10). Prints for each upgrade how long no process served, as the metrics have it, and
the anonymous memory (RssAnon) of the old process before and of the new one after it; at the end the
longest time that a message took. Fails if anything was lost, or if no process served for more than
250 ms in half of the upgrades. LARIAT names another program. Two processes of `lariat load` and the
two servers share the host's cores, so a free core for each server makes the figures smaller.
"""

import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

LARIAT = os.environ.get("LARIAT") or pathlib.Path(__file__).parent.parent / "target/release/lariat"
MOST = 250  # milliseconds for which no process may serve, in most upgrades
GIVEN = sys.argv[1:4]
IDLE, ECHOING, UPGRADES = (int(word) for word in [*GIVEN, *("18000", "1000", "10")[len(GIVEN) :]])
PAUSE = 1.0  # seconds between two upgrades


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def start(command):
    """Start a server, and wait until it serves."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("Lariat listens"), line
    return process


def memory(process):
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def frozen(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    metrics = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
    moved = metrics['lariat_handover_connections{outcome="moved"}']
    return metrics["lariat_handover_frozen_seconds"] * 1000, moved


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [LARIAT, "serve", "--listen", f"127.0.0.1:{port}", "--handover", f"{folder}/socket"]
        server = start(command)
        hold = UPGRADES * (PAUSE + 0.5) + 4

        def load(name, count, *options):
            report = f"{folder}/{name}.json"
            run = [LARIAT, "load", f"ws://127.0.0.1:{port}/echo", "-q", "-c", str(count), "--json", report, *options]
            return subprocess.Popen(run, stdout=subprocess.DEVNULL), report

        loads = [load("idle", IDLE, "--hold", f"{hold + 4}s")] if IDLE else []
        time.sleep(4)
        loads.append(load("echo", ECHOING, "--echo", "-m", "2000", "--hold", f"{hold}s"))
        time.sleep(2)
        times = []
        for number in range(1, UPGRADES + 1):
            before = memory(server)
            new = start(command)
            assert server.wait(10) == 0, "the old process has failed"
            server = new
            took, moved = frozen(port)
            times.append(took)
            print(f"upgrade {number}: {moved:,.0f} connections, frozen for {took:.1f} ms; RssAnon {before:,} KB, then {memory(server):,} KB")
            time.sleep(PAUSE)
        for process, path in loads:
            process.wait()
            report = json.loads(pathlib.Path(path).read_text())
            connections, messages = report["connections"], report["messages"]
            assert not (connections["lost"] or connections["failed"] or report["errors"]), report
            assert messages["sent"] == messages["right"], messages
        longest = report["latency"]["round_trip"]["max_us"] / 1000
        times.sort()
        print(f"frozen: {times[0]:.1f} to {times[-1]:.1f} ms, median {times[len(times) // 2]:.1f} ms")
        assert times[len(times) // 2] <= MOST, f"frozen for more than {MOST} ms"
        print(f"{messages['sent']:,} messages came back; the longest took {longest:.1f} ms; no connection was lost")
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
