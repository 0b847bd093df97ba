// The page of the loop: the picture of a turn, the slab, the numbers, the trace of one connection,
// and recordings.

import { BLOCKED, HEARD, STATES, TO_READ, TO_WRITE, applyChanges } from "./cells.js";
import { Grid, HUES } from "./grid.js";
import { $, LANGUAGE, count, element, secured, setAttribute, setText, stateName, t } from "./page.js";
import { BadRecording, COUNTED, LARGEST_FILE, LENGTH_MS, Recorder, Recording } from "./recording.js";
import { Sequence } from "./sequence.js";
import { Socket } from "./socket.js";
import { PHASES, TurnView, micros, phasesDone } from "./turn.js";

const STORY_LINES = 500;
/** The steps of the slider. */
const PLACE_MS = 50;
const PLAY_EVERY_MS = 100;
const OPEN = STATES.indexOf("open");

const socket = new Socket(location.pathname + location.search);
const send = (what) => socket.send(JSON.stringify(what));
const grid = new Grid($("grid"));
const turn = new TurnView($("turn"));
const sequence = new Sequence($("drawn"), $("steps"));
let mayTeach = false;
let pace = "free";
/** What the server has told: the loop, the last report, the time that it is about, and the grid. */
const nothing = () => ({ loop: 0, loops: 1, slot: -1, report: null, seconds: 0, cells: new Uint8Array(0), heardAt: 0 });
let live = nothing();
let recorder = null;
/** The recording that is shown instead of what happens now, or null. */
let recording = null;

socket.onMessage = (data) => {
  if (typeof data !== "string") {
    const bytes = new Uint8Array(data);
    live.cells = applyChanges(live.cells, bytes);
    recorder?.changes(performance.now(), bytes);
    if (!recording) showCells(live.cells);
    return;
  }
  const [[kind, content]] = Object.entries(JSON.parse(data));
  handlers[kind]?.(content);
};
socket.onClose = () => {
  endRecording();
  live = nothing();
  if (!recording) showLive();
  endStory("");
};

const handlers = {
  hello({ slot, teaches, number, loops }) {
    mayTeach = teaches;
    Object.assign(live, { loop: number, loops, slot });
    showLoops(number, loops);
    if (!recording) grid.mark("own", slot);
    setText($("pace-hint"), t(teaches ? "loop.pace_hint" : "loop.no_pace_hint"));
    setText($("story-hint"), teaches ? "" : t("loop.no_content_hint"));
    showPace();
  },
  turns(report) {
    const now = performance.now();
    live.seconds = live.heardAt ? (now - live.heardAt) / 1000 : 0;
    Object.assign(live, { report, heardAt: now });
    recorder?.report(now, live.seconds, report);
    pace = report.pace;
    if (!recording) showReport(report, live.seconds);
    showPace();
    showRecording();
  },
  follows({ slot, id, route, state }) {
    $("lines").replaceChildren();
    sequence.begin(state);
    setText($("story-tls"), "");
    if (!recording) grid.mark("chosen", slot);
    setText($("story-of"), route ? t("loop.story_on", { id, route }) : id);
    setAttribute($("unfollow"), "aria-disabled", null);
  },
  tls: (agreed) => setText($("story-tls"), secured(agreed)),
  line({ text, step }) {
    addLine(text);
    if (step) sequence.add(step);
  },
  missed(lines) {
    const text = t("loop.missed", { count: lines });
    addLine(`… ${text}`);
    sequence.note(text);
  },
  gone(id) {
    const text = t("loop.gone", { id });
    sequence.note(text);
    endStory(text);
  },
  refused: (why) => setText($("follow-problem"), t(`loop.refused.${why}`)),
};

/** The loops of the server, if there are several: this page shows one of them. */
function showLoops(number, loops) {
  $("loops").hidden = loops < 2;
  $("loops").replaceChildren(t("loop.loop"), ...Array.from({ length: loops }, (_, other) =>
    element("a", { href: `?loop=${other}`, ...(other === number ? { "aria-current": "page" } : {}) }, `${other}`)));
}

// ---- The slab

const hued = (kind, hue) => {
  const sample = element("i", { class: kind });
  sample.style.setProperty("--hue", `var(${hue})`);
  return sample;
};
const legend = new Map([
  ...STATES.flatMap((state, at) => (at === OPEN ? [] : [[state, stateName(state), at ? hued("", HUES[at]) : hued("free", HUES[at])]])),
  ["open-quiet", t("loop.kind.quiet"), hued("quiet", HUES[OPEN])],
  ["open-active", t("loop.kind.active"), hued("", HUES[OPEN])],
  ["to-read", t("loop.mark.to_read"), hued("read", HUES[OPEN])],
  ["to-write", t("loop.mark.to_write"), hued("write", HUES[OPEN])],
  ["blocked", t("loop.mark.blocked"), hued("blocked", HUES[OPEN])],
  ["own", t("loop.kind.own"), hued("own", HUES[OPEN])],
].map(([kind, name, sample]) => {
  const number = element("b");
  const item = element("li", { "data-kind": kind }, sample, number, ` ${name}`);
  $("legend").append(item);
  return [kind, { item, number }];
}));

