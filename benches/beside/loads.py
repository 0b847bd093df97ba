"""Measures times: the servers run at once, and `lariat load` loads them in turn."""
import json
import os
import resource
import subprocess
import sys
import tempfile

from . import wire
from .scenarios import MEMORY_CONNECTIONS, MEMORY_SIZE
from .servers import LARIAT, Running


def drive(port, pid, path, hold, options, message=b""):
    """Runs the driver once. Returns its report, or None if something failed."""
    _, core = wire.cores()
    with tempfile.NamedTemporaryFile() as report, tempfile.NamedTemporaryFile() as content:
        command = [LARIAT, "load", f"ws://127.0.0.1:{port}{path}", "--quiet", "--pid", str(pid), "--json", report.name]
        command += ["--hold", f"{max(1, int(hold * 1000))}ms", *options]
        if message:
            content.write(message)
            content.flush()
            command += ["--message", content.name]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
        text = report.read()
    if done.returncode != 0 or not text:
        return None, done.stdout[-300:]
    result = json.loads(text)
    if result["errors"]:
        return None, "; ".join(f"{error['count']} x {error['kind']}" for error in result["errors"])
    return result, ""


def pick(report, path):
    for key in path:
        report = report and report.get(key)
    return report


def raise_limit():
    """Raises the limit of open files to the maximum, and returns it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Times:
    """The results: for each scenario and server a value for each round, or None."""

    def __init__(self):
        self.cpu, self.speed, self.latency, self.memory, self.failures = {}, {}, {}, {}, []

    def keep(self, table, scenario, name, value):
        table.setdefault(scenario, {}).setdefault(name, []).append(value)


def measure(servers, scenarios, rounds, hold):
    """Runs all scenarios, round by round, with each server in turn. The first server changes."""
    times = Times()
    plain = {server.name: Running(server) for server in servers}
    deflating = {server.name: Running(server, deflate=True) for server in servers if server.has_deflate_command}
    try:
        for number in range(rounds):
            for scenario in scenarios:
                for place in range(len(servers)):
                    server = servers[(place + number) % len(servers)]
                    running = deflating.get(server.name, plain[server.name]) if scenario.deflate else plain[server.name]
                    load(times, scenario, server, running, hold)
            print(f"round {number + 1} of {rounds} is done", file=sys.stderr)
        for scenario in scenarios:
            for server in servers:
                running = deflating.get(server.name, plain[server.name]) if scenario.deflate else plain[server.name]
                rate(times, scenario, server, running, hold)
    finally:
        for running in [*plain.values(), *deflating.values()]:
            running.stop()
    return times


def load(times, scenario, server, running, hold):
    if scenario.needs not in server.abilities:
        return
    report, problem = drive(
        running.port, running.pid, scenario.path, scenario.hold * hold, scenario.load, scenario.message
    )
    if problem:
        times.failures.append(f"{server.name}, {scenario.title}: {problem}")
    times.keep(times.cpu, scenario.key, server.name, pick(report, scenario.cpu))
    times.keep(times.speed, scenario.key, server.name, pick(report, scenario.speed))


def rate(times, scenario, server, running, hold):
    """Measures latencies at a fixed rate, from the intended time of sending."""
    if scenario.needs not in server.abilities or not scenario.rated:
        return
    seconds = 3 * hold if scenario.hold else 0
    report, problem = drive(running.port, running.pid, scenario.path, seconds, scenario.rated, scenario.message)
    if problem:
        times.failures.append(f"{server.name}, {scenario.title}, at a fixed rate: {problem}")
    times.keep(times.latency, scenario.key, server.name, pick(report, scenario.latency))


def memory(times, servers):
    """Measures private dirty bytes per connection, of fresh servers."""
    count = min(MEMORY_CONNECTIONS, raise_limit() - 500)
    options = ["--echo", "-c", str(count), "--size", str(MEMORY_SIZE), "-m", str(count)]
    for server in servers:
        with Running(server) as running:
            report, problem = drive(running.port, running.pid, "/echo", 1.5, options)
        if problem:
            times.failures.append(f"{server.name}, memory: {problem}")
        kinds = ("memory_bytes_per_connection", "memory_bytes_per_connection_at_end")
        times.memory[server.name] = [pick(report, ("server", kind)) for kind in kinds]
    return count
