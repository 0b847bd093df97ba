// A WebSocket by hand: everything that the API of the browser shows. wire.js shows what went over
// the wire; the server sends it over a second socket.

import { $, bytes, clock, count, duration, element, setAttribute, setText, socketUrl } from "./page.js";
import { Socket } from "./socket.js";
import { WireView } from "./wire.js";

const LOG_LINES = 500;
const SHOW_AFTER_MS = 40;
const SHOWN_CHARACTERS = 500;
const SHOWN_BYTES = 64;
const UNANSWERED_MESSAGES = 1000;
const UNANSWERED_BYTES = 64 * 1024 * 1024;

const STATES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
const CLOSE_CODES = {
  1000: "normal closure",
  1001: "going away: the server stops, or the page was left",
  1002: "protocol error",
  1003: "unsupported data",
  1005: "the Close frame carried no code",
  1006: "abnormal: the connection ended without a Close frame",
  1007: "the data does not fit its type, such as text that is not UTF-8",
  1008: "policy violation",
  1009: "the message is too big for the peer",
  1010: "an extension that the client needs is missing",
  1011: "the server met an unexpected condition",
  1012: "the server restarts",
  1013: "the server is overloaded: try again later",
  1014: "bad gateway",
  1015: "the TLS handshake failed",
};

// The current connection: the socket and what this page knows about it.
let current = null;
let connections = 0;
let sentMessages = 0;
let receivedMessages = 0;

// ---- What the server saw

const wire = new WireView($("wire"));
const server = new Socket();
let token = null;

wire.isInflatable = (on) => current?.number === on && /server_no_context_takeover/.test(current.socket.extensions)
  && /client_no_context_takeover/.test(current.socket.extensions);

server.onMessage = (data) => {
  const step = JSON.parse(data);
  if (!step.token) return wire.show(step);
  token = step.token;
  if (!current) connect();
};
server.onClose = () => { token = null; };

/**
 * Returns the URL for a connection that the server traces, or null if it goes to another server.
 */
function watched(text, number) {
  let url;
  try {
    url = new URL(text, location.href);
  } catch {
    return null;
  }
  if (!token || !/^(ws|http)s?:$/.test(url.protocol) || url.host !== location.host || url.hash) return null;
  const parameters = `wire=${token}.${number}${$("compress").checked ? "" : "&plain"}`;
  return `${url.origin.replace(/^http/, "ws")}${url.pathname}${url.search ? `${url.search}&` : "?"}${parameters}`;
}

// ---- Connecting and closing

function connect() {
  const url = $("url").value.trim();
  const protocols = $("subprotocols").value.split(",").map((name) => name.trim()).filter(Boolean);
  const number = connections + 1;
  const watchedUrl = watched(url, number);
  let socket;
  try {
    socket = new WebSocket(watchedUrl ?? url, protocols);
  } catch (error) {
    problem("connect-problem", error.message, [areSubprotocols(protocols) ? "url" : "subprotocols"]);
    return;
  }
  problem("connect-problem", "");
  if (current && current.socket.readyState < WebSocket.CLOSING) {
    current.socket.close(1000, "replaced by a new connection");
  }
  connections = number;
  current = {
    socket, number, url: watchedUrl ? url : socket.url, protocols, isWatched: watchedUrl !== null,
    startedAt: performance.now(), openedAt: null, peak: 0, unanswered: [], unansweredBytes: 0, closed: null,
  };
  setText($("wire-note"), current.isWatched ? "as this server saw it" : "not shown: the connection goes to another server");
  listen(current);
  render();
}

// The constructor throws the same kind of error for a bad URL and for bad subprotocols. This shows
// which field to mark.
function areSubprotocols(names) {
  return new Set(names).size === names.length && names.every((name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name));
}

function listen(connection) {
  const { socket } = connection;
  socket.binaryType = "arraybuffer";

  socket.addEventListener("open", () => {
    connection.openedAt = performance.now();
    log("open", connection.number, {
      data: connection.url,
      meta: `handshake took ${duration(connection.openedAt - connection.startedAt)}`,
    });
    render();
  });

  socket.addEventListener("message", ({ data }) => {
    receivedMessages += 1;
    const roundTrip = answered(connection, data);
    log("message", connection.number, {
      ...preview(data),
      strong: roundTrip === null ? "" : `round trip ${duration(roundTrip)}`,
    });
  });

  // The event has no details on purpose: a page must not be able to probe networks.
  socket.addEventListener("error", () => {
    log("error", connection.number, { data: "The connection failed. Browsers hide the reason from the page; the developer console may show it." });
    render();
  });

  socket.addEventListener("close", ({ code, reason, wasClean }) => {
    connection.closed = { code, reason, wasClean };
    const lifetime = connection.openedAt === null ? "never opened" : `was open for ${duration(performance.now() - connection.openedAt)}`;
    log("close", connection.number, {
      data: `code ${code}, reason ${JSON.stringify(reason)}, wasClean ${wasClean}`,
      meta: [meaning(code), lifetime].filter(Boolean).join("; "),
    });
    connection.unanswered = [];
    render();
  });
}

