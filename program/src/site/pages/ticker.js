// The page of the ticker: prices that are pushed or polled, the cost of both, and a slow reader.

import { draw } from "./chart.js";
import { $, count, element, setAttribute, setText, socketUrl, t } from "./page.js";
import { Socket } from "./socket.js";

const TICKS_SHOWN = 300;
const BUSY_MS = 8000;
const RETRY_MS = 1000;
const BARS = 120;
const HUES = ["--accent", "--blue", "--green", "--violet", "--teal", "--amber"];
const WATCHED_AT_FIRST = ["ROPE", "KNOT", "HERD"];

/** By name: { hue, points: [[number, price]], isWatched, nodes }. */
const symbols = new Map();
let period = 100;
let token = "";
let polls = 0;
let replaced = 0;

const nothing = () => ({ count: 0, bytes: 0, prices: 0 });
let seen = { pushed: nothing(), polled: nothing() };
let saw = null;

// ---- Prices

const socket = new Socket("/ticker?measure");
const send = (what) => socket.send(JSON.stringify(what));
const watched = () => [...symbols.keys()].filter((name) => symbols.get(name).isWatched);

socket.onMessage = (data) => {
  const [[kind, content]] = Object.entries(JSON.parse(data));
  // As on the server: reports are not counted, and past prices neither, since polls do not get
  // them.
  if (kind !== "saw" && kind !== "past") {
    seen.pushed.count += 1;
    seen.pushed.bytes += data.length;
  }
  handlers[kind]?.(content);
};
socket.onClose = () => { token = ""; };

const handlers = {
  symbols(content) {
    ({ period, token } = content);
    // On a new connection, the server starts to count again.
    seen = { pushed: { count: 1, bytes: JSON.stringify({ symbols: content }).length, prices: 0 }, polled: nothing() };
    saw = null;
    for (const name of content.names) if (!symbols.has(name)) symbols.set(name, newSymbol(name));
    for (const symbol of symbols.values()) symbol.points = [];
    watch();
  },
  past([name, last, prices]) {
    const symbol = symbols.get(name);
    symbol.points = prices.map((price, at) => [last - prices.length + 1 + at, price]);
    show(symbol);
  },
  tick([name, number, price]) {
    seen.pushed.prices += 1;
    add(name, number, price);
  },
  saw(content) {
    saw = content;
    showCost();
  },
};

function newSymbol(name) {
  const hue = HUES[symbols.size % HUES.length];
  const nodes = { price: element("span", { class: "price" }, "–"), change: element("span", { class: "change" }) };
  const button = element("button", { type: "button", id: `symbol-${name}` },
    element("span", { class: "name" }, name), nodes.price, element("span", { class: "title" }, t(`ticker.company.${name.toLowerCase()}`)), nodes.change);
  const symbol = { name, hue, points: [], isWatched: WATCHED_AT_FIRST.includes(name), nodes: { ...nodes, button } };
  button.style.setProperty("--hue", `var(${hue})`);
  button.setAttribute("aria-pressed", symbol.isWatched);
  button.addEventListener("click", () => {
    symbol.isWatched = !symbol.isWatched;
    button.setAttribute("aria-pressed", symbol.isWatched);
    watch();
  });
  $("symbols").append(element("li", {}, button));
  return symbol;
}

/** Tells the server which prices to push: none while the page polls. */
function watch() {
  send({ watch: polls ? [] : watched() });
  for (const symbol of symbols.values()) {
    if (!symbol.isWatched) symbol.points = [];
    show(symbol);
  }
}

function add(name, number, price) {
  const { points } = symbols.get(name);
  const before = points.at(-1);
  if (before && !polls && number > before[0] + 1) replaced += number - before[0] - 1;
  points.push([number, price]);
  if (points.length > TICKS_SHOWN) points.shift();
  show(symbols.get(name));
}

let drawing = 0;

function show({ points, nodes }) {
  const [last, first] = [points.at(-1)?.[1], points[0]?.[1]];
  setText(nodes.price, last === undefined ? "–" : (last / 100).toFixed(2));
  const change = last === undefined ? 0 : (last / first - 1) * 100;
  const way = last === undefined ? "" : change < 0 ? "down" : "up";
  setText(nodes.change, way ? `${way === "up" ? "▲" : "▼"} ${Math.abs(change).toFixed(2)} %` : "");
  setAttribute(nodes.change, "data-way", way || null);
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    const lines = [...symbols.values()].filter((symbol) => symbol.isWatched);
    const newest = Math.max(0, ...lines.map((line) => line.points.at(-1)?.[0] ?? 0));
    draw($("chart"), lines, newest, TICKS_SHOWN, period);
    setText($("note"), replaced ? t("ticker.newer", { count: replaced }) : "");
  });
}
addEventListener("resize", () => { for (const symbol of symbols.values()) show(symbol); });

// ---- Polling

let isAsking = false;

