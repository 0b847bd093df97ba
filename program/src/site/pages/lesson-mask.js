// Masking: what a key does to a payload, and why a client needs one.

import { OPCODES, bits, concat, frame, fromHex, hex, mask, randomKey, textOf, utf8 } from "./bytes.js";
import { byteRows, serverFrames } from "./drawing.js";
import { CLOSE, open, send, wait } from "./lab.js";
import { element, t } from "./page.js";

const LETTER = "H";
const KEY = 0x37;

const characters = (bytes) => Array.from(bytes, (byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·"));
const hexes = (bytes) => Array.from(bytes, hex);

/** The same payload, twice. */
const same = {
  key: "same",
  choices: ["same", "different"],
  build(stage) {
    const input = element("input", { id: "same-payload", type: "text", autocomplete: "off", maxlength: "32", value: "hello" });
    stage.box.append(
      element("label", { for: "same-payload" }, t("learn.mask.payload")),
      element("div", { class: "row" }, element("div", { class: "grow" }, input), stage.button(t("learn.mask.send_twice"), act, { id: "same-send" })),
    );

    async function act() {
      const payload = utf8(input.value || "hello");
      const frames = [frame({ payload }), frame({ payload })];
      const echo = frame({ payload, key: null });
      const steps = [...open(), ...frames.map(send), wait(echo), wait(echo), CLOSE];
      const run = await stage.run(steps);
      if (!run) return;
      // What the server says that it has got, not what the page has sent.
      const came = run.trace.filter(({ kind, side, length }) => kind === "frame" && side === "peer" && length === payload.length)
        .map(({ header, wire }) => ({ key: fromHex(header.slice(-8)), wire: fromHex(wire) }));
      const back = serverFrames(run).map(({ frame: { payload: echoed } }) => echoed);
      if (came.length < 2 || back.length < 2) return stage.conclude(null);
      const drawn = came.slice(0, 2).map(({ key, wire }, at) => element("figure", {},
        element("figcaption", {}, t("learn.mask.frame_number", { number: at + 1 })),
        byteRows([
          { label: t("learn.lesson.text"), kind: "text", cells: characters(payload) },
          { label: t("learn.lesson.payload"), kind: "plain", cells: hexes(payload) },
          { label: t("learn.mask.xor_key"), kind: "key", cells: hexes(payload.map((_, byte) => key[byte % 4])) },
          { label: t("learn.mask.on_the_wire"), kind: "wire", cells: hexes(wire) },
          { label: t("learn.mask.echo"), kind: "plain", cells: hexes(back[at]) },
        ])));
      stage.draw(...drawn);
      stage.conclude(hexes(came[0].wire).join() === hexes(came[1].wire).join() ? "same" : "different");
    }
  },
};

/** One byte by hand. */
const xor = {
  key: "xor",
  choices: ["48", "37", "7f", "00"],
  build(stage) {
    const plain = utf8(LETTER)[0];
    let guess = 0;
    const row = (label, byte, kind) => element("tr", { class: kind }, element("th", { scope: "row" }, label),
      ...Array.from(bits(byte), (bit) => element("td", {}, bit)), element("td", { class: "sum" }, `0x${hex(byte)}`));
    const body = element("tbody", {});
    const result = element("p", { class: "small", "aria-live": "polite" });

    function draw(focus = null) {
      const flips = Array.from(bits(guess), (bit, at) => {
        const button = element("button", {
          type: "button", class: "bit", "data-on": bit === "1", "data-bit": at,
          "aria-label": t("learn.mask.bit", { number: at + 1, bit, letter: bits(plain)[at], key: bits(KEY)[at] }),
        }, bit);
        button.addEventListener("click", () => {
          guess ^= 0x80 >> at;
          draw(at);
        });
        return element("td", {}, button);
      });
      body.replaceChildren(
        row(t("learn.mask.letter", { letter: LETTER }), plain, "plain"),
        row(t("learn.lesson.key"), KEY, "key"),
        element("tr", { class: "wire" }, element("th", { scope: "row" }, t("learn.mask.on_the_wire")), ...flips, element("td", { class: "sum" }, `0x${hex(guess)}`)),
      );
      if (focus !== null) body.querySelector(`[data-bit="${focus}"]`).focus();
    }

    draw();
    stage.box.append(element("table", { class: "bit-table", translate: "no" }, body), stage.button(t("learn.mask.send_byte"), act, { id: "xor-send" }), result);

    async function act() {
      // The byte goes out as it is: the server applies the key to it.
      const bytes = concat(frame({ payload: [0], key: [KEY, 0, 0, 0] }).slice(0, 6), [guess]);
      const steps = [...open(), send(bytes)];
      const run = await stage.run(steps, { within: 400 });
      if (!run) return;
      stage.show(run, steps);
      const echo = serverFrames(run).find(({ frame: { opcode } }) => opcode === OPCODES.TEXT)?.frame.payload;
      const read = echo ? textOf(echo) : null;
      result.textContent = read === null ? t("learn.mask.not_text") : t("learn.mask.server_read", { letter: JSON.stringify(read) });
      if (read === LETTER) stage.conclude(hex(guess));
    }
  },
};

/** No mask at all. */
const unmasked = {
  key: "unmasked",
  choices: ["echo", "1002", "nothing"],
  build(stage) {
    const choice = element("input", { type: "checkbox", id: "unmasked-mask" });
    stage.box.append(
      element("label", { class: "check", for: "unmasked-mask" }, choice, element("span", {}, t("learn.mask.with_mask"))),
      stage.button(t("learn.mask.send_hello"), act, { id: "unmasked-send" }),
    );

    async function act() {
      const key = choice.checked ? randomKey() : null;
      const steps = [...open(), send(frame({ payload: utf8("hello"), key }))];
      const run = await stage.run(steps, { within: 800 });
      if (!run) return;
      stage.show(run, steps, { masks: true });
      if (key) return;
      const [first] = serverFrames(run);
      if (!first) stage.conclude("nothing");
      else if (first.frame.opcode === OPCODES.CLOSE) stage.conclude(String(first.frame.payload[0] * 256 + first.frame.payload[1]));
      else stage.conclude("echo");
    }
  },
};

export default { key: "mask", questions: [same, xor, unmasked] };
