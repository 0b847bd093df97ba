// What went over the wire, as the server sends it: handshakes as text, and each frame bit by bit.

import { bytes, element, secured, stateName, t, violation } from "./page.js";

const STEPS = 300;
const SHOW_AFTER_MS = 40;
const SHOWN_BYTES = 64;
const BYTES_IN_A_ROW = 8;
const OPCODES = { 0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" };

const fromHex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (byte) => byte.toString(16).padStart(2, "0");
const bitsOf = (byte) => byte.toString(2).padStart(8, "0");

/** The list of steps. `show` adds one after a short delay. */
export class WireView {
  #box;
  #waiting = [];
  #flushing = 0;
  /** The last frame of each connection's peer. Its payload may still be arriving. */
  #arriving = new Map();
  /** The step that was opened automatically, to be closed automatically. */
  #opened = null;
  /**
   * Returns whether each message of a connection is compressed independently, so that the page can
   * decompress it.
   */
  isInflatable = () => false;

  constructor(box) {
    this.#box = box;
  }

  clear() {
    this.#waiting = [];
    this.#box.replaceChildren();
  }

  show(message) {
    const [[kind, step]] = Object.entries(message);
    if (kind === "payload") {
      const frame = this.#arriving.get(step.on);
      if (frame) this.#more(frame, step);
      return;
    }
    if (kind === "frame" && step.side === "peer") this.#arriving.set(step.on, step);
    this.#waiting.push({ kind, step });
    if (this.#waiting.length > STEPS) this.#waiting.shift();
    if (!this.#flushing) this.#flushing = setTimeout(() => this.#flush(), SHOW_AFTER_MS);
  }

  #more(frame, { wire, plain }) {
    frame.wire += wire;
    frame.plain += plain;
    frame.redraw?.();
  }

  #flush() {
    this.#flushing = 0;
    const atEnd = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 48;
    const nodes = this.#waiting.map(({ kind, step }) => this.#nodeOf(kind, step));
    this.#waiting = [];
    this.#box.append(...nodes);
    while (this.#box.childElementCount > STEPS) this.#box.firstElementChild.remove();
    const last = nodes.findLast((node) => node.tagName === "DETAILS");
    if (last) {
      if (this.#opened) this.#opened.open = false;
      last.open = true;
      last.redraw();
      this.#opened = last;
    }
    if (atEnd) this.#box.scrollTop = this.#box.scrollHeight;
  }

  #nodeOf(kind, step) {
    switch (kind) {
      case "tls": return moved(kind, `#${step.on} `, element("b", {}, secured(step)));
      case "handshake": return this.#details(step, firstLine(step.text), bytes(step.text.length), () => [handshake(step.text)]);
      case "frame": return this.#frame(step);
      case "state": return moved(kind, `#${step.on} `, element("b", {}, `${stateName(step.from).toUpperCase()} → ${stateName(step.to).toUpperCase()}`));
      case "violation": return moved(kind, `#${step.on} `, element("b", {}, violation(step)));
      default: return moved(kind, element("b", {}, t("console.left_out", { count: step })));
    }
  }

  #frame(step) {
    const [first] = fromHex(step.header);
    const node = this.#details(step, summary(step), bytes(step.header.length / 2 + step.length), () => inside(step, this.isInflatable(step.on)));
    node.dataset.opcode = first & 15;
    node.dataset.length = step.length;
    step.redraw = () => {
      node.querySelector(".what").textContent = summary(step);
      node.redraw();
    };
    return node;
  }

  /** The content is made when the step is opened. */
  #details({ side, on }, what, size, contents) {
    const body = element("div", { class: "step-inside" });
    const node = element("details", { class: "step", "data-side": side, "data-connection": on },
      element("summary", {},
        element("span", { class: "who" }, t(side === "peer" ? "console.browser" : "console.server")),
        element("span", { class: "what mono" }, what),
        element("span", { class: "size number" }, size)),
      body);
    node.redraw = () => { if (node.open) body.replaceChildren(...contents()); };
    node.addEventListener("toggle", () => {
      if (node.open && !body.childElementCount) node.redraw();
    });
    return node;
  }
}

const firstLine = (text) => text.slice(0, text.indexOf("\r\n"));

function moved(kind, ...children) {
  return element("p", { class: "moved", "data-kind": kind }, ...children);
}

function handshake(text) {
  const lines = text.trimEnd().split("\r\n").map((line, at) => {
    const colon = line.indexOf(":");
    return at === 0 || colon < 0 ? [line, "\n"] : [element("b", {}, line.slice(0, colon)), `${line.slice(colon)}\n`];
  });
  return element("pre", { translate: "no" }, ...lines.flat());
}

// ---- Frames

function parse({ header, wire, plain, length }) {
  const head = fromHex(header);
  const extended = { 126: 2, 127: 8 }[head[1] & 127] ?? 0;
  return {
    head, length, wire: fromHex(wire), plain: fromHex(plain),
    fin: head[0] >> 7, rsv1: (head[0] >> 6) & 1, opcode: head[0] & 15, masked: head[1] >> 7, short: head[1] & 127,
    extended: head.slice(2, 2 + extended), key: head.slice(2 + extended),
  };
}

