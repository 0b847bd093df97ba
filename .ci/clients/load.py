"""Check `lariat load` against servers of other projects, and compare it with an independent client.

    load.py LARIAT NODE_SCRIPT    NODE_SCRIPT: load_server.mjs beside its node_modules

The counts of the report must equal those of the server. Then a client that uses asyncio and
websockets sends at the same rate to the same server at the same time. It measures round trips
itself, from the time at which a message was due.
"""

import asyncio
import json
import math
import pathlib
import subprocess
import sys
from collections import deque

import websockets

here = pathlib.Path(__file__).resolve().parent
lariat, node_script = sys.argv[1:]
servers = {
    "websockets": [sys.executable, str(here / "load_server.py")],
    "ws": ["node", node_script],
}


class Server:
    """A server in its own process."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"ws://127.0.0.1:{int(self.process.stdout.readline())}/"

    def counts(self):
        """End the server."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=20)
        return json.loads(rest)


def load_command(url, options):
    return [lariat, "load", url, *options.split(), "--json", "-"]


def check_counts(name, options):
    server = Server(servers[name])
    run = subprocess.run(load_command(server.url, options), capture_output=True, text=True, timeout=60)
    seen = server.counts()
    report = json.loads(run.stdout)
    connections, messages = report["connections"], report["messages"]
    told = {
        "opened": connections["opened"],
        "messages": messages["sent"],
        "bytes": messages["bytes_sent"],
        "normal": connections["opened"],
    }
    assert told == seen, f"{name}, {options}: the report says {told}, the server saw {seen}\n{run.stderr}"
    assert report["errors"] == [] and run.returncode == 0, run.stderr
    if "--echo" in options:
        assert messages["sent"] == messages["right"] == report["latency"]["round_trip"]["count"] > 0, messages
    print(f"{name:10}  {options:50}  {told['opened']} connections, {told['messages']} messages: as on the server")


async def independent_client(url, connections, rate, seconds):
    """Send message k at k / rate, in turn over all connections. Return the rate and all round
    trips, in ms."""
    loop = asyncio.get_running_loop()
    sockets = [await websockets.connect(url, compression=None) for _ in range(connections)]
    due_times = [deque() for _ in sockets]
    trips = []

    async def receive(socket, due):
        async for _ in socket:
            trips.append((loop.time() - due.popleft()) * 1000)

    receivers = [asyncio.create_task(receive(*pair)) for pair in zip(sockets, due_times)]
    start = loop.time()
    for k in range(int(rate * seconds)):
        due = start + k / rate
        await asyncio.sleep(max(0, due - loop.time()))
        due_times[k % connections].append(due)
        await sockets[k % connections].send("x" * 20)
    took = loop.time() - start
    while any(due_times):
        await asyncio.sleep(0.01)
    for socket in sockets:
        await socket.close()
    await asyncio.gather(*receivers)
    return rate * seconds / took, sorted(trips)


async def check_agreement(connections=50, rate=200, seconds=8):
    server = Server([*servers["websockets"], "40"])
    options = f"-c {connections} --echo -m {rate} --hold {seconds}s"
    process = await asyncio.create_subprocess_exec(*load_command(server.url + "one", options), stdout=-1, stderr=-1)
    (own_rate, trips), (out, _) = await asyncio.gather(
        independent_client(server.url + "other", connections, rate, seconds), process.communicate()
    )
    server.counts()
    report = json.loads(out)
    trip = report["latency"]["round_trip"]
    rates = report["messages"]["per_second"], own_rate
    print(f"agreement   rate: {rates[0]:.2f}/s and {rates[1]:.2f}/s")
    agrees = abs(rates[0] / rates[1] - 1) < 0.02
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        mine, other = trip[f"{name}_us"] / 1000, trips[math.ceil(len(trips) * share) - 1]
        print(f"agreement   {name}: {mine:.2f} ms and {other:.2f} ms")
        # The server delays one connection in fifty. So p99 is the median of its messages, also on
        # a busy host.
        agrees &= abs(mine - other) < max(0.02 * other, 4)
    return agrees


for name in servers:
    for options in (
        "-c 50 --echo --hold 1s",
        "-c 10 --echo --depth 16 --binary --size 5000 --hold 1s",
        "-c 20 --echo --deflate --message {id},{seq},{time} -m 500 --hold 1s",
        "-c 300 --rate 600/s --hold 200ms",
    ):
        check_counts(name, options)
# A busy host may stall one of the two clients.
assert any(asyncio.run(check_agreement()) for _ in range(3)), "the two clients do not agree"
