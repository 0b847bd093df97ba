"""The scenarios for each server."""
import json
from dataclasses import dataclass, field

# 1 MiB in which every character takes 2, 3 or 4 bytes.
MULTI_BYTE = ("äß€漢字😀" * (1 << 20))[: (1 << 20) // 3]
DOCUMENT = json.dumps(
    [{"id": number, "name": f"sensor {number}", "value": number * 37 % 101, "unit": "°C", "ok": number % 3 > 0} for number in range(20)]
)


def multi_byte():
    """Returns exactly 1 MiB."""
    text = MULTI_BYTE.encode()[: 1 << 20].decode(errors="ignore").encode()
    return text + b"." * ((1 << 20) - len(text))


@dataclass
class Scenario:
    """`load`: options of `lariat load`. `rated`: options with a fixed rate, for latencies."""

    key: str
    title: str
    unit: str
    load: list
    rated: list
    # The places of CPU time, throughput and latencies in the driver's report.
    cpu: tuple = ("server", "cpu_ns_per_message")
    speed: tuple = ("messages", "per_second")
    latency: tuple = ("latency", "round_trip")
    path: str = "/echo"
    needs: str = "echo"
    hold: float = 1.0
    # The counted run: the function of wire.py, the number of connections, the payload, its opcode,
    # the depth, and the rounds (few, many).
    counted: dict = field(default_factory=dict)
    # The title for the latencies, if it differs.
    rated_title: str = ""
    # The message, if the driver does not create it.
    message: bytes = b""
    # A run has the scenarios of a group only if `--scenarios` names the group or the scenario.
    group: str = ""

    @property
    def variant(self):
        """Which of the server's variants runs: plain (""), "deflate" or "tls"."""
        return {"deflate": "deflate", "tls": "tls", "resumption": "tls"}.get(self.needs, "")


def counted(connections, payload, rounds, depth=1, opcode=1, kind="echo"):
    return dict(connections=connections, payload=payload, rounds=rounds, depth=depth, opcode=opcode, kind=kind)


PUBLISH = dict(path="/broadcast", needs="publish", latency=("latency", "last_receiver"))
ECHO = ["--echo"]
LARGE = [*ECHO, "-c", "4", "--binary", "--size", "1MiB"]
TLS = dict(needs="tls", group="wss")
OPENING_TLS = dict(
    hold=0, cpu=("server", "cpu_ns_per_handshake"), speed=("connections", "opened_per_second"), latency=("latency", "handshake"), **TLS,
)
# The driver keeps 8 tickets. With more handshakes at once it loses some, and full ones follow.
FEW = ["--at-once", "8"]

SCENARIOS = [
    Scenario(
        "echo", "echo 20 B, 64 connections", "message",
        [*ECHO, "-c", "64"], [*ECHO, "-c", "64", "-m", "10000"],
        counted=counted(16, b"a" * 20, (100, 400)),
    ),
    Scenario(
        "pipelined", "the same, pipelined 32 deep", "message",
        [*ECHO, "-c", "64", "--depth", "32"], [*ECHO, "-c", "64", "-m", "100000"],
        rated_title="echo 20 B, 64 connections", counted=counted(16, b"a" * 20, (30, 120), depth=32),
    ),
    Scenario(
        "binary", "echo 16 KiB binary, 64 connections", "message",
        [*ECHO, "-c", "64", "--binary", "--size", "16KiB"], [*ECHO, "-c", "64", "--binary", "--size", "16KiB", "-m", "2000"],
        counted=counted(16, b"\xa5" * (16 << 10), (20, 80), opcode=2),
    ),
    Scenario(
        "text", "echo 1 MiB multi-byte text, 4 connections", "message",
        [*ECHO, "-c", "4"], [*ECHO, "-c", "4", "-m", "40"],
        hold=1.5, message=multi_byte(), counted=counted(2, multi_byte(), (5, 15)),
    ),
    Scenario(
        "many", "echo 20 B, 10,000 connections", "message",
        [*ECHO, "-c", "10000"], [*ECHO, "-c", "10000", "-m", "10000"],
    ),
    Scenario(
        "publish", "publish 64 B to 5,000, per delivery", "delivery",
        ["--subscribe", "-c", "5001", "--size", "64"], ["--subscribe", "-c", "5001", "--size", "64", "-m", "4"],
        rated_title="publish 64 B to 5,000, until the last has it",
        counted=counted(101, b"a" * 64, (10, 40), kind="publish"), **PUBLISH,
    ),
    Scenario(
        "burst", "the same in bursts of 20, per delivery", "delivery",
        ["--subscribe", "-c", "5001", "--size", "64", "--depth", "20"], [],
        counted=counted(101, b"a" * 64, (2, 8), depth=20, kind="publish"), **PUBLISH,
    ),
    Scenario(
        "handshake", "opening handshake", "handshake",
        ["-c", "5000"], ["-c", "3000", "--rate", "1500"], hold=0,
        cpu=("server", "cpu_ns_per_handshake"), speed=("connections", "opened_per_second"), latency=("latency", "handshake"),
        counted=counted(1, b"", (200, 800), kind="handshakes"),
    ),
    Scenario(
        "deflate", "echo 1.5 KiB JSON, compressed, 64 connections", "message",
        [*ECHO, "-c", "64", "--deflate"], [*ECHO, "-c", "64", "--deflate", "-m", "1000"],
        needs="deflate", message=DOCUMENT.encode(), counted=counted(16, DOCUMENT.encode(), (20, 80)),
    ),
    Scenario("large", "echo 1 MiB binary, 4 connections", "message", LARGE, [*LARGE, "-m", "40"], hold=1.5, group="wss"),
    Scenario(
        "wss-echo", "TLS: echo 20 B, 64 connections", "message",
        [*ECHO, "-c", "64"], [*ECHO, "-c", "64", "-m", "10000"], **TLS,
    ),
    Scenario(
        "wss-pipelined", "TLS: the same, pipelined 32 deep", "message",
        [*ECHO, "-c", "64", "--depth", "32"], [], **TLS,
    ),
    Scenario(
        "wss-binary", "TLS: echo 16 KiB binary, 64 connections", "message",
        [*ECHO, "-c", "64", "--binary", "--size", "16KiB"], [*ECHO, "-c", "64", "--binary", "--size", "16KiB", "-m", "2000"], **TLS,
    ),
    Scenario("wss-large", "TLS: echo 1 MiB binary, 4 connections", "message", LARGE, [*LARGE, "-m", "40"], hold=1.5, **TLS),
    Scenario("wss-handshake", "TLS 1.3 handshake and opening handshake", "handshake", ["-c", "3000"], ["-c", "1500", "--rate", "500"], **OPENING_TLS),
    Scenario("wss-few", "the same, 8 at a time", "handshake", ["-c", "3000", *FEW], [], **OPENING_TLS),
    Scenario(
        "wss-resumed", "the same, 8 at a time, resumed by ticket", "handshake",
        ["-c", "3000", *FEW, "--resume"], ["-c", "1500", "--rate", "500", "--resume"],
        rated_title="TLS 1.3 handshake and opening handshake, resumed by ticket", **{**OPENING_TLS, "needs": "resumption"},
    ),
]

# The number of connections whose memory is measured: before and after each echoed this many bytes.
MEMORY_CONNECTIONS, MEMORY_SIZE = 19_000, 1 << 10