function close() {
  const code = $("code").value.trim();
  const reason = $("reason").value;
  if (!current || current.socket.readyState > WebSocket.OPEN) return;
  try {
    if (code === "" && reason === "") current.socket.close();
    else current.socket.close(code === "" ? 1000 : closeCode(code), reason);
  } catch (error) {
    problem("close-problem", error.message, [utf8.encode(reason).length > 123 ? "reason" : "code"]);
    return;
  }
  problem("close-problem", "");
  render();
}

// The browser would take `close("10x0")` as the number 0.
function closeCode(text) {
  if (!/^\d{1,5}$/.test(text)) throw new Error("The code must be a number: 1000, or 3000 to 4999.");
  return Number(text);
}

function meaning(code) {
  if (code >= 3000 && code <= 3999) return "a code of a library or framework";
  if (code >= 4000 && code <= 4999) return "a code of the application";
  return CLOSE_CODES[code] || "";
}

// ---- Sending

function send(data) {
  if (!current || current.socket.readyState !== WebSocket.OPEN) return false;
  const size = sizeOf(data);
  const at = performance.now();
  current.socket.send(data);
  sentMessages += 1;
  current.unanswered.push({ data, size, at });
  current.unansweredBytes += size;
  while (current.unanswered.length > UNANSWERED_MESSAGES || current.unansweredBytes > UNANSWERED_BYTES) {
    current.unansweredBytes -= current.unanswered.shift().size;
  }
  current.peak = Math.max(current.peak, current.socket.bufferedAmount);
  log("sent", current.number, preview(data));
  return true;
}

// Messages of a connection keep their order. So an answer also settles all messages before the one
// that it answers.
function answered(connection, data) {
  const index = connection.unanswered.findIndex((sent) => same(sent.data, data));
  if (index < 0) return null;
  const settled = connection.unanswered.splice(0, index + 1);
  for (const sent of settled) connection.unansweredBytes -= sent.size;
  return performance.now() - settled[index].at;
}

function same(a, b) {
  if (typeof a === "string" || typeof b === "string") return a === b;
  if (a.byteLength !== b.byteLength) return false;
  const left = new Uint8Array(a);
  const right = new Uint8Array(b);
  return left.every((byte, i) => byte === right[i]);
}

function sendText() {
  const text = $("text").value;
  // As the browser sends it: a lone surrogate has no UTF-8 form and becomes U+FFFD.
  send(text.toWellFormed ? text.toWellFormed() : text);
}

function sendHex() {
  const digits = $("hex").value.replace(/0x|[\s,:-]/gi, "");
  if (/[^0-9a-f]/i.test(digits)) {
    problem("hex-problem", "Use only the digits 0 to 9 and a to f.", ["hex"]);
  } else if (digits.length % 2) {
    problem("hex-problem", `Two digits make a byte, but there are ${digits.length}.`, ["hex"]);
  } else {
    problem("hex-problem", "");
    send(Uint8Array.from(digits.match(/../g) || [], (pair) => parseInt(pair, 16)).buffer);
  }
}

async function sendFile() {
  const file = $("file").files[0];
  if (!file) {
    problem("file-problem", "Choose a file first.", ["file"]);
    return;
  }
  try {
    const content = await file.arrayBuffer();
    problem("file-problem", send(content) ? "" : "The connection closed before the file was read.");
  } catch (error) {
    problem("file-problem", `The file could not be read: ${error.message}`, ["file"]);
  }
}

function ping() {
  const payload = $("ping-text").value;
  if (utf8.encode(payload).length > 125) {
    problem("ping-problem", "A ping has at most 125 bytes.", ["ping-text"]);
    return;
  }
  const isSent = server.send(JSON.stringify({ ping: { on: current.number, payload } }));
  problem("ping-problem", isSent ? "" : "The page is not connected to the server.");
}

// ---- Showing

const utf8 = new TextEncoder();

function sizeOf(data) {
  return typeof data === "string" ? utf8.encode(data).length : data.byteLength;
}

