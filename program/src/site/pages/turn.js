// The picture of a turn: its phases, between the kernel and the handlers, and what moves between
// them. A dot goes around while the loop turns.

import { count, t } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";

export const PHASES = ["wait", "accept", "connect", "read", "expire", "flush", "reap"];

/**
 * What moves in a phase: to or from the kernel or the handlers. It is counted in the report, or it
 * is there whenever another count is.
 */
const FLOWS = [
  { name: "events", phase: "wait", side: "kernel", way: "in", counted: "events" },
  { name: "accepted", phase: "accept", side: "kernel", way: "in", counted: "accepted" },
  { name: "connects", phase: "connect", side: "kernel", way: "out" },
  { name: "reads", phase: "read", side: "kernel", way: "in", counted: "reads", bytes: "bytes_read" },
  { name: "messages", phase: "read", side: "handlers", way: "out", with: "reads" },
  { name: "timers", phase: "expire", side: "handlers", way: "out", counted: "timers" },
  { name: "writes", phase: "flush", side: "kernel", way: "out", counted: "writes", bytes: "bytes_written" },
  { name: "queued", phase: "flush", side: "handlers", way: "in", with: "writes" },
  { name: "freed", phase: "reap", side: "kernel", way: "out", with: "removed" },
  { name: "removed", phase: "reap", side: "handlers", way: "out", counted: "removed" },
];

/** A call of the kernel that begins a connection takes longer than so many microseconds. */
const CALLS_TAKE = 10;
/** What is counted in a phase. The others do something if they take the time of a call. */
const DONE = { wait: ["events"], accept: ["accepted"], read: ["reads"], expire: ["timers", "deadlines"], flush: ["writes"], reap: ["removed"] };

/** Returns the phases in which the last turn of a report did something. */
export function phasesDone({ counts, phases: [, last] }) {
  const counted = new Map(counts.map(([name, , ofLast]) => [name, ofLast]));
  return PHASES.filter((name, at) => DONE[name]?.some((what) => counted.get(what) > 0) ?? last[at] >= CALLS_TAKE);
}

/** What waits for the next turn, by the phase that will do it. */
const WAITING = { accept: "listeners", read: "reads", flush: "writes" };

/** A narrower picture stands upright. */
const UPRIGHT_BELOW = 880;
/** The dot goes around in this time, unless turns are slower. */
const LAP_MS = 1000;
/** The dot is at most so many turns behind. */
const MOST_LAPS = 2;

const lying = () => {
  const [width, height, box] = [1000, 326, { width: 122, height: 66 }];
  const gap = (width - 16 - 7 * box.width) / 6;
  const boxes = PHASES.map((_, at) => ({ x: 8 + at * (box.width + gap), y: 130, ...box }));
  const middle = ({ x }) => x + box.width / 2;
  return {
    width, height, boxes,
    bands: { kernel: { x: 8, y: 8, width: width - 16, height: 40 }, handlers: { x: 8, y: height - 48, width: width - 16, height: 40 } },
    /** The ends of an arrow: at the band, and at the box. */
    ends: (box, side) => (side === "kernel" ? [[middle(box), 50], [middle(box), 128]] : [[middle(box), height - 50], [middle(box), 198]]),
    label: (box, side) => ({ x: middle(box) + 9, y: side === "kernel" ? 76 : 237, anchor: "start", line: 15 }),
    track: `M${middle(boxes[0])} 163H${width - 4}V212H4V163Z`,
  };
};

const upright = () => {
  const [width, box, pitch, top] = [360, { width: 128, height: 66 }, 88, 20];
  const height = top + 7 * pitch + 6;
  const boxes = PHASES.map((_, at) => ({ x: (width - box.width) / 2, y: top + at * pitch, ...box }));
  const middle = ({ y }) => y + box.height / 2;
  return {
    width, height, boxes,
    bands: { kernel: { x: 4, y: top, width: 26, height: height - 2 * top }, handlers: { x: width - 30, y: top, width: 26, height: height - 2 * top } },
    ends: (box, side) => (side === "kernel" ? [[32, middle(box)], [box.x - 2, middle(box)]] : [[width - 32, middle(box)], [box.x + box.width + 2, middle(box)]]),
    label: (box, side) => ({ x: side === "kernel" ? 73 : width - 73, y: middle(box) - 7, anchor: "middle", line: 22 }),
    track: `M${width / 2} ${middle(boxes[0])}V${height - 4}H${width - 38}V6H${width / 2}Z`,
  };
};

