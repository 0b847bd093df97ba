// Polling against pushing: the bytes and the delay of the same prices.

import { Wire, bars, rest, size, table } from "./measured.js";
import { count, duration, element, t } from "./page.js";

const SYMBOL = "ROPE";
const ROUND_MS = 2_000;

/** A page of the ticker that is measured, or null. */
async function ticker(stage) {
  if (!stage.mayRun()) return null;
  const wire = await Wire.open("/ticker?measure").catch(() => null);
  const symbols = await wire?.next("symbols");
  if (!symbols?.token) {
    wire?.close();
    stage.problem(stage.wasHeld() ? t("learn.lesson.refused.meanwhile") : t("learn.lesson.refused.full"));
    return null;
  }
  return { wire, token: symbols.token, saw: () => wire.next("saw") };
}

const poll = async (token, symbols) => {
  const response = await fetch(`/ticker/latest?symbols=${symbols}&for=${token}`, { cache: "no-store" });
  return response.json();
};

/** Polls again and again for a time. `take` gets each answer. */
async function polls(token, symbols, period, time, take = () => {}) {
  const end = performance.now() + time;
  while (performance.now() < end) {
    const next = performance.now() + period;
    take(await poll(token, symbols));
    await rest(Math.max(0, next - performance.now()));
  }
}

const less = (after, before) => ({ count: after.count - before.count, bytes: after.read + after.written - before.read - before.written });

/** What the server has counted until the next report but one: the next may be from before. */
async function settled({ saw }) {
  await saw();
  return saw();
}

/**
 * Does something on a page of the ticker, for about so many seconds. Returns what the server
 * counted meanwhile, pushed and polled, or null. Then the stage says why.
 */
async function counted(stage, seconds, act) {
  const page = await ticker(stage);
  if (!page) return null;
  stage.busy(t("learn.polling.measuring", { seconds }));
  const before = await settled(page);
  await act(page);
  const after = await settled(page);
  page.wire.close();
  if (stage.wasHeld()) stage.problem(t("learn.lesson.refused.meanwhile"));
  else if (!before || !after) stage.conclude(null);
  else return { pushed: less(after.pushed, before.pushed), polled: less(after.polled, before.polled) };
  return null;
}

const bytes = {
  key: "bytes",
  choices: ["same", "twice", "ten"],
  build(stage) {
    stage.box.append(stage.button(t("learn.polling.compare"), async () => {
      let prices = 0;
      const found = await counted(stage, 8, async ({ wire, token }) => {
        wire.send({ watch: [SYMBOL] });
        await rest(ROUND_MS);
        wire.send({ watch: [] });
        await polls(token, SYMBOL, 100, ROUND_MS, () => { prices += 1; });
      });
      if (!found) return;
      const { pushed, polled } = found;
      const each = { pushed: pushed.bytes / Math.max(1, pushed.count), polled: polled.bytes / Math.max(1, prices) };
      stage.draw(
        bars([
          { label: t("learn.polling.pushed"), value: each.pushed, text: t("learn.polling.per_price", { size: size(each.pushed) }), kind: "good" },
          { label: t("learn.polling.polled"), value: each.polled, text: t("learn.polling.per_price", { size: size(each.polled) }), kind: "alarm" },
        ]),
        table(t("learn.polling.counted"), [t("learn.polling.way"), t("learn.polling.prices"), t("learn.polling.bytes_head")], [
          [t("learn.polling.pushed"), count(pushed.count), size(pushed.bytes)],
          [t("learn.polling.polled"), count(prices), size(polled.bytes)],
        ]));
      const ratio = each.polled / each.pushed;
      stage.conclude(ratio < 1.5 ? "same" : ratio < 5 ? "twice" : "ten");
    }, { id: "bytes-send" }));
  },
};

const delay = {
  key: "delay",
  choices: ["none", "half", "whole"],
  build(stage) {
    stage.box.append(stage.button(t("learn.polling.poll_half_second"), async () => {
      const page = await ticker(stage);
      if (!page) return;
      const { wire, token } = page;
      stage.busy(t("learn.polling.measuring", { seconds: 6 }));
      /** When each price was pushed to this page. */
      const pushed = new Map();
      const delays = [];
      wire.onMessage = (kind, content) => { if (kind === "tick") pushed.set(content[1], performance.now()); };
      wire.send({ watch: [SYMBOL] });
      await wire.next("tick");
      const polled = [];
      await polls(token, SYMBOL, 500, 5_000, (answer) => {
        const now = performance.now();
        polled.push(now);
        const [newest] = answer[SYMBOL];
        for (const [number, at] of pushed) {
          if (number > newest) continue;
          delays.push(now - at);
          pushed.delete(number);
        }
      });
      wire.close();
      if (stage.wasHeld()) return stage.problem(t("learn.lesson.refused.meanwhile"));
      // The first poll finds what came while nobody had asked.
      const mean = delays.reduce((sum, ms) => sum + ms, 0) / Math.max(1, delays.length);
      stage.draw(bars([
        { label: t("learn.polling.pushed"), value: 0, text: t("learn.polling.at_once"), kind: "good" },
        { label: t("learn.polling.mean"), value: mean, text: duration(mean), kind: "alarm" },
        { label: t("learn.polling.longest"), value: Math.max(0, ...delays), text: duration(Math.max(0, ...delays)), kind: "alarm" },
      ]), element("p", { class: "small soft" }, t("learn.polling.seen", { count: delays.length })));
      // On a busy host, the time between two polls is longer than half a second.
      const part = mean / ((polled.at(-1) - polled[0]) / (polled.length - 1));
      stage.conclude(delays.length < 10 ? null : part < 0.2 ? "none" : part < 0.8 ? "half" : "whole");
    }, { id: "delay-send" }));
  },
};

const quiet = {
  key: "quiet",
  choices: ["both", "poll", "push"],
  build(stage) {
    stage.box.append(stage.button(t("learn.polling.be_quiet"), async () => {
      const found = await counted(stage, 6, ({ token }) => polls(token, "", 200, ROUND_MS));
      if (!found) return;
      const { pushed, polled } = found;
      stage.draw(bars([
        { label: t("learn.polling.pushed"), value: pushed.bytes, text: size(pushed.bytes), kind: "good" },
        { label: t("learn.polling.polled"), value: polled.bytes, text: size(polled.bytes), kind: "alarm" },
      ]), element("p", { class: "small soft" }, t("learn.polling.polls", { count: polled.count })));
      stage.conclude(pushed.bytes === 0 && polled.bytes === 0 ? "both" : polled.bytes > pushed.bytes ? "poll" : "push");
    }, { id: "quiet-send" }));
  },
};

export default { key: "polling", questions: [bytes, delay, quiet] };
