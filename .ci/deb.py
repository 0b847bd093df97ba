"""Builds the Debian package, and installs, upgrades, removes and purges it.

    python3 .ci/deb.py PATH/TO/lariat PATH/TO/cargo-deb

`PATH/TO/lariat` is the release build in Cargo's target directory. All that is installed goes to an
overlay of the root file system in a mount namespace of its own, so that nothing of it is left.
Needs root, dpkg, systemd-analyze and Debian's init-system-helpers.
"""

import difflib
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "deployment.md").read_text()
UNIT = "usr/lib/systemd/system/lariat.service"
REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# What the package's unit has of its own.
CHANGED = ("#", "ExecStart=", "EnvironmentFile=", "Environment=")


def run(*command, **options):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def build(lariat, cargo_deb, folder):
    """Runs the commands of docs/deployment.md. Returns the path of the package."""
    [block] = re.findall(r"^```sh\n(cargo build --release\n.*?cargo deb.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    release = pathlib.Path(lariat).resolve().parent
    commands = block.replace("target/release", shlex.quote(str(release)))
    commands = commands.replace("cargo deb", f"{shlex.quote(cargo_deb)} --output {shlex.quote(folder)}")
    run("sh", "-ec", commands, cwd=ROOT)
    [package] = pathlib.Path(folder).glob("lariat_*.deb")
    return package


def check_unit(unit):
    """The package's unit is the one of the documents, but for its program and its options."""
    ours = (ROOT / "docs" / "lariat.service").read_text().splitlines()
    different = [line for line in difflib.ndiff(ours, unit.read_text().splitlines()) if line[0] in "+-"]
    wrong = [line for line in different if line[2:] and not line[2:].startswith(CHANGED)]
    assert not wrong, f"{unit} differs from docs/lariat.service: {wrong}"


def inside(root, *command):
    return run("chroot", root, *command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})


def links(root):
    """Returns what enables the service. A link into the overlay does not exist outside it."""
    return [path for path in (root / "etc/systemd/system").rglob("*") if path.name == "lariat.service"]


def serves(root):
    """Starts what the unit starts, with the options of the administrator, and opens a WebSocket."""
    unit = (root / UNIT).read_text()
    [start] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    [options] = re.findall(r'^LARIAT_OPTIONS="(.*)"$', (root / "etc/default/lariat").read_text(), re.MULTILINE)
    arguments = []
    for argument in shlex.split(start.replace("%t", "/run")):
        arguments += options.split() if argument == "$LARIAT_OPTIONS" else [argument]
    (root / "run/lariat").mkdir(mode=0o700, exist_ok=True)
    process = subprocess.Popen(["chroot", root, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline()
        port = int(re.match(r"Lariat listens on 127\.0\.0\.1:(\d+)", line)[1])
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(REQUEST)
            assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
            client.sendall(b"\x81\x82\0\0\0\0hi")
            assert client.recv(100) == b"\x81\x02hi"
        process.terminate()
        assert process.wait(15) == 0, "SIGTERM does not end it properly"
    finally:
        process.kill()


def check(package, folder):
    """Runs in a mount namespace of its own."""
    overlay = pathlib.Path(folder, "overlay")
    overlay.mkdir()
    run("mount", "-t", "tmpfs", "none", overlay)
    upper, work, root = (overlay / name for name in ("upper", "work", "root"))
    for path in (upper, work, root):
        path.mkdir()
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", root)
    run("mount", "-t", "proc", "proc", root / "proc")
    (root / "lariat.deb").write_bytes(package.read_bytes())

    inside(root, "dpkg", "--install", "/lariat.deb")
    check_unit(root / UNIT)
    run("systemd-analyze", "verify", f"--root={root}", f"/{UNIT}")
    assert inside(root, "/usr/bin/lariat", "--version").startswith("lariat ")
    for path in ("usr/share/man/man1/lariat-serve.1", "usr/share/bash-completion/completions/lariat"):
        assert (root / path).stat().st_size > 1_000, path
    assert not links(root), "the service is not enabled at once"
    run("systemctl", f"--root={root}", "enable", "lariat.service")

    # An upgrade keeps what the administrator has changed, and does not stop the service.
    options = root / "etc/default/lariat"
    options.write_text(options.read_text().replace('=""', '="--listen 127.0.0.1:0"'))
    inside(root, "dpkg", "--install", "/lariat.deb")
    assert "--listen 127.0.0.1:0" in options.read_text(), "an upgrade has overwritten the options"
    assert links(root), "an upgrade keeps the service enabled"
    prerm = (root / "var/lib/dpkg/info/lariat.prerm").read_text()
    assert re.search(r'"\$1" = remove .*\n.* stop lariat\.service', prerm), f"not only a removal stops it:\n{prerm}"
    serves(root)

    inside(root, "dpkg", "--remove", "lariat")
    assert not (root / "usr/bin/lariat").exists() and options.exists(), "a removal keeps the options"
    inside(root, "dpkg", "--purge", "lariat")
    left = [path for path in (options, root / UNIT, root / "usr/share/doc/lariat") if path.exists()]
    left += links(root)
    assert not left, f"a purge leaves {left}"


def main():
    if sys.argv[1] == "--inside":
        return check(pathlib.Path(sys.argv[2]), sys.argv[3])
    if os.geteuid() != 0:
        sys.exit("an installation needs root")
    with tempfile.TemporaryDirectory(prefix="lariat-") as folder:
        began = time.monotonic()
        package = build(*sys.argv[1:3], folder)
        size = package.stat().st_size
        print(run("unshare", "--mount", sys.executable, __file__, "--inside", package, folder), end="")
        print(f"{package.name}: {size:,} bytes; installed, upgraded, removed, purged in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
