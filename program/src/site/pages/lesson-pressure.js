// Backpressure: one side stops reading, and the bytes pile up somewhere.

import { OPCODES, textOf } from "./bytes.js";
import { serverFrames } from "./drawing.js";
import { CLOSE, DEAF, HEAR, open, pause, wait } from "./lab.js";
import { Wire, lines, rest, size, table } from "./measured.js";
import { count, element, randomId, t } from "./page.js";

const CHUNK = new Uint8Array(256 * 1024);
const MOST_CHUNKS = 120;
const CHUNK_MS = 20;
/** The kernel's buffers are full when the browser has passed on nothing for so many chunks. */
const MOST_WAITING = 20;
/** How the last message of a feed begins. */
const NEWEST = "120 ";

/** Watches what happens under a token. */
async function watch(stage, token) {
  const wire = await Wire.open(`/learn/slow?for=${token}`).catch(() => null);
  if (!wire) stage.problem(t("learn.lesson.refused.lost"));
  return wire;
}

/** Lets the lab open a feed and not read. Returns what happened, or null. */
async function feed(stage, policy, steps, within, onReport) {
  if (!stage.mayRun()) return null;
  const token = randomId();
  const wire = await watch(stage, token);
  if (!wire) return null;
  const fed = [];
  let over = null;
  const begun = performance.now();
  wire.onMessage = (kind, content) => {
    if (kind === "fed") fed.push({ at: performance.now() - begun, ...content });
    if (kind === "over") over ??= { at: performance.now() - begun, ...content };
    if (kind === "fed" || kind === "over") onReport(fed, over);
  };
  const run = await stage.run([...open(`/learn/slow?for=${token}&feed=${policy}`), ...steps], { within });
  await rest(150);
  wire.close();
  return run && { run, fed, over };
}

function chart(fed) {
  const last = fed.at(-1);
  return lines({
    label: t("learn.pressure.chart"),
    series: [
      { label: t("learn.pressure.sent"), kind: "calm", points: fed.map(({ at, bytes }) => [at, bytes]) },
      { label: t("learn.pressure.kernel"), kind: "good", points: fed.map(({ at, bytes, unsent }) => [at, Math.max(0, bytes - unsent)]) },
      { label: t("learn.pressure.unsent"), kind: "alarm", points: fed.map(({ at, unsent }) => [at, unsent]) },
    ],
    marks: last ? [{ label: t("learn.pressure.mark"), value: last.mark }] : [],
    format: size,
  });
}

const close = {
  key: "close",
  choices: ["waits", "grows", "closed"],
  build(stage) {
    stage.box.append(stage.button(t("learn.pressure.stop_reading"), async () => {
      const draw = (fed) => { if (fed.length) stage.draw(chart(fed)); };
      const done = await feed(stage, "close", [DEAF, pause(1_600)], 1_700, draw);
      if (!done) return;
      const { fed, over } = done;
      if (!fed.length) return stage.conclude(null);
      const isClosed = over?.reason === "slow_consumer";
      stage.draw(chart(fed), element("p", { class: "small" }, isClosed ? t("learn.pressure.was_closed", { sent: fed.at(-1).sent, size: size(fed.at(-1).unsent) }) : t("learn.pressure.still_open")));
      const half = fed[Math.floor(fed.length / 2)];
      stage.conclude(isClosed ? "closed" : fed.at(-1).unsent > half.unsent ? "grows" : "waits");
    }, { id: "close-send" }));
  },
};

