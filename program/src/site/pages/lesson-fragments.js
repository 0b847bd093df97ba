// Fragments: a message in pieces, and what may stand between them.

import { OPCODES, frame, textOf, utf8 } from "./bytes.js";
import { answer, serverFrames } from "./drawing.js";
import { open, pause, send } from "./lab.js";
import { element, t } from "./page.js";

/** The time between two pieces: the server has seen one before the next comes. */
const BETWEEN_MS = 20;
const MOST_PIECES = 8;

const { CONTINUATION, TEXT, PING } = OPCODES;
const PIECES = {
  first: { fin: 0, opcode: TEXT, payload: utf8("hel") },
  last: { fin: 1, opcode: CONTINUATION, payload: utf8("lo") },
  ping: { fin: 1, opcode: PING, payload: utf8("?") },
  second: { fin: 1, opcode: TEXT, payload: utf8("hi") },
  left: { fin: 0, opcode: TEXT, payload: Uint8Array.of(0xc3) },
  right: { fin: 1, opcode: CONTINUATION, payload: Uint8Array.of(0xa9) },
  long_ping: { fin: 1, opcode: PING, payload: new Uint8Array(126).fill(0x3f) },
  cut_ping: { fin: 0, opcode: PING, payload: utf8("?") },
};

/**
 * A list of pieces, which the reader orders and sends. `extra` can be added. `conclude` gets the
 * names of the pieces and the run, and returns what has happened, or undefined if that does not
 * answer the question.
 */
function composer(stage, id, begin, extra, conclude) {
  let names = [...begin];
  const list = element("ol", { class: "pieces wide" });
  const add = element("div", { class: "row wrap" }, ...extra.map((name) =>
    stage.button(t("learn.fragments.add", { piece: t(`learn.fragments.pieces.${name}`) }), () => {
      if (names.length < MOST_PIECES) names.push(name);
      draw(names.length - 1);
      stage.announce(t("learn.fragments.added", { piece: t(`learn.fragments.pieces.${name}`) }));
    }, { id: `${id}-add-${name}`, kind: "plain" })));
  stage.box.append(list, add, element("div", { class: "row" },
    stage.button(t("learn.fragments.send"), act, { id: `${id}-send` }),
    stage.button(t("learn.fragments.reset"), () => {
      names = [...begin];
      draw();
    }, { id: `${id}-reset`, kind: "" })));

  function move(at, to) {
    [names[at], names[to]] = [names[to], names[at]];
    draw(to, to < at ? "up" : "down");
    stage.announce(t("learn.fragments.moved", { piece: t(`learn.fragments.pieces.${names[to]}`), place: to + 1 }));
  }

  function draw(focus = null, button = "up") {
    list.replaceChildren(...names.map((name, at) => {
      const { fin, opcode } = PIECES[name];
      const piece = t(`learn.fragments.pieces.${name}`);
      const control = (kind, sign, label, act) => {
        const node = element("button", { type: "button", class: "plain", "data-act": kind, "aria-label": label }, sign);
        node.addEventListener("click", act);
        return node;
      };
      return element("li", { class: "piece", "data-piece": name },
        element("span", { class: "piece-what" }, element("b", {}, piece), element("code", { class: "tiny", translate: "no" }, `FIN ${fin}, opcode 0x${opcode.toString(16)}`)),
        control("up", "↑", t("learn.fragments.up", { piece }), () => { if (at > 0) move(at, at - 1); }),
        control("down", "↓", t("learn.fragments.down", { piece }), () => { if (at < names.length - 1) move(at, at + 1); }),
        control("remove", "×", t("learn.fragments.remove", { piece }), () => {
          names.splice(at, 1);
          draw(Math.min(at, names.length - 1), "remove");
        }));
    }));
    // At the ends of the list, the other direction gets the focus.
    const node = focus === null ? null : list.children[focus];
    node?.querySelector(`[data-act="${button}"]`)?.focus();
  }

  async function act() {
    const sent = [...names];
    const steps = [...open(), ...sent.flatMap((name, at) => [...(at ? [pause(BETWEEN_MS)] : []), send(frame(PIECES[name]))])];
    const run = await stage.run(steps, { within: 600 + BETWEEN_MS * sent.length });
    if (!run) return;
    stage.show(run, steps);
    const happened = conclude(sent, run);
    if (happened !== undefined) stage.conclude(happened);
  }

  draw();
}

const isBefore = (names, ...order) => order.every((name, at) => names.includes(name) && (at === 0 || names.indexOf(order[at - 1]) < names.indexOf(name)));

/** The names of what came from the server, in order: the opcodes of frames. */
const came = (run) => serverFrames(run).map(({ frame: { opcode } }) => opcode);

const ping = {
  key: "ping",
  choices: ["pong", "echo", "1002"],
  build(stage) {
    composer(stage, "ping", ["first", "last", "ping"], ["ping", "long_ping", "cut_ping"], (names, run) => {
      if (names.length !== 3 || !isBefore(names, "first", "ping", "last")) return undefined;
      const { kind, code } = answer(run);
      if (kind === "close") return String(code);
      const opcodes = came(run).filter((opcode) => opcode === OPCODES.PONG || opcode === TEXT);
      if (opcodes.length < 2) return null;
      return opcodes[0] === OPCODES.PONG ? "pong" : "echo";
    });
  },
};

const second = {
  key: "second",
  choices: ["both", "joined", "1002"],
  build(stage) {
    composer(stage, "second", ["first", "last", "second"], ["second", "ping"], (names, run) => {
      if (names.length !== 3 || !isBefore(names, "first", "second", "last")) return undefined;
      const { kind, code } = answer(run);
      if (kind === "close") return String(code);
      const texts = serverFrames(run).filter(({ frame: { opcode } }) => opcode === TEXT).map(({ frame: { payload } }) => textOf(payload));
      if (texts.includes("hello") && texts.includes("hi")) return "both";
      return texts.includes("helhilo") ? "joined" : null;
    });
  },
};

const split = {
  key: "split",
  choices: ["echo", "1007", "1002"],
  build(stage) {
    composer(stage, "split", ["left", "right"], ["left", "right", "ping"], (names, run) => {
      if (names.join() !== "left,right" && names.join() !== "left,ping,right") return undefined;
      const { kind, code } = answer(run);
      if (kind === "close") return String(code);
      const echo = serverFrames(run).find(({ frame: { opcode } }) => opcode === TEXT);
      return echo && textOf(echo.frame.payload) === "é" ? "echo" : null;
    });
  },
};

export default { key: "fragments", questions: [ping, second, split] };
