// A line chart of prices, as a percentage of each price at the left edge.

import { t } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 8;
const RIGHT = 52;
const TOP = 10;
const BOTTOM = 20;
/** The possible distances of grid lines, in percent. */
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

/**
 * Draws lines of points `[number, price]`, each in its hue, for `ticks` ticks up to `last`. Where
 * numbers are missing between two points, the line is dotted.
 */
export function draw(svg, lines, last, ticks, period) {
  const { clientWidth: width, clientHeight: height } = svg;
  if (!width) return;
  const [inWidth, inHeight] = [width - LEFT - RIGHT, height - TOP - BOTTOM];
  const shown = lines.map(({ hue, points }) => {
    const visible = points.filter(([number]) => number > last - ticks);
    const base = visible[0]?.[1] ?? 1;
    return { hue, points: visible.map(([number, price]) => [number, (price / base - 1) * 100]) };
  });
  const most = Math.max(0.1, ...shown.flatMap(({ points }) => points.map(([, percent]) => Math.abs(percent))));
  const step = STEPS.find((step) => most <= 3 * step) ?? most;
  const top = Math.ceil(most / step) * step;
  const x = (number) => LEFT + (inWidth * (number - last + ticks)) / ticks;
  const y = (percent) => TOP + (inHeight * (1 - percent / top)) / 2;
  const nodes = [];
  for (let at = -Math.round(top / step); at <= Math.round(top / step); at++) {
    const percent = at * step;
    nodes.push(node("line", { class: at ? "grid" : "grid zero", x1: LEFT, x2: LEFT + inWidth, y1: y(percent), y2: y(percent) }));
    nodes.push(text(LEFT + inWidth + 6, y(percent) + 4, `${at > 0 ? "+" : at < 0 ? "−" : ""}${Math.abs(percent).toFixed(step < 1 ? 1 : 0)} %`));
  }
  const seconds = (ticks * period) / 1000;
  for (let ago = seconds; ago >= 0; ago -= seconds / 3) {
    const label = text(x(last - (ago * 1000) / period), height - 4, ago ? `−${ago} s` : t("ticker.now"));
    label.setAttribute("text-anchor", ago === seconds ? "start" : ago ? "middle" : "end");
    nodes.push(label);
  }
  for (const { hue, points } of shown) {
    if (!points.length) continue;
    let [line, gaps] = ["", ""];
    points.forEach(([number, percent], at) => {
      const place = `${x(number).toFixed(1)} ${y(percent).toFixed(1)}`;
      const before = points[at - 1];
      if (before && number > before[0] + 1) gaps += `M${x(before[0]).toFixed(1)} ${y(before[1]).toFixed(1)}L${place}`;
      line += before && number === before[0] + 1 ? `L${place}` : `M${place}`;
    });
    const [number, percent] = points.at(-1);
    const parts = [node("path", { d: line }), node("path", { d: gaps, class: "gap" }), node("circle", { cx: x(number), cy: y(percent), r: 3.5 })];
    for (const part of parts) part.style.setProperty("--hue", `var(${hue})`);
    nodes.push(...parts);
  }
  svg.replaceChildren(...nodes);
}

function node(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function text(x, y, content) {
  const made = node("text", { x, y });
  made.textContent = content;
  return made;
}