const latest = {
  key: "latest",
  choices: ["all", "newest", "none"],
  build(stage) {
    const tried = [];
    const act = (policy) => async () => {
      // The newest message arrives under one policy, and is lost under the other.
      const ending = policy === "latest" ? [wait(NEWEST), pause(200), CLOSE] : [pause(500), CLOSE];
      const done = await feed(stage, policy, [DEAF, pause(1_500), HEAR, ...ending], 5_000, (fed) => { if (fed.length) stage.draw(chart(fed)); });
      if (!done || !done.fed.length) return;
      const { run, fed } = done;
      const numbers = serverFrames(run).filter(({ frame: { opcode } }) => opcode === OPCODES.TEXT).map(({ frame: { payload } }) => Number.parseInt(textOf(payload), 10));
      const { sent, lost } = fed.at(-1);
      tried.unshift([t(`learn.pressure.policy.${policy}`), count(sent), count(numbers.length), count(lost), count(numbers.at(-1) ?? 0)]);
      stage.draw(chart(fed), table(t("learn.pressure.tried"),
        [t("learn.pressure.policy_head"), t("learn.pressure.sent_head"), t("learn.pressure.got_head"), t("learn.pressure.lost_head"), t("learn.pressure.last_head")], tried));
      if (policy !== "latest") return;
      stage.conclude(numbers.length === 0 ? "none" : numbers.length === sent ? "all" : numbers.at(-1) === sent ? "newest" : null);
    };
    stage.box.append(element("div", { class: "row wrap" },
      stage.button(t("learn.pressure.policy.latest"), act("latest"), { id: "latest-send" }),
      stage.button(t("learn.pressure.policy.newest"), act("newest"), { id: "newest-send", kind: "" })));
  },
};

const browser = {
  key: "browser",
  choices: ["zero", "later", "at_once"],
  build(stage) {
    stage.box.append(stage.button(t("learn.pressure.pause_and_send"), async () => {
      if (!stage.mayRun()) return;
      const token = randomId();
      const wire = await watch(stage, token);
      const own = wire && await Wire.open(`/learn/slow?for=${token}&intake`).catch(() => null);
      if (!own) return;
      const points = [];
      const took = [];
      let [sent, passed, since] = [0, 0, 0];
      const begun = performance.now();
      wire.onMessage = (kind, content) => { if (kind === "took") took.push([performance.now() - begun, content.bytes]); };
      const draw = () => stage.draw(lines({
        label: t("learn.pressure.browser_chart"),
        series: [
          { label: t("learn.pressure.page_sent"), kind: "calm", points: points.map(([at, all]) => [at, all]) },
          { label: t("learn.pressure.peak"), kind: "alarm", points: points.map(([at, , buffered]) => [at, buffered]), shown: Math.max(0, ...points.map(([, , buffered]) => buffered)) },
          { label: t("learn.pressure.server_took"), kind: "good", points: [...took, [performance.now() - begun, took.at(-1)?.[1] ?? 0]] },
        ],
        format: size,
      }));
      wire.send(JSON.stringify("pause"));
      await wire.next("took");
      for (let number = 0; number < MOST_CHUNKS && since < MOST_WAITING; number++) {
        own.send(CHUNK);
        sent += CHUNK.length;
        await rest(CHUNK_MS);
        const waiting = own.bufferedAmount;
        points.push([performance.now() - begun, sent, waiting]);
        // A busy browser may need longer than a chunk before it passes on the first.
        since = sent - waiting > passed || passed === 0 ? 0 : since + 1;
        passed = Math.max(passed, sent - waiting);
        draw();
      }
      const grew = since >= MOST_WAITING || passed === 0;
      wire.send(JSON.stringify("resume"));
      await wire.next("took", { within: 4_000, fits: ({ bytes }) => bytes >= sent });
      points.push([performance.now() - begun, sent, own.bufferedAmount]);
      draw();
      stage.box.querySelector(".passed")?.remove();
      stage.box.append(element("p", { class: "small passed" }, t("learn.pressure.passed", { size: size(passed) })));
      own.close();
      wire.close();
      if (stage.wasHeld()) return stage.problem(t("learn.lesson.refused.meanwhile"));
      stage.conclude(!grew ? "zero" : passed < CHUNK.length ? "at_once" : "later");
    }, { id: "browser-send" }));
  },
};

export default { key: "pressure", questions: [close, latest, browser] };
