#!/usr/bin/env python3
"""Run the Autobahn test suite against a client: the suite's fuzzing server, and a program that runs
its cases.

    VENV/bin/python client.py [--tls FOLDER] OUT PROGRAM CASE...

The server listens on a free port of 127.0.0.1. The program gets its URL as argument and requests
the report after all cases: OUT/index.json. VENV is the environment in which the suite is installed.

With --tls the server speaks TLS, by Twisted with OpenSSL. FOLDER has the files of `lariat cert`.
The program trusts nothing but its authority (SSL_CERT_FILE).
"""

import argparse
import os

import pathlib
import socket
import sys

from autobahntestsuite import choosereactor  # noqa: F401  chooses before anybody imports the reactor
from autobahntestsuite import _py3port
from autobahntestsuite.fuzzing import FuzzingServerFactory
from twisted.internet import protocol, reactor, ssl
from twisted.protocols.tls import TLSMemoryBIOFactory


class Program(protocol.ProcessProtocol):
    """Run the client. The server ends with it."""

    exit_code = None

    def processEnded(self, reason):
        self.exit_code = reason.value.exitCode
        reactor.stop()


def main(out, path, cases, folder=None):
    pathlib.Path(out, "index.json").unlink(missing_ok=True)
    environment = dict(os.environ)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"{'wss' if folder else 'ws'}://127.0.0.1:{listener.getsockname()[1]}"
        server = FuzzingServerFactory({"url": url, "outdir": out, "cases": cases})
        if folder:
            key, certificate = folder / "lariat-key.pem", folder / "lariat-cert.pem"
            context = ssl.DefaultOpenSSLContextFactory(str(key), str(certificate))
            server = TLSMemoryBIOFactory(context, False, server)
            environment["SSL_CERT_FILE"] = str(folder / "lariat-ca.pem")
        reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, server)
    program = Program()
    reactor.spawnProcess(program, path, [path, url], env=environment, childFDs={0: "w", 1: 1, 2: 2})
    reactor.run()
    if program.exit_code != 0:
        sys.exit(f"{path}: exit code {program.exit_code}")
    if _py3port.errors:
        sys.exit("the fuzzing server itself failed, see above")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("program")
    parser.add_argument("cases", nargs="+")
    arguments = parser.parse_args()
    main(arguments.out, arguments.program, arguments.cases, arguments.tls)
