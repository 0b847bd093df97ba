#!/usr/bin/env python3
"""Kill servers that share rooms through Redis, and Redis itself, while 3,000 clients listen.

    python servers.py PATH/TO/history PATH/TO/lariat

HAProxy stands in front of three processes of the example `history`. Ten of 150 clients that use the
package websockets speak, each to one of five rooms, and repeat what is not confirmed, with the same
name. Another one speaks to a sixth room, where five others and 3,000 clients of `lariat load
--follow` listen. All clients reconnect from their last position on, and some come late. Meanwhile
one server is killed and started again, then Redis, and then another server stands still. At the end
each client must have each message of its room, from its first one on, once and in order. `lariat
load` must report exactly that, and as many lost connections as the killed server had. Needs
requirements.txt, redis-server and haproxy.
"""

import asyncio
import collections
import contextlib
import csv
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

CLIENTS, ROOMS, SPEAKERS, LATE = 150, 5, 10, 30
PAUSE = 0.08  # seconds between two messages of a speaker
CROWD, BESIDE = 3_000, 6  # clients of `lariat load` in a room of their own, and others in it
CROWD_PAUSE = 0.25  # seconds between two messages of the speaker there
PATIENCE = 15  # seconds until something listens or ends, and until all have all messages
UNANSWERED = 2  # seconds until a speaker tries another server
SILENCE = 1.5  # seconds until an impatient listener does
POSITION = re.compile(r"[0-9a-f]+-[0-9]+")

HAPROXY = """
global
    maxconn 6000
    stats socket {folder}/haproxy.sock
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout tunnel 60s
    timeout check 500ms
    retries 3
    option redispatch
frontend chat
    bind 127.0.0.1:{port}
    use_backend crowd if {{ req.hdr(X-Crowd) -m found }}
    default_backend servers
backend crowd
    balance roundrobin
{crowd}
backend servers
    balance roundrobin
    option httpchk GET /ready
    http-response set-header X-Server %s
    default-server check inter 200ms fall 2 rise 1
{servers}
"""


def free_port():
    """Return a port that the kernel gives to no connection while its server is dead."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def lowest(position):
    epoch, offset = position.split("-")
    return epoch, int(offset)


class Process:
    """A process that can be killed and started again. What it says goes to a file."""

    def __init__(self, folder, name, port, *command):
        self.name, self.port, self.command = name, port, command
        self.log = os.path.join(folder, f"{name}.log")
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    async def ready(self):
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.poll() is None, f"{self.name} has ended:\n{self.said()}"
            assert time.monotonic() < end, f"{self.name} never listens"
            await asyncio.sleep(0.05)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """End it properly and return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()


