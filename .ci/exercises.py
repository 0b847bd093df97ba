"""Runs the tests of the guide's exercises three times.

    python3 .ci/exercises.py

1. With the solutions: every test passes.
2. With a usual mistake in each solution: every test fails, so it notices that.
3. With the stubs, as a reader finds them: every test fails.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = ["cargo", "test", "--package", "lariat-exercises", "--lib"]
EXERCISES = {f"ch{chapter:02}::tests::ex{number}" for chapter in range(1, 16) for number in (1, 2, 3)}


RUNS = [
    ("solutions", ["--features", "solutions"], {}, "ok"),
    ("mistakes", ["--features", "solutions"], {"LARIAT_MISTAKES": "1"}, "FAILED"),
    ("stubs", [], {}, "FAILED"),
]


def results(arguments, variables):
    """Returns the results of all tests by their names."""
    environment = os.environ | {"RUST_BACKTRACE": "0"} | variables
    done = subprocess.run([*COMMAND, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    found = dict(re.findall(r"^test (\S+) \.\.\. (\w+)$", done.stdout, re.MULTILINE))
    if not found:
        sys.exit(f"there are no tests:\n{done.stderr}{done.stdout}")
    return found, done.stdout


def main():
    faults = []
    for what, arguments, variables, expected in RUNS:
        found, output = results(arguments, variables)
        exercises = {name.split("_", 1)[0] for name in found}
        if exercises != EXERCISES:
            faults.append(f"{what}: {sorted(exercises ^ EXERCISES)} are missing, or too many")
        wrong = sorted(name for name, result in found.items() if result != expected)
        faults.extend(f"{what}: {name} is {found[name]}, not {expected}" for name in wrong)
        if wrong and expected == "ok":
            print(output)
        print(f"{what}: {len(found)} tests, {len(wrong)} of them not {expected}")
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