export class TurnView {
  #svg;
  #isUpright = null;
  /** By phase: the nodes that change. */
  #phases = new Map();
  #flows = [];
  #dot = null;
  #track = null;
  /** Where the dot is and where it goes, in laps. */
  #place = 0;
  #goal = 0;
  #lapMs = LAP_MS;
  #drawnAt = 0;
  #frame = 0;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  /** What was shown last, to show it again in another layout. */
  #last = null;

  constructor(svg) {
    this.#svg = svg;
    new ResizeObserver(() => this.#fit()).observe(svg.parentElement);
    this.#calm.addEventListener("change", () => this.#showDot());
    this.#fit();
  }

  /** Shows a report about so many seconds. */
  show(report, seconds) {
    this.#last = { report, seconds };
    this.#write();
    const { turns, pace } = report;
    if (!turns || this.#calm.matches) return;
    // A free loop turns far too often to be followed: four reports make a lap.
    this.#lapMs = /^\d+$/.test(pace) ? Math.min(LAP_MS, Math.max(200, Number(pace))) : LAP_MS;
    const target = pace === "free" ? this.#place + 0.3 : Math.floor(Math.max(this.#goal, this.#place)) + turns;
    this.#goal = Math.min(target, this.#place + MOST_LAPS);
    if (!this.#frame) {
      this.#drawnAt = performance.now();
      this.#frame = requestAnimationFrame((now) => this.#move(now));
    }
  }

  /** Starts again: nothing is known. */
  clear() {
    this.#last = null;
    this.#build();
  }

  #fit() {
    const isUpright = this.#svg.parentElement.clientWidth < UPRIGHT_BELOW;
    if (isUpright === this.#isUpright) return;
    this.#isUpright = isUpright;
    this.#build();
  }

  #build() {
    const { width, height, boxes, bands, ends, label, track } = (this.#isUpright ? upright : lying)();
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.setAttribute("class", this.#isUpright ? "turn upright" : "turn");
    this.#track = node("path", { class: "track", d: track });
    this.#dot = node("circle", { class: "dot", r: 6 });
    const parts = [this.#track];
    for (const [side, { x, y, width, height }] of Object.entries(bands)) {
      const middle = `translate(${x + width / 2} ${y + height / 2})${this.#isUpright ? " rotate(-90)" : ""}`;
      parts.push(node("g", { class: `band ${side}` },
        node("rect", { x, y, width, height, rx: 8 }),
        node("text", { transform: middle, dy: ".35em", "text-anchor": "middle" }, t(`loop.side.${side}`))));
    }
    this.#flows = FLOWS.map((flow) => {
      const box = boxes[PHASES.indexOf(flow.phase)];
      const [atBand, atBox] = ends(box, flow.side);
      const [from, to] = flow.way === "in" ? [atBand, atBox] : [atBox, atBand];
      const { x, y, anchor, line } = label(box, flow.side);
      const lines = [0, 1, 2].map((number) => node("text", { x, y: y + (number && line + (number - 1) * 14), "text-anchor": anchor, class: number ? "small" : "strong" }));
      const group = node("g", { class: "flow", "data-flow": flow.name }, ...arrow(from, to), ...lines);
      parts.push(group);
      return { ...flow, group, lines };
    });
    this.#phases = new Map(PHASES.map((name, at) => {
      const { x, y, width, height } = boxes[at];
      const texts = {
        share: node("text", { x: x + width - 9, y: y + 20, "text-anchor": "end", class: "small" }),
        took: node("text", { x: x + 9, y: y + 40, class: "small" }),
        waits: node("text", { x: x + width - 9, y: y + 40, "text-anchor": "end", class: "waits" }),
      };
      const fill = node("rect", { class: "fill", x: x + 9, y: y + 50, width: 0, height: 7, rx: 3.5 });
      const group = node("g", { class: "phase", "data-phase": name },
        node("rect", { class: "box", x, y, width, height, rx: 10 }),
        node("text", { x: x + 9, y: y + 20, class: "name" }, t(`loop.short.${name}`)),
        texts.share, texts.took, texts.waits,
        node("rect", { class: "rest", x: x + 9, y: y + 50, width: width - 18, height: 7, rx: 3.5 }), fill);
      parts.push(group);
      return [name, { group, ...texts, fill, full: width - 18 }];
    }));
    this.#svg.replaceChildren(...parts, this.#dot);
    this.#showDot();
    this.#write();
  }

  #write() {
    if (!this.#last) return;
    const { report, seconds } = this.#last;
    const [sum, last] = report.phases;
    const all = sum.reduce((one, other) => one + other, 0);
    const counted = new Map(report.counts.map(([name, ofAll, ofLast]) => [name, { ofAll, ofLast }]));
    // A report without turns says nothing new about the last one.
    if (report.turns) {
      const done = phasesDone(report);
      PHASES.forEach((name, at) => {
        const { group, share, took, fill, full } = this.#phases.get(name);
        const part = all ? sum[at] / all : 0;
        put(share, t("loop.percent", { percent: count(100 * part, { maximumFractionDigits: part < 0.1 ? 1 : 0 }) }));
        put(took, micros(last[at]));
        fill.setAttribute("width", (full * part).toFixed(1));
        group.toggleAttribute("data-done", done.includes(name));
      });
    }
    for (const [name, field] of Object.entries(WAITING)) {
      const number = report[field];
      put(this.#phases.get(name).waits, number ? t("loop.waits", { count: number }) : "");
    }
    for (const { name, counted: by, with: other, bytes, group, lines, phase } of this.#flows) {
      const { ofAll, ofLast } = counted.get(by ?? other) ?? { ofAll: 0, ofLast: last[PHASES.indexOf(phase)] >= CALLS_TAKE ? 1 : 0 };
      if (report.turns) group.toggleAttribute("data-done", ofLast > 0);
      if (!by) {
        put(lines[0], t(`loop.flow.${name}`));
        continue;
      }
      if (report.turns) put(lines[0], t(`loop.flow.${name}`, { count: ofLast, number: short(ofLast) }));
      const rates = [bytes && report.turns && size(counted.get(bytes).ofLast), seconds && t("loop.per_second", { number: short(Math.round(ofAll / seconds)) })].filter(Boolean);
      [1, 2].forEach((number) => put(lines[number], rates[number - 1] ?? ""));
    }
  }

  #move(now) {
    this.#frame = 0;
    this.#place = Math.min(this.#goal, this.#place + (now - this.#drawnAt) / this.#lapMs);
    this.#drawnAt = now;
    this.#showDot();
    if (this.#place < this.#goal) this.#frame = requestAnimationFrame((next) => this.#move(next));
    else if (this.#place > 1) [this.#place, this.#goal] = [this.#place % 1, this.#goal % 1];
  }

  #showDot() {
    this.#dot.toggleAttribute("hidden", this.#calm.matches);
    const { x, y } = this.#track.getPointAtLength?.((this.#place % 1) * this.#track.getTotalLength()) ?? { x: 0, y: 0 };
    this.#dot.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
  }
}