function summary(step) {
  const frame = parse(step);
  const name = OPCODES[frame.opcode].toUpperCase();
  if (frame.rsv1) return t("console.compressed", { name });
  if (frame.opcode === 8) return frame.length < 2 ? name : `${name} ${closeOf(frame)}`;
  if (frame.opcode === 2 || frame.opcode === 0) return name;
  return frame.length === 0 ? name : `${name} ${JSON.stringify(textOf(frame.plain.slice(0, SHOWN_BYTES)))}`;
}

// A cut inside a character would show as U+FFFD.
const textOf = (plain) => new TextDecoder().decode(plain, { stream: true });

function closeOf({ plain }) {
  const reason = plain.length > 2 ? ` ${JSON.stringify(textOf(plain.slice(2)))}` : "";
  return `${plain[0] * 256 + plain[1]}${reason}`;
}

function inside(step, isInflatable) {
  const frame = parse(step);
  const parts = [bits(frame), reading(frame), ...payload(frame)];
  if (frame.opcode === 8 && frame.length >= 2) parts.push(note(t("console.close_bytes", { close: closeOf(frame) })));
  if (frame.rsv1) {
    const line = note(t("console.deflated"));
    if (frame.fin && isInflatable && frame.plain.length === frame.length) {
      inflate(frame.plain).then((text) => { line.textContent = t("console.inflated", { text: JSON.stringify(text) }); }, () => {});
    }
    parts.push(line);
  }
  return parts;
}

const note = (text) => element("p", { class: "payload-note tiny soft" }, text);

function field(name, width, label, cells) {
  return element("div", { class: `field ${name} ${width}` }, element("span", {}, label), ...cells.map((cell) => element("i", {}, cell)));
}

function bits(frame) {
  const [one, two] = [bitsOf(frame.head[0]), bitsOf(frame.head[1])];
  const fields = [
    field("fin", "one", "FIN", [one[0]]),
    field("rsv", "three", "RSV1–3", [...one.slice(1, 4)]),
    field("opcode", "four", t("console.field.opcode"), [...one.slice(4)]),
    field("mask", "one", "MASK", [two[0]]),
    field("length", "seven", t("console.field.length"), [...two.slice(1)]),
  ];
  const hexes = (some) => Array.from(some, hex);
  if (frame.extended.length) fields.push(field("length", "all", t("console.field.extended", { bits: frame.extended.length * 8 }), hexes(frame.extended)));
  if (frame.masked) fields.push(field("key", "all", t("console.field.key"), hexes(frame.key)));
  return element("div", { class: "bits", role: "img", "aria-label": t("console.first_bytes", { one, two }) }, ...fields);
}

function reading(frame) {
  const rows = [
    [`FIN ${frame.fin}`, t(`console.fin.${frame.fin}`)],
    [t("console.reading.opcode", { value: `0x${frame.opcode.toString(16)}` }), t(`console.opcode.${frame.opcode}`)],
    [`MASK ${frame.masked}`, t(`console.mask.${frame.masked}`)],
    [t("console.reading.length", { value: frame.short }), {
      126: t("console.length_16", { bytes: bytes(frame.length) }),
      127: t("console.length_64", { bytes: bytes(frame.length) }),
    }[frame.short] ?? t("console.length_7", { bytes: bytes(frame.length) })],
  ];
  if (frame.rsv1) rows.splice(1, 0, ["RSV1 1", t("console.rsv1")]);
  return element("dl", { class: "reading" }, ...rows.flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
}

/** Returns the character of each byte of text: at its first byte, and null at the others. */
function characters(frame) {
  const { plain } = frame;
  if (frame.rsv1 || frame.opcode === 2) return null;
  const shown = Array.from(plain, () => null);
  for (let at = frame.opcode === 8 ? 2 : 0; at < plain.length;) {
    const length = plain[at] < 0x80 ? 1 : plain[at] < 0xe0 ? 2 : plain[at] < 0xf0 ? 3 : 4;
    if (at + length <= plain.length) shown[at] = new TextDecoder().decode(plain.slice(at, at + length));
    at += length;
  }
  return shown;
}

function payload(frame) {
  const shown = Math.min(frame.plain.length, SHOWN_BYTES);
  if (shown === 0) return [];
  const text = characters(frame);
  const tables = [];
  for (let start = 0; start < shown; start += BYTES_IN_A_ROW) {
    const places = Array.from({ length: Math.min(BYTES_IN_A_ROW, shown - start) }, (_, at) => start + at);
    const row = (name, label, cell) => element("tr", { class: name }, element("th", { scope: "row" }, label), ...places.map(cell));
    const rows = [row("plain", t(frame.masked ? "console.row.unmasked" : "console.row.payload"), (at) => element("td", {}, hex(frame.plain[at])))];
    if (frame.masked) {
      rows.unshift(
        row("wire", t("console.row.wire"), (at) => element("td", {}, hex(frame.wire[at]))),
        row("key", t("console.row.key"), (at) => element("td", {}, hex(frame.key[at % 4]))),
      );
    }
    if (text) rows.push(row("text", t("console.row.text"), (at) => (text[at] === null ? element("td", { class: "none" }, "·") : element("td", {}, text[at]))));
    tables.push(element("table", {}, ...rows));
  }
  const rest = frame.length - shown;
  return [element("div", { class: "payload", translate: "no" }, ...tables), ...(rest ? [note(t("console.and_more", { bytes: bytes(rest) }))] : [])];
}

/** Decompresses a message. An empty last block ends it for the decompressor. */
async function inflate(payload) {
  const blocks = new Blob([payload, new Uint8Array([0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff])]);
  return new Response(blocks.stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
}
