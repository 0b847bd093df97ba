#!/usr/bin/env python3
"""Run the Autobahn test suite against a client: the suite's fuzzing server, and a program that runs
its cases.

    VENV/bin/python client.py OUT PROGRAM CASE...

The server listens on a free port of 127.0.0.1. The program gets its URL as argument and requests
the report after all cases: OUT/index.json. VENV is the environment in which the suite is installed.
"""

import pathlib
import socket
import sys

from autobahntestsuite import choosereactor  # noqa: F401  chooses before anybody imports the reactor
from autobahntestsuite import _py3port
from autobahntestsuite.fuzzing import FuzzingServerFactory
from twisted.internet import protocol, reactor


class Program(protocol.ProcessProtocol):
    """Run the client. The server ends with it."""

    exit_code = None

    def processEnded(self, reason):
        self.exit_code = reason.value.exitCode
        reactor.stop()


def main(out, path, *cases):
    pathlib.Path(out, "index.json").unlink(missing_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        server = FuzzingServerFactory({"url": url, "outdir": out, "cases": cases})
        reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, server)
    program = Program()
    reactor.spawnProcess(program, path, [path, url], env=None, childFDs={0: "w", 1: 1, 2: 2})
    reactor.run()
    if program.exit_code != 0:
        sys.exit(f"{path}: exit code {program.exit_code}")
    if _py3port.errors:
        sys.exit("the fuzzing server itself failed, see above")


if __name__ == "__main__":
    main(*sys.argv[1:])
