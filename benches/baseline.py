#!/usr/bin/env python3
"""Compares instructions and heap allocations per message, in memory, with the stored table.

    python3 benches/baseline.py [--renew | --add] [PREFIX]

Each case of `benches/protocol.rs` and `benches/heads.rs` runs twice under callgrind, with few and
with many turns. The cost of a message is the difference of the counts, divided by the difference of
the messages. It does not depend on the load of the machine. The benchmark itself counts
allocations. A case fails if it needs over 3 % more instructions than `benches/baseline.tsv` says,
or more allocations. It also fails if it needs over 3 % less, so that the table stays true.
`--renew` writes a new table, and `--add` appends the cases that are not in it. With a prefix, only
cases run that begin with it.

A full head may cost at most 20 times as much as the plain one, with any list. A byte of a
head of 64 KiB may cost at most 5 % more than one of 8 KiB. Both hold with every compiler.

Another compiler, C library or processor can change the counts, because they select other vector
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
# On some processors, glibc copies a mebibyte with `rep movsb`, of which valgrind counts each byte.
STRANGE_COPY = 1 << 20
FEW, MANY = 20, 120
# The most that a full head may cost, in plain heads, and the growth of a byte's cost with the head.
MOST_PLAIN_HEADS = 20
GROWTH = 1.05


def build():
    """Builds the benchmarks. Returns their paths."""
    command = ["cargo", "bench", "--bench", "protocol", "--bench", "heads", "--no-run", "--message-format=json", "--quiet"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [json.loads(line) for line in lines if '"executable"' in line]
    paths = {line["target"]["name"]: line["executable"] for line in found if line["executable"]}
    return [paths["protocol"], paths["heads"]]


def count(program, case, turns):
    """Returns instructions and allocations per message."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, case, str(turns)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{case}: {done.stderr}")
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1)), float(done.stdout)


def listed(program):
    lines = subprocess.run([program, "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [(program, *line.split("\t")) for line in lines]


def measure(programs, prefix):
    for program, case, messages in [case for program in programs for case in listed(program)]:
        if not case.startswith(prefix):
            continue
        (few, _), (many, allocations) = (count(program, case, turns) for turns in (FEW, MANY))
        yield case, (many - few) / ((MANY - FEW) * int(messages)), allocations


def tools():
    commands = (["rustc", "--version"], ["ldd", "--version"])
    first = [subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines()[:1] for command in commands]
    # In virtual machines, different processors have the same name.
    wanted = ("model name", "cpu family", "model", "stepping", "cache size")
    with open("/proc/cpuinfo") as file:
        processor = dict([part.strip() for part in line.split(":", 1)] for line in file if ":" in line)
    processor = ", ".join([processor[name] for name in wanted if name in processor])
    return "; ".join([line for lines in first for line in lines] + [processor])


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
        copied = STRANGE_COPY / known[case][0] if "-1m-" in case else 0
        tolerance, change = STRANGE_TOLERANCE + copied, max(change, 0)
    if abs(change) > tolerance:
        return f"{change:+.1%} instructions, where {tolerance:.0%} are allowed"
    return "allocates more" if allocations > known[case][1] + 0.005 else ""


def costly_heads(counts):
    """Returns what is wrong with the costs of full heads."""
    heads = {case.removeprefix("head-"): count for case, count in counts.items() if case.startswith("head-")}
    plain = heads.pop("plain", None)
    for case, instructions in heads.items():
        if plain and case.endswith("-8k") and instructions > MOST_PLAIN_HEADS * plain:
            yield f"head-{case} costs {instructions / plain:.1f} plain heads"
        small = heads.get(case.replace("-64k", "-8k"), instructions)
        if case.endswith("-64k") and instructions > 8 * GROWTH * small:
            yield f"a byte of head-{case} costs {instructions / 8 / small - 1:+.1%} more than in 8 KiB"


def main():
    if not shutil.which("valgrind"):
        sys.exit("needs valgrind")
    programs = build()
    renews, adds = ("--renew" in sys.argv[1:], "--add" in sys.argv[1:])
    prefix = ([argument for argument in sys.argv[1:] if not argument.startswith("--")] or [""])[0]
    if renews and prefix:
        sys.exit("--renew measures all cases")
    now = tools()
    made_with, known = (now, {}) if renews else kept()
    if adds and made_with != now:
        sys.exit(f"the table was made with {made_with}, this is {now}: use --renew")
    lines, failures, counts = [], [], {}
    if made_with != now:
        print(f"the table was made with {made_with};\nthis is {now}: {STRANGE_TOLERANCE:.0%} more are allowed")
    print(f"{'case':32} {'instructions':>13} {'kept':>13} {'allocations':>12}")
    for case, instructions, allocations in measure(programs, prefix):
        counts[case] = instructions
        is_new = renews or (adds and case not in known)
        lines += [f"{case}\t{instructions:.1f}\t{allocations:.2f}"] if is_new else []
        wrong = "" if is_new else verdict(case, instructions, allocations, known, made_with != now)
        before = known.get(case, (float("nan"), 0))[0]
        print(f"{case:32} {instructions:13,.1f} {before:13,.1f} {allocations:12.2f}  {wrong}")
        failures += [case] if wrong else []
    costly = list(costly_heads(counts))
    if costly:
        sys.exit("\n".join(costly))
    if adds:
        with open(TABLE, "a") as file:
            file.write("".join(f"{line}\n" for line in lines))
    if renews:
        with open(TABLE, "w") as file:
            file.write("\n".join([f"# {now}", "case\tinstructions\tallocations", *lines]) + "\n")
    elif failures:
        sys.exit(f"not as in benches/baseline.tsv: {', '.join(failures)}. If this is intended: python3 benches/baseline.py --renew")


if __name__ == "__main__":
    main()
