// One connection as a sequence diagram: the lifelines of the peer and of the server, an arrow for
// each frame, and a note for each change of the state. The oldest step is at the top.

import { bytes, count, element, stateName, t, violation } from "./page.js";

const SHOWN_STEPS = 300;
const OPCODES = { 0: "CONTINUATION", 1: "TEXT", 2: "BINARY", 8: "CLOSE", 9: "PING", 10: "PONG" };

export class Sequence {
  #box;
  #list;
  #begun = 0;
  #waiting = [];
  #frame = 0;

  /** `box` scrolls, and contains the list of steps. */
  constructor(box, list) {
    [this.#box, this.#list] = [box, list];
  }

  /** Begins with a connection that is in a state. */
  begin(state) {
    this.#waiting = [];
    this.#list.replaceChildren();
    this.#begun = performance.now();
    this.#append(note("state", t("loop.follows_in", { state: stateName(state) })));
  }

  /** Adds a step of the trace. */
  add(step) {
    const at = performance.now() - this.#begun;
    const [[kind, content]] = Object.entries(step);
    this.#append(kinds[kind](content, at));
  }

  /** Says that steps are missing, or that the connection has ended. */
  note(text) {
    this.#append(note("missing", text));
  }

  // A connection may take thousands of steps in a second: they are shown together.
  #append(item) {
    this.#waiting.push(item);
    if (this.#waiting.length > SHOWN_STEPS) this.#waiting.shift();
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const isAtEnd = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 48;
      this.#list.append(...this.#waiting);
      this.#waiting = [];
      while (this.#list.childElementCount > SHOWN_STEPS) this.#list.firstElementChild.remove();
      if (isAtEnd) this.#box.scrollTop = this.#box.scrollHeight;
    });
  }
}

const kinds = {
  handshake: ({ side, text }, at) => arrow(side, at, [element("b", {}, text ?? t(side === "peer" ? "loop.request" : "loop.response"))]),
  frame({ side, opcode, fin, masked, compressed, length, text, code }, at) {
    const more = [bytes(length), masked && t("loop.masked"), compressed && t("loop.compressed"), !fin && t("loop.more_follows")];
    const content = text !== undefined ? ` ${JSON.stringify(text)}` : code !== undefined ? ` ${code}` : "";
    return arrow(side, at, [element("b", {}, OPCODES[opcode]), content, " ", element("span", { class: "soft" }, more.filter(Boolean).join(t("shell.comma")))]);
  },
  payload: ({ length }, at) => arrow("peer", at, [element("span", { class: "soft" }, t("loop.more_payload", { bytes: bytes(length) }))], "part"),
  violation: (step) => note("violation", violation(step)),
  state: ({ from, to }) => note("state", `${stateName(from)} → ${stateName(to)}`),
};

function arrow(side, at, label, kind = "whole") {
  const seconds = count(at / 1000, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return element("li", { class: "arrow", "data-side": side, "data-kind": kind },
    element("span", { class: "what" }, ...label, " ", element("time", {}, t("loop.seconds", { seconds }))),
    element("i", { "aria-hidden": "true" }));
}

const note = (kind, text) => element("li", { class: "note", "data-kind": kind }, element("span", {}, text));