function preview(data) {
  const size = bytes(sizeOf(data));
  if (typeof data === "string") {
    const cut = data.length > SHOWN_CHARACTERS;
    // A cut between two surrogates would split a character.
    const shown = cut ? data.slice(0, SHOWN_CHARACTERS).replace(/[\uD800-\uDBFF]$/, "") : data;
    return { data: shown + (cut ? "…" : ""), meta: `text, ${size}${cut ? `, the first ${count(shown.length)} characters shown` : ""}` };
  }
  const cut = data.byteLength > SHOWN_BYTES;
  const shown = new Uint8Array(data, 0, Math.min(data.byteLength, SHOWN_BYTES));
  const hex = Array.from(shown, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return { data: hex + (cut ? " …" : ""), meta: `binary, ${size}${cut ? `, the first ${SHOWN_BYTES} shown` : ""}`, isHex: true };
}

let waiting = [];
let flushing = 0;

// Lines are shown in batches, with a delay. So many messages cost one layout, and painting a sent
// message does not delay its answer, which would make the round trip look longer.
function log(kind, number, { data = "", meta = "", strong = "", isHex = false }) {
  waiting.push({ at: new Date(), kind, number, data, meta, strong, isHex });
  if (waiting.length > LOG_LINES) waiting.shift();
  if (!flushing) flushing = setTimeout(flush, SHOW_AFTER_MS);
}

function flush() {
  flushing = 0;
  const box = $("log");
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  box.append(...waiting.map(lineOf));
  waiting = [];
  while (box.childElementCount > LOG_LINES) box.firstElementChild.remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
  render();
}

function lineOf({ at, kind, number, data, meta, strong, isHex }) {
  const arrow = { sent: "↑ ", message: "↓ " }[kind] ?? "";
  const line = element("div", { class: "line", "data-kind": kind, "data-connection": number },
    element("div", { class: "line-top" },
      element("span", { class: "kind" }, arrow + kind),
      element("time", { datetime: at.toISOString() }, clock(at)),
      element("span", { class: "of" }, `#${number}`)),
    element("div", { class: isHex ? "data bytes" : "data", dir: "auto" }, data));
  if (meta || strong) {
    line.append(element("div", { class: "meta" }, meta, strong && meta ? ", " : "", element("b", {}, strong)));
  }
  return line;
}

// Shows a problem below the fields of its form, and marks the fields that it is about.
function problem(id, text, fields = []) {
  setText($(id), text);
  for (const field of document.querySelectorAll(`[aria-describedby~="${id}"]`)) {
    setAttribute(field, "aria-invalid", fields.includes(field.id));
  }
}

function render() {
  const url = $("url").value.trim();
  for (const button of document.querySelectorAll("[data-path]")) {
    setAttribute(button, "aria-pressed", url === socketUrl(button.dataset.path));
  }
  setText($("totals"), `${count(sentMessages)} sent, ${count(receivedMessages)} received`);
  if (!current) return;

  const { socket, closed } = current;
  const state = socket.readyState;
  current.peak = Math.max(current.peak, socket.bufferedAmount);
  setText($("ready-state"), `${state} ${STATES[state]}`);
  setText($("buffered"), count(socket.bufferedAmount));
  setText($("buffered-peak"), count(current.peak));
  setText($("protocol"), socket.protocol);
  setText($("extensions"), socket.extensions);
  setText($("status"), statusOf(current));
  setText($("connect"), current.number > 1 || state !== WebSocket.CONNECTING ? "Reconnect" : "Connect");
  setAttribute($("console"), "data-state", state);
  setAttribute($("console"), "data-clean", Boolean(closed && closed.wasClean));

  const isOpen = state === WebSocket.OPEN;
  for (const id of ["send", "send-binary", "send-file"]) setAttribute($(id), "aria-disabled", !isOpen);
  setAttribute($("ping"), "aria-disabled", !(isOpen && current.isWatched));
  setAttribute($("close"), "aria-disabled", state > WebSocket.OPEN);
}

function statusOf({ socket, number, url, protocols, openedAt, closed }) {
  switch (socket.readyState) {
    case WebSocket.CONNECTING: return `Connection #${number}: connecting to ${url}`;
    case WebSocket.OPEN: return `Connection #${number} is open: ${url}`;
    case WebSocket.CLOSING: return `Connection #${number} is closing: the Close frame was sent, and the one of the peer has not come yet.`;
  }
  if (!closed) return `Connection #${number} is closed.`;
  if (openedAt === null) {
    const hint = protocols.length
      ? "Is the server running, and does it support one of these subprotocols? A browser fails a connection if all subprotocols are declined."
      : "Is the server running, and is the path right?";
    return `Connection #${number} did not open (${closed.code}). ${hint}`;
  }
  const reason = closed.reason ? `, “${closed.reason}”` : "";
  return `Connection #${number} closed ${closed.wasClean ? "cleanly" : "uncleanly"}: ${closed.code}, ${meaning(closed.code) || "unknown code"}${reason}.`;
}

// ---- Events

// A button that cannot act is marked by `aria-disabled`. `disabled` would drop the keyboard focus.
function onSubmit(form, button, act) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    if ($(button).getAttribute("aria-disabled") !== "true") act();
  });
}
onSubmit("connect-form", "connect", connect);
onSubmit("text-form", "send", sendText);
onSubmit("hex-form", "send-binary", sendHex);
onSubmit("file-form", "send-file", sendFile);
onSubmit("ping-form", "ping", ping);
onSubmit("close-form", "close", close);

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("text-form").requestSubmit();
});
$("url").addEventListener("input", render);
$("file").addEventListener("change", () => problem("file-problem", ""));
$("clear").addEventListener("click", () => $("log").replaceChildren());
$("wire-clear").addEventListener("click", () => wire.clear());
for (const button of document.querySelectorAll("[data-path]")) {
  button.addEventListener("click", () => {
    $("url").value = socketUrl(button.dataset.path);
    connect();
  });
}

// There is no event for a shrinking bufferedAmount or for CLOSING, so both are polled.
setInterval(render, 100);

// `/console#/broadcast` starts with that path.
$("url").value = socketUrl(location.hash.startsWith("#/") ? location.hash.slice(1) : "/echo");
