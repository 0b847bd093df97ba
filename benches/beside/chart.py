"""Draws the chart: the servers relative to Lariat, for each scenario."""
import math
from xml.sax.saxutils import escape

from .report import BASE, median, ratios

# Readable on white and on black.
COLOURS = ["#d29922", "#db61a2", "#3fb950", "#a371f7", "#f0883e", "#39c5cf", "#8b949e", "#f85149", "#58a6ff"]
SHAPES = ["circle", "square", "diamond", "triangle"]
LEFT, WIDTH, ROW, TOP = 340, 960, 34, 92
STYLE = """
    text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #57606a }
    .title { font-size: 16px; font-weight: 600 }
    .grid { stroke: #8b949e; stroke-opacity: .25 }
    .base { stroke: #2f81f7; stroke-width: 2 }
    .lariat { fill: #2f81f7; font-weight: 600 }
    @media (prefers-color-scheme: dark) { text { fill: #9ea7b3 } }
"""


def shape(kind, x, y, colour, title):
    """Returns a mark at a point, with a text for the mouse pointer."""
    marks = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"',
        "square": f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"',
        "diamond": f'<path d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z"',
        "triangle": f'<path d="M{x:.1f} {y - 7:.1f}l7 12h-14z"',
    }
    tag = marks[kind].split()[0][1:]
    return f'{marks[kind]} fill="{colour}" fill-opacity=".9"><title>{escape(title)}</title></{tag}>'


def ticks(low, high):
    steps = [0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100]
    return [step for step in steps if low <= step <= high]


def chart(times, scenarios, names, base=BASE):
    """Returns an SVG of CPU time per message relative to `base`, on a logarithmic scale."""
    others = [name for name in names if name != base]
    points = []
    for row, scenario in enumerate(scenarios):
        for place, name in enumerate(others):
            ratio = median(ratios(times.cpu.get(scenario.key, {}), name, base))
            if ratio:
                points.append((row, place, ratio))
    low = min([ratio for *_, ratio in points] + [0.9]) / 1.08
    high = max([ratio for *_, ratio in points] + [2]) * 1.08

    def across(ratio):
        share = (math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low))
        return LEFT + share * (WIDTH - LEFT - 24)

    height = TOP + ROW * len(scenarios) + 34
    bottom = TOP + ROW * len(scenarios) - 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>CPU time of the server per message, relative to {escape(base)}</title><style>{STYLE}</style>",
        f'<text class="title" x="16" y="26">CPU time of the server per message, {escape(base)} = 1 (further right costs more)</text>',
    ]
    x = 16
    for place, name in enumerate(others):
        parts.append(shape(SHAPES[place % 4], x + 6, 50, COLOURS[place % len(COLOURS)], name))
        parts.append(f'<text x="{x + 18}" y="55">{escape(name)}</text>')
        x += 34 + int(len(name) * 7.2)
    for tick in ticks(low, high):
        parts.append(f'<line class="{"base" if tick == 1 else "grid"}" x1="{across(tick):.1f}" x2="{across(tick):.1f}" y1="{TOP - 18}" y2="{bottom}"/>')
        label = "lariat" if tick == 1 else ""
        parts.append(f'<text class="{label}" x="{across(tick):.1f}" y="{bottom + 20}" text-anchor="middle">{tick:g}</text>')
    for row, scenario in enumerate(scenarios):
        y = TOP + ROW * row
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 24}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 16}" y="{y + 4}" text-anchor="end">{escape(scenario.title)}</text>')
    for row, place, ratio in points:
        title = f"{others[place]}: {ratio:.2f}"
        parts.append(shape(SHAPES[place % 4], across(ratio), TOP + ROW * row, COLOURS[place % len(COLOURS)], title))
    return "\n".join([*parts, "</svg>"]) + "\n"
