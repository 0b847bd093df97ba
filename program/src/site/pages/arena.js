// The page of the arena: shows what game.js knows on a canvas and in words, and reads keys, mouse
// and fingers.

import { $, LANGUAGE, askForName, bytes, count, element, nodes, setText, t } from "./page.js";
import { Game, RADIUS, TICK_MS } from "./game.js";
import { Socket } from "./socket.js";

/** The longer side of the view shows so many units, unless riders would become too small. */
const SHOWN_UNITS = 1450;
const SMALLEST_SCALE = 0.55;
/** With a finger, full speed is so many pixels away from where it was put down. */
const STICK = 56;
const LOOP_SHOWN_MS = 600;
const SAID_SHOWN_MS = 3500;
const HUES = ["--blue", "--green", "--violet", "--teal", "--amber", "--accent"];
const KEYS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  KeyA: [-1, 0], KeyD: [1, 0], KeyW: [0, -1], KeyS: [0, 1],
};

const canvas = $("canvas");
const paint = canvas.getContext("2d");
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
const socket = new Socket();
export const game = new Game((data) => socket.send(data));
const listed = new Intl.ListFormat(LANGUAGE);

/** The server names bots in English. */
const nameOf = (name) => (name.endsWith(" (bot)") ? t("arena.bot", { name: name.slice(0, -6) }) : name);

/** By id. null means that the name was requested. */
const names = new Map();
/** Loops that were closed a moment ago: { line, hue, at }. */
let loops = [];
let colours = {};
let bytesHeard = 0;
let bytesPerSecond = 0;

// ---- Messages from the server

socket.onOpen = () => socket.send(JSON.stringify({ join: { name: $("name").value } }));
socket.onClose = () => { canvas.dataset.state = "away"; };
socket.onMessage = (data) => {
  if (data instanceof ArrayBuffer) {
    bytesHeard += data.byteLength;
    game.hear(data, performance.now());
    askNames();
    return;
  }
  const message = JSON.parse(data);
  const [[kind, content]] = typeof message === "string" ? [[message]] : Object.entries(message);
  handlers[kind]?.(content);
};

const handlers = {
  welcome(me) {
    game.begin(me);
    names.clear();
    loops = [];
    canvas.dataset.state = "there";
  },
  names(pairs) {
    for (const [id, name] of pairs) names.set(id, name);
  },
  scores: renderScores,
  caught({ strays, riders, points }) {
    const parts = [];
    if (strays) parts.push(t("arena.strays", { count: strays }));
    parts.push(...riders.map(nameOf));
    say(parts.length ? t("arena.caught", { what: listed.format(parts), points: t("arena.points", { count: points }) }) : t("arena.caught_none"));
  },
  held: (name) => say(t("arena.held", { name: nameOf(name) })),
  round: (winner) => {
    const text = winner ? t("arena.won", { name: nameOf(winner[0]), points: t("arena.points", { count: winner[1] }) }) : t("arena.over");
    say(text);
    setText($("round"), t("arena.sentence_end", { text }));
  },
  full: () => say(t("arena.full")),
};

game.onLoop = (id, line) => {
  if (line.length > 2) loops.push({ line, hue: hueOf(id), at: performance.now() });
};

/** Requests the unknown names of riders in sight. */
function askNames() {
  const unknown = game.snapshot.riders.map(({ id }) => id).filter((id) => !names.has(id));
  if (unknown.length && socket.send(JSON.stringify({ who: unknown }))) for (const id of unknown) names.set(id, null);
}

// ---- Steering

const pressed = new Set();
/** Where the finger or the mouse was put down, and where it is. */
let stick = null;

canvas.addEventListener("keydown", (event) => {
  if (!KEYS[event.code] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  pressed.add(event.code);
});
addEventListener("keyup", (event) => pressed.delete(event.code));
canvas.addEventListener("blur", () => pressed.clear());
addEventListener("blur", () => {
  pressed.clear();
  stick = null;
});

canvas.addEventListener("pointerdown", (event) => {
  canvas.focus({ preventScroll: true });
  if (stick || event.button > 0) return;
  canvas.setPointerCapture(event.pointerId);
  const from = { x: event.offsetX, y: event.offsetY };
  stick = { id: event.pointerId, from, to: from };
});
canvas.addEventListener("pointermove", (event) => {
  if (stick?.id === event.pointerId) stick.to = { x: event.offsetX, y: event.offsetY };
});
for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
  canvas.addEventListener(kind, (event) => { if (stick?.id === event.pointerId) stick = null; });
}

/** Returns the wanted direction and speed, x and y from -127 to 127. */
function wish() {
  let [x, y] = [0, 0];
  for (const code of pressed) [x, y] = [x + KEYS[code][0], y + KEYS[code][1]];
  if (stick) [x, y] = [(stick.to.x - stick.from.x) / STICK, (stick.to.y - stick.from.y) / STICK];
  const length = Math.max(1, Math.hypot(x, y));
  return { x: Math.round((x / length) * 127), y: Math.round((y / length) * 127) };
}

