"""Measures times: the servers run at once, and `lariat load` loads them in turn."""
import json
import os
import resource
import subprocess
import sys
import tempfile

from . import wire
from .scenarios import MEMORY_CONNECTIONS, MEMORY_SIZE
from .servers import CA, LARIAT, Running


def drive(running, path, hold, options, message=b""):
    """Runs the driver once. Returns its report, or None if something failed."""
    _, core = wire.cores()
    with tempfile.NamedTemporaryFile() as report, tempfile.NamedTemporaryFile() as content:
        secure = running.variant == "tls"
        command = [LARIAT, "load", f"{'wss' if secure else 'ws'}://127.0.0.1:{running.port}{path}"]
        command += ["--quiet", "--pid", str(running.pid), "--json", report.name]
        command += ["--hold", f"{max(1, int(hold * 1000))}ms", *options, *(["--ca", CA] if secure else [])]
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
        self.memory_tls = {}

    def keep(self, table, scenario, name, value):
        table.setdefault(scenario, {}).setdefault(name, []).append(value)


def measure(servers, scenarios, rounds, hold):
    """Runs all scenarios, round by round, with each server in turn. The first server changes."""
    times = Times()
    running = {(server.name, variant): Running(server, variant) for server in servers for variant in server.variants()}

    def find(server, scenario):
        """A server without a program of its own for a variant has it in the plain one."""
        return running.get((server.name, scenario.variant)) or running.get((server.name, ""))

    try:
        for number in range(rounds):
            for scenario in scenarios:
                for place in range(len(servers)):
                    server = servers[(place + number) % len(servers)]
                    load(times, scenario, server, find(server, scenario), hold)
            print(f"round {number + 1} of {rounds} is done", file=sys.stderr)
        for scenario in scenarios:
            for server in servers:
                rate(times, scenario, server, find(server, scenario), hold)
    finally:
        for one in running.values():
            one.stop()
    return times


def load(times, scenario, server, running, hold):
    if scenario.needs not in server.abilities:
        return
    report, problem = drive(running, scenario.path, scenario.hold * hold, scenario.load, scenario.message)
    if problem:
        times.failures.append(f"{server.name}, {scenario.title}: {problem}")
    times.keep(times.cpu, scenario.key, server.name, pick(report, scenario.cpu))
    times.keep(times.speed, scenario.key, server.name, pick(report, scenario.speed))


def rate(times, scenario, server, running, hold):
    """Measures latencies at a fixed rate, from the intended time of sending."""
    if scenario.needs not in server.abilities or not scenario.rated:
        return
    seconds = 3 * hold if scenario.hold else 0
    report, problem = drive(running, scenario.path, seconds, scenario.rated, scenario.message)
    if problem:
        times.failures.append(f"{server.name}, {scenario.title}, at a fixed rate: {problem}")
    times.keep(times.latency, scenario.key, server.name, pick(report, scenario.latency))


def memory(times, servers):
    """Measures private dirty bytes per connection, of fresh servers, without TLS and with it."""
    count = min(MEMORY_CONNECTIONS, raise_limit() - 500)
    options = ["--echo", "-c", str(count), "--size", str(MEMORY_SIZE), "-m", str(count)]
    kinds = ("memory_bytes_per_connection", "memory_bytes_per_connection_at_end")
    for variant, table in (("", times.memory), ("tls", times.memory_tls)):
        for server in servers:
            if variant not in server.variants():
                continue
            with Running(server, variant) as running:
                report, problem = drive(running, "/echo", 1.5, options)
            if problem:
                times.failures.append(f"{server.name}, memory: {problem}")
            table[server.name] = [pick(report, ("server", kind)) for kind in kinds]
    return count