function showCells(cells) {
  grid.show(cells);
  const found = new Map([...legend.keys()].map((kind) => [kind, 0]));
  const add = (kind) => found.set(kind, found.get(kind) + 1);
  for (const cell of cells) {
    const state = cell & 7;
    if (state !== OPEN) add(STATES[state]);
    else add(cell & HEARD ? "open-active" : "open-quiet");
    if (cell & TO_READ) add("to-read");
    if (cell & TO_WRITE) add("to-write");
    if (cell & BLOCKED) add("blocked");
  }
  found.set("own", 1);
  for (const [kind, { item, number }] of legend) {
    setText(number, kind === "own" ? "" : count(found.get(kind)));
    item.hidden = !found.get(kind) && !kind.startsWith("open");
  }
  const taken = cells.length - found.get("free");
  setText($("slots-count"), count(taken));
  setAttribute($("grid"), "aria-label", t("loop.slab_taken", { slots: cells.length, taken }));
}

const listed = new Intl.ListFormat(LANGUAGE, { type: "unit" });

function describe(slot) {
  const cell = grid.cells[slot];
  if (cell === undefined) return "";
  const marks = [[HEARD, "active"], [TO_READ, "to_read"], [TO_WRITE, "to_write"], [BLOCKED, "blocked"]];
  const words = [stateName(STATES[cell & 7]), ...marks.filter(([mark]) => cell & mark).map(([, mark]) => t(`loop.mark.${mark}`))];
  return t(slot === grid.own ? "loop.own_cell" : "loop.cell", { slot, words: listed.format(words) });
}

function follow(slot) {
  // The slots of a recording may have other connections now.
  setText($("follow-problem"), recording ? t("loop.recorded") : "");
  if (recording) return;
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
  else setText($("follow-problem"), t("loop.no_slot"));
});

// ---- The numbers

$("phases").append(...PHASES.map((name) => element("tr", {},
  element("th", { scope: "row" }, element("b", {}, t(`loop.phase.${name}`)), element("span", {}, t(`loop.does.${name}`))),
  element("td"), element("td"), element("td", { class: "share" }, element("i")))));
$("counts").append(...COUNTED.map((name) => element("tr", {}, element("th", { scope: "row" }, t(`loop.count.${name}`)), element("td"), element("td"))));

/** Shows a report, which is about so many seconds. These are 0 if nobody knows. */
function showReport(report, seconds) {
  const { turns, busy, busiest, timed, phases: [sum, last, longest], counts, telling, listeners, reads, writes } = report;
  const all = sum.reduce((one, other) => one + other, 0);
  const aSecond = (number) => (seconds ? count(Math.round(number / seconds)) : "–");
  turn.show(report, seconds);
  if (turns) {
    const done = phasesDone(report);
    [...$("phases").rows].forEach((row, at) => {
      setText(row.cells[1], micros(last[at]));
      // The wait does not make a turn long.
      setText(row.cells[2], at ? micros(longest[at]) : "–");
      row.querySelector("i").style.width = `${all ? (100 * sum[at]) / all : 0}%`;
      setAttribute(row, "data-done", done.includes(PHASES[at]) ? "" : null);
    });
    const whole = (turn) => micros(turn.slice(1).reduce((one, other) => one + other, 0));
    setText($("whole").cells[1], whole(last));
    setText($("whole").cells[2], whole(longest));
  }
  counts.forEach(([, all, ofLast], at) => {
    const [, second, lastTurn] = $("counts").rows[at].cells;
    setText(second, aSecond(all));
    if (turns) setText(lastTurn, count(ofLast));
  });
  setText($("rate"), !seconds ? "" : turns
    ? t("loop.rate_longest", { turns: aSecond(turns), percent: percent(busy / (seconds * 1e6)), longest: micros(busiest) })
    : t("loop.rate", { turns: aSecond(turns), percent: percent(busy / (seconds * 1e6)) }));
  const told = t("loop.telling", { time: micros(telling) });
  setText($("telling"), timed < turns ? `${told} ${t("loop.sampled", { timed, turns })}` : told);
  for (const [id, number] of [["waits-listeners", listeners], ["waits-reads", reads], ["waits-writes", writes]]) {
    setText($(id), id === "waits-listeners" ? t(number ? "loop.yes" : "loop.none") : count(number));
    setAttribute($(id), "data-some", number ? "" : null);
  }
}

const percent = (part) => t("loop.percent", { percent: count(100 * part, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) });

function showLive() {
  grid.mark("own", live.slot);
  if (live.report) showReport(live.report, live.seconds);
  showCells(live.cells);
}