/** Formats a time in microseconds: 3.4 µs, 12 ms. */
export function micros(time) {
  const [number, unit] = time < 1000 ? [time, "µs"] : time < 1e6 ? [time / 1000, "ms"] : [time / 1e6, "s"];
  return `${count(number, { maximumFractionDigits: number < 10 ? 1 : 0, minimumFractionDigits: number < 10 ? 1 : 0 })} ${unit}`;
}

const short = (number) => count(number, number < 100_000 ? {} : { notation: "compact", maximumFractionDigits: 1 });

function size(bytes) {
  const [number, unit] = bytes < 10_000 ? [bytes, "B"] : bytes < 1e7 ? [bytes / 1000, "kB"] : [bytes / 1e6, "MB"];
  return `${count(number, { maximumFractionDigits: 0 })} ${unit}`;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A line with a head. */
function arrow([fromX, fromY], [toX, toY]) {
  const [alongX, alongY] = [Math.sign(toX - fromX), Math.sign(toY - fromY)];
  const point = (back, aside) => `${toX - alongX * back - alongY * aside} ${toY - alongY * back + alongX * aside}`;
  return [
    node("path", { class: "line", d: `M${fromX} ${fromY}L${point(6, 0)}` }),
    node("path", { class: "head", d: `M${point(0, 0)}L${point(9, 4.5)}L${point(9, -4.5)}Z` }),
  ];
}

function node(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
