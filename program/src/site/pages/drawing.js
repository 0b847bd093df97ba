// Drawings of lessons: bytes as cells, the bits of a frame's header, and who sends what to whom.

import { HEAD_END, OPCODES, bits, closeOf, fromHex, hex, parseFrames, response, textOf } from "./bytes.js";
import { element, has, t, violation } from "./page.js";

const NAMES = Object.fromEntries(Object.entries(OPCODES).map(([name, opcode]) => [opcode, name]));
const MOST_CELLS = 64;
const BYTES_IN_A_ROW = 8;
const LONGEST_LABEL = 48;
const MOST_TRIES = 12;

/** Returns the name of an opcode as the RFC writes it. */
export const opcodeName = (opcode) => NAMES[opcode] ?? `0x${opcode.toString(16)}`;

// ---- Bytes

/**
 * Groups of bytes side by side, each with a label: `groups([{ label, kind, bytes }])`. `kind`
 * chooses the colour: fin, rsv, opcode, mask, length, key, payload or text.
 */
export function groups(list) {
  const shown = list.filter(({ bytes }) => bytes.length > 0).map(({ label, kind, bytes, characters }) => {
    const some = Array.from(bytes.slice(0, MOST_CELLS), (byte, at) => element("i", {}, hex(byte), ...(characters ? [element("small", {}, characters[at] ?? "")] : [])));
    const more = bytes.length - some.length;
    return element("li", { class: `group ${kind}` },
      element("span", { class: "group-label" }, label),
      element("span", { class: "group-cells" }, ...some, ...(more > 0 ? [element("b", {}, t("learn.lesson.more_bytes", { count: more }))] : [])));
  });
  return element("ul", { class: "groups", translate: "no" }, ...shown);
}

/** The bytes of a frame, in groups. `frame` is one of `parseFrames`. */
export function frameGroups({ header, key, wire }) {
  const extended = header.slice(2, header.length - (key ? 4 : 0));
  return groups([
    { label: t("learn.lesson.first_bytes"), kind: "opcode", bytes: header.slice(0, 2) },
    { label: t("learn.lesson.extended"), kind: "length", bytes: extended },
    { label: t("learn.lesson.key"), kind: "key", bytes: key ?? [] },
    { label: t("learn.lesson.payload"), kind: "payload", bytes: wire },
  ]);
}

/**
 * Bytes in rows that belong together, column by column:
 * `byteRows([{ label, kind, cells: ["48", "65"] }])`.
 */
export function byteRows(rows) {
  const length = Math.min(MOST_CELLS, Math.max(...rows.map(({ cells }) => cells.length)));
  const tables = [];
  for (let start = 0; start < length; start += BYTES_IN_A_ROW) {
    const of = ({ label, kind, cells }) => element("tr", { class: kind },
      element("th", { scope: "row" }, label),
      ...cells.slice(start, Math.min(start + BYTES_IN_A_ROW, length)).map((cell) => element("td", {}, cell)));
    tables.push(element("table", {}, element("tbody", {}, ...rows.map(of))));
  }
  return element("div", { class: "byte-rows", translate: "no" }, ...tables);
}

/** The parts of the first two bytes of a frame: name, kind, first bit, number of bits. */
const FIELDS = [
  ["FIN", "fin", 0, 1], ["RSV1", "rsv", 1, 1], ["RSV2", "rsv", 2, 1], ["RSV3", "rsv", 3, 1], ["opcode", "opcode", 4, 4],
  ["MASK", "mask", 8, 1], ["length", "length", 9, 7],
];

/**
 * The bits of the first two bytes. `onFlip` makes each a button, and is called with the number of
 * the bit, 0 to 15.
 */
