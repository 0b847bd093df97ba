// How many connections: the limits of this host, and the price of a million.

import { ask, bars, size, table } from "./measured.js";
import { count, element, has, t } from "./page.js";

const KINDS = { "files-hard": "files", "files-all": "files", "group-memory": "memory", memory: "memory", conntrack: "network", ports: "network" };
const MILLION = 1_000_000;

const nameOf = (limit) => {
  const key = `learn.many.limit.${limit.replaceAll("-", "_")}`;
  return has(key) ? t(key) : limit;
};

/** The limits of the number of connections, the tightest first. */
const limiting = ({ found }) => found.filter(({ connections, limit }) => connections !== null && limit !== "files-soft").sort((a, b) => a.connections - b.connections);

/** A slider from a thousand to ten million. */
function slider(id, act) {
  const output = element("output", { for: id });
  const input = element("input", { id, type: "range", min: "30", max: "70", value: "60" });
  const number = () => Math.round(10 ** (Number(input.value) / 10) / 1_000) * 1_000;
  const show = () => {
    output.textContent = t("learn.many.connections", { count: number() });
    input.setAttribute("aria-valuetext", output.textContent);
    act(number());
  };
  input.addEventListener("input", show);
  return { node: element("div", { class: "slide" }, element("label", { for: id }, t("learn.many.how_many")), input, output), number, show };
}

const first = {
  key: "first",
  choices: ["files", "memory", "network", "nothing"],
  build(stage) {
    let known = null;
    const choose = slider("first-number", () => { if (known) draw(); });
    function draw() {
      const rows = limiting(known);
      const wanted = choose.number();
      const ends = rows.filter(({ connections }) => connections < wanted);
      stage.draw(
        table(t("learn.many.limits"), [t("learn.many.limit_head"), t("learn.many.value"), t("learn.many.allows"), t("learn.many.enough", { count: wanted })],
          rows.map(({ limit, value, connections }) => [nameOf(limit), value, count(connections), connections < wanted ? t("learn.many.no") : t("learn.many.yes")])),
        element("p", { class: "small" }, ends.length ? t("learn.many.ends", { limit: nameOf(ends[0].limit), count: ends[0].connections }) : t("learn.many.fit", { count: wanted })));
    }
    stage.box.append(choose.node, stage.button(t("learn.many.ask"), async () => {
      known = await ask(stage, "limits", "limits");
      if (!known) return;
      draw();
      const [tightest] = limiting(known);
      stage.conclude(!tightest || tightest.connections >= MILLION ? "nothing" : KINDS[tightest.limit] ?? null);
    }, { id: "first-send" }));
    choose.show();
  },
};

const price = {
  key: "price",
  choices: ["server", "equal", "kernel"],
  build(stage) {
    let known = null;
    const choose = slider("price-number", () => { if (known) draw(); });
    function draw() {
      const number = choose.number();
      stage.draw(bars([
        { label: t("learn.many.server"), value: number * known.server, text: size(number * known.server), kind: "good" },
        { label: t("learn.many.kernel"), value: number * known.socket, text: size(number * known.socket), kind: "alarm" },
      ]), element("p", { class: "small soft" }, t("learn.many.each", { server: size(known.server), socket: size(known.socket), open: known.open })));
    }
    stage.box.append(choose.node, stage.button(t("learn.many.ask_price"), async () => {
      known = await ask(stage, "limits", "limits");
      if (!known) return;
      draw();
      const ratio = known.server / known.socket;
      stage.conclude(ratio > 2 ? "server" : ratio < 0.5 ? "kernel" : "equal");
    }, { id: "price-send" }));
    choose.show();
  },
};

export default { key: "many", questions: [first, price] };
