// Readiness: one thread for all clients, against a thread for each.

import { ask, bars, dots, size, table } from "./measured.js";
import { count, element, t } from "./page.js";

/** A slider for the clients, and a button. `act` gets what was measured. */
function controls(stage, id, start, act) {
  const output = element("output", { for: `${id}-clients` });
  const input = element("input", { id: `${id}-clients`, type: "range", min: "2", max: "64", value: start });
  const show = () => { output.textContent = t("learn.readiness.clients", { count: Number(input.value) }); };
  input.addEventListener("input", show);
  show();
  stage.box.append(
    element("div", { class: "slide" }, element("label", { for: input.id }, t("learn.readiness.how_many")), input, output),
    stage.button(t("learn.readiness.measure"), async () => {
      const found = await ask(stage, { threads: Number(input.value) }, "threads");
      if (found) await act(found);
    }, { id: `${id}-send` }));
}

const both = (found, value, text) => [
  { label: t("learn.readiness.with_threads"), value: value(found.threads), text: text(value(found.threads)), kind: "hot" },
  { label: t("learn.readiness.with_loop"), value: value(found.looped), text: text(value(found.looped)), kind: "good" },
];

const threads = {
  key: "threads",
  choices: ["one", "each", "none"],
  build(stage) {
    controls(stage, "threads", "3", (found) => {
      const picture = (label, number, kind) => element("figure", {}, element("figcaption", {}, label), dots(number, kind), element("span", { class: "small" }, t("learn.readiness.threads_count", { count: number })));
      stage.draw(picture(t("learn.readiness.with_threads"), found.threads.threads, "hot"), picture(t("learn.readiness.with_loop"), found.looped.threads, "good"));
      stage.conclude(found.threads.threads === found.clients ? "each" : found.threads.threads === 1 ? "one" : found.threads.threads === 0 ? "none" : null);
    });
  },
};

const switches = {
  key: "switches",
  choices: ["more", "equal", "fewer"],
  build(stage) {
    controls(stage, "switches", "32", (found) => {
      const [apart, looped] = [found.threads.switches, found.looped.switches];
      if (apart === null || looped === null) {
        stage.problem(t("learn.readiness.no_proc"));
        return;
      }
      stage.draw(
        element("p", { class: "small" }, t("learn.readiness.messages", { count: found.messages })),
        bars(both(found, ({ switches: number }) => number, (number) => t("learn.readiness.slept", { count: number }))));
      stage.conclude(apart > 2 * Math.max(1, looped) ? "more" : looped > 2 * Math.max(1, apart) ? "fewer" : "equal");
    });
  },
};

const memory = {
  key: "memory",
  choices: ["equal", "hundred", "less"],
  build(stage) {
    controls(stage, "memory", "16", async (found) => {
      const { reserved, touched } = found.threads;
      if (reserved === null || touched === null) {
        stage.problem(t("learn.readiness.no_proc"));
        return;
      }
      const limits = await ask(stage, "limits", "limits");
      if (!limits) return;
      const each = { reserved: reserved / found.clients, touched: touched / found.clients };
      stage.draw(
        bars([
          { label: t("learn.readiness.stack_touched"), value: each.touched, text: size(each.touched), kind: "hot" },
          { label: t("learn.readiness.entry"), value: limits.server, text: size(limits.server), kind: "good" },
        ]),
        table(t("learn.readiness.each_client"), [t("learn.readiness.what"), t("learn.readiness.with_threads"), t("learn.readiness.with_loop")], [
          [t("learn.readiness.stack_reserved"), size(each.reserved), "–"],
          [t("learn.readiness.stack_touched"), size(each.touched), "–"],
          [t("learn.readiness.entry"), "–", size(limits.server)],
          [t("learn.readiness.million"), size(each.touched * 1e6), size(limits.server * 1e6)],
        ]),
        element("p", { class: "small soft" }, t("learn.readiness.times", { number: count(Math.round(each.touched / limits.server)) })));
      const ratio = each.touched / limits.server;
      stage.conclude(ratio > 50 ? "hundred" : ratio < 0.5 ? "less" : ratio < 2 ? "equal" : null);
    });
  },
};

export default { key: "readiness", questions: [threads, switches, memory] };
