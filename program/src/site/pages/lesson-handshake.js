// The opening handshake: a request by hand, and the accept key step by step.

import { GUID, base64Groups, bits, goodHeaders, hex, randomAccessKey, request, sha1, utf8 } from "./bytes.js";
import { groups, tries } from "./drawing.js";
import { ECHO, send } from "./lab.js";
import { element, t } from "./page.js";

const VERSION = "Sec-WebSocket-Version";
const KEY = "Sec-WebSocket-Key";

/** Lines of a head, the first one and the names of headers marked. */
function head(text) {
  const lines = text.split("\r\n").map((line, at) => {
    const colon = line.indexOf(":");
    return at === 0 || colon < 0 ? [element("b", {}, `${line}\n`)] : [element("b", {}, line.slice(0, colon)), `${line.slice(colon)}\n`];
  });
  return element("pre", { class: "head", translate: "no", tabindex: "0" }, ...lines.flat());
}

const shownHead = (label, ...nodes) => element("figure", {}, element("figcaption", {}, label), ...nodes);

/**
 * A request whose lines can be left out and changed. `fits` says whether it answers the question.
 */
function editor(stage, id, fits) {
  const lines = goodHeaders(location.host).map(([name, value]) => ({ name, value, good: value, isSent: true }));
  const list = tries([t("learn.handshake.changed"), t("learn.handshake.answered")]);
  const rows = lines.map((line) => {
    const box = element("input", { type: "checkbox", id: `${id}-${line.name}-sent`, "aria-label": t("learn.handshake.send_line", { name: line.name }) });
    const input = element("input", { type: "text", id: `${id}-${line.name}`, autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: "200" });
    box.checked = true;
    input.value = line.value;
    box.addEventListener("change", () => { line.isSent = box.checked; });
    // A line break would begin another header.
    input.addEventListener("input", () => { line.value = input.value.replace(/[\r\n]/g, ""); });
    return element("div", { class: "header-line" }, box, element("label", { for: input.id, translate: "no" }, `${line.name}:`), input);
  });
  stage.box.append(
    element("div", { class: "request-editor wide" }, element("p", { class: "mono", translate: "no" }, `GET ${ECHO} HTTP/1.1`), ...rows),
    stage.button(t("learn.handshake.send"), act, { id: `${id}-send` }),
    list.node,
  );

  async function act() {
    const sent = request(ECHO, lines.filter(({ isSent }) => isSent).map(({ name, value }) => [name, value]));
    const run = await stage.run([send(sent)], { within: 400 });
    if (!run) return;
    const { response } = run;
    const changes = lines.filter(({ isSent, value, good }) => !isSent || value !== good)
      .map(({ name, value, isSent }) => (isSent ? `${name}: ${value}` : t("learn.handshake.without", { name })));
    const answered = response ? response.line.replace(/^HTTP\/1\.1 /, "") : t("learn.handshake.no_answer");
    list.add(changes.join("; ") || t("learn.handshake.nothing_changed"), answered);
    const reason = response && response.status !== 101 ? new TextDecoder().decode(response.rest).trim() : "";
    stage.draw(
      shownHead(t("learn.handshake.you_sent"), head(sent.trimEnd())),
      shownHead(t("learn.handshake.server_sent"), head(response ? response.head : ""), ...(reason ? [element("p", { class: "small", lang: "en" }, reason)] : [])),
    );
    stage.announce(answered);
    const line = (name) => lines.find((one) => one.name === name);
    const isGood = (one) => one.isSent && one.value === one.good;
    if (response && fits(line, isGood, lines)) stage.conclude(String(response.status));
  }
}

const version = {
  key: "version",
  choices: ["101", "400", "426"],
  build(stage) {
    editor(stage, "version", (line, isGood, lines) => {
      const { isSent, value } = line(VERSION);
      return isSent && value.trim() !== "13" && lines.every((one) => one.name === VERSION || isGood(one));
    });
  },
};

const key = {
  key: "key",
  choices: ["101", "400", "426"],
  build(stage) {
    editor(stage, "key", (line, isGood, lines) => !line(KEY).isSent && lines.every((one) => one.name === KEY || isGood(one)));
  },
};

// ---- The accept key

const words = (five) => five.map((word) => word.toString(16).padStart(8, "0"));

/** The five words of SHA-1 after a round that the reader chooses. */
function rounds(blocks) {
  const all = blocks.flatMap(({ before, rounds: of, after }, block) => [
    ...(block === 0 ? [{ label: t("learn.handshake.begin"), five: before }] : []),
    ...of.map((five, at) => ({ label: t("learn.handshake.round", { round: at + 1, block: block + 1 }), five })),
    { label: t("learn.handshake.block_done", { block: block + 1 }), five: after },
  ]);
  const input = element("input", { type: "range", id: "accept-round", min: "0", max: String(all.length - 1), value: "0" });
  const label = element("span", { class: "small", "aria-hidden": "true" });
  const row = element("tr", {});
  const show = () => {
    const { label: text, five } = all[Number(input.value)];
    label.textContent = text;
    input.setAttribute("aria-valuetext", text);
    row.replaceChildren(...words(five).map((word) => element("td", {}, word)));
  };
  input.addEventListener("input", show);
  show();
  return element("div", { class: "rounds" },
    element("label", { for: "accept-round" }, t("learn.handshake.rounds", { count: blocks.length * 80 })), input, label,
    element("div", { class: "words", translate: "no", tabindex: "0", role: "group", "aria-label": t("learn.handshake.five_words") },
      element("table", {}, element("tbody", {}, row))));
}

