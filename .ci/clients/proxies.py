#!/usr/bin/env python3
"""Run the configurations of docs/deployment.md in front of the program.

    python3 proxies.py PATH/TO/lariat

The script takes each nginx, HAProxy and systemd block and the command lines for TLS from the page,
and replaces only ports, paths and certificates. It checks that messages and handshakes arrive, also
large ones, that the client's address arrives, that hidden pages are hidden, that a renewed
certificate is used, and that nobody waits for a server that has died. Needs nginx, haproxy,
redis-server, openssl and systemd-analyze, and root for the container test.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PATIENCE = 15  # seconds until something listens, answers or ends
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


def blocks(language):
    with open(os.path.join(ROOT, "docs", "deployment.md")) as page:
        return re.findall(rf"^```{language}\n(.*?)^```$", page.read(), re.MULTILINE | re.DOTALL)


def replaced(text, *pairs):
    """Replace each of `pairs`, all of which must occur."""
    for old, new in pairs:
        if old not in text:
            sys.exit(f"docs/deployment.md has no {old!r} where it should be replaced:\n{text}")
        text = text.replace(old, new)
    return text


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(*command, **options):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def server(*arguments):
    return running(LARIAT, "serve", *arguments, stdout=subprocess.DEVNULL)


def connect(target, source="127.0.0.1", tls=False, name="example.org"):
    """Return a stream to a port or a Unix socket, when somebody listens there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if isinstance(target, str):
                stream = socket.socket(socket.AF_UNIX)
                stream.connect(target)
            else:
                stream = socket.create_connection(("127.0.0.1", target), source_address=(source, 0))
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    stream.settimeout(PATIENCE)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        stream = context.wrap_socket(stream, server_hostname=name)
    return stream


def read_exactly(stream, count):
    data = bytearray()
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            raise AssertionError(f"the stream ended after {len(data)} of {count} bytes")
        data += piece
    return bytes(data)


def read_head(stream):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = stream.recv(1)
        if not piece:
            raise AssertionError(f"the stream ended within a head: {head}")
        head += piece
    return head.decode()


def status(stream, path, more="", host="example.org"):
    """Request an upgrade and return the status of the response."""
    stream.sendall(REQUEST.format(path=path, more=more, host=host).encode())
    return int(read_head(stream).split()[1])


def get(stream, path):
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n".encode())
    return int(read_head(stream).split()[1])