class Crowd(Process):
    """The clients of `lariat load`, all in one room."""

    ROOM = "crowd"

    def __init__(self, folder, lariat, url):
        self.report, self.table = (os.path.join(folder, f"crowd.{kind}") for kind in ("json", "csv"))
        self.haproxy = os.path.join(folder, "haproxy.sock")
        options = ["-c", str(CROWD), "--follow", "after", "--header", "X-Crowd: yes", "--hold", "1h", "--quiet"]
        options += ["--json", self.report, "--csv", self.table]
        super().__init__(folder, "crowd", None, lariat, "load", f"{url}/{self.ROOM}", *options)

    def seconds(self):
        """Return what the seconds until now had: how many were open, and how many were received."""
        with contextlib.suppress(FileNotFoundError), open(self.table) as table:
            rows = [row for row in csv.DictReader(table) if None not in row.values()]
            return [(int(row["open"]), int(row["received"])) for row in rows]
        return []

    async def until(self, what, is_reached):
        end = time.monotonic() + PATIENCE
        while not is_reached(self.seconds()):
            assert self.process.poll() is None, f"lariat load has ended:\n{self.said()}"
            assert time.monotonic() < end, f"the crowd never {what}: {self.seconds()}"
            await asyncio.sleep(0.1)

    async def ready(self):
        await self.until("opens", lambda seconds: seconds and seconds[-1][0] == CROWD)

    async def has(self, messages):
        """Wait until as many have been received as all of them must receive."""
        wanted = messages * CROWD
        await self.until(f"has {wanted}", lambda seconds: sum(count for _, count in seconds) >= wanted)

    def connections(self, server):
        """Return how many of its connections HAProxy has sent to a server."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.settimeout(PATIENCE)
            stats.connect(self.haproxy)
            stats.sendall(b"show stat\n")
            with stats.makefile() as file:
                rows = list(csv.DictReader(file))
        [row] = [row for row in rows if (row["# pxname"], row["svname"]) == ("crowd", server.name)]
        return int(row["scur"])

    def finish(self, messages, lost):
        """End it, and compare its report with what was published and killed."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(PATIENCE)
        with open(self.report) as file:
            report = json.load(file)
        connections, told = report["connections"], report["messages"]
        wanted = {"most": CROWD, "at_end": CROWD, "lost": lost, "reconnected": lost, "opened": CROWD + lost}
        assert {key: connections[key] for key in wanted} == wanted, f"{connections}, not {wanted}\n{self.said()}"
        wanted = {"received": messages * CROWD, "right": messages * CROWD, "missed": 0, "doubled": 0}
        wanted |= {"out_of_order": 0, "restarted": 0, "wrong": 0}
        assert {key: told[key] for key in wanted} == wanted, f"{told}, not {wanted}\n{self.said()}"
        assert (status, report["ended"]) == (0, "interrupted by a signal"), self.said()
        return report


class Run:
    """What all clients share."""

    def __init__(self, url):
        self.url = url
        self.confirmed = collections.defaultdict(dict)  # of each room: names by position
        self.reconnects = 0
        self.repeated = collections.Counter()  # messages, by why
        self.faults = []
        self.is_speaking = self.is_running = True

    def fault(self, what):
        if len(self.faults) < 20:
            self.faults.append(what)


class Client:
    def __init__(self, run, number):
        self.run, self.number = run, number
        is_beside = number >= CLIENTS
        self.room = Crowd.ROOM if is_beside else f"room{number % ROOMS}"
        self.pause = CROWD_PAUSE if is_beside else PAUSE
        self.is_speaker = number < SPEAKERS or number == CLIENTS
        self.is_late = CLIENTS - LATE <= number < CLIENTS
        # Half of the listeners wait for a server that stands still, and half try another one.
        self.is_impatient = not self.is_speaker and number % 2 == 1
        self.got = []  # (position, name and text)
        self.connection = self.server = self.outcome = None
        self.is_open = asyncio.Event()
        self.killed_at = self.came_back_after = None

    async def listen(self):
        if self.is_late:
            await asyncio.sleep(random.uniform(1, 18))
        failures = 0
        while self.run.is_running:
            after = f"?after={self.got[-1][0]}" if self.got else ""
            try:
                address = f"{self.run.url}/{self.room}{after}"
                options = {"proxy": None, "compression": None, "ping_interval": None, "open_timeout": 2}
                # `connect` as an async iterator would have a backoff of its own, in seconds.
                self.connection = await connect(address, **options)
                self.server = self.connection.response.headers["X-Server"]
                self.is_open.set()
                while True:
                    limit = SILENCE if self.is_impatient and self.run.is_speaking else None
                    self.hear(await asyncio.wait_for(self.connection.recv(), limit))
                    failures = 0
            except (OSError, TimeoutError, EOFError, WebSocketException, InvalidHandshake):
                pass
            finally:
                self.is_open.clear()
                self.server = None
                self.drop()
            if self.run.is_running:
                self.run.reconnects += 1
                failures = min(failures + 1, 6)
                await asyncio.sleep(random.uniform(0.5, 1) * 0.04 * 2**failures)

    def drop(self):
        """End the connection without a handshake: a server that stands still answers none."""
        if self.connection is not None:
            self.connection.transport.abort()
        self.answer("lost")

    def answer(self, outcome):
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_result(outcome)

    def hear(self, text):
        first, _, rest = text.partition(" ")
        if first == "said":
            name, _, position = rest.rpartition(" ")
            known = self.run.confirmed[self.room].setdefault(lowest(position), name)
            if known != name:
                self.run.fault(f"{self.room}: {known} and {name} were both confirmed at {position}")
            if name == self.saying:
                self.answer("said")
        elif first == "not":
            name, _, why = rest.removeprefix("said ").partition(": ")
            if name == self.saying:
                self.answer(why)
        elif POSITION.fullmatch(first):
            self.receive(first, rest)
        else:
            self.run.fault(f"client {self.number} at {self.server}, after {self.got[-1:]}: {text}")

    def receive(self, position, what):
        if self.got:
            (epoch, last), (new_epoch, offset) = lowest(self.got[-1][0]), lowest(position)
            if (new_epoch, offset) != (epoch, last + 1):
                self.run.fault(f"client {self.number} at {self.server}: {position} {what} after {self.got[-1]}")
        self.got.append((position, what))
        if self.killed_at is not None and self.came_back_after is None:
            self.came_back_after = time.monotonic() - self.killed_at

    saying = ""

    async def speak(self):
        count = 0
        while self.run.is_speaking:
            count += 1
            self.saying = f"m{self.number}.{count}"
            while True:
                await self.is_open.wait()
                self.outcome = asyncio.get_running_loop().create_future()
                try:
                    words = f"{self.saying} text {count} of {self.number}"
                    await asyncio.wait_for(self.connection.send(words), UNANSWERED)
                    outcome = await asyncio.wait_for(self.outcome, UNANSWERED)
                except TimeoutError:
                    self.drop()
                    outcome = "unanswered"
                except WebSocketException:
                    outcome = "lost"
                if outcome == "said":
                    break
                self.run.repeated[outcome] += 1
                await asyncio.sleep(0.1)
            await asyncio.sleep(self.pause)
        return count