/** A group of three bytes, which base64 cuts into four times six bits. */
function base64Steps(digest) {
  const all = base64Groups(digest);
  const select = element("select", { id: "accept-group" }, ...all.map(({ bytes, letters }, at) =>
    element("option", { value: String(at) }, `${Array.from(bytes, hex).join(" ")} → ${letters}`)));
  const picture = element("div", { class: "sixes", translate: "no" });
  const show = () => {
    const { bytes, sixes, letters } = all[Number(select.value)];
    picture.replaceChildren(
      element("div", { class: "cut" }, ...bytes.map((byte) => element("span", { class: "eight" }, element("small", {}, hex(byte)), bits(byte)))),
      element("div", { class: "cut" }, ...sixes.map((six, at) => element("span", { class: "six" }, six, element("small", {}, `${parseInt(six, 2)} → ${letters[at]}`)))));
  };
  select.addEventListener("change", show);
  show();
  return element("div", { class: "stack" }, element("label", { for: "accept-group" }, t("learn.handshake.groups")), select, picture);
}

const accept = {
  key: "accept",
  choices: ["public", "password", "random"],
  build(stage) {
    const input = element("input", { type: "text", id: "accept-key", autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: "200" });
    const steps = element("ol", { class: "accept-steps" });
    const next = stage.button(t("learn.handshake.next"), step, { id: "accept-next" });
    let made = null;
    let shown = 0;
    input.value = randomAccessKey();
    const another = stage.button(t("learn.handshake.another"), () => { input.value = randomAccessKey(); }, { id: "accept-another", kind: "" });
    stage.box.append(
      element("label", { for: "accept-key" }, t("learn.handshake.your_key")),
      element("div", { class: "row wide" }, element("div", { class: "grow" }, input), another),
      stage.button(t("learn.handshake.ask"), ask, { id: "accept-ask" }), steps, next);
    next.hidden = true;

    /** Asks twice with the same key: whether chance plays a part shows only then. */
    async function ask() {
      const sent = send(request(ECHO, goodHeaders(location.host, input.value)));
      const runs = [await stage.run([sent], { within: 150 }), await stage.run([sent], { within: 150 })];
      if (runs.includes(null)) return;
      const answers = runs.map(({ response }) => response?.header("Sec-WebSocket-Accept") ?? null);
      if (answers.includes(null)) {
        stage.draw(shownHead(t("learn.handshake.server_sent"), head(runs[0].response?.head ?? "")));
        return;
      }
      stage.draw();
      const whole = utf8(input.value + GUID);
      const { digest, blocks } = sha1(whole);
      made = { key: input.value, whole, digest, blocks, answers };
      shown = 0;
      steps.replaceChildren();
      next.hidden = false;
      show(t("learn.handshake.step_server"), element("p", { class: "mono result", translate: "no" }, `Sec-WebSocket-Accept: ${answers[0]}`),
        element("p", { class: "small soft" }, answers[0] === answers[1] ? t("learn.handshake.twice_same") : t("learn.handshake.twice_different")));
      next.focus();
    }

    function show(title, ...nodes) {
      steps.append(element("li", {}, element("h4", {}, title), ...nodes));
      stage.announce(title);
    }

    function step() {
      const { key: own, whole, digest, blocks, answers } = made;
      const ascii = (from, to) => Array.from(whole.slice(from, to), (byte) => String.fromCharCode(byte));
      const own8 = utf8(own).length;
      const acts = [
        () => show(t("learn.handshake.step_join"), groups([
          { label: t("learn.handshake.key_bytes", { count: own8 }), kind: "key", bytes: whole.slice(0, own8), characters: ascii(0, own8) },
          { label: t("learn.handshake.known_bytes", { count: GUID.length }), kind: "opcode", bytes: whole.slice(own8), characters: ascii(own8) },
        ])),
        () => show(t("learn.handshake.step_sha1"), rounds(blocks), groups([{ label: t("learn.handshake.digest"), kind: "length", bytes: digest }])),
        () => show(t("learn.handshake.step_base64"), base64Steps(digest)),
        () => {
          const own64 = base64Groups(digest).map(({ letters }) => letters).join("");
          const isSame = own64 === answers[0];
          show(isSame ? t("learn.handshake.step_same") : t("learn.handshake.step_different"),
            element("p", { class: "mono result", translate: "no" }, own64), element("p", { class: "mono result", translate: "no" }, answers[0]));
          stage.conclude(isSame ? "public" : answers[0] === answers[1] ? "password" : "random");
          stage.toVerdict();
          next.hidden = true;
        },
      ];
      acts[shown]();
      shown += 1;
    }
  },
};

export default { key: "handshake", questions: [version, key, accept] };
