"""Run the scenarios of examples/scenarios against servers of other projects.

    scenarios.py LARIAT NODE_SCRIPT    NODE_SCRIPT: scenario_servers.mjs beside its node_modules

Each command is that of the scenario's first comment, with another port and 50 connections. The
counts of the steps must be right, and equal those of the server. Needs nginx.
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time

here = pathlib.Path(__file__).resolve().parent
examples = here.parent.parent / "examples" / "scenarios"
lariat, node_script = sys.argv[1:]
CONNECTIONS = 50

# The command of a server, and for each of its counts the step that must be done as often: the
# beginning of its text and, if it is not once for each connection, how often. A step may occur
# more than once; its counts are added.
SCENARIOS = {
    "json-rpc.txt": ("json-rpc", {"add": ("send .*add", 40), "no such method": ("send .*no such", 1)}),
    "chat.txt": ("chat", {"said": ("send .*say", 5), "logout": ("send .*logout", 1)}),
    "socket-io.txt": (
        "socket-io",
        {"namespace": ("send 40", 1), "echo": ("send 42", 10), "left": ("send 41", 1), "pong": ("on ", None)},
    ),
    "graphql-transport-ws.txt": (
        "graphql",
        {
            "acknowledged": ("send .*_init", 1),
            "next": ("expect .*= next", 3),
            "twice": ("expect .*twice", 1),
            "pong": ("on ", 1),
        },
    ),
    "mqtt.txt": (
        "mqtt",
        {
            "ready": ("send hex 10", 1),
            "subscribed": ("send hex 82", 1),
            "published": ("send hex 30", 10),
            "pings": ("send hex c0", 1),
        },
    ),
}


class Server:
    """A server in its own process, which ends with the block."""

    def __init__(self, name):
        command = [sys.executable, here / "scenario_server.py"] if name == "chat" else ["node", node_script, name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def counts(self):
        """End the server."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=20)
        return json.loads(rest)


def command(scenario):
    """Return the words of the command in a scenario's first comment, without the program's name."""
    comment = re.match(r"#.*\n#\n((?:#   .*\n)+)", scenario.read_text()).group(1)
    words = shlex.split(re.sub(r"^#   ", "", comment, flags=re.MULTILINE).replace("\\\n", ""))
    assert words[:2] == ["lariat", "load"], words
    return words[1:]


def run(scenario, port, folder, file=None):
    """Run a scenario, or `file` instead of it. Return the report and the ended process."""
    words = [re.sub(r"localhost:\d+", f"127.0.0.1:{port}", word) for word in command(scenario)]
    words[words.index("-c") + 1] = str(CONNECTIONS)
    words[words.index("--scenario") + 1] = str(file or scenario)
    if "--data" in words:
        words[words.index("--data") + 1] = str(folder / "users.csv")
    done = subprocess.run([lariat, *words, "--json", "-"], capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done


def write_users(folder):
    """Write a user for each connection, with the columns of the example. Return the rows."""
    header = (examples / "users.csv").read_text().splitlines()[0]
    assert header == "user,password"
    users = [[f"user {number}", f"pass, {number}"] for number in range(CONNECTIONS)]
    rows = [f'{user},"{password}"' for user, password in users]
    (folder / "users.csv").write_text("\n".join([header, *rows]) + "\n")
    return users


def check(name, folder, in_front=contextlib.nullcontext, note=""):
    """Run a scenario, and compare its report with what its server has counted."""
    server_name, expected = SCENARIOS[name]
    with Server(server_name) as server:
        with in_front(server.port) as port:
            report, done = run(examples / name, port or server.port, folder)
        seen = server.counts()
    about = f"{name}{note}: {report['walks']}, the server saw {seen}\n{done.stderr}"
    assert done.returncode == 0 and report["errors"] == [], about
    assert report["walks"] == {"finished": CONNECTIONS, "failed": 0, "unfinished": 0, "is_endless": False}, about
    assert [step["failed"] for step in report["steps"]] == [0] * len(report["steps"]), about
    assert seen["opened"] == seen["closed"] == report["connections"]["opened"] == CONNECTIONS, about
    assert seen["messages"] == report["messages"]["sent"], about
    for count, (text, times) in expected.items():
        told = sum(step["done"] for step in report["steps"] if re.match(text, step["text"]))
        assert told == seen[count] > 0, f"{count}: {told}, {about}"
        assert times is None or told == times * CONNECTIONS, f"{count}: {told}, {about}"
    # A step outside of loops is done once on each connection.
    for step in report["steps"]:
        assert step["done"] % CONNECTIONS == 0 or step["text"].startswith("on "), about
    print(f"{name}{note}: {CONNECTIONS} got through, {seen['messages']} messages: as on the server", flush=True)
    return seen


@contextlib.contextmanager
def nginx(folder, upstream):
    """Run nginx in front of a server. Yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    paths = " ".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\nserver {{ listen 127.0.0.1:{port}; location / {{\n"
        f"proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1;\n"
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } } }\n"
    )
    path = os.environ["PATH"] + ":/usr/sbin"
    process = subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log"], env={**os.environ, "PATH": path})
    try:
        end = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, "nginx does not listen"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(15)


def check_that_a_wrong_expectation_is_named(folder):
    text = (examples / "json-rpc.txt").read_text()
    wrong = text.replace("/error/code = -32601", "/error/code = -32602")
    assert wrong != text
    [line] = [number for number, row in enumerate(wrong.splitlines(), 1) if "-32602" in row]
    (folder / "wrong.txt").write_text(wrong.replace("expect json /error", "expect within 1s json /error"))
    with Server("json-rpc") as server:
        report, done = run(examples / "json-rpc.txt", server.port, folder, folder / "wrong.txt")
    failed = {step["line"]: step["failed"] for step in report["steps"] if step["failed"]}
    assert done.returncode == 1 and failed == {line: CONNECTIONS}, (done.returncode, failed)
    row = rf"^ *{line} +0 +{CONNECTIONS} .*-32602\n.*-32601"
    assert re.search(row, done.stderr, re.MULTILINE), done.stderr
    print(f"a wrong expectation: exit code 1, line {line}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        users = write_users(folder)
        for scenario in SCENARIOS:
            seen = check(scenario, folder)
            if "users" in seen:
                assert sorted(seen["users"]) == sorted(users), seen["users"]
        check("json-rpc.txt", folder, lambda port: nginx(folder, port), ", behind nginx")
        check_that_a_wrong_expectation_is_named(folder)
    assert {path.name for path in examples.glob("*.txt")} == set(SCENARIOS)


main()
