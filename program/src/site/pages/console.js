// A WebSocket by hand: everything that the API of the browser shows. wire.js shows what went over
// the wire; the server sends it over a second socket.

import { $, bytes, clock, count, duration, element, has, setAttribute, setText, socketUrl, t } from "./page.js";
import { Socket } from "./socket.js";
import { Capture } from "./pcapng.js";
import { WireView } from "./wire.js";

const LOG_LINES = 500;
const SHOW_AFTER_MS = 40;
const SHOWN_CHARACTERS = 500;
const SHOWN_BYTES = 64;
const UNANSWERED_MESSAGES = 1000;
const UNANSWERED_BYTES = 64 * 1024 * 1024;

const STATES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];

// The current connection: the socket and what this page knows about it.
let current = null;
let connections = 0;
let sentMessages = 0;
let receivedMessages = 0;

// ---- What the server saw

const wire = new WireView($("wire"));
const capture = new Capture(Number(location.port) || (location.protocol === "https:" ? 443 : 80), t);
const server = new Socket();
let token = null;

wire.isInflatable = (on) => current?.number === on && /server_no_context_takeover/.test(current.socket.extensions)
  && /client_no_context_takeover/.test(current.socket.extensions);

server.onMessage = (data) => {
  const step = JSON.parse(data);
  if (!step.token) {
    capture.add(performance.timeOrigin + performance.now(), step);
    wire.show(step);
    return;
  }
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
    current.socket.close(1000, t("console.replaced"));
  }
  connections = number;
  current = {
    socket, number, url: watchedUrl ? url : socket.url, protocols, isWatched: watchedUrl !== null,
    startedAt: performance.now(), openedAt: null, peak: 0, unanswered: [], unansweredBytes: 0, closed: null,
  };
  setText($("wire-note"), t(current.isWatched ? "console.as_seen" : "console.elsewhere"));
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
      meta: t("console.handshake_took", { time: duration(connection.openedAt - connection.startedAt) }),
    });
    render();
  });

  socket.addEventListener("message", ({ data }) => {
    receivedMessages += 1;
    const roundTrip = answered(connection, data);
    log("message", connection.number, {
      ...preview(data),
      strong: roundTrip === null ? "" : t("console.round_trip", { time: duration(roundTrip) }),
    });
  });

  // The event has no details on purpose: a page must not be able to probe networks.
  socket.addEventListener("error", () => {
    log("error", connection.number, { data: t("console.failed") });
    render();
  });

  socket.addEventListener("close", ({ code, reason, wasClean }) => {
    connection.closed = { code, reason, wasClean };
    const lifetime = connection.openedAt === null ? t("console.never_opened")
      : t("console.was_open", { time: duration(performance.now() - connection.openedAt) });
    log("close", connection.number, {
      data: `code ${code}, reason ${JSON.stringify(reason)}, wasClean ${wasClean}`,
      meta: [meaning(code), lifetime].filter(Boolean).join(t("shell.semicolon")),
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
  if (!/^\d{1,5}$/.test(text)) throw new Error(t("console.bad_code"));
  return Number(text);
}

function meaning(code) {
  if (code >= 3000 && code <= 3999) return t("console.meaning.library");
  if (code >= 4000 && code <= 4999) return t("console.meaning.application");
  const key = `console.meaning.${code}`;
  return has(key) ? t(key) : "";
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
    problem("hex-problem", t("console.bad_digits"), ["hex"]);
  } else if (digits.length % 2) {
    problem("hex-problem", t("console.odd_digits", { count: digits.length }), ["hex"]);
  } else {
    problem("hex-problem", "");
    send(Uint8Array.from(digits.match(/../g) || [], (pair) => parseInt(pair, 16)).buffer);
  }
}

async function sendFile() {
  const file = $("file").files[0];
  if (!file) {
    problem("file-problem", t("console.no_file"), ["file"]);
    return;
  }
  try {
    const content = await file.arrayBuffer();
    problem("file-problem", send(content) ? "" : t("console.file_late"));
  } catch (error) {
    problem("file-problem", t("console.file_unread", { error: error.message }), ["file"]);
  }
}

function ping() {
  const payload = $("ping-text").value;
  if (utf8.encode(payload).length > 125) {
    problem("ping-problem", t("console.ping_long"), ["ping-text"]);
    return;
  }
  const isSent = server.send(JSON.stringify({ ping: { on: current.number, payload } }));
  problem("ping-problem", isSent ? "" : t("console.not_linked"));
}

/** Saves the conversations so far as a file for Wireshark. */
function exportCapture() {
  if (capture.isEmpty) return;
  const url = URL.createObjectURL(new Blob([capture.file()], { type: "application/x-pcapng" }));
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  element("a", { href: url, download: `lariat-console-${time}.pcapng` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
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
    return { data: shown + (cut ? "…" : ""), meta: cutMeta(t("console.text_message", { size }), cut && t("console.characters", { count: shown.length })) };
  }
  const cut = data.byteLength > SHOWN_BYTES;
  const shown = new Uint8Array(data, 0, Math.min(data.byteLength, SHOWN_BYTES));
  const hex = Array.from(shown, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return { data: hex + (cut ? " …" : ""), meta: cutMeta(t("console.binary_message", { size }), cut && bytes(SHOWN_BYTES)), isHex: true };
}

const cutMeta = (message, shown) => (shown ? t("console.cut", { message, shown }) : message);

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
      element("span", { class: "kind" }, arrow + (kind === "sent" ? t("console.sent") : kind)),
      element("time", { datetime: at.toISOString() }, clock(at)),
      element("span", { class: "of" }, `#${number}`)),
    element("div", { class: isHex ? "data bytes" : "data", dir: "auto", "data-empty": t("console.empty") }, data));
  if (meta || strong) {
    line.append(element("div", { class: "meta" }, meta, strong && meta ? t("shell.comma") : "", element("b", {}, strong)));
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
  setText($("totals"), t("console.totals", { sent: sentMessages, received: receivedMessages }));
  setAttribute($("export"), "aria-disabled", capture.isEmpty ? "true" : null);
  setText($("export-hint"), t(capture.isFull ? "console.export_full" : "console.export_hint"));
  if (!current) return;

  const { socket, closed } = current;
  const state = socket.readyState;
  current.peak = Math.max(current.peak, socket.bufferedAmount);
  setText($("ready-state"), `${state} ${STATES[state]}`);
  setText($("buffered"), count(socket.bufferedAmount));
  setText($("buffered-peak"), t("console.peak", { bytes: current.peak }));
  setText($("protocol"), socket.protocol);
  setText($("extensions"), socket.extensions);
  setText($("status"), statusOf(current));
  setText($("connect"), current.number > 1 || state !== WebSocket.CONNECTING ? t("console.reconnect") : t("console.connect"));
  setAttribute($("console"), "data-state", state);
  setAttribute($("console"), "data-clean", Boolean(closed && closed.wasClean));

  const isOpen = state === WebSocket.OPEN;
  for (const id of ["send", "send-binary", "send-file"]) setAttribute($(id), "aria-disabled", !isOpen);
  setAttribute($("ping"), "aria-disabled", !(isOpen && current.isWatched));
  setAttribute($("close"), "aria-disabled", state > WebSocket.OPEN);
}

function statusOf({ socket, number: connection, url, protocols, openedAt, closed }) {
  const number = String(connection);
  if (socket.readyState < WebSocket.CLOSED || !closed) return t(`console.status.${socket.readyState}`, { number, url });
  const code = String(closed.code);
  if (openedAt === null) {
    return t("console.did_not_open", { number, code, hint: t(protocols.length ? "console.declined" : "console.wrong_path") });
  }
  const known = meaning(closed.code) || t("console.meaning.unknown");
  const shown = closed.reason ? t("console.with_reason", { meaning: known, reason: closed.reason }) : known;
  return t(closed.wasClean ? "console.closed_cleanly" : "console.closed_uncleanly", { number, code, meaning: shown });
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
$("export").addEventListener("click", exportCapture);
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
