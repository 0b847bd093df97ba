#!/usr/bin/env python3
"""Measures what a page that watches the loop costs: CPU time of the server with and without the
page, in turns.

    cargo build --release && python3 benches/watching.py [PATH/TO/lariat] [--connections N] [--rate R] [--rounds K] [--teach]

N connections (10,000) echo R messages a second (5,000) in total. In each round the server runs for
the same time without a page at /loop and with one, in changing order. The share of time refers to
one processor, because a loop uses only one. Other work on the machine only adds time, so the script
prints lower quartiles next to the medians. The page is a socket that offers compression, as
browsers do, and reads.
"""
import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

WINDOW, SETTLE = 1.0, 0.3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lariat", nargs="?", default="target/release/lariat")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--teach", action="store_true", help="the server is started with --teach, and does not compress")
    return parser.parse_args()


class Page:
    """Watches the loop until the connection is closed. Counts the bytes."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.stream.sendall(
            f"GET /loop HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert b" 101 " in self.stream.recv(1 << 16)
        self.bytes = 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while piece := self.stream.recv(1 << 18):
            self.bytes += len(piece)

    def close(self):
        self.stream.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.stream.close()


def cpu(pid):
    """Returns the CPU time of all threads, in seconds."""
    tasks = f"/proc/{pid}/task"
    return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks)) / 1e9


def echoed(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as stream:
        stream.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b""
        while piece := stream.recv(1 << 16):
            text += piece
    return int(re.search(rb'messages_total\{direction="received",opcode="text"\} (\d+)', text).group(1))


def window(pid, port, is_watched):
    """Returns CPU seconds per second, messages per second, and bytes for the page per second."""
    page = Page(port) if is_watched else None
    time.sleep(SETTLE)
    messages, begin, before, heard = echoed(port), time.monotonic(), cpu(pid), page.bytes if page else 0
    time.sleep(WINDOW)
    used, took = cpu(pid) - before, time.monotonic() - begin
    heard = (page.bytes if page else 0) - heard
    messages = echoed(port) - messages
    if page:
        page.close()
    return used / took, messages / took, heard / took


def main():
    asked = arguments()
    command = [asked.lariat, "serve", "--listen", "127.0.0.1:0"] + ["--teach"] * asked.teach
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    port = int(re.search(r":(\d+)", server.stdout.readline()).group(1))
    hold = int(asked.rounds * 2 * (WINDOW + SETTLE + 1)) + 30
    load = subprocess.Popen(
        [asked.lariat, "load", f"ws://127.0.0.1:{port}/echo", "-c", str(asked.connections), "--rate", "3000/s",
         "--hold", f"{hold}s", *(["--echo", "-m", str(asked.rate)] if asked.rate else [])],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(asked.connections / 3000 + 5)
        rounds = []
        for number in range(asked.rounds):
            order = [False, True] if number % 2 else [True, False]
            one = {is_watched: window(server.pid, port, is_watched) for is_watched in order}
            rounds.append((one[False], one[True]))
            (without, rate, _), (watched, _, heard) = rounds[-1]
            print(f"round {number + 1}: {without * 100:.2f} % of a processor, watched {watched * 100:.2f} %, "
                  f"{rate:.0f} messages/s, {heard / 1024:.1f} KiB/s to the page", flush=True)
        if load.poll() is not None:
            sys.exit("the load has ended too early")
    finally:
        load.terminate()
        load.wait()
        server.send_signal(2)
        server.wait()
    sides = [[side[0] * 100 for side in sides] for sides in zip(*rounds)]
    for name, (without, watched) in [
        ("median", [statistics.median(side) for side in sides]),
        ("lower quartile", [statistics.quantiles(side, n=4)[0] for side in sides]),
    ]:
        print(f"{name}: {without:.2f} % of a processor, watched {watched:.2f} %: {watched - without:+.2f} %")
    more = statistics.median(watched - without for without, watched in zip(*sides))
    print(f"median of the differences: {more:+.2f} % of a processor")


main()
