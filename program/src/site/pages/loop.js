// The page of the loop: the slab, the turns, and the trace of one connection.

import { BLOCKED, Grid, HEARD, HUES, STATES, TO_READ, TO_WRITE } from "./grid.js";
import { $, count, duration, element, secured, setAttribute, setText } from "./page.js";
import { Socket } from "./socket.js";

const STORY_LINES = 500;
const OPEN = STATES.indexOf("open");
const PHASES = [
  ["wait", "until something is ready or due"],
  ["accept", "new connections get a slot"],
  ["connect", "outgoing connections begin"],
  ["read", "one read for each ready connection; handlers get messages"],
  ["expire", "deadlines and timers that are due"],
  ["flush", "one write for each connection with unsent bytes"],
  ["reap", "closed connections free their slots"],
];
const COUNTS = {
  events: "readiness events", accepted: "accepted", reads: "reads", bytes_read: "bytes read", writes: "writes",
  bytes_written: "bytes written", would_block: "WouldBlock", timers: "timers", deadlines: "deadlines", removed: "removed",
};

const socket = new Socket(location.pathname + location.search);
const send = (what) => socket.send(JSON.stringify(what));
const grid = new Grid($("grid"));
let mayTeach = false;
let pace = "free";

socket.onMessage = (data) => {
  if (typeof data !== "string") {
    grid.apply(data);
    showLegend();
    return;
  }
  const [[kind, content]] = Object.entries(JSON.parse(data));
  handlers[kind]?.(content);
};
socket.onClose = () => {
  grid.reset();
  showLegend();
  endStory("");
  report.at = 0;
};

const handlers = {
  hello({ slot, teaches, number, loops }) {
    mayTeach = teaches;
    showLoops(number, loops);
    grid.mark("own", slot);
    setText($("pace-hint"), teaches
      ? "This page is served at any pace. While the loop is on hold, time stands still for all other connections. A step lets at most 0.1 s pass."
      : "To slow down or hold the loop, start the server with --teach and open this page on the same host.");
    setText($("story-hint"), teaches ? "" : "To see the content of messages, start the server with --teach and open this page on the same host.");
    showPace();
  },
  turns: showTurns,
  follows({ slot, id, route }) {
    $("lines").replaceChildren();
    setText($("story-tls"), "");
    grid.mark("chosen", slot);
    setText($("story-of"), `${id}${route ? ` on ${route}` : ""}`);
    setAttribute($("unfollow"), "aria-disabled", null);
  },
  tls: (agreed) => setText($("story-tls"), secured(agreed)),
  line: addLine,
  missed: (lines) => addLine(`… ${count(lines)} lines left out, because this page reads too slowly`),
  gone: (id) => endStory(`${id} has disconnected`),
  refused: (why) => setText($("follow-problem"), why),
};

/** The loops of the server, if there are several: this page shows one of them. */
function showLoops(number, loops) {
  $("loops").hidden = loops < 2;
  $("loops").replaceChildren("Loop ", ...Array.from({ length: loops }, (_, other) =>
    element("a", { href: `?loop=${other}`, ...(other === number ? { "aria-current": "page" } : {}) }, `${other}`)));
}

// ---- The slab

const hued = (kind, hue) => {
  const sample = element("i", { class: kind });
  sample.style.setProperty("--hue", `var(${hue})`);
  return sample;
};
const legend = new Map([
  ...STATES.flatMap((state, at) => (at === OPEN ? [] : [[state, at ? hued("", HUES[at]) : hued("free", HUES[at])]])),
  ["open, quiet", hued("quiet", HUES[OPEN])], ["open, active", hued("", HUES[OPEN])],
  ["waiting to be read", hued("read", HUES[OPEN])], ["waiting to be written", hued("write", HUES[OPEN])],
  ["blocked", hued("blocked", HUES[OPEN])], ["this page", hued("own", HUES[OPEN])],
].map(([name, sample]) => {
  const number = element("b");
  const item = element("li", { "data-kind": name }, sample, number, ` ${name}`);
  $("legend").append(item);
  return [name, { item, number }];
}));

function showLegend() {
  const found = new Map([...legend.keys()].map((name) => [name, 0]));
  const add = (name) => found.set(name, found.get(name) + 1);
  for (const cell of grid.cells) {
    const state = cell & 7;
    if (state !== OPEN) add(STATES[state]);
    else add(cell & HEARD ? "open, active" : "open, quiet");
    if (cell & TO_READ) add("waiting to be read");
    if (cell & TO_WRITE) add("waiting to be written");
    if (cell & BLOCKED) add("blocked");
  }
  found.set("this page", 1);
  for (const [name, { item, number }] of legend) {
    setText(number, name === "this page" ? "" : count(found.get(name)));
    item.hidden = !found.get(name) && !name.startsWith("open");
  }
  const taken = grid.cells.length - found.get("free");
  setText($("slots-count"), count(taken));
  setAttribute($("grid"), "aria-label", `The slab: ${count(grid.cells.length)} slots, ${count(taken)} taken`);
}