def echo(stream, payload):
    """Send one masked binary message and check its echo."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    stream.sendall(b"\x82" + length + bytes(4) + payload)
    first, length = read_exactly(stream, 2)
    if length == 126:
        length = int.from_bytes(read_exactly(stream, 2), "big")
    elif length == 127:
        length = int.from_bytes(read_exactly(stream, 8), "big")
    same = (first, read_exactly(stream, length)) == (0x82, payload)
    assert same, f"a message of {len(payload)} bytes came back changed"


def check_echoes(target, tls, host="example.org"):
    with contextlib.closing(connect(target, tls=tls)) as stream:
        assert status(stream, "/echo", host=host) == 101
        for payload in (b"hello", bytes(range(256)) * 256, b"x" * 1_000_000):
            echo(stream, payload)


def check_addresses(target):
    """With a limit of one connection per address, check that only a client's second connection is
    refused."""
    streams, got = [], []
    for source in ("127.0.0.2", "127.0.0.2", "127.0.0.3"):
        streams.append(connect(target, source, tls=True))
        got.append(status(streams[-1], "/echo", "X-Forwarded-For: 198.51.100.7\r\n"))
    assert got == [101, 429, 101], f"{got}: the client's address does not arrive"
    for stream in streams:
        stream.close()


def check_site(target):
    """Check that a page of the site may open a socket, and that a page of another site may not."""
    for origin, expected in (("https://example.org", 101), ("https://example.net", 403)):
        with contextlib.closing(connect(target, tls=True)) as stream:
            got = status(stream, "/chat", f"Origin: {origin}\r\n")
            assert got == expected, f"{got} for a page of {origin}"


def wait_until_ready(target):
    """Wait until the proxy has found its server ready."""
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.closing(connect(target, tls=True)) as stream:
            with contextlib.suppress(AssertionError, OSError):
                if get(stream, "/readyz") == 200:
                    return
        assert time.monotonic() < end, "the proxy never finds its server ready"
        time.sleep(0.1)


def certificate(folder, name="example.org"):
    key, cert, both = (os.path.join(folder, name) for name in ("key.pem", "cert.pem", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        + ["-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    with open(both, "w") as file:
        for path in (cert, key):
            with open(path) as part:
                file.write(part.read())
    return key, cert, both


# ---------------------------------------------------------------- the checks


def nginx(folder):
    [site] = blocks("nginx")
    key, cert, _ = certificate(folder)
    for upstream in ("tcp", "unix"):
        listen, port, path = free_port(), free_port(), os.path.join(folder, "lariat.sock")
        text = replaced(
            site,
            ("listen 443 ssl", f"listen 127.0.0.1:{listen} ssl"),
            ("/etc/ssl/example.org.pem", cert),
            ("/etc/ssl/example.org.key", key),
        )
        assert "# Or, with lariat.socket: server unix:/run/lariat.sock;" in text
        to = f"127.0.0.1:{port}" if upstream == "tcp" else f"unix:{path}"
        text = replaced(text, ("server 127.0.0.1:9998;", f"server {to};"))
        config = os.path.join(folder, "nginx.conf")
        temporary = " ".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        with open(config, "w") as file:
            file.write(
                f"user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;"
                f"events {{}} http {{ access_log off; {temporary}\n{text}}}\n"
            )
        options = ("--trust-proxy", "127.0.0.1", "--allow-host", "example.org", "--max-connections-per-address", "1")
        with server("--listen", to, *options), running("nginx", "-c", config, "-e", f"{folder}/error.log"):
            wait_until_ready(listen)
            check_echoes(listen, tls=True)
            check_addresses(listen)
            check_site(listen)
            with contextlib.closing(connect(listen, tls=True)) as stream:
                assert get(stream, "/metrics") == 403
        print(f"nginx, {upstream}: messages, addresses, pages, /metrics hidden", flush=True)


def several_servers(folder):
    """Run two servers, a Redis with the user of the page, and HAProxy. Kill a server."""
    _, _, both = certificate(folder)
    listen, redis, *ports = (free_port() for _ in range(4))
    text = replaced(
        blocks("haproxy")[0],
        ("bind :443", f"bind 127.0.0.1:{listen}"),
        ("/etc/haproxy/example.org.pem", both),
        ("10.0.0.11:9998", f"127.0.0.1:{ports[0]}"),
        ("10.0.0.12:9998", f"127.0.0.1:{ports[1]}"),
        ("maxconn 200000", "maxconn 200"),
    )
    config = os.path.join(folder, "servers.cfg")
    with open(config, "w") as file:
        file.write(text)
    with open(os.path.join(ROOT, "docs", "deployment.md")) as page:
        [user] = re.findall(r"^ *ACL SETUSER (lariat .*)$", page.read(), re.MULTILINE)
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(redis), "--save", "", "--user", *user.split()]
    os.environ["LARIAT_REDIS"] = f"redis://lariat:secret@127.0.0.1:{redis}/"
    options = ["--trust-proxy", "127.0.0.1", "--allow-host", "example.org"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(*command, "--user", "default", "off", stdout=subprocess.DEVNULL))
        servers = [stack.enter_context(server("--listen", f"127.0.0.1:{port}", *options)) for port in ports]
        for port in ports:
            wait_for_metric(port, "lariat_backplane_up 1")
        stack.enter_context(running("haproxy", "-W", "-f", config, stderr=subprocess.DEVNULL))
        wait_until_ready(listen)
        check_echoes(listen, tls=True)
        check_site(listen)
        streams = [stack.enter_context(contextlib.closing(connect(port))) for port in ports]
        streams += [stack.enter_context(contextlib.closing(connect(listen, tls=True))) for _ in range(4)]
        for stream in streams:
            assert status(stream, "/broadcast") == 101
        streams[0].sendall(b"\x82\x85" + bytes(4) + b"hello")
        for stream in streams:
            assert read_exactly(stream, 7) == b"\x82\x05hello", "a message does not reach all servers"
        # A server dies: nobody waits for it.
        servers[0].kill()
        end, slowest = time.monotonic() + 4, 0
        while time.monotonic() < end:
            start = time.monotonic()
            with contextlib.closing(connect(listen, tls=True)) as stream:
                assert get(stream, "/healthz") == 200, "a request failed because another server has died"
            slowest = max(slowest, time.monotonic() - start)
            time.sleep(0.1)
        assert slowest < 2, f"a request took {slowest:.1f} s after a server had died"
        with contextlib.closing(connect(listen, tls=True)) as stream:
            assert status(stream, "/arena", "Origin: https://example.org\r\n") == 101
    del os.environ["LARIAT_REDIS"]
    print(f"haproxy, two servers: messages, and one that dies; the slowest request took {slowest:.2f} s", flush=True)


def haproxy(folder):
    _, _, both = certificate(folder)
    for mode, text in zip(("http", "tcp"), blocks("haproxy")[1:], strict=True):
        listen, port = free_port(), free_port()
        text = replaced(
            text,
            ("bind :443", f"bind 127.0.0.1:{listen}"),
            ("/etc/haproxy/example.org.pem", both),
            ("127.0.0.1:9998", f"127.0.0.1:{port}"),
            # This host may not allow as many as the page says.
            ("maxconn 200000", "maxconn 200"),
        )
        config = os.path.join(folder, f"{mode}.cfg")
        with open(config, "w") as file:
            file.write(text)
        options = ["--trust-proxy", "127.0.0.1", "--allow-host", "example.org", "--max-connections-per-address", "1"]
        if mode == "tcp":
            options.append("--proxy-protocol")
        with server("--listen", f"127.0.0.1:{port}", *options):
            connect(port).close()
            with running("haproxy", "-W", "-f", config, stderr=subprocess.DEVNULL):
                wait_until_ready(listen)
                check_echoes(listen, tls=True)
                check_addresses(listen)
                check_site(listen)
                with contextlib.closing(connect(listen, tls=True)) as stream:
                    assert get(stream, "/metrics") == (403 if mode == "http" else 200)
        print(f"haproxy, {mode}: messages, addresses, pages", flush=True)


def shown(target, name="example.org"):
    """Return the certificate that a client sees, as it is on the wire."""
    with contextlib.closing(connect(target, tls=True, name=name)) as stream:
        return stream.getpeercert(binary_form=True)


def in_file(path):
    with open(path) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


def wait_for_metric(port, line):
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.closing(connect(port)) as stream:
            stream.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: stream.recv(1 << 16), b"")).decode()
        if line in text.splitlines():
            return
        assert time.monotonic() < end, f"/metrics never has {line}"
        time.sleep(0.1)


def own_tls(folder):
    """Run the command lines for TLS, and replace the certificate while a client is connected."""
    one, two = (line for line in "\n".join(blocks("sh")).replace("\\\n", "").splitlines() if "0.0.0.0:443" in line)
    names = ("example.org", "example.net")
    folders = {name: os.path.join(folder, name) for name in names}
    files = {}
    for name in names:
        os.mkdir(folders[name])
        files[name] = certificate(folders[name], name)
    key, cert, _ = files["example.org"]

    port, plain = free_port(), free_port()
    live = "/etc/letsencrypt/live/example.org"
    one = replaced(
        one,
        ("0.0.0.0:443", f"0.0.0.0:{port}"),
        ("127.0.0.1:9998", f"127.0.0.1:{plain}"),
        (f"{live}/fullchain.pem", cert),
        (f"{live}/privkey.pem", key),
    )
    with running(LARIAT, *shlex.split(one)[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        check_echoes(port, tls=True, host="localhost")
        for path in ("/readyz", "/healthz"):
            with contextlib.closing(connect(plain)) as stream:
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                assert " 200 " in read_head(stream), path
        with contextlib.closing(connect(port)) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
            assert b"this port speaks TLS" in b"".join(iter(lambda: stream.recv(1 << 16), b""))
        before = shown(port)
        assert before == in_file(cert)
        with contextlib.closing(connect(port, tls=True)) as open_before:
            assert status(open_before, "/echo", host="localhost") == 101
            certificate(folders["example.org"], "example.org")
            wait_for_metric(plain, "lariat_tls_reloads_total 1")
            after = shown(port)
            assert after == in_file(cert) != before
            echo(open_before, b"still here")
            # A key of another certificate.
            shutil.copy(files["example.net"][0], key)
            wait_for_metric(plain, "lariat_tls_reload_failures_total 1")
            assert shown(port) == after
            echo(open_before, b"still here")
            certificate(folders["example.org"], "example.org")
            wait_for_metric(plain, "lariat_tls_reloads_total 2")
            process.send_signal(signal.SIGHUP)
            wait_for_metric(plain, "lariat_tls_reloads_total 3")
            echo(open_before, b"still here")
    print("TLS in the program: messages, a plain listener, a renewed certificate, a wrong key", flush=True)

    port = free_port()
    two = replaced(two, ("0.0.0.0:443", f"0.0.0.0:{port}"))
    for name in names:
        key, cert, _ = files[name]
        two = replaced(two, (f" {name}.pem", f" {cert}"), (f" {name}-key.pem", f" {key}"))
    with running(LARIAT, *shlex.split(two)[1:], stdout=subprocess.DEVNULL):
        for name, expected in (*zip(names, names), ("example.com", names[0])):
            assert shown(port, name) == in_file(files[expected][1]), name
    print("TLS in the program: a certificate for each name", flush=True)


def systemd(folder):
    with open(os.path.join(ROOT, "docs", "lariat.service")) as file:
        units = [file.read(), *blocks("ini")]
    for name, unit in zip(("lariat.service", "lariat.socket"), units, strict=True):
        with open(os.path.join(folder, name), "w") as file:
            file.write(unit.replace("/usr/local/bin/lariat", os.path.abspath(LARIAT)))
    paths = [os.path.join(folder, name) for name in ("lariat.service", "lariat.socket")]
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True)
    said = [line for line in run.stderr.splitlines() if "lariat" in line]
    assert run.returncode == 0 and not said, run.stderr
    print("systemd-analyze verify: both units", flush=True)

    [drop_in] = [block for block in blocks("text") if block.startswith("[Service]")]
    os.mkdir(os.path.join(folder, "lariat.service.d"))
    with open(os.path.join(folder, "lariat.service.d", "tls.conf"), "w") as file:
        file.write(drop_in.replace("/usr/local/bin/lariat", os.path.abspath(LARIAT)))
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True)
    said = [line for line in run.stderr.splitlines() if "lariat" in line or "tls.conf" in line]
    assert run.returncode == 0 and not said, run.stderr
    print("systemd-analyze verify: the service with TLS", flush=True)

    [line] = [line for line in blocks("text") if line.startswith("ExecStart=")]
    _, *arguments = replaced(line, ("%t/lariat", folder)).removeprefix("ExecStart=").split()
    path = os.path.join(folder, "passed.sock")
    key, cert, _ = certificate(folder)
    for tls, more in ((False, []), (True, ["--tls-cert", cert, "--tls-key", key])):
        command = ["systemd-socket-activate", "-l", path, os.path.abspath(LARIAT), *arguments, *more]
        with running(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            check_echoes(path, tls=tls)
        os.remove(path)
    print("a passed socket: messages, also with TLS", flush=True)


def container(folder):
    """Run as process 1, with only the files of an image, as nobody."""
    if os.geteuid() != 0:
        print("process 1 of a container: not run, it needs root", flush=True)
        return
    with open(os.path.join(ROOT, "Containerfile")) as file:
        image = file.read()
    # In the first stage, cargo gets the command of the README. It takes nothing that is not there.
    assert "RUN cargo build --release --locked\n" in image
    [entry] = re.findall(r"^ENTRYPOINT \[(.*)\]$", image, re.MULTILINE)
    program, *arguments = [part.strip().strip('"') for part in entry.split(",")]
    root = os.path.join(folder, "image")
    libraries = subprocess.run(["ldd", LARIAT], check=True, capture_output=True, text=True).stdout
    for path in re.findall(r"(/\S+) \(", libraries):
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, root + path)
    os.makedirs(root + os.path.dirname(program))
    shutil.copy(LARIAT, root + program)
    for where in ("", folder):
        os.chmod(where or root, 0o755)
    port = free_port()
    arguments = [argument.replace("0.0.0.0:9998", f"0.0.0.0:{port}") for argument in arguments]
    isolated = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL"]
    isolated += ["chroot", "--userspec=65534:65534", root, program, *arguments]
    process = subprocess.Popen(isolated, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        # No port of a container is published on its loopback address, but this one is.
        check_echoes(port, tls=False, host="localhost")
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
            [first] = children.read().split()
        os.kill(int(first), signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, "SIGTERM does not end process 1 properly"
    finally:
        process.kill()
        process.wait()
    print("process 1 of a container: messages, and it stops", flush=True)


def main():
    missing = [tool for tool in ("nginx", "haproxy", "redis-server", "openssl", "systemd-analyze") if not shutil.which(tool)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    for check in (own_tls, nginx, haproxy, several_servers, systemd, container):
        with tempfile.TemporaryDirectory(prefix="lariat-") as folder:
            check(folder)


LARIAT = sys.argv[1]
os.environ["PATH"] += ":/usr/sbin"
main()