// ---- The pace

function showPace() {
  const slow = !["free", "held"].includes(pace);
  const may = mayTeach && !recording;
  for (const [id, isSo] of [["free", pace === "free"], ["slow", slow], ["hold", pace === "held"]]) {
    setAttribute($(id), "aria-pressed", isSo);
    setAttribute($(id), "aria-disabled", may ? null : "true");
  }
  setAttribute($("step"), "aria-disabled", may && pace === "held" ? null : "true");
}

const choose = (what) => { if (mayTeach && !recording) send(what); };
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
  setText($("story-of"), why || t("loop.none_chosen"));
  setText($("story-tls"), "");
  setAttribute($("unfollow"), "aria-disabled", "true");
}

$("unfollow").addEventListener("click", () => {
  if ($("unfollow").getAttribute("aria-disabled")) return;
  send("unfollow");
  endStory("");
});

// ---- Recordings

let playing = 0;
/** Ends a recording, also if the server tells nothing. */
let ending = 0;

function beginRecording() {
  if (!live.report) return;
  problem("");
  const now = performance.now();
  recorder = new Recorder(now, live);
  recorder.report(now, live.seconds, live.report);
  ending = setTimeout(endRecording, LENGTH_MS);
  showRecording();
}

function endRecording() {
  clearTimeout(ending);
  const made = recorder?.finish() ?? null;
  recorder = null;
  if (made) show(made);
  else showRecording();
}

/** Shows a recording, or what happens now. */
function show(next) {
  clearInterval(playing);
  playing = 0;
  recording = next;
  grid.mark("chosen", -1);
  setText($("follow-problem"), "");
  turn.clear();
  if (next) {
    $("place").max = Math.ceil(next.duration / PLACE_MS) * PLACE_MS;
    $("place").step = PLACE_MS;
    $("place").value = 0;
    showPlace();
  } else showLive();
  showPace();
  showRecording();
}

function showPlace() {
  const ms = Number($("place").value);
  const { report, seconds, cells } = recording.at(ms);
  grid.mark("own", recording.slot);
  showReport(report, seconds);
  showCells(cells);
  const time = t("loop.place_of", { at: inSeconds(ms), end: inSeconds(recording.duration) });
  setText($("place-time"), time);
  setAttribute($("place"), "aria-valuetext", time);
}

const inSeconds = (ms) => count(ms / 1000, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

function showRecording() {
  const seconds = recorder && Math.max(0, Math.ceil((LENGTH_MS - recorder.lasts(performance.now())) / 1000));
  setText($("record"), t(recorder ? "loop.stop" : "loop.record"));
  setAttribute($("record"), "aria-pressed", recorder !== null);
  setAttribute($("record"), "aria-disabled", recording || !live.report ? "true" : null);
  setText($("record-state"), recorder ? t("loop.records", { seconds })
    : recording ? t("loop.shows", { time: recording.recorded.toLocaleString(LANGUAGE) }) : "");
  $("replay").hidden = !recording;
  setText($("play"), t(playing ? "loop.pause" : "loop.play"));
}

const isAtEnd = () => Number($("place").value) >= recording.duration;

function play() {
  if (playing) {
    clearInterval(playing);
    playing = 0;
  } else {
    if (isAtEnd()) $("place").value = 0;
    let before = performance.now();
    playing = setInterval(() => {
      const now = performance.now();
      const steps = Math.floor((now - before) / PLACE_MS);
      before += steps * PLACE_MS;
      $("place").value = Number($("place").value) + steps * PLACE_MS;
      if (isAtEnd()) play();
      showPlace();
    }, PLAY_EVERY_MS);
  }
  showRecording();
}

function save() {
  const url = URL.createObjectURL(new Blob([recording.toText()], { type: "application/json" }));
  const name = recording.recorded.toISOString().slice(0, 19).replaceAll(":", "-");
  element("a", { href: url, download: `lariat-loop-${name}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function openFile() {
  const [file] = $("file").files;
  if (!file) return;
  try {
    if (file.size > LARGEST_FILE) throw new BadRecording("size");
    const opened = Recording.parse(await file.text());
    recorder = null;
    clearTimeout(ending);
    problem("");
    show(opened);
    $("place").focus();
  } catch (error) {
    problem(error instanceof BadRecording ? t(`loop.bad.${error.why}`, { what: error.what }) : t("loop.bad.unread", { what: error.message }));
  }
  // The same file can be chosen again.
  $("file").value = "";
}

const problem = (text) => setText($("record-problem"), text);

$("record").addEventListener("click", () => {
  if (recorder) endRecording();
  else if (!recording) beginRecording();
});
$("open-file").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", openFile);
$("place").addEventListener("input", showPlace);
$("play").addEventListener("click", play);
$("save").addEventListener("click", save);
$("live").addEventListener("click", () => {
  show(null);
  $("record").focus();
});
showRecording();