// ---- The canvas

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["--page", "--card", "--sunk", "--line", "--field", "--ink", "--soft", "--amber", ...HUES]) colours[name] = style.getPropertyValue(name);
  colours.sans = style.getPropertyValue("--sans");
}

const hueOf = (id) => HUES[id % HUES.length];

function frame(now) {
  requestAnimationFrame(frame);
  if (socket.isOpen) game.go(now, wish());
  const ratio = devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  }
  const own = game.own(now);
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  paint.fillStyle = colours["--page"];
  paint.fillRect(0, 0, width, height);
  if (!own) return;
  const scale = Math.max(SMALLEST_SCALE, Math.max(width, height) / SHOWN_UNITS);
  const { side } = game.snapshot;
  const left = viewStart(own.x, width / scale, side);
  const top = viewStart(own.y, height / scale, side);
  paint.scale(scale, scale);
  paint.translate(-left, -top);
  paintGround({ left, right: left + width / scale, top, bottom: top + height / scale }, side);
  paintLoops(now);
  const riders = game.riders(now);
  for (const rider of riders) paintRope(rider);
  for (const stray of game.strays(now)) paintStray(stray);
  for (const rider of riders) paintRider(rider);
  if (stick) paintStick(ratio);
}

/**
 * Returns the start of the view. The place is in its middle, unless too much would be beyond the
 * fence.
 */
function viewStart(place, length, side) {
  const beyond = 40;
  if (length > side + 2 * beyond) return (side - length) / 2;
  return Math.min(Math.max(place - length / 2, -beyond), side + beyond - length);
}

function paintGround({ left, right, top, bottom }, side) {
  paint.fillStyle = colours["--sunk"];
  paint.fillRect(0, 0, side, side);
  paint.fillStyle = colours["--line"];
  const first = (low) => Math.max(80, Math.ceil(low / 80) * 80);
  for (let x = first(left); x < Math.min(right, side); x += 80) {
    for (let y = first(top); y < Math.min(bottom, side); y += 80) paint.fillRect(x - 2, y - 2, 4, 4);
  }
  paint.strokeStyle = colours["--field"];
  paint.lineWidth = 4;
  paint.strokeRect(0, 0, side, side);
}

function paintLoops(now) {
  loops = loops.filter(({ at }) => now - at < LOOP_SHOWN_MS);
  for (const { line, hue, at } of loops) {
    trace(line);
    paint.closePath();
    paint.globalAlpha = isCalm.matches ? 0.2 : 0.4 * (1 - (now - at) / LOOP_SHOWN_MS);
    paint.fillStyle = colours[hue];
    paint.fill();
    paint.globalAlpha = 1;
  }
}

function trace(line) {
  paint.beginPath();
  line.forEach(({ x, y }, at) => (at ? paint.lineTo(x, y) : paint.moveTo(x, y)));
}

/** Draws a rope with its strands, as in the logo. */
function paintRope({ id, rope }) {
  if (rope.length < 2) return;
  paint.lineJoin = "round";
  paint.lineCap = "round";
  trace(rope);
  paint.strokeStyle = colours[hueOf(id)];
  paint.lineWidth = id === game.me ? 6 : 5;
  paint.stroke();
  paint.setLineDash([2.5, 7]);
  paint.strokeStyle = colours["--sunk"];
  paint.lineWidth = 1.75;
  paint.stroke();
  paint.setLineDash([]);
}

function paintStray({ id, x, y }) {
  const angle = (id * 2.4) % (2 * Math.PI);
  paint.fillStyle = colours["--card"];
  paint.strokeStyle = colours["--soft"];
  paint.lineWidth = 2.5;
  paint.beginPath();
  paint.ellipse(x, y, 11, 8, angle, 0, 2 * Math.PI);
  paint.fill();
  paint.stroke();
  paint.fillStyle = colours["--soft"];
  paint.beginPath();
  paint.arc(x + Math.cos(angle) * 11, y + Math.sin(angle) * 11, 4.5, 0, 2 * Math.PI);
  paint.fill();
}

