// Frames: a frame whose every bit the reader can flip.

import { OPCODES, bits, concat, mask, randomKey, textOf, toHex, typedHex, utf8 } from "./bytes.js";
import { answer, groups, headerBits, opcodeName, tries } from "./drawing.js";
import { open, send } from "./lab.js";
import { element, t } from "./page.js";

const LONGEST = 120;

/** Numbers of the bits, as in the picture of RFC 6455, section 5.2. */
const MASK_BIT = 8;

/** Returns the bytes of a frame, in the groups in which it is drawn. */
function parts({ first, second, key, payload }) {
  const isMasked = second >> 7 === 1;
  const extended = new Uint8Array({ 126: 2, 127: 8 }[second & 127] ?? 0);
  if (extended.length) extended[extended.length - 1] = payload.length;
  return { head: Uint8Array.of(first, second), extended, key: isMasked ? key : new Uint8Array(), wire: isMasked ? mask(payload, key) : payload };
}

/** What the reader reads of the two bytes. */
function meaning({ first, second }, length) {
  const rsv = (first >> 4) & 7;
  const opcode = first & 15;
  const declared = second & 127;
  return [
    ["FIN", first >> 7 ? t("learn.frame.means.last") : t("learn.frame.means.more")],
    ["RSV", rsv ? t("learn.frame.means.reserved") : t("learn.frame.means.zero")],
    ["opcode", `0x${opcode.toString(16)}: ${opcodeName(opcode).startsWith("0x") ? t("learn.frame.means.no_opcode") : opcodeName(opcode)}`],
    ["MASK", second >> 7 ? t("learn.frame.means.masked") : t("learn.frame.means.unmasked")],
    ["length", declared > 125 ? t("learn.frame.means.elsewhere", { bits: declared === 126 ? 16 : 64 })
      : declared === length ? t("learn.frame.means.bytes", { count: declared }) : t("learn.frame.means.lie", { declared, length })],
  ];
}

/**
 * The builder. `fits` says whether a frame answers the question, and `outcome` what has happened.
 */
