// Half a minute of the loop: the reports of the server and the changes of the grid, to look at
// again, to keep as a file and to open from one.
//
//     {"format": "lariat-loop", "version": 1, "recorded": "2025-11-30T16:00:00.000Z", "loop": 0,
//      "loops": 1, "slot": 3, "reports": [{"at": 0, "seconds": 0.25, "turns": {}}],
//      "grids": [{"at": 0, "changes": "AQAB"}]}
//
// `at` is in milliseconds since the beginning. `seconds` is the time that a report is about, and
// `turns` the report, as watch.rs describes it. `changes` is a message of the server about the
// grid, in base64. The first one makes the grid from none. `slot` is the one of the page.

import { applyChanges, changesOf } from "./cells.js";

const FORMAT = "lariat-loop";
const VERSION = 1;

/** A recording ends by itself after this time. */
export const LENGTH_MS = 30_000;
/** A file may be longer, as by a slow clock, but not much. */
const LONGEST_MS = 2 * LENGTH_MS;
/** There are four reports in a second, and one more for each step of a held loop. */
const MOST_ENTRIES = 2_000;
/** A larger file is not read. */
export const LARGEST_FILE = 64 << 20;

/** What is counted in a turn, in the order of the reports. */
export const COUNTED = [
  "events", "accepted", "reads", "bytes_read", "writes", "bytes_written", "would_block", "timers", "deadlines", "removed",
];
const NUMBERS = ["turns", "busy", "busiest", "timed", "telling", "listeners", "reads", "writes"];

/** A file that is not a recording. `why` is a code, and `what` the part that is wrong. */
export class BadRecording extends Error {
  constructor(why, what = "") {
    super(`${why} ${what}`);
    [this.why, this.what] = [why, what];
  }
}

/** Collects a recording. Times are in milliseconds, from any clock. */
export class Recorder {
  #content;
  #begun;

  constructor(now, { loop, loops, slot, cells }) {
    this.#begun = now;
    this.#content = {
      format: FORMAT, version: VERSION, recorded: new Date().toISOString(), loop, loops, slot,
      reports: [], grids: [{ at: 0, changes: toBase64(changesOf(cells)) }],
    };
  }

  /** Returns how long it has been recording. */
  lasts(now) {
    return now - this.#begun;
  }

  report(now, seconds, turns) {
    this.#content.reports.push({ at: Math.round(now - this.#begun), seconds, turns });
  }

  changes(now, bytes) {
    this.#content.grids.push({ at: Math.round(now - this.#begun), changes: toBase64(bytes) });
  }

  /** Returns what was recorded, or null if there was no report. */
  finish() {
    return this.#content.reports.length ? new Recording(this.#content) : null;
  }
}

export class Recording {
  #content;
  /** The changes of the grid, as bytes. */
  #grids;
  /** The grid at some place: after this many changes. */
  #made = { number: 0, cells: new Uint8Array(0) };

  constructor(content) {
    this.#content = content;
    this.#grids = content.grids.map(({ at, changes }) => ({ at, bytes: fromBase64(changes) }));
  }

  /** Reads a file. Throws a BadRecording if it is not one. */
  static parse(text) {
    let content;
    try {
      content = JSON.parse(text);
    } catch {
      throw new BadRecording("json");
    }
    check(content);
    const recording = new Recording(content);
    recording.at(recording.duration);
    return recording;
  }

  get duration() {
    return Math.max(this.#content.reports.at(-1).at, this.#content.grids.at(-1).at);
  }

  get recorded() {
    return new Date(this.#content.recorded);
  }

  get slot() {
    return this.#content.slot;
  }

  /** Returns the content of a file. */
  toText() {
    return JSON.stringify(this.#content);
  }

  /** Returns the last report before a time, and the grid at that time. */
  at(ms) {
    const { reports } = this.#content;
    const { seconds, turns } = reports[Math.max(0, countBefore(reports, ms) - 1)];
    const number = Math.max(1, countBefore(this.#grids, ms));
    if (number < this.#made.number) this.#made = { number: 0, cells: new Uint8Array(0) };
    let { cells } = this.#made;
    for (let each = this.#made.number; each < number; each++) {
      try {
        cells = applyChanges(cells, this.#grids[each].bytes);
      } catch {
        throw new BadRecording("field", `grids[${each}].changes`);
      }
    }
    this.#made = { number, cells };
    return { report: turns, seconds, cells };
  }
}

/** Returns how many of these are not after a time. */
function countBefore(list, ms) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

function check(content) {
  const need = (isSo, what) => { if (!isSo) throw new BadRecording("field", what); };
  const isNumber = (value) => typeof value === "number" && Number.isFinite(value) && value >= 0;
  const isNumbers = (value, length) => Array.isArray(value) && value.length === length && value.every(isNumber);
  if (content === null || typeof content !== "object" || content.format !== FORMAT) throw new BadRecording("format");
  if (content.version !== VERSION) throw new BadRecording("version", String(content.version));
  need(typeof content.recorded === "string" && !Number.isNaN(Date.parse(content.recorded)), "recorded");
  for (const name of ["loop", "loops", "slot"]) need(Number.isInteger(content[name]) && content[name] >= 0, name);
  for (const list of ["reports", "grids"]) {
    need(Array.isArray(content[list]) && content[list].length > 0 && content[list].length <= MOST_ENTRIES, list);
    content[list].forEach((entry, number) => {
      const before = number ? content[list][number - 1].at : 0;
      need(isNumber(entry?.at) && entry.at >= before && entry.at <= LONGEST_MS, `${list}[${number}].at`);
    });
  }
  content.grids.forEach(({ changes }, number) => {
    need(typeof changes === "string" && /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(changes), `grids[${number}].changes`);
  });
  content.reports.forEach(({ seconds, turns }, number) => {
    const place = (name) => `reports[${number}].${name}`;
    need(isNumber(seconds), place("seconds"));
    need(turns !== null && typeof turns === "object", place("turns"));
    for (const name of NUMBERS) need(isNumber(turns[name]), place(`turns.${name}`));
    need(Array.isArray(turns.phases) && turns.phases.length === 3 && turns.phases.every((turn) => isNumbers(turn, 7)), place("turns.phases"));
    need(Array.isArray(turns.counts) && turns.counts.length === COUNTED.length
      && turns.counts.every((counted, at) => Array.isArray(counted) && counted[0] === COUNTED[at] && isNumbers(counted.slice(1), 2)), place("turns.counts"));
    need(typeof turns.pace === "string" && /^(free|held|\d{1,5})$/.test(turns.pace), place("turns.pace"));
  });
}

function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 1 << 15) text += String.fromCharCode(...bytes.subarray(at, at + (1 << 15)));
  return btoa(text);
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
