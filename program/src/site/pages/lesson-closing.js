// Closing: who says goodbye, who hangs up, and which code the other side gets.

import { OPCODES, closePayload, frame, typedHex, utf8 } from "./bytes.js";
import { answer, closedText, tries } from "./drawing.js";
import { CLOSE, DEAF, FIN, open, pause, send, wait } from "./lab.js";
import { element, t } from "./page.js";

const LONGEST_REASON = 123;

const closeFrame = (code, reason = []) => frame({ opcode: OPCODES.CLOSE, payload: code === null ? [] : closePayload(code, reason) });

/** What the application at the server gets. */
const codeAtServer = (run) => (run.closed ? String(run.closed.code) : null);

/** Who ends TCP: the server's FIN is awaited, or the client's goes first. */
const first = {
  key: "first",
  choices: ["server", "client", "nobody"],
  build(stage) {
    stage.box.append(stage.button(t("learn.closing.say_goodbye"), act, { id: "first-send" }));

    async function act() {
      // The client never ends its own side: only what the server does counts.
      const steps = [...open(), send(closeFrame(1000, utf8("bye"))), wait([0x88])];
      const run = await stage.run(steps, { within: 1_500 });
      if (!run) return;
      stage.show(run, steps);
      if (run.ended.how === "closed" && run.fin !== null) stage.conclude("server");
      else stage.conclude(run.ended.how === "time" ? "nobody" : null);
    }
  },
};

/** Codes on the wire. */
const code = {
  key: "code",
  choices: ["1006", "1002", "1000"],
  build(stage) {
    const number = element("input", { id: "code-number", type: "text", inputmode: "numeric", autocomplete: "off", value: "1000" });
    const reason = element("input", { id: "code-reason", type: "text", autocomplete: "off", value: "bye", maxlength: "123" });
    const asHex = element("input", { type: "checkbox", id: "code-hex" });
    const problem = element("p", { class: "problem", role: "alert" });
    const list = tries([t("learn.closing.you_sent"), t("learn.closing.server_sent"), t("learn.closing.section")]);
    const some = ["1000", "1005", "1006", "999", "3000", "4999"].map((value) =>
      stage.button(value, () => {
        number.value = value;
        stage.announce(value);
      }, { id: `code-${value}`, kind: "plain" }));
    stage.box.append(
      element("div", { class: "row wrap", role: "group", "aria-label": t("learn.closing.some_codes") }, ...some),
      element("div", { class: "fields wide" },
        element("div", {}, element("label", { for: "code-number" }, t("learn.closing.code_label")), number),
        element("div", {}, element("label", { for: "code-reason" }, t("learn.closing.reason")), reason)),
      element("label", { class: "check", for: "code-hex" }, asHex, element("span", {}, t("learn.closing.as_hex"))),
      problem, stage.button(t("learn.closing.send_close"), act, { id: "code-send" }), list.node);

    async function act() {
      const value = number.value.trim();
      const bytes = asHex.checked ? typedHex(reason.value) : utf8(reason.value);
      const isNumber = value === "" || (/^\d{1,5}$/.test(value) && Number(value) <= 65_535);
      const isReason = bytes !== null && bytes.length <= LONGEST_REASON;
      number.setAttribute("aria-invalid", String(!isNumber));
      reason.setAttribute("aria-invalid", String(!isReason));
      problem.textContent = !isNumber ? t("learn.closing.bad_code") : !isReason ? t("learn.closing.bad_reason") : "";
      if (!isNumber || !isReason) return;
      const steps = [...open(), send(value === "" ? closeFrame(null) : closeFrame(Number(value), bytes))];
      const run = await stage.run(steps, { within: 1_500 });
      if (!run) return;
      stage.show(run, steps);
      const { kind, code: back, section } = answer(run);
      const said = kind === "close" ? (back === null ? t("learn.closing.no_code") : String(back)) : t("learn.closing.nothing");
      list.add(value === "" ? t("learn.closing.no_code") : value, said, section ?? "–");
      stage.announce(said);
      if (value === "1006" && kind === "close") stage.conclude(String(back));
    }
  },
};

/** Other ends. Each is a list of steps after the handshake. */
const TEXT = frame({ payload: utf8("hi") });
const ENDS = {
  fin: [FIN],
  no_code: [send(closeFrame(null))],
  after: [send(closeFrame(1000)), wait([0x88]), pause(50), send(TEXT)],
  // The echo is there and unread when the program dies.
  reset: [DEAF, send(TEXT), pause(100), CLOSE],
  silent: [send(TEXT), wait([0x81, 0x02])],
};

const lost = {
  key: "lost",
  choices: ["1000", "1005", "1006"],
  build(stage) {
    const list = tries([t("learn.closing.end"), t("learn.closing.server_notes"), t("learn.closing.server_code")]);
    stage.box.append(
      element("div", { class: "row wrap" }, ...Object.keys(ENDS).map((name, at) =>
        stage.button(t(`learn.closing.ends.${name}`), () => act(name), { id: `lost-${name}`, kind: at === 0 ? "primary" : "" }))),
      list.node);

    async function act(name) {
      const steps = [...open(), ...ENDS[name]];
      const run = await stage.run(steps, { within: 1_200 });
      if (!run) return;
      stage.show(run, steps);
      const isOpen = run.ended.how === "time";
      const noted = isOpen ? t("learn.closing.still_open") : run.closed ? closedText(run.closed) : "–";
      list.add(t(`learn.closing.ends.${name}`), noted, isOpen ? "–" : codeAtServer(run) ?? "–");
      stage.announce(noted);
      if (name === "fin") stage.conclude(codeAtServer(run));
    }
  },
};

export default { key: "closing", questions: [first, code, lost] };
