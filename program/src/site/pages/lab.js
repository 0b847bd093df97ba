// The lab: sends bytes that the browser would not send, over a connection that the server makes for
// this page, and collects what comes back. The messages are those of
// program/src/site/learn/messages.rs.

import { HEAD_END, concat, fromHex, goodHeaders, request, response, toHex, utf8 } from "./bytes.js";
import { Socket } from "./socket.js";

/** The echo with which experiments talk. */
export const ECHO = "/learn/echo";

/** After the time of an experiment, its end comes within this time, or never. */
const SPARE_MS = 5_000;

/** The steps of an experiment. */
export const send = (bytes) => ({ send: toHex(typeof bytes === "string" ? utf8(bytes) : bytes) });
export const pause = (ms) => ({ pause: ms });
export const wait = (bytes) => ({ await: toHex(typeof bytes === "string" ? utf8(bytes) : bytes) });
export const DEAF = "deaf";
export const HEAR = "hear";
export const FIN = "fin";
export const CLOSE = "close";

/** The steps that open a WebSocket. */
export const open = (path = ECHO) => [send(request(path, goodHeaders(location.host))), wait(HEAD_END)];

/** What has happened in an experiment. All times are in milliseconds since it began. */
class Run {
  /** Everything in order, as it came: `{ kind, at, … }`. */
  reports = [];
  /** All bytes that came, and when each part of them did: `{ at, bytes }`. */
  received = new Uint8Array();
  arrivals = [];
  /** The times at which steps were done, by their numbers. */
  did = new Map();
  /** The number of the step that could not be done, or null. */
  failed = null;
  /** The steps of the server's side: `{ at, kind, … }`, as in the console. */
  trace = [];
  /** When the server sent FIN, or null. */
  fin = null;
  /** Why the server's side has ended: `{ at, reason, detail, code, text }`, or null. */
  closed = null;
  /** How it ended: `{ at, how }`. */
  ended = null;
  /** Why it was not run, or null. `lost` is the connection of the page. */
  refused = null;
  /** The number of reports that are not here. */
  missed = 0;

  /** Returns the response to the request at the beginning, or null. What follows it is `rest`. */
  get response() {
    return response(this.received);
  }

  add(kind, content) {
    if (kind === "missed") {
      this.missed += content;
      return;
    }
    const { at } = content;
    if (kind === "trace") {
      const [[inner, step]] = Object.entries(content).filter(([name]) => name !== "at");
      this.trace.push({ at, kind: inner, ...step });
      this.reports.push({ kind: inner, at, isTrace: true, ...step });
      return;
    }
    this.reports.push({ kind, ...content });
    if (kind === "did") this.did.set(content.step, at);
    if (kind === "failed") this.failed = content.step;
    if (kind === "got") {
      const bytes = fromHex(content.hex);
      this.arrivals.push({ at, bytes });
      this.received = concat(this.received, bytes);
    }
    if (kind === "fin") this.fin = at;
    if (kind === "closed") this.closed = content;
    if (kind === "ended") this.ended = content;
    if (kind === "refused") this.refused = content.why;
  }
}

export class Lab {
  #socket = new Socket("/learn");
  #last = 0;
  /** What runs, by number: the run, and what to call when it is over. */
  #running = new Map();

  constructor() {
    this.#socket.onMessage = (data) => {
      const [[kind, content]] = Object.entries(JSON.parse(data));
      if (kind === "missed") {
        for (const { run } of this.#running.values()) run.add(kind, content);
        return;
      }
      const on = content.on ?? Object.values(content).find((inner) => inner?.on)?.on;
      const { run, settle, onReport } = this.#running.get(on) ?? {};
      if (!run) return;
      run.add(kind, content);
      onReport(run);
      if (kind === "ended" || kind === "refused") settle();
    };
    this.#socket.onClose = () => {
      for (const { run, settle } of this.#running.values()) {
        run.refused = "lost";
        settle();
      }
    };
  }

  /**
   * Runs an experiment: returns a `Run`, when it is over. `within` is its longest time. `onReport`
   * is called for each thing that happens.
   */
  run(steps, { within = 2_000, onReport = () => {} } = {}) {
    const run = new Run();
    const on = (this.#last += 1);
    return new Promise((resolve) => {
      const settle = (why = null) => {
        clearTimeout(timer);
        this.#running.delete(on);
        if (why) run.refused = why;
        resolve(run);
      };
      const timer = setTimeout(() => settle("lost"), within + SPARE_MS);
      this.#running.set(on, { run, settle: () => settle(), onReport });
      if (!this.#socket.send(JSON.stringify({ run: { on, steps, within } }))) settle("lost");
    });
  }
}