async def disturb(servers, redis, clients, crowd):
    """Kill and stop, one after another. Return the clients that the killed server had, and how many
    of the crowd it had."""
    first, second, _ = servers
    await asyncio.sleep(3)
    alike = [client for client in clients if client.server == first.name]
    of_crowd = crowd.connections(first)
    assert alike and of_crowd > CROWD // 10, f"{first.name} has few clients"
    first.kill()
    now = time.monotonic()
    for client in alike:
        client.killed_at = now
    await asyncio.sleep(2)
    first.start()
    await first.ready()
    await asyncio.sleep(3)

    redis.kill()
    await asyncio.sleep(1)
    redis.start()
    await redis.ready()
    await asyncio.sleep(7)

    second.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(3)
    second.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(4)
    return alike, of_crowd


def check(run, clients, spoken):
    """Check that each client has each message once and in order."""
    for room in sorted({client.room for client in clients}):
        confirmed = run.confirmed[room]
        names = collections.Counter(confirmed.values())
        for name, count in names.items():
            if count > 1:
                run.fault(f"{room}: {name} was confirmed at {count} positions")
        wanted = sum(count for client, count in spoken if client.room == room)
        if len(names) != wanted:
            run.fault(f"{room}: {len(names)} messages were confirmed, and {wanted} spoken")
        for client in clients:
            if client.room != room:
                continue
            got = {lowest(position): what.split(" ")[0] for position, what in client.got}
            if not got:
                run.fault(f"client {client.number} has no message")
                continue
            first = min(got)
            lost = {place: name for place, name in confirmed.items() if place >= first and got.get(place) != name}
            strange = {place: name for place, name in got.items() if confirmed.get(place) != name}
            if len(got) != len(client.got) or lost or strange:
                run.fault(
                    f"client {client.number} in {room}: {len(client.got) - len(got)} doubled, "
                    f"lost {dict(list(lost.items())[:5])}, unknown {dict(list(strange.items())[:5])}"
                )


