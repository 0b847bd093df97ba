#!/usr/bin/env python3
"""Compares instructions and heap allocations per message, in memory, with the stored table.

    python3 benches/baseline.py [--renew]

Each case of `benches/protocol.rs` runs twice under callgrind, with few and with many turns. The
cost of a message is the difference of the counts, divided by the difference of the messages. It
does not depend on the load of the machine. The benchmark itself counts allocations. A case fails if
it needs over 3 % more instructions than `benches/baseline.tsv` says, or more allocations. It also
fails if it needs over 3 % less, so that the table stays true. `--renew` writes a new table. Another
compiler, C library or processor can change the counts, because they select other vector
instructions. The table names those with which it was made. With others, 25 % more are allowed.
Needs valgrind.
"""
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, "benches", "baseline.tsv")
TOLERANCE = 0.03
# The sockets' part of a turn varies.
LOOP_TOLERANCE = 0.10
# The compiler, C library or processor differs from that of the table.
STRANGE_TOLERANCE = 0.25
FEW, MANY = 20, 120


def build():
    """Builds the benchmark. Returns its path."""
    command = ["cargo", "bench", "--bench", "protocol", "--no-run", "--message-format=json", "--quiet"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [json.loads(line) for line in lines if '"executable"' in line]
    return [line["executable"] for line in found if line.get("target", {}).get("name") == "protocol"][-1]


def count(program, case, turns):
    """Returns instructions and allocations per message."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, case, str(turns)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{case}: {done.stderr}")
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1)), float(done.stdout)


def measure(program):
    listed = subprocess.run([program, "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in listed.splitlines():
        case, messages = line.split("\t")
        (few, _), (many, allocations) = (count(program, case, turns) for turns in (FEW, MANY))
        yield case, (many - few) / ((MANY - FEW) * int(messages)), allocations


def tools():
    commands = (["rustc", "--version"], ["ldd", "--version"])
    first = [subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines()[:1] for command in commands]
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")][:1]
    return "; ".join([line for lines in first for line in lines] + names)


def kept():
    with open(TABLE) as file:
        head, *lines = file.read().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("case\t")]
    return head.lstrip("# "), {case: (float(instructions), float(allocations)) for case, instructions, allocations in rows}


def verdict(case, instructions, allocations, known, is_strange):
    if case not in known:
        return "is not in the table"
    tolerance = LOOP_TOLERANCE if case.startswith("loop-") else TOLERANCE
    change = instructions / known[case][0] - 1
    if is_strange:
        tolerance, change = STRANGE_TOLERANCE, max(change, 0)
    if abs(change) > tolerance:
        return f"{change:+.1%} instructions, where {tolerance:.0%} are allowed"
    return "allocates more" if allocations > known[case][1] + 0.005 else ""


def main():
    if not shutil.which("valgrind"):
        sys.exit("needs valgrind")
    program = build()
    renews = "--renew" in sys.argv[1:]
    now = tools()
    made_with, known = (now, {}) if renews else kept()
    lines, failures = [], []
    if made_with != now:
        print(f"the table was made with {made_with};\nthis is {now}: {STRANGE_TOLERANCE:.0%} more are allowed")
    print(f"{'case':32} {'instructions':>13} {'kept':>13} {'allocations':>12}")
    for case, instructions, allocations in measure(program):
        lines.append(f"{case}\t{instructions:.1f}\t{allocations:.2f}")
        wrong = "" if renews else verdict(case, instructions, allocations, known, made_with != now)
        before = known.get(case, (float("nan"), 0))[0]
        print(f"{case:32} {instructions:13,.1f} {before:13,.1f} {allocations:12.2f}  {wrong}")
        failures += [case] if wrong else []
    if renews:
        with open(TABLE, "w") as file:
            file.write("\n".join([f"# {now}", "case\tinstructions\tallocations", *lines]) + "\n")
    elif failures:
        sys.exit(f"not as in benches/baseline.tsv: {', '.join(failures)}. If this is intended: python3 benches/baseline.py --renew")


if __name__ == "__main__":
    main()