async function ask() {
  if (isAsking || !socket.isOpen || document.hidden) return;
  isAsking = true;
  try {
    const response = await fetch(`/ticker/latest?symbols=${watched().join(",")}&for=${token}`, { cache: "no-store" });
    const text = await response.text();
    seen.polled.count += 1;
    seen.polled.bytes += text.length;
    for (const [name, [number, price]] of Object.entries(JSON.parse(text))) {
      const before = symbols.get(name).points.at(-1);
      if (before && before[0] >= number) continue;
      seen.polled.prices += 1;
      if (polls && symbols.get(name).isWatched) add(name, number, price);
    }
  } catch {
    // The header of the page shows that the connection is lost.
  }
  isAsking = false;
}

function choose(isPolled) {
  clearInterval(polls);
  polls = isPolled ? setInterval(ask, period) : 0;
  $("push").setAttribute("aria-pressed", !isPolled);
  $("poll").setAttribute("aria-pressed", isPolled);
  watch();
}
$("push").addEventListener("click", () => choose(false));
$("poll").addEventListener("click", () => choose(true));

// ---- The cost

function showCost() {
  for (const kind of ["pushed", "polled"]) {
    const [page, server] = [seen[kind], saw?.[kind]];
    const put = (side, name, value) => setText($(kind).querySelector(`[data-${side}="${name}"]`), value);
    const each = (bytes) => (page.prices && bytes ? count(Math.round(bytes / page.prices)) : "–");
    put("page", "count", count(page.count));
    put("page", "bytes", count(page.bytes));
    put("page", "each", each(page.bytes));
    const bytes = server ? server.read + server.written : 0;
    put("server", "count", server ? count(server.count) : "–");
    put("server", "bytes", server ? count(bytes) : "–");
    put("server", "each", server ? each(bytes) : "–");
  }
  const { pushed, polled } = seen;
  if (saw && polled.prices > 20 && pushed.prices > 20) {
    const each = (kind) => (saw[kind].read + saw[kind].written) / seen[kind].prices;
    const watchedNow = Math.max(1, watched().length);
    setText($("verdict"), t("ticker.verdict", { times: Math.round(each("polled") / each("pushed")), watched: watchedNow }));
  }
}
setInterval(showCost, 500);
showCost();

// ---- A slow reader

// The Content-Security-Policy of the site requires a trusted URL for a worker's script.
const scripts = globalThis.trustedTypes?.createPolicy("worker", { createScriptURL: (url) => url });

let worker = null;
let busyUntil = 0;
let isCutOff = false;
const total = { read: 0, replaced: 0 };

$("strip").append(...Array.from({ length: BARS }, () => element("i")));
const bars = [];

function startReading() {
  isCutOff = false;
  const url = "/assets/slow-reader.js";
  worker = new Worker(scripts ? scripts.createScriptURL(url) : url);
  worker.onmessage = ({ data }) => {
    if (data.closed) {
      // The server is probably down. Reading starts again when the page's own connection is open.
      stopReading();
      isCutOff = true;
      showState();
      setTimeout(resume, RETRY_MS);
      return;
    }
    total.read += data.read;
    total.replaced += data.replaced;
    setText($("slow-read"), count(total.read));
    setText($("slow-replaced"), count(total.replaced));
    if (data.last) setText($("slow-last"), t("ticker.book", { symbol: data.last.symbol, price: (data.last.bid / 100).toFixed(2), number: data.last.number }));
    showBar(data.read, data.replaced);
    showState();
  };
  worker.postMessage({ url: socketUrl("/ticker") });
  showState();
}

function stopReading() {
  worker?.terminate();
  worker = null;
  busyUntil = 0;
  isCutOff = false;
  showState();
}

function showBar(read, lost) {
  bars.push([read, lost]);
  if (bars.length > BARS) bars.shift();
  const most = Math.max(1, ...bars.map(([read]) => read));
  bars.forEach(([read, lost], at) => {
    const bar = $("strip").children[BARS - bars.length + at];
    bar.style.height = `${Math.ceil((100 * read) / most)}%`;
    setAttribute(bar, "data-lost", lost ? "" : null);
  });
}

function showState() {
  const left = busyUntil - performance.now();
  setText($("slow-state"), t(isCutOff ? "ticker.cut_off" : !worker ? "ticker.off" : left > 0 ? "ticker.not_reading" : "ticker.reading"));
  setText($("books"), t(worker || isCutOff ? "ticker.stop" : "ticker.start"));
  setAttribute($("stall"), "aria-disabled", worker && left <= 0 ? null : "true");
}

// A busy worker sends no reports, but the bars go on.
setInterval(() => {
  if (!worker || busyUntil < performance.now()) return;
  showBar(0, 0);
  showState();
}, 250);

function resume() {
  if (isCutOff && socket.isOpen) startReading();
}
socket.onOpen = resume;
$("books").addEventListener("click", () => (worker || isCutOff ? stopReading() : startReading()));
$("stall").addEventListener("click", () => {
  if (!worker || busyUntil > performance.now()) return;
  worker.postMessage({ busy: BUSY_MS });
  busyUntil = performance.now() + BUSY_MS;
  showState();
});