export function headerBits([first, second], onFlip = null) {
  const all = bits(first) + bits(second);
  const cell = (name, at, index, count) => {
    const bit = all[at];
    if (!onFlip) return element("i", {}, bit);
    const label = count === 1 ? t("learn.lesson.bit", { name, bit }) : t("learn.lesson.bit_of", { name, number: count - 1 - index, bit });
    const button = element("button", { type: "button", class: "bit", "data-on": bit === "1", "aria-label": label, "data-bit": at }, bit);
    button.addEventListener("click", () => onFlip(at));
    return button;
  };
  const fields = FIELDS.map(([name, kind, start, count]) => element("span", { class: `bit-field ${kind}`, "data-bits": count },
    element("span", { class: "bit-name" }, name),
    ...Array.from({ length: count }, (_, index) => cell(name, start + index, index, count))));
  return element("div", { class: "header-bits", role: "group", "aria-label": t("learn.lesson.two_bytes"), translate: "no" },
    element("span", { class: "bit-byte" }, ...fields.slice(0, 5)), element("span", { class: "bit-byte" }, ...fields.slice(5)));
}

// ---- What was sent, in a few words

const short = (text) => (text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL)}…` : text);

/** Describes a frame: `TEXT "Hi"`, `CLOSE 1000`. */
export function describeFrame(frame) {
  const { fin, opcode, payload } = frame;
  const name = opcodeName(opcode) + (fin || opcode > 7 ? "" : " …");
  if (opcode === OPCODES.CLOSE) {
    const { code, reason } = closeOf(frame);
    return code === null ? name : `${name} ${code}${reason ? ` ${JSON.stringify(reason)}` : ""}`;
  }
  const text = opcode === OPCODES.BINARY ? null : textOf(payload);
  if (payload.length === 0) return name;
  return short(`${name} ${text === null ? Array.from(payload.slice(0, 12), hex).join(" ") : JSON.stringify(text)}`);
}

/** Adds to a description whether the frame is masked. */
const withMask = (frame) => `${describeFrame(frame)}, ${frame.key ? t("learn.lesson.masked") : t("learn.lesson.unmasked")}`;

/** Describes bytes that a client has sent: each frame, or the request. */
export function describe(bytes, masks = false) {
  const head = new TextDecoder("latin1").decode(bytes.slice(0, 200));
  if (/^[A-Z]+ \//.test(head)) return [short(head.split("\r\n")[0])];
  const { frames, rest } = parseFrames(bytes);
  return [...frames.map((frame) => (masks ? withMask(frame) : describeFrame(frame))), ...(rest.length ? [t("learn.lesson.part_of_frame", { bytes: Array.from(rest.slice(0, 12), hex).join(" ") })] : [])];
}

// ---- Who sends what to whom

/**
 * Returns what happened in an experiment, in order: `{ at, kind, label }`. `kind` is `up` (to the
 * server), `down` (to the client), `client` or `server` (what happens there). With `masks`, each
 * frame to the server says whether it is masked.
 */
export function story(run, steps, { masks = false } = {}) {
  const events = [];
  const add = (at, kind, label, tone = "") => events.push({ at, kind, label, tone });
  let received = 0;
  let head = null;
  let came = new Uint8Array();
  for (const report of run.reports) {
    const { at } = report;
    if (report.kind === "did") {
      const step = steps[report.step];
      if (step.send !== undefined) describe(fromHex(step.send), masks).forEach((label) => add(at, "up", label));
      if (step === "fin") add(at, "up", t("learn.lesson.ends_tcp"));
      if (step === "close") add(at, "client", t("learn.lesson.client_closes"));
      if (step === "deaf") add(at, "client", t("learn.lesson.client_deaf"));
      if (step === "hear") add(at, "client", t("learn.lesson.client_hears"));
    } else if (report.kind === "failed") {
      add(at, "client", t("learn.lesson.cannot_send"), "bad");
    } else if (report.kind === "got") {
      const bytes = fromHex(report.hex);
      came = new Uint8Array([...came, ...bytes]);
      if (!head) {
        head = response(came);
        if (!head) continue;
        add(at, "down", short(head.line));
        came = head.rest;
        if (head.status !== 101) continue;
      }
      if (head.status !== 101) continue;
      const { frames, rest } = parseFrames(came);
      came = rest;
      received += frames.length;
      frames.forEach((frame) => add(at, "down", describeFrame(frame)));
    } else if (report.kind === "violation") {
      add(at, "server", violation(report), "bad");
    } else if (report.kind === "fin") {
      add(at, "down", t("learn.lesson.ends_tcp"));
    } else if (report.kind === "closed") {
      add(at, "server", t("learn.lesson.server_says", { text: closedText(report) }), report.reason === "peer" ? "" : "bad");
    } else if (report.kind === "ended" && report.how === "time") {
      add(at, "client", t("learn.lesson.time_is_up"));
    }
  }
  // When the experiment stops waiting, the server sees its connection go. That is not part of it.
  const last = run.ended?.how === "time" ? run.ended.at : Infinity;
  return events.filter(({ at }) => at <= last).sort((a, b) => a.at - b.at);
}

/** Says why the server's side has ended: in the server's words, if lessons do not expect it. */
export function closedText({ reason, detail, code, text }) {
  const key = `learn.lesson.closed.${reason}`;
  return has(key) ? t(key, { detail, code: String(code) }) : text;
}

/** A drawing of what happened, for the eye and for screen readers: a list, in order of time. */
export function sequence(events) {
  const milliseconds = (at) => `${at.toFixed(at < 10 ? 2 : at < 100 ? 1 : 0)} ms`;
  const who = { up: t("learn.lesson.up"), down: t("learn.lesson.down"), client: t("learn.lesson.at_client"), server: t("learn.lesson.at_server") };
  const items = events.map(({ at, kind, label, tone }) => element("li", { class: `event ${kind} ${tone}`.trim() },
    element("span", { class: "event-time number" }, milliseconds(at)),
    element("span", { class: "event-body" },
      element("span", { class: "visually-hidden" }, who[kind]),
      element("span", { class: "event-label" }, label))));
  return element("div", { class: "sequence" },
    element("div", { class: "sequence-heads", "aria-hidden": "true" }, element("span", {}, t("learn.lesson.you")), element("span", {}, t("learn.lesson.server"))),
    element("ol", {}, ...items));
}

/** Returns when each frame of the server had come: `{ at, frame }`. Nothing if there was no 101. */
export function serverFrames(run) {
  const head = run.response;
  if (head?.status !== 101) return [];
  const offset = run.received.length - head.rest.length;
  const ends = [];
  let sum = 0;
  for (const { at, bytes } of run.arrivals) ends.push({ at, end: (sum += bytes.length) });
  return parseFrames(head.rest).frames.map((frame) => ({ at: ends.find(({ end }) => end >= offset + frame.end).at, frame }));
}

/**
 * Returns what the server has answered: `{ kind, code, section }`. `kind` is `echo` (a message),
 * `close`, or `nothing`. `section` is that of the RFC whose rule was broken, or null.
 */
export function answer(run) {
  const frames = serverFrames(run).map(({ frame }) => frame);
  const close = frames.find(({ opcode }) => opcode === OPCODES.CLOSE);
  const section = run.trace.find(({ kind }) => kind === "violation")?.section ?? null;
  if (close) return { kind: "close", code: closeOf(close).code, section };
  const isMessage = ({ opcode }) => opcode === OPCODES.TEXT || opcode === OPCODES.BINARY;
  return { kind: frames.some(isMessage) ? "echo" : "nothing", code: null, section };
}

/** A table of what the reader has tried, the last try first: `tries(["you", "server"])`. */
export function tries(heads) {
  const body = element("tbody", {});
  const node = element("div", { class: "tries", hidden: true },
    element("table", {},
      element("caption", {}, t("learn.lesson.tries")),
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))), body));
  const add = (...cells) => {
    body.prepend(element("tr", {}, ...cells.map((cell) => element("td", {}, cell))));
    while (body.childElementCount > MOST_TRIES) body.lastElementChild.remove();
    node.hidden = false;
  };
  return { node, add };
}
