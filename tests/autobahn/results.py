#!/usr/bin/env python3
"""The results of the Autobahn test suite, kept in server.tsv and client.tsv with a line for each
case.

    results.py cases all | NUMBER         print the cases of a run: all of them, or a share
    results.py check ROLE INDEX CASE...   compare a run with the kept results; print the cases that differ
    results.py keep ROLE INDEX            keep the results of a run of all cases
    results.py table                      print the kept results by chapter

ROLE is Lariat's: server or client. INDEX is the index.json that the suite writes. NUMBER selects
the share, for example the number of commits: seven numbers in a row select every case.
"""

import collections
import csv
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
FIELDS = ["behavior", "behaviorClose", "remoteCloseCode"]
CASES = 517

CHAPTERS = {
    1: "Framing",
    2: "Pings/Pongs",
    3: "Reserved Bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8 Handling",
    7: "Close Handling",
    9: "Limits/Performance",
    10: "Misc",
    12: "Compression (different payloads)",
    13: "Compression (different parameters)",
}

# Chapters that take nearly all the time. A few of their cheap cases always run, and the others take
# turns. The number of shares is prime, so that a regular number of commits per run still reaches
# all shares.
COSTLY = (12, 13)
ALWAYS = ["12.1.3", "12.2.11", "12.3.6", "13.1.1", "13.2.1", "13.3.4", "13.5.4", "13.6.1", "13.7.1"]
SHARES = 7


def numbers(case):
    return [int(number) for number in case.split(".")]


def cases(turn):
    every = sorted(kept("server"), key=numbers)
    costly = [case for case in every if numbers(case)[0] in COSTLY]
    # Sorted by the last number, which stands for a size. So each share takes about the same time.
    others = sorted(set(costly) - set(ALWAYS), key=lambda case: numbers(case)[::-1])
    mine = costly if turn == "all" else sorted([*ALWAYS, *others[int(turn) % SHARES :: SHARES]], key=numbers)
    chosen = [case for case in every if case not in costly or case in mine]
    print(f"turn {turn}: {len(chosen)} of {len(every)} cases, of chapters 12 and 13:", *mine, file=sys.stderr)
    return chosen


def reported(index):
    """Return the results in a report, by case. The report covers one peer."""
    (report,) = json.loads(pathlib.Path(index).read_text()).values()
    outcomes = {case: [result[field] for field in FIELDS] for case, result in report.items()}
    return {case: [behavior, close, str(code or "")] for case, (behavior, close, code) in outcomes.items()}


def kept(role):
    with open(HERE / f"{role}.tsv", newline="") as file:
        _, *rows = csv.reader(file, delimiter="\t")
    return strict({case: outcome for case, *outcome in rows})


def strict(outcomes):
    """Return the same results. They must cover all cases without a failure."""
    good = ("OK", "INFORMATIONAL")
    bad = [case for case, (behavior, close, _) in outcomes.items() if behavior not in good or close not in good]
    if bad or len(outcomes) != CASES:
        sys.exit(f"{len(outcomes)} of {CASES} cases; neither OK nor INFORMATIONAL: {bad}")
    return outcomes


def check(role, index, wanted):
    expected, got = kept(role), reported(index)
    differing = [case for case in wanted if case not in got or got[case] != expected[case]]
    for case in differing:
        print(f"{case}: {got.get(case, 'missing')}, expected {expected[case]}", file=sys.stderr)
    print(f"{role}: {len(wanted)} cases, {len(differing)} not as expected", file=sys.stderr)
    return differing


def keep(role, index):
    outcomes = strict(reported(index))
    with open(HERE / f"{role}.tsv", "w", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(["case", *FIELDS])
        rows.writerows([case, *outcomes[case]] for case in sorted(outcomes, key=numbers))


def table():
    yield "| chapter | cases | server: OK | INFORMATIONAL | client: OK | INFORMATIONAL |"
    yield "|---|--:|--:|--:|--:|--:|"
    roles = kept("server"), kept("client")
    for chapter, name in [*CHAPTERS.items(), ("", "all")]:
        mine = [case for case in roles[0] if chapter in ("", numbers(case)[0])]
        behaviors = [collections.Counter(role[case][0] for case in mine) for role in roles]
        counts = [count[behavior] for count in behaviors for behavior in ("OK", "INFORMATIONAL")]
        yield " | ".join([f"| {chapter} {name}".replace("  ", " "), *map(str, [len(mine), *counts])]) + " |"


def main(command="", *arguments):
    if command == "cases":
        print(*cases(*arguments))
    elif command == "check":
        role, index, *wanted = arguments
        differing = check(role, index, wanted)
        print(*differing)
        sys.exit(bool(differing))
    elif command == "keep":
        keep(*arguments)
    elif command == "table":
        print(*table(), sep="\n")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
