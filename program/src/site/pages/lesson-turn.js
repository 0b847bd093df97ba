// One turn of the loop: where the bytes of this page are, step by step.

import * as learner from "./learner.js";
import { Wire, rest } from "./measured.js";
import { element, t } from "./page.js";

const STATIONS = ["kernel_in", "buffer", "frame", "handler", "outbox", "write", "kernel_out"];
const SHOW_MS = 900;
const REPORT_MS = 1_500;

/** The connections of this page: one that talks, and one that watches it. */
class Rig {
  lines = [];
  reports = [];
  echoes = 0;
  holds = false;

  static async open() {
    const rig = new Rig();
    rig.loop = await Wire.open("/loop");
    const hello = rig.loop.next("hello");
    rig.loop.onMessage = (kind, content) => {
      if (kind === "line") rig.lines.push(content.text);
      if (kind === "turns") rig.reports.push(content);
    };
    const told = await hello;
    if (!told) throw new Error("there was no answer");
    rig.teaches = told.teaches;
    rig.own = await Wire.open("/learn/slot");
    const slot = await rig.own.next("slot");
    rig.own.onMessage = () => { rig.echoes += 1; };
    const follows = rig.loop.next("follows");
    rig.loop.send({ follow: slot });
    if (slot === null || !(await follows)) throw new Error("it cannot be followed");
    return rig;
  }

  say(what) {
    if (what === "hold") this.holds = true;
    this.loop.send(JSON.stringify(what));
  }

  /** Waits until a report fits. Returns it, or null. */
  report(fits = () => true) {
    return this.loop.next("turns", { within: REPORT_MS, fits });
  }

  forget() {
    [this.lines, this.reports, this.echoes] = [[], [], 0];
  }

  close() {
    // The loop goes on by itself only when all pages that watch it have gone.
    if (this.holds) this.say("free");
    this.own?.close();
    this.loop?.close();
  }
}

/** Opens the connections, does something with them, and closes them. Returns null if that fails. */
async function withRig(stage, act) {
  if (!stage.mayRun()) return null;
  const rig = await Rig.open().catch(() => null);
  if (!rig) {
    stage.problem(stage.wasHeld() ? t("learn.lesson.refused.meanwhile") : t("learn.lesson.refused.lost"));
    return null;
  }
  try {
    return await act(rig);
  } finally {
    rig.close();
  }
}

/** What was counted in some reports together. */
function sum(reports) {
  const all = {};
  for (const { counts } of reports) for (const [name, number] of counts) all[name] = (all[name] ?? 0) + number;
  return all;
}

/** The stations of one turn, which light up one after the other. */
function stations(details) {
  const rows = STATIONS.map((name) => element("li", { class: "station", "data-station": name },
    element("b", {}, t(`learn.turn.station.${name}`)), element("span", { class: "station-detail" }, details[name])));
  const list = element("ol", { class: "stations" }, ...rows);
  return {
    list,
    show(at) {
      rows.forEach((row, number) => {
        row.dataset.state = number < at ? "done" : number === at ? "now" : "next";
        if (number === at) row.setAttribute("aria-current", "step");
        else row.removeAttribute("aria-current");
      });
    },
  };
}

/** What each station has to say of a turn. `texts` were sent, each in a frame. */
function details(texts, rig, counts) {
  const { sent, parts, echoed } = onTheWire(texts);
  const line = (side) => rig.lines.find((found) => found.startsWith(`${side} `)) ?? "–";
  return {
    kernel_in: t("learn.turn.detail.kernel_in", { count: sent, parts }),
    buffer: t("learn.turn.detail.buffer", { reads: counts.reads ?? 0, count: counts.bytes_read ?? 0 }),
    frame: line("<"),
    handler: t("learn.turn.detail.handler", { text: texts.join(t("shell.comma")) }),
    outbox: line(">"),
    write: t("learn.turn.detail.write", { writes: counts.writes ?? 0, count: counts.bytes_written ?? 0, echoed }),
    kernel_out: t("learn.turn.detail.kernel_out"),
  };
}

/** Draws a turn, with a button for each next station. */
async function animate(stage, told) {
  const { list, show } = stations(told);
  let at = 0;
  let goes = true;
  const next = () => {
    goes = false;
    at = (at + 1) % STATIONS.length;
    show(at);
    stage.announce(`${t(`learn.turn.station.${STATIONS[at]}`)}: ${told[STATIONS[at]]}`);
  };
  stage.draw(list, stage.button(t("learn.turn.next"), next, { id: "station-next", kind: "plain" }));
  show(0);
  for (let number = 1; number < STATIONS.length; number++) {
    await rest(SHOW_MS);
    if (!goes || !list.isConnected) return;
    at = number;
    show(at);
  }
}

/** The bytes of texts on the wire: how many the browser sent, which, and how many come back. */
function onTheWire(texts) {
  const KEY = 4;
  const frames = texts.map((text) => {
    const { length } = new TextEncoder().encode(text);
    return { header: length < 126 ? 2 : 4, key: KEY, text: length };
  });
  const parts = frames.map((frame) => t("learn.turn.detail.parts", frame));
  const sent = frames.reduce((sum, { header, key, text }) => sum + header + key + text, 0);
  return { sent, parts: parts.join(t("shell.semicolon")), echoed: sent - KEY * frames.length };
}

