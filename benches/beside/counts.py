"""Counts system calls with strace, heap allocations with valgrind's dhat, and instructions with its
callgrind.

A server runs twice under the tool, with few and with many messages of the same kind, in lock-step.
The cost of a message is the difference of the counts, divided by the difference of the messages.
The counts are the same on a busy machine.
"""
import json
import re
import shutil
import tempfile

from . import wire
from .servers import Running

KINDS = {
    "read": {"read", "recvfrom", "recvmsg", "readv"},
    "write": {"write", "sendto", "sendmsg", "writev"},
    "epoll_wait": {"epoll_wait", "epoll_pwait", "epoll_pwait2"},
    "epoll_ctl": {"epoll_ctl"},
}


def send(port, counted, rounds, deflate):
    """Sends the messages of a counted run. Returns their number."""
    kind, payload = counted["kind"], counted["payload"]
    if kind == "handshakes":
        return wire.handshakes(port, rounds)
    payload = wire.compress(payload) if deflate else payload
    batch = wire.frame(payload, counted["opcode"], deflate) * counted["depth"]
    if kind == "publish":
        return wire.publish(port, counted["connections"], rounds, batch, counted["depth"])
    return wire.echo(port, counted["connections"], rounds, batch, counted["depth"], deflate)


def under(prefix, server, scenario, rounds, read):
    """Returns the tool's counts and the number of messages."""
    with Running(server, scenario.variant, prefix) as running:
        messages = send(running.port, scenario.counted, rounds, scenario.variant == "deflate")
        running.interrupt()
        return read(), messages


def per_message(prefix, server, scenario, read):
    few, many = (under(prefix, server, scenario, rounds, read) for rounds in scenario.counted["rounds"])
    messages = many[1] - few[1]
    return {name: (many[0].get(name, 0) - few[0].get(name, 0)) / messages for name in {*few[0], *many[0]}}


def system_calls(server, scenario):
    """Returns {"read": .., "write": .., "epoll_wait": .., "epoll_ctl": .., "other": ..} per
    message, or None."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as out:

        def read():
            out.seek(0)
            return strace_table(out.read())

        counts = per_message(["strace", "-c", "-f", "-o", out.name], server, scenario, read)
    result = {kind: sum(counts.pop(name, 0) for name in names) for kind, names in KINDS.items()}
    return {**result, "other": sum(counts.values())}


def strace_table(text):
    """Returns the calls by name from the output of `strace -c`."""
    calls = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
            calls[words[-1]] = int(words[3])
    return calls


def heap(server, scenario):
    """Returns {"allocations": .., "instructions": ..} per message, or None."""
    if not shutil.which("valgrind"):
        return None
    with tempfile.NamedTemporaryFile("r") as out:

        def blocks():
            with open(out.name) as file:
                return {"allocations": sum(place["tbk"] for place in json.load(file)["pps"])}

        def instructions():
            with open(out.name) as file:
                return {"instructions": sum(int(total) for total in re.findall(r"^(?:totals|summary): (\d+)", file.read(), re.M)[:1])}

        dhat = ["valgrind", "--tool=dhat", f"--dhat-out-file={out.name}"]
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}"]
        return {**per_message(dhat, server, scenario, blocks), **per_message(callgrind, server, scenario, instructions)}


def count(servers, scenarios):
    """Returns the cost of a message for each scenario and server."""
    calls, blocks, failures = {}, {}, []
    for scenario in scenarios:
        for server in servers:
            if not scenario.counted or scenario.needs not in server.abilities:
                continue
            for table, tool in ((calls, system_calls), (blocks, heap)):
                try:
                    table.setdefault(scenario.key, {})[server.name] = tool(server, scenario)
                except (OSError, ValueError, SystemExit) as error:
                    failures.append(f"{server.name}, {scenario.title}, {tool.__name__}: {error}")
    return calls, blocks, failures