function describe(slot) {
  const cell = grid.cells[slot];
  if (cell === undefined) return "";
  const marks = [[HEARD, "active"], [TO_READ, "waiting to be read"], [TO_WRITE, "waiting to be written"], [BLOCKED, "blocked"]];
  const words = marks.filter(([mark]) => cell & mark).map(([, word]) => word);
  return `slot ${count(slot)}: ${[STATES[cell & 7], ...words].join(", ")}${slot === grid.own ? " (this page)" : ""}`;
}

function follow(slot) {
  setText($("follow-problem"), "");
  $("slot").value = slot;
  send({ follow: slot });
}

$("grid").addEventListener("pointermove", (event) => setText($("cell"), describe(grid.slotAt(event.offsetX, event.offsetY))));
$("grid").addEventListener("pointerleave", () => setText($("cell"), ""));
$("grid").addEventListener("click", (event) => {
  const slot = grid.slotAt(event.offsetX, event.offsetY);
  if (slot >= 0) follow(slot);
});
$("grid").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && grid.cursor >= 0) follow(grid.cursor);
  else if (grid.move(event.key) < 0) return;
  event.preventDefault();
  setText($("cell"), describe(grid.cursor));
});
$("grid").addEventListener("blur", () => grid.mark("cursor", -1));
$("follow-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const slot = Number($("slot").value);
  if ($("slot").value.trim() && Number.isInteger(slot) && slot >= 0) follow(slot);
  else setText($("follow-problem"), "A slot is a number, 0 or greater.");
});

// ---- The turns

$("phases").append(...PHASES.map(([name, what]) => element("tr", {}, element("th", { scope: "row" }, element("b", {}, name), element("span", {}, what)),
  element("td"), element("td"), element("td", { class: "share" }, element("i")))));
$("counts").append(...Object.values(COUNTS).map((name) => element("tr", {}, element("th", { scope: "row" }, name), element("td"), element("td"))));

const report = { at: 0 };
const micros = (time) => (time < 1000 ? `${time.toFixed(time < 10 ? 1 : 0)} µs` : duration(time / 1000));

function showTurns({ turns, busy, busiest, timed, phases: [sum, last, slowest], counts, telling, listeners, reads, writes, pace: now }) {
  const [seconds, all] = [(performance.now() - report.at) / 1000, sum.reduce((a, b) => a + b, 0)];
  const aSecond = (number) => (report.at ? count(Math.round(number / seconds)) : "–");
  if (turns) {
    [...$("phases").rows].forEach((row, at) => {
      setText(row.cells[1], micros(last[at]));
      setText(row.cells[2], at ? micros(slowest[at]) : "");
      row.querySelector("i").style.width = `${(100 * sum[at]) / all}%`;
      setAttribute(row, "data-done", at && last[at] >= 1 ? "" : null);
    });
  }
  counts.forEach(([, all, of_last], at) => {
    const [, second, turn] = $("counts").rows[at].cells;
    setText(second, aSecond(all));
    if (turns) setText(turn, count(of_last));
  });
  setText($("rate"), report.at ? `${aSecond(turns)} per second, busy ${(100 * busy / (seconds * 1e6)).toFixed(1)} %${turns ? `, longest ${micros(busiest)}` : ""}` : "");
  setText($("telling"), `Reports took ${micros(telling)}, four times per second while a page is open.${
    timed < turns ? ` The phases were timed in ${count(timed)} of ${count(turns)} turns.` : ""}`);
  for (const [id, number] of [["waits-listeners", listeners], ["waits-reads", reads], ["waits-writes", writes]]) {
    setText($(id), id === "waits-listeners" ? (number ? "yes" : "none") : count(number));
    setAttribute($(id), "data-some", number ? "" : null);
  }
  report.at = performance.now();
  pace = now;
  showPace();
}

function showPace() {
  const slow = !["free", "held"].includes(pace);
  for (const [id, isSo] of [["free", pace === "free"], ["slow", slow], ["hold", pace === "held"]]) {
    setAttribute($(id), "aria-pressed", isSo);
    setAttribute($(id), "aria-disabled", mayTeach ? null : "true");
  }
  setAttribute($("step"), "aria-disabled", mayTeach && pace === "held" ? null : "true");
}

const choose = (what) => { if (mayTeach) send(what); };
$("free").addEventListener("click", () => choose("free"));
$("slow").addEventListener("click", () => choose({ slow: Number($("slow-by").value) }));
$("slow-by").addEventListener("change", () => { if (!["free", "held"].includes(pace)) choose({ slow: Number($("slow-by").value) }); });
$("hold").addEventListener("click", () => choose("hold"));
$("step").addEventListener("click", () => { if (pace === "held") choose("step"); });

// ---- One connection

function addLine(text) {
  const [log, lines] = [$("story"), $("lines")];
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
  lines.append(element("li", { "data-way": text[0] }, text));
  while (lines.childElementCount > STORY_LINES) lines.firstElementChild.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function endStory(why) {
  grid.mark("chosen", -1);
  setText($("story-of"), why || "none chosen");
  setText($("story-tls"), "");
  setAttribute($("unfollow"), "aria-disabled", "true");
}

$("unfollow").addEventListener("click", () => {
  if ($("unfollow").getAttribute("aria-disabled")) return;
  send("unfollow");
  endStory("");
});