function builder(stage, id, fits, outcome) {
  const state = { first: 0x81, second: 0x80, key: randomKey(), payload: utf8("hello"), isAutomatic: true };
  const list = tries([t("learn.frame.frame"), t("learn.frame.answer"), t("learn.frame.section")]);
  const bitBox = element("div", {});
  const bytesBox = element("div", {});
  const meaningBox = element("dl", { class: "reading" });
  const problem = element("p", { class: "problem", role: "alert" });
  const field = (name, label, value, attributes = {}) => {
    const input = element("input", { type: "text", id: `${id}-${name}`, autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...attributes });
    input.value = value;
    input.addEventListener("input", read);
    return { input, node: element("div", {}, element("label", { for: input.id }, label), input) };
  };
  const text = field("payload", t("learn.frame.payload"), "hello", { maxlength: String(LONGEST) });
  const key = field("key", t("learn.frame.key"), toHex(state.key), { maxlength: "11" });
  const asHex = element("input", { type: "checkbox", id: `${id}-hex` });
  asHex.addEventListener("change", () => {
    const bytes = state.payload;
    // What is shown stays the same bytes, if they are text.
    text.input.value = asHex.checked ? toHex(bytes).replace(/(..)(?=.)/g, "$1 ") : textOf(bytes) ?? "";
    read();
  });
  const automatic = element("input", { type: "checkbox", id: `${id}-automatic` });
  automatic.checked = true;
  automatic.addEventListener("change", () => {
    state.isAutomatic = automatic.checked;
    draw();
  });
  const check = (input, label) => element("label", { class: "check", for: input.id }, input, element("span", {}, label));
  const sendButton = stage.button(t("learn.frame.send"), act, { id: `${id}-send` });
  const reset = stage.button(t("learn.frame.reset"), () => {
    Object.assign(state, { first: 0x81, second: 0x80, isAutomatic: true });
    automatic.checked = true;
    asHex.checked = false;
    text.input.value = "hello";
    key.input.value = toHex(state.key);
    read();
  }, { id: `${id}-reset`, kind: "" });
  stage.box.append(bitBox, meaningBox,
    element("div", { class: "fields wide" }, text.node, key.node),
    check(asHex, t("learn.frame.as_hex")), check(automatic, t("learn.frame.automatic")), problem,
    element("div", { class: "wide" }, element("p", { class: "small label" }, t("learn.frame.whole")), bytesBox),
    element("div", { class: "row" }, sendButton, reset), list.node);

  function read() {
    const payload = asHex.checked ? typedHex(text.input.value) : utf8(text.input.value);
    const typedKey = typedHex(key.input.value);
    const isPayload = payload !== null && payload.length <= LONGEST;
    const isKey = typedKey?.length === 4;
    problem.textContent = isPayload ? (isKey ? "" : t("learn.frame.bad_key")) : t("learn.frame.bad_payload", { count: LONGEST });
    text.input.setAttribute("aria-invalid", String(!isPayload));
    key.input.setAttribute("aria-invalid", String(!isKey));
    if (isPayload) state.payload = payload;
    if (isKey) state.key = typedKey;
    draw();
  }

  function flip(bit) {
    if (bit < MASK_BIT) state.first ^= 0x80 >> bit;
    else state.second ^= 0x80 >> (bit - MASK_BIT);
    if (bit > MASK_BIT) {
      state.isAutomatic = false;
      automatic.checked = false;
    }
    draw(bit);
  }

  function draw(focus = null) {
    if (state.isAutomatic) state.second = (state.second & 0x80) | state.payload.length;
    bitBox.replaceChildren(headerBits([state.first, state.second], flip));
    meaningBox.replaceChildren(...meaning(state, state.payload.length).flatMap(([term, what]) => [element("dt", { translate: "no" }, term), element("dd", {}, what)]));
    const { head, extended, key: used, wire } = parts(state);
    bytesBox.replaceChildren(groups([
      { label: t("learn.lesson.first_bytes"), kind: "opcode", bytes: head }, { label: t("learn.lesson.extended"), kind: "length", bytes: extended },
      { label: t("learn.lesson.key"), kind: "key", bytes: used }, { label: t("learn.lesson.payload"), kind: "payload", bytes: wire },
    ]));
    if (focus !== null) bitBox.querySelector(`[data-bit="${focus}"]`).focus();
  }

  async function act() {
    const { head, extended, key: used, wire } = parts(state);
    const frame = { ...state, payload: state.payload.slice() };
    const steps = [...open(), send(concat(head, extended, used, wire))];
    const run = await stage.run(steps, { within: 900 });
    if (!run) return;
    stage.show(run, steps);
    const { kind, code, section } = answer(run);
    const said = { echo: t("learn.frame.said.echo"), close: t("learn.frame.said.close", { code: String(code) }), nothing: t("learn.frame.said.nothing") }[kind];
    list.add(summary(frame), said, section ?? "–");
    stage.announce(said);
    if (fits(facts(frame))) stage.conclude(outcome({ kind, code }));
  }

  read();
}

/** What a frame is, for the conditions of the questions. */
function facts({ first, second, payload }) {
  const declared = second & 127;
  const opcode = first & 15;
  return {
    rsv: (first >> 4) & 7, opcode, declared, payload,
    isWhole: first >> 7 === 1, isMasked: second >> 7 === 1, isLengthTrue: declared === payload.length,
    isText: opcode === OPCODES.TEXT, isUtf8: textOf(payload) !== null,
  };
}

function summary({ first, second, payload }) {
  const flags = `${bits(first).slice(0, 4)} ${bits(first).slice(4)} ${bits(second)[0]}`;
  return element("code", { translate: "no" }, `${flags} ${second & 127} ${toHex(payload.slice(0, 6))}${payload.length > 6 ? "…" : ""}`);
}

const outcome = ({ kind, code }) => (kind === "close" ? String(code) : kind);

const reserved = {
  key: "reserved",
  choices: ["echo", "1002", "nothing"],
  build(stage) {
    builder(stage, "reserved", ({ rsv, isText, isWhole, isMasked, isLengthTrue, isUtf8 }) => rsv > 0 && isText && isWhole && isMasked && isLengthTrue && isUtf8, outcome);
  },
};

const length = {
  key: "length",
  choices: ["echo", "1002", "nothing"],
  build(stage) {
    builder(stage, "length", ({ rsv, isText, isWhole, isMasked, declared, payload }) => rsv === 0 && isText && isWhole && isMasked && declared > payload.length && declared < 126, outcome);
  },
};

const encoding = {
  key: "encoding",
  choices: ["echo", "1002", "1007"],
  build(stage) {
    builder(stage, "encoding", ({ rsv, isText, isWhole, isMasked, isLengthTrue, isUtf8 }) => rsv === 0 && isText && isWhole && isMasked && isLengthTrue && !isUtf8, outcome);
  },
};

export default { key: "frame", questions: [reserved, length, encoding] };