function paintRider({ id, x, y, held, rope }) {
  const hue = colours[hueOf(id)];
  const from = rope.at(-3) ?? { x, y };
  const [dx, dy] = [x - from.x, y - from.y];
  const length = Math.hypot(dx, dy);
  paint.fillStyle = hue;
  paint.strokeStyle = id === game.me ? colours["--ink"] : colours["--card"];
  paint.lineWidth = 3;
  paint.beginPath();
  paint.arc(x, y, RADIUS - 1.5, 0, 2 * Math.PI);
  paint.fill();
  paint.stroke();
  // The brim of a hat, in the direction of the ride.
  paint.fillStyle = colours["--card"];
  paint.beginPath();
  const ahead = length > 1 ? 5 / length : 0;
  paint.arc(x + dx * ahead, y + dy * ahead, 5.5, 0, 2 * Math.PI);
  paint.fill();
  if (held) {
    paint.strokeStyle = colours["--ink"];
    paint.lineWidth = 3;
    paint.setLineDash([6, 5]);
    paint.beginPath();
    paint.arc(x, y, RADIUS + 7, 0, 2 * Math.PI);
    paint.stroke();
    paint.setLineDash([]);
  }
  const name = names.get(id)?.replace(/ \(bot\)$/, "");
  if (!name) return;
  paint.font = `600 18px ${colours.sans}`;
  paint.textAlign = "center";
  paint.lineWidth = 5;
  paint.lineJoin = "round";
  paint.strokeStyle = colours["--sunk"];
  paint.fillStyle = id === game.me ? colours["--ink"] : colours["--soft"];
  paint.strokeText(name, x, y + RADIUS + 22);
  paint.fillText(name, x, y + RADIUS + 22);
}

function paintStick(ratio) {
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  const { from, to } = stick;
  const length = Math.max(1, Math.hypot(to.x - from.x, to.y - from.y) / STICK);
  paint.globalAlpha = 0.5;
  paint.strokeStyle = colours["--ink"];
  paint.lineWidth = 2;
  paint.beginPath();
  paint.arc(from.x, from.y, STICK, 0, 2 * Math.PI);
  paint.stroke();
  paint.fillStyle = colours["--ink"];
  paint.beginPath();
  paint.arc(from.x + (to.x - from.x) / length, from.y + (to.y - from.y) / length, 18, 0, 2 * Math.PI);
  paint.fill();
  paint.globalAlpha = 1;
}

// ---- Words

let silent = 0;

function say(text) {
  setText($("said"), text);
  clearTimeout(silent);
  silent = setTimeout(() => setText($("said"), ""), SAID_SHOWN_MS);
}

function renderScores(scores) {
  const items = scores.map(([id, name, score]) => {
    const item = element("li", { "aria-current": id === game.me ? "true" : undefined }, element("span", { dir: "auto" }, nameOf(name)), element("span", {}, count(score)));
    item.style.setProperty("--hue", `var(${hueOf(id)})`);
    return item;
  });
  $("scores").replaceChildren(...items);
}

const ordinals = new Intl.PluralRules(LANGUAGE, { type: "ordinal" });

/** Formats a rank: 1st, 2nd, 3rd, 4th. */
function ordinal(number) {
  const form = { one: "one", two: "two", few: "few" }[ordinals.select(number)] ?? "rest";
  return t(`arena.rank.${form}`, { number });
}

function renderFigures() {
  if (!game.snapshot) return;
  const { score, rank, count: all, seconds } = game.snapshot;
  const strong = (value) => element("b", {}, value);
  $("figures").replaceChildren(...[
    nodes("arena.figure_points", { count: score, number: strong(count(score)) }),
    nodes("arena.figure_rank", { number: strong(rank ? ordinal(rank) : "–"), all }),
    nodes("arena.figure_left", { time: strong(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`) }),
  ].map((figure) => element("span", {}, ...figure)));
}

function renderWhere() {
  bytesPerSecond = bytesHeard;
  bytesHeard = 0;
  if (!game.snapshot) return;
  const now = performance.now();
  const own = game.own(now);
  const to = ({ x, y }) => ({ far: Math.hypot(x - own.x, y - own.y), direction: Math.round((Math.atan2(y - own.y, x - own.x) / Math.PI) * 4 + 8) % 8 });
  const nearest = (list) => list.map((one) => ({ ...one, ...to(one) })).sort((one, other) => one.far - other.far)[0];
  const stray = nearest(game.strays(now));
  const others = game.riders(now).filter(({ id }) => id !== game.me);
  const rider = nearest(others);
  const where = ({ far, direction }) => ({ far: Math.round(far / 10) * 10, direction: t(`arena.direction.${direction}`) });
  const parts = [stray ? t("arena.nearest", where(stray)) : t("arena.no_stray")];
  if (rider) parts.push(t("arena.near", { name: nameOf(names.get(rider.id) ?? t("arena.some_rider")), ...where(rider) }));
  const [strays, riders] = [game.strays(now).length, others.length];
  parts.push(t("arena.in_sight", { strays: t("arena.strays", { count: strays }), riders: t("arena.riders", { count: riders }) }));
  setText($("where"), parts.join(" "));
  setText($("wire"), t("arena.rate", { snapshots: 1000 / TICK_MS, bytes: bytes(bytesPerSecond) }));
}

// ---- Names

askForName((name) => {
  canvas.focus({ preventScroll: true });
  names.delete(game.me);
  socket.send(JSON.stringify({ join: { name } }));
});
$("name").value = [...$("name").value].slice(0, 20).join("");

readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
setInterval(renderFigures, 250);
setInterval(renderWhere, 1000);
canvas.focus({ preventScroll: true });
requestAnimationFrame(frame);
