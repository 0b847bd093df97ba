// The export of the console without a browser: what Wireshark's dissectors make of the file.
//
//     node .ci/pages/pcapng.mjs
//
// Needs tshark.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { deflateRawSync } from "node:zlib";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = mkdtempSync(join(tmpdir(), "lariat-pages-"));
cpSync(join(root, "program/src/site/pages/pcapng.js"), join(folder, "pcapng.js"));
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
const { Capture } = await import(pathToFileURL(join(folder, "pcapng.js")));

const texts = JSON.parse(readFileSync(join(root, "program/src/site/texts/en.json"), "utf8"));
const t = (key) => {
  const text = key.split(".").reduce((group, name) => group[name], texts);
  return text.other ?? text;
};
const CAPTURED = 16 << 10;
const KEY = [0x37, 0xfa, 0x21, 0x3d];
const hex = (bytes) => Buffer.from(bytes).toString("hex");

/** What the server tells of a connection. */
class Connection {
  constructor(capture, on, { at = 1_764_500_000_000, extensions = "" } = {}) {
    Object.assign(this, { capture, on, at });
    this.head("peer", `GET /echo?wire=t.${on} HTTP/1.1\r\nHost: localhost:9998\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
      + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extensions}\r\n`);
    this.head("us", `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
      + `Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n${extensions}\r\n`);
    this.tell({ state: { on, from: "Deciding", to: "Open" } });
  }

  tell(message) {
    this.at += 1.25;
    this.capture.add(this.at, message);
  }

  head(side, text) {
    this.tell({ handshake: { on: this.on, side, text } });
  }

  /** A frame, of whose payload the first part comes with it, and the rest in pieces. */
  frame(side, opcode, content, { fin = 1, rsv1 = 0, first = Infinity } = {}) {
    const payload = Buffer.from(content);
    const masked = side === "peer" ? 0x80 : 0;
    const head = [(fin << 7) | (rsv1 << 6) | opcode];
    if (payload.length < 126) head.push(masked | payload.length);
    else if (payload.length < 65_536) head.push(masked | 126, payload.length >> 8, payload.length & 255);
    else head.push(masked | 127, 0, 0, 0, 0, payload.length >>> 24, (payload.length >> 16) & 255, (payload.length >> 8) & 255, payload.length & 255);
    if (masked) head.push(...KEY);
    const wire = Buffer.from(payload.map((byte, at) => (masked ? byte ^ KEY[at % 4] : byte))).subarray(0, CAPTURED);
    this.tell({ frame: { on: this.on, side, header: hex(head), wire: hex(wire.subarray(0, first)), plain: "", length: payload.length } });
    for (let at = first; at < wire.length; at += first) this.tell({ payload: { on: this.on, wire: hex(wire.subarray(at, at + first)), plain: "" } });
  }

  states(...states) {
    for (let at = 1; at < states.length; at++) this.tell({ state: { on: this.on, from: states[at - 1], to: states[at] } });
  }
}

const FIELDS = [
  "frame.number", "tcp.stream", "ip.src", "tcp.flags", "websocket.opcode", "websocket.mask", "websocket.fin", "websocket.payload_length",
  "websocket.payload_length_ext_16", "websocket.payload_length_ext_64",
  "text", "websocket.payload.close.status_code", "websocket.payload.close.reason", "http.request.method", "http.response.code",
  "tcp.checksum.status", "ip.checksum.status", "frame.time_epoch", "frame.comment", "frame.len", "frame.cap_len",
];

/** Returns what tshark says about each packet: its fields, and what is wrong with it. */
function dissect(capture) {
  const path = join(folder, "export.pcapng");
  writeFileSync(path, capture.file());
  const tshark = (...more) => execFileSync("tshark", ["-n", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", ...more],
    { encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, HOME: folder } });
  const rows = tshark("-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", ...FIELDS.flatMap((name) => ["-e", name]));
  const packets = rows.trimEnd().split("\n").map((row) => Object.fromEntries(row.split("\t").map((value, at) => [FIELDS[at], value])));
  const wrong = tshark("-Y", "_ws.malformed or tcp.analysis.flags or _ws.unreassembled or _ws.expert.severity >= 6291456", "-T", "fields",
    "-e", "frame.number", "-e", "_ws.expert.message").trim();
  return { packets, wrong, frames: packets.filter((packet) => packet["websocket.opcode"]) };
}

const names = { 0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" };
const length = (packet) => packet["websocket.payload_length_ext_64"] || packet["websocket.payload_length_ext_16"] || packet["websocket.payload_length"];
/** A frame in short: `192.0.2.1 text masked 5 hello`. */
const short = (packet) => [
  packet["ip.src"], names[packet["websocket.opcode"]], packet["websocket.mask"] === "1" ? "masked" : "plain",
  length(packet), packet["websocket.fin"] === "1" ? "" : "more",
].filter(Boolean).join(" ");
/** The text of a frame. The dissectors of TCP call their notes texts, too. */
const textOf = (packet) => packet.text.split(",Timestamps").join("").replace(/^Timestamps,/, "");
const PEER = "192.0.2.1";
const US = "192.0.2.2";

const tests = {
  "a conversation dissects frame by frame: opcodes, masks, lengths, texts, the close code"() {
    const capture = new Capture(9998, t);
    assert.equal(capture.isEmpty, true);
    const one = new Connection(capture, 1);
    one.frame("peer", 1, "Grüße, 世界");
    one.frame("us", 1, "Grüße, 世界");
    one.frame("peer", 1, "a fragm", { fin: 0 });
    one.frame("peer", 9, "in between");
    one.frame("us", 10, "in between");
    one.frame("peer", 0, "ented text");
    one.frame("us", 1, "a fragmented text");
    one.frame("peer", 2, Buffer.alloc(300, 7), { first: 100 });
    one.frame("us", 2, Buffer.alloc(300, 7));
    one.frame("peer", 1, "");
    one.frame("us", 1, "");
    one.frame("peer", 8, [3, 232, ...Buffer.from("done")]);
    one.frame("us", 8, [3, 232, ...Buffer.from("done")]);
    one.states("Open", "Draining", "Closed");
    assert.equal(capture.isEmpty, false);
    const { packets, wrong, frames } = dissect(capture);
    assert.equal(wrong, "");
    assert.deepEqual(frames.map(short), [
      `${PEER} text masked 15`, `${US} text plain 15`, `${PEER} text masked 7 more`, `${PEER} ping masked 10`, `${US} pong plain 10`,
      `${PEER} continuation masked 10`, `${US} text plain 17`, `${PEER} binary masked 300`, `${US} binary plain 300`,
      `${PEER} text masked 0`, `${US} text plain 0`, `${PEER} close masked 6`, `${US} close plain 6`,
    ]);
    assert.deepEqual([0, 1, 6].map((at) => textOf(frames[at])), ["Grüße, 世界", "Grüße, 世界", "a fragmented text"]);
    assert.deepEqual(frames.slice(-2).map((packet) => `${packet["websocket.payload.close.status_code"]} ${packet["websocket.payload.close.reason"]}`), ["1000 done", "1000 done"]);
    assert.deepEqual(packets.slice(0, 5).map((packet) => packet["tcp.flags"]), ["0x0002", "0x0012", "0x0010", "0x0018", "0x0018"]);
    assert.deepEqual([packets[3]["http.request.method"], packets[4]["http.response.code"]], ["GET", "101"]);
    assert.deepEqual(packets.slice(-4).map((packet) => `${packet["ip.src"]} ${packet["tcp.flags"]}`), [`${US} 0x0011`, `${PEER} 0x0010`, `${PEER} 0x0011`, `${US} 0x0010`]);
    for (const packet of packets) assert.deepEqual([packet["tcp.checksum.status"], packet["ip.checksum.status"]], ["1", "1"], `checksums of ${packet["frame.number"]}`);
    const times = packets.map((packet) => Number(packet["frame.time_epoch"]));
    assert.equal(times[0].toFixed(5), "1764500000.00125");
    assert.deepEqual([...times].sort((one, other) => one - other), times);
  },

  "frames of which only the beginning was captured disturb none that follow"() {
    const capture = new Capture(9998, t);
    const one = new Connection(capture, 1);
    for (const size of [CAPTURED, CAPTURED + 1, 60_000, 65_535, 65_536, 1_000_000]) {
      one.frame("peer", 2, Buffer.alloc(size, 7), { first: 5000 });
      one.frame("us", 2, Buffer.alloc(size, 7));
      one.frame("peer", 1, `after ${size}`);
      one.frame("us", 1, `after ${size}`);
    }
    one.frame("peer", 8, [3, 232]);
    one.frame("us", 8, [3, 232]);
    one.states("Open", "Draining", "Closed");
    const { packets, wrong, frames } = dissect(capture);
    assert.equal(wrong, "");
    const lengths = frames.filter((packet) => packet["websocket.opcode"] === "2").map(length);
    assert.deepEqual(lengths, [CAPTURED, CAPTURED + 1, 60_000, 65_535, 65_536, 1_000_000].flatMap((size) => [`${size}`, `${size}`]));
    const texts = frames.filter((packet) => packet["websocket.opcode"] === "1").map(textOf);
    assert.deepEqual(texts, [CAPTURED, CAPTURED + 1, 60_000, 65_535, 65_536, 1_000_000].flatMap((size) => [`after ${size}`, `after ${size}`]));
    const cut = packets.filter((packet) => packet["frame.len"] !== packet["frame.cap_len"]);
    assert.equal(cut.length, 10);
    assert.equal(Math.max(...cut.map((packet) => Number(packet["frame.cap_len"]))) < CAPTURED + 60, true);
    assert.equal(frames.at(-1)["websocket.payload.close.status_code"], "1000");
  },

  "long heads take several segments"() {
    const capture = new Capture(9998, t);
    const one = new Connection(capture, 1, { extensions: `X-Long: ${"x".repeat(100_000)}\r\n` });
    one.frame("peer", 1, "hello");
    const { wrong, frames, packets } = dissect(capture);
    assert.equal(wrong, "");
    assert.deepEqual(frames.map(short), [`${PEER} text masked 5`]);
    assert.equal(packets.filter((packet) => packet["http.request.method"]).length, 1);
  },

  "compressed messages are decompressed"() {
    const capture = new Capture(9998, t);
    const one = new Connection(capture, 1, { extensions: "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n" });
    const text = "to be or not to be, ".repeat(8);
    const packed = deflateRawSync(text, { finishFlush: 2 }).subarray(0, -4);
    one.frame("peer", 1, packed, { rsv1: 1 });
    one.frame("us", 1, packed, { rsv1: 1 });
    const { wrong, frames } = dissect(capture);
    assert.equal(wrong, "");
    assert.deepEqual(frames.map(short), [`${PEER} text masked ${packed.length}`, `${US} text plain ${packed.length}`]);
    for (const packet of frames) assert.equal(textOf(packet).includes(text.trim()), true, "the text");
  },

  "several connections are several streams, in the order of time; port 443 becomes 80"() {
    const capture = new Capture(443, t);
    const [one, two] = [new Connection(capture, 1), new Connection(capture, 2, { at: 1_764_500_000_000.5 })];
    for (const connection of [one, two, one, two]) connection.frame("peer", 1, `from ${connection.on}`);
    one.states("Open", "Flushing", "Closed");
    two.states("Open", "Closed");
    const { packets, wrong, frames } = dissect(capture);
    // The reset is a warning of the dissector, and meant.
    assert.match(wrong, /^\d+\t[^\n]*without a FIN[^\n]*,Connection reset \(RST\)$/);
    assert.deepEqual(frames.map((packet) => packet["tcp.stream"]), ["0", "1", "0", "1"]);
    assert.deepEqual(packets.filter((packet) => packet["tcp.flags"] === "0x0011").map((packet) => packet["ip.src"]), [PEER, US]);
    assert.match(packets.find((packet) => packet["tcp.flags"] === "0x0014")["frame.comment"], /without a FIN/);
  },

  "steps that are missing are a gap with a comment, and what follows is right"() {
    const capture = new Capture(9998, t);
    const one = new Connection(capture, 1);
    one.frame("peer", 1, "before");
    one.tell({ missed: 12 });
    one.frame("us", 1, "after");
    one.frame("peer", 1, "and after");
    const { frames, packets, wrong } = dissect(capture);
    assert.equal(wrong.split("\n").every((line) => /not captured|ACKed segment/.test(line)), true, wrong);
    assert.deepEqual(frames.map(short), [`${PEER} text masked 6`, `${US} text plain 5`, `${PEER} text masked 9`]);
    assert.equal(packets.filter((packet) => /missing/.test(packet["frame.comment"])).length, 1);
  },

  "a page that has much to keep forgets the oldest connections that have ended, then takes no more"() {
    const capture = new Capture(9998, t);
    const megabyte = (connection) => { for (let each = 0; each < 64; each++) connection.frame("us", 2, Buffer.alloc(CAPTURED)); };
    const first = new Connection(capture, 1);
    megabyte(first);
    first.states("Open", "Draining", "Closed");
    const second = new Connection(capture, 2);
    for (let each = 0; each < 31; each++) megabyte(second);
    assert.equal(capture.isFull, false);
    megabyte(second);
    assert.equal(capture.isFull, true);
    second.frame("us", 1, "too late");
    const file = capture.file();
    assert.equal(file.length > 31 << 20 && file.length < 34 << 20, true, `${file.length} bytes`);
    const text = Buffer.from(file).toString("latin1");
    assert.deepEqual([text.includes("wire=t.1"), text.includes("wire=t.2"), text.includes("too late"), text.includes("32 MiB")], [false, true, false, true]);
  },
};

try {
  for (const [name, test] of Object.entries(tests)) {
    test();
    console.log(`ok: ${name}`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
