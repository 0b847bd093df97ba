"""Writes the tables, in Markdown."""
import os
import platform
import statistics

from .counts import KINDS

BASE = "Lariat"


def ratios(by_name, name, base=BASE):
    """Returns the values of a server divided by those of `base`, round by round, without rounds in
    which one is missing."""
    pairs = zip(by_name.get(name) or [], by_name.get(base) or [])
    return [value / reference for value, reference in pairs if value and reference]


def median(values):
    values = [value for value in values or [] if value is not None]
    return statistics.median(values) if values else None


def number(value, digits=2):
    if value is None:
        return "-"
    # This removes the sign of a zero.
    value = round(value, digits if abs(value) < 1000 else 0) + 0.0
    return f"{value:,.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(("model name", "Model")):
                model = line.partition(":")[2].strip()
                break
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{model}, {os.cpu_count()} processors, Linux {kernel}"


def costs(times, scenarios, names, base):
    """CPU time per message: Lariat's in nanoseconds, the others' as multiples of it."""
    others = [name for name in names if name != base]
    rows = []
    for scenario in scenarios:
        by_name = times.cpu.get(scenario.key, {})
        cells = [number(median(ratios(by_name, name, base))) for name in others]
        rows.append([scenario.title, number(median(by_name.get(base)), 0), *cells])
    return table([f"CPU per message, relative to {base}", f"{base} (ns)", *others], rows)


def spread(times, scenarios, names, base):
    """Returns how far ratios in single rounds were from their medians, in per cent: the median of
    all, and the worst."""
    found = []
    for scenario in scenarios:
        by_name = times.cpu.get(scenario.key, {})
        for name in names:
            values = ratios(by_name, name, base)
            if name != base and len(values) > 1:
                middle = statistics.median(values)
                found.append(max(abs(value - middle) for value in values) / middle)
    return (statistics.median(found) * 100, max(found) * 100) if found else (0, 0)


def speeds(times, scenarios, names):
    rows = []
    for scenario in scenarios:
        by_name = times.speed.get(scenario.key, {})
        rows.append([scenario.title, *[number(median(by_name.get(name)), 0) for name in names]])
    return table(["per second, one core for the server and one for the client", *names], rows)


def latencies(times, scenarios, names):
    rows = []
    for scenario in scenarios:
        by_name = times.latency.get(scenario.key)
        if not by_name:
            continue
        cells = []
        for name in names:
            summary = next(iter(by_name.get(name) or []), None)
            cells.append(" / ".join(number(summary[f"{which}_us"], 0) for which in ("p50", "p99", "p99.9")) if summary else "-")
        rated = scenario.rated[scenario.rated.index("-m" if "-m" in scenario.rated else "--rate") + 1]
        rows.append([f"{scenario.rated_title or scenario.title}, at {int(rated):,}/s", *cells])
    return table(["p50 / p99 / p99.9 in microseconds", *names], rows)


def system_calls(calls, scenarios, names):
    rows = []
    for scenario in scenarios:
        by_name = calls.get(scenario.key)
        if not by_name:
            continue
        cells = []
        for name in names:
            found = by_name.get(name)
            cells.append(" ".join(number(found[kind]) for kind in (*KINDS, "other")) if found else "-")
        rows.append([scenario.title, *cells])
    return table(["system calls per message: " + " ".join((*KINDS, "other")), *names], rows)


def heap(blocks, scenarios, names, key, digits, title):
    rows = []
    for scenario in scenarios:
        by_name = blocks.get(scenario.key)
        if by_name:
            cells = [number(by_name[name][key], digits) if by_name.get(name) else "-" for name in names]
            rows.append([scenario.title, *cells])
    return table([title, *names], rows)


def memory(times, names, count):
    kinds = ["idle", "after each echoed 1 KiB"]
    rows = []
    for prefix, by_name in (("", times.memory), ("TLS: ", times.memory_tls)):
        for place, kind in enumerate(kinds if by_name else []):
            rows.append([prefix + kind, *[number((by_name.get(name) or [None, None])[place], 0) for name in names]])
    return table([f"private dirty bytes of a connection, of {count:,}", *names], rows)