const textBox = (id) => element("input", { id, type: "text", autocomplete: "off", maxlength: "60", value: "Hello" });

/** A page that may not hold the loop shows a turn that happened freely. */
function recorded(stage, id) {
  const why = learner.isInClass() ? [element("p", { class: "wide" }, t("learn.turn.in_class"))]
    : [element("p", { class: "wide" }, t("learn.turn.how_to")), element("pre", { class: "wide", translate: "no" }, "lariat serve --teach")];
  stage.box.append(...why,
    stage.button(t("learn.turn.record"), () => withRig(stage, async (rig) => {
      await rig.report();
      rig.forget();
      rig.own.send("Hello");
      await rig.report(({ counts }) => counts.some(([name, number]) => name === "bytes_read" && number > 0));
      await animate(stage, details(["Hello"], rig, sum(rig.reports)));
    }), { id: `${id}-record` }));
}

/** Fills the stage once it is known whether this page may hold the loop. */
async function asks(stage, id, build) {
  const say = (...nodes) => stage.box.replaceChildren(...nodes);
  if (learner.isHeld()) say(element("p", { class: "soft" }, t("learn.turn.after_hold")));
  // While a teacher holds the loop, nothing connects.
  await learner.untilFree();
  say(element("p", { class: "soft" }, t("shell.connecting")));
  const teaches = await withRig(stage, async (rig) => rig.teaches && !learner.isInClass());
  say();
  if (teaches) build();
  else if (teaches === false) recorded(stage, id);
  // A hold began meanwhile, or the server has gone.
  else if (learner.isHeld()) await asks(stage, id, build);
  else say(stage.button(t("learn.turn.try_again"), () => asks(stage, id, build), { id: `${id}-again` }));
}

const held = {
  key: "held",
  choices: ["browser", "kernel", "program"],
  build(stage) {
    asks(stage, "held", () => {
      const input = textBox("held-text");
      stage.box.append(element("label", { for: input.id }, t("learn.turn.message")), input,
        stage.button(t("learn.turn.hold_and_send"), () => withRig(stage, async (rig) => {
          rig.say("hold");
          await rig.report(({ pace }) => pace === "held");
          await rig.report();
          rig.forget();
          const text = input.value || "Hello";
          rig.own.send(text);
          const waits = await rig.report(({ reads }) => reads > 0);
          const counts = sum(rig.reports);
          const told = details([text], rig, counts);
          const { list, show } = stations(told);
          const where = rig.own.bufferedAmount > 0 ? "browser" : counts.bytes_read > 0 ? "program" : waits ? "kernel" : null;
          if (where === "kernel") show(0);
          stage.draw(list, element("p", { class: "small" }, t("learn.turn.waits", {
            buffered: rig.own.bufferedAmount, reads: waits?.reads ?? 0, bytes: counts.bytes_read ?? 0,
          })));
          stage.conclude(where);
        }), { id: "held-send" }));
    });
  },
};

/** Holds the loop, sends, and steps until all echoes are here. */
async function stepped(stage, texts) {
  return withRig(stage, async (rig) => {
    rig.say("hold");
    await rig.report(({ pace }) => pace === "held");
    await rig.report();
    rig.forget();
    for (const text of texts) rig.own.send(text);
    if (!(await rig.report(({ reads }) => reads > 0))) return null;
    rig.forget();
    let steps = 0;
    while (rig.echoes < texts.length && steps < 5) {
      steps += 1;
      rig.say("step");
      await rig.report(({ turns }) => turns > 0);
      // The echo comes from the kernel after the report, or before it.
      await rest(100);
    }
    const turns = rig.reports.filter(({ turns: number }) => number > 0);
    return { steps: rig.echoes < texts.length ? null : steps, counts: sum(turns), rig };
  });
}

const turns = {
  key: "turns",
  choices: ["one", "two", "three"],
  build(stage) {
    asks(stage, "turns", () => {
      const input = textBox("turns-text");
      stage.box.append(element("label", { for: input.id }, t("learn.turn.message")), input,
        stage.button(t("learn.turn.step"), async () => {
          const text = input.value || "Hello";
          const done = await stepped(stage, [text]);
          if (!done) return stage.conclude(null);
          animate(stage, details([text], done.rig, done.counts));
          return stage.conclude(turns.choices[done.steps - 1] ?? null);
        }, { id: "turns-send" }));
    });
  },
};

const reads = {
  key: "reads",
  choices: ["one", "three", "six"],
  build(stage) {
    asks(stage, "reads", () => {
      stage.box.append(stage.button(t("learn.turn.send_three"), async () => {
        const texts = ["one", "two", "three"];
        const done = await stepped(stage, texts);
        if (!done) return stage.conclude(null);
        const told = details(texts, done.rig, done.counts);
        const lines = (side) => done.rig.lines.filter((line) => line.startsWith(side)).join(", ");
        animate(stage, { ...told, frame: lines("<"), outbox: lines(">") });
        return stage.conclude({ 1: "one", 3: "three", 6: "six" }[done.counts.reads] ?? null);
      }, { id: "reads-send" }));
    });
  },
};

export default { key: "turn", questions: [held, turns, reads] };