async def talk(url, servers, redis, crowd):
    run = Run(url)
    clients = [Client(run, number) for number in range(CLIENTS + BESIDE)]
    speakers = [client for client in clients if client.is_speaker]
    listening = [asyncio.create_task(client.listen()) for client in clients]
    speaking = [asyncio.create_task(client.speak()) for client in speakers]
    try:
        alike, of_crowd = await disturb(servers, redis, clients, crowd)
        run.is_speaking = False
        counts = await asyncio.wait_for(asyncio.gather(*speaking), PATIENCE)
        end = time.monotonic() + PATIENCE
        last = {room: max(confirmed) for room, confirmed in run.confirmed.items()}
        while behind := [c for c in clients if not c.got or lowest(c.got[-1][0]) < last[c.room]]:
            if time.monotonic() > end:
                for client in behind:
                    run.fault(f"client {client.number} at {client.server} stays at {client.got[-1:]}")
                break
            await asyncio.sleep(0.1)
        messages = len(run.confirmed[Crowd.ROOM])
        await crowd.has(messages)
        # What comes twice would come now.
        await asyncio.sleep(0.5)
        check(run, clients, list(zip(speakers, counts)))
        places = collections.Counter(client.server for client in clients)
    finally:
        run.is_running = False
        for task in listening + speaking:
            task.cancel()
        await asyncio.gather(*listening, *speaking, return_exceptions=True)
    if run.faults:
        raise AssertionError("\n".join(run.faults))
    delays = [client.came_back_after for client in alike]
    assert None not in delays, "clients of the killed server have got nothing more"
    assert run.repeated, "nothing was repeated"
    report = crowd.finish(messages, of_crowd)
    print(
        f"{sum(counts)} messages confirmed, {sum(len(client.got) for client in clients)} received\n"
        f"repeated: {dict(sorted(run.repeated.items()))}\n"
        f"{run.reconnects} reconnects; the {len(alike)} clients of the killed server had their next "
        f"message after {max(delays):.2f} s at most\n"
        f"clients at the end: {dict(sorted(places.items(), key=str))}\n"
        f"lariat load: {messages} messages for each of {CROWD} clients, {report['messages']['received']} received, "
        f"none missed, doubled or out of order; {of_crowd} connections lost with the killed server, and all "
        f"opened again, with {report['connections']['failed']} attempts that failed",
        flush=True,
    )


async def main(history, lariat, folder):
    port, entry = free_port(), free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "always"]
    redis = Process(folder, "redis", port, "redis-server", *options)
    servers = []
    for name in ("one", "two", "three"):
        own = free_port()
        servers.append(Process(folder, name, own, history, f"127.0.0.1:{own}", f"redis://127.0.0.1:{port}/"))
    config = os.path.join(folder, "haproxy.cfg")
    with open(config, "w") as file:
        lines = [f"    server {server.name} 127.0.0.1:{server.port}" for server in servers]
        tracking = [f"{line} track servers/{server.name}" for line, server in zip(lines, servers)]
        lists = {"servers": "\n".join(lines), "crowd": "\n".join(tracking)}
        file.write(HAPROXY.format(port=entry, folder=folder, **lists))
    haproxy = Process(folder, "haproxy", entry, "haproxy", "-db", "-f", config)
    url = f"ws://127.0.0.1:{entry}"
    crowd = Crowd(folder, lariat, url)
    # All of the crowd listen before the first message.
    everything = [redis, *servers, haproxy, crowd]
    try:
        for process in everything:
            process.start()
            await process.ready()
        await talk(url, servers, redis, crowd)
        for server in servers:
            status = server.end()
            assert status == 0, f"{server.name} ended with {status}"
        print("SIGTERM ends the servers properly", flush=True)
    finally:
        for process in everything:
            if process.process is not None and process.process.poll() is None:
                process.kill()
    for server in servers:
        assert "panicked" not in server.said(), server.said()


def ended(*_):
    """End the processes as well when the gate has no more patience."""
    sys.exit("SIGTERM")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, ended)
    os.environ["PATH"] += ":/usr/sbin"
    # HAProxy needs two files for each client.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    missing = [tool for tool in ("redis-server", "haproxy") if not shutil.which(tool)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="lariat-") as where:
        asyncio.run(main(*sys.argv[1:], where))
