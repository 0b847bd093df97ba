// What lessons measure: a connection of the page that is awaited step by step, bars, tables and
// lines.

import { count, element, socketUrl, t } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";

const ASK_MS = 15_000;
const ASK_AGAIN_MS = 400;

export const rest = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** A socket whose messages are awaited: `const wire = await Wire.open("/echo")`. */
export class Wire {
  /** Called for each message: kind and content of JSON with one key, or "text" and the text. */
  onMessage = () => {};
  #socket;
  #waiting = new Set();

  /** Opens a socket. Rejects if it does not open. */
  static open(path) {
    return new Promise((resolve, reject) => {
      const wire = new Wire();
      const socket = new WebSocket(socketUrl(path));
      wire.#socket = socket;
      socket.onopen = () => resolve(wire);
      socket.onmessage = ({ data }) => { if (typeof data === "string") wire.#take(data); };
      socket.onclose = () => {
        reject(new Error("closed"));
        for (const { settle } of wire.#waiting) settle(null);
      };
    });
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  get bufferedAmount() {
    return this.#socket.bufferedAmount;
  }

  send(what) {
    if (this.isOpen) this.#socket.send(typeof what === "string" || what instanceof Uint8Array ? what : JSON.stringify(what));
  }

  close() {
    this.#socket.close(1000);
  }

  /** Returns the content of the next message of a kind that fits, or null after a time. */
  next(kind, { within = 3_000, fits = () => true } = {}) {
    return new Promise((resolve) => {
      const waiter = { kind, fits };
      const timer = setTimeout(() => waiter.settle(null), within);
      waiter.settle = (content) => {
        clearTimeout(timer);
        this.#waiting.delete(waiter);
        resolve(content);
      };
      this.#waiting.add(waiter);
      if (!this.isOpen) waiter.settle(null);
    });
  }

  #take(data) {
    let [kind, content] = ["text", data];
    try {
      const parsed = JSON.parse(data);
      if (typeof parsed === "string") [kind, content] = [parsed, parsed];
      else if (parsed && typeof parsed === "object") [[kind, content]] = Object.entries(parsed);
    } catch {
      // It is no JSON.
    }
    this.onMessage(kind, content);
    for (const { kind: wanted, fits, settle } of [...this.#waiting]) if (wanted === kind && fits(content)) settle(content);
  }
}

/**
 * Asks `/learn/measure` something, and again while others measure. Returns the content of the
 * answer, or null. Then the stage says why.
 */
export async function ask(stage, what, kind) {
  if (!stage.mayRun()) return null;
  let wire = null;
  let why = "lost";
  try {
    wire = await Wire.open("/learn/measure");
    const end = performance.now() + ASK_MS;
    do {
      const answer = Promise.race([wire.next(kind, { within: ASK_MS }), wire.next("refused", { within: ASK_MS })]);
      wire.send(JSON.stringify(what));
      const found = await answer;
      if (found && typeof found === "object") return found;
      why = { busy: "full", failed: "failed" }[found] ?? "lost";
      if (why === "full") await rest(ASK_AGAIN_MS * (1 + Math.random()));
    } while (why === "full" && performance.now() < end);
  } catch {
    // It did not open.
  } finally {
    wire?.close();
  }
  stage.problem(t(`learn.lesson.refused.${stage.wasHeld() ? "meanwhile" : why}`));
  return null;
}

/** Formats a number of bytes: 56 bytes, 8 KiB, 2.0 MiB. */
export function size(number) {
  for (const [unit, length] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (number >= length) return `${count(number / length, { maximumFractionDigits: number < 10 * length ? 1 : 0 })} ${unit}`;
  }
  return t("shell.bytes", { count: Math.round(number) });
}

/** Bars, the longest for the largest value: `bars([{ label, value, text, kind }])`. */
export function bars(rows) {
  const most = Math.max(1e-9, ...rows.map(({ value }) => value));
  return element("dl", { class: "bars" }, ...rows.flatMap(({ label, value, text, kind = "plain" }) => {
    const bar = element("i", { "aria-hidden": "true" });
    bar.style.setProperty("--part", `${Math.max(value > 0 ? 0.5 : 0, (value / most) * 100)}%`);
    return [element("dt", {}, label), element("dd", { class: kind }, bar, element("span", { class: "number" }, text))];
  }));
}

/** A table: `table(caption, heads, rows)`. The first cell of a row is its head. */
export function table(caption, heads, rows) {
  return element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": caption },
    element("table", { class: "results" }, element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, ...rows.map(([head, ...cells]) => element("tr", {}, element("th", { scope: "row" }, head),
        ...cells.map((cell) => element("td", { class: "number" }, cell)))))));
}

/** A picture of marks: one for each thing. */
export const dots = (number, kind) => element("span", { class: `dots ${kind}`, "aria-hidden": "true" }, ...Array.from({ length: number }, () => element("i", {})));

/**
 * Draws lines over time. `series` are `{ label, kind, points: [[x, y]], shown }`, `marks` are
 * `{ label, value }`. `shown` is the number beside the label: the last one, if it is missing.
 */
export function lines({ label, series, marks = [], format }) {
  const [width, height] = [480, 180];
  const points = series.flatMap(({ points: all }) => all);
  const right = Math.max(1, ...points.map(([x]) => x));
  const top = Math.max(1, ...points.map(([, y]) => y), ...marks.map(({ value }) => value)) * 1.08;
  const at = ([x, y]) => `${((x / right) * width).toFixed(1)},${(height - (y / top) * height).toFixed(1)}`;
  const node = (tag, attributes) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" });
  for (const { value } of marks) {
    const y = height - (value / top) * height;
    svg.append(node("line", { x1: 0, x2: width, y1: y, y2: y, class: "mark" }));
  }
  for (const { kind, points: all } of series) svg.append(node("polyline", { points: all.map(at).join(" "), class: kind }));
  const keys = [
    ...series.map(({ label: name, kind, points: all, shown }) => element("li", { class: kind }, `${name}: ${format(shown ?? all.at(-1)?.[1] ?? 0)}`)),
    ...marks.map(({ label: name, value }) => element("li", { class: "mark" }, `${name}: ${format(value)}`)),
  ];
  return element("figure", { class: "lines" }, element("figcaption", {}, label), svg, element("ul", { class: "keys" }, ...keys));
}
