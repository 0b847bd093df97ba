// Bytes by hand: frames and requests that a browser would never send, and what comes back. Imports
// nothing, so that .ci/pages/lessons.mjs can test it under Node.

export const utf8 = (text) => new TextEncoder().encode(text);
export const hex = (byte) => byte.toString(16).padStart(2, "0");
export const bits = (byte) => byte.toString(2).padStart(8, "0");
export const toHex = (bytes) => Array.from(bytes, hex).join("");
export const fromHex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Returns the bytes that somebody has typed in hexadecimal digits, or null. */
export function typedHex(text) {
  const digits = text.replace(/0x|[\s,:-]/gi, "");
  return /^([0-9a-f]{2})*$/i.test(digits) ? fromHex(digits) : null;
}

// ---- Frames (RFC 6455 §5.2)

export const OPCODES = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };

/** Masks bytes, or unmasks them: the same operation. */
export const mask = (bytes, key) => Uint8Array.from(bytes, (byte, at) => byte ^ key[at % 4]);

export const randomKey = () => crypto.getRandomValues(new Uint8Array(4));

/**
 * Returns a frame. `key` is null for a frame without a mask. `length` may be a lie, and so may all
 * the rest.
 */
export function frame({ fin = 1, rsv1 = 0, rsv2 = 0, rsv3 = 0, opcode = OPCODES.TEXT, key = randomKey(), payload = [], length = payload.length }) {
  const first = (fin << 7) | (rsv1 << 6) | (rsv2 << 5) | (rsv3 << 4) | opcode;
  const short = length < 126 ? length : length < 65_536 ? 126 : 127;
  const extended = new Uint8Array({ 126: 2, 127: 8 }[short] ?? 0);
  for (let at = extended.length - 1, rest = length; at >= 0; at--) {
    extended[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  const start = [first, (key ? 0x80 : 0) | short];
  return concat(start, extended, key ?? [], key ? mask(payload, key) : payload);
}

/** Returns the payload of a Close frame. */
export const closePayload = (code, reason = []) => concat([code >> 8, code & 255], reason);

/**
 * Returns the frames that are whole, and the bytes after them. Each has its fields, its payload
 * without the mask, and where it starts and ends in the bytes.
 */
export function parseFrames(bytes) {
  const frames = [];
  let start = 0;
  for (;;) {
    const short = bytes[start + 1] & 127;
    const extended = { 126: 2, 127: 8 }[short] ?? 0;
    const masked = bytes[start + 1] >> 7;
    const keyAt = start + 2 + extended;
    const payloadAt = keyAt + (masked ? 4 : 0);
    if (!(payloadAt <= bytes.length)) break;
    const length = extended ? bytes.slice(start + 2, keyAt).reduce((sum, byte) => sum * 256 + byte, 0) : short;
    const end = payloadAt + length;
    if (end > bytes.length) break;
    const first = bytes[start];
    const key = masked ? bytes.slice(keyAt, payloadAt) : null;
    const wire = bytes.slice(payloadAt, end);
    frames.push({
      fin: first >> 7, rsv1: (first >> 6) & 1, rsv2: (first >> 5) & 1, rsv3: (first >> 4) & 1, opcode: first & 15,
      masked, key, length, header: bytes.slice(start, payloadAt), wire, payload: key ? mask(wire, key) : wire, start, end,
    });
    start = end;
  }
  return { frames, rest: bytes.slice(start) };
}

/** Returns the code and the reason of a Close frame. Without a code, the code is null. */
export function closeOf({ payload }) {
  const code = payload.length < 2 ? null : payload[0] * 256 + payload[1];
  return { code, reason: new TextDecoder().decode(payload.slice(2)) };
}

/** Returns the text of a payload, or null if it is not UTF-8. */
export function textOf(payload) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
  } catch {
    return null;
  }
}

// ---- The opening handshake (RFC 6455 §4)

/** The end of an HTTP head. */
export const HEAD_END = "\r\n\r\n";

/** The text that each server adds to the key. */
export const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export const randomAccessKey = () => base64(crypto.getRandomValues(new Uint8Array(16)));

/** Returns the headers of a good request, as a list of names and values. */
export const goodHeaders = (host, key = randomAccessKey()) => [
  ["Host", host], ["Upgrade", "websocket"], ["Connection", "Upgrade"], ["Sec-WebSocket-Version", "13"], ["Sec-WebSocket-Key", key],
];

export const request = (path, headers) =>
  [`GET ${path} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`), "", ""].join("\r\n");

/**
 * Returns the response at the beginning of some bytes, and the bytes after its head; or null if the
 * head is not whole.
 */
export function response(bytes) {
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf(HEAD_END);
  if (end < 0) return null;
  const [first, ...lines] = text.slice(0, end).split("\r\n");
  const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  return {
    head: text.slice(0, end), line: first, status: Number(first.split(" ")[1]), headers,
    header: (name) => headers.find(([found]) => found.toLowerCase() === name.toLowerCase())?.[1] ?? null,
    rest: bytes.slice(end + HEAD_END.length),
  };
}

// ---- SHA-1 (RFC 3174) and base64 (RFC 4648), with what is between
//
// `crypto.subtle` does not exist on pages that came over plain HTTP from another host, and it does
// not show its steps.

const rotated = (word, by) => ((word << by) | (word >>> (32 - by))) >>> 0;

/**
 * Returns the digest of some bytes, and how it came about: the padded blocks of 64 bytes, and for
 * each block the five words before it, after each of its 80 rounds, and after it.
 */
export function sha1(bytes) {
  const padding = new Uint8Array(((119 - (bytes.length % 64)) % 64) + 9);
  padding[0] = 0x80;
  new DataView(padding.buffer).setUint32(padding.length - 4, bytes.length * 8);
  const padded = concat(bytes, padding);
  let words = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  const blocks = [];
  for (let start = 0; start < padded.length; start += 64) {
    const block = padded.slice(start, start + 64);
    const view = new DataView(block.buffer);
    const w = Array.from({ length: 16 }, (_, at) => view.getUint32(at * 4));
    for (let at = 16; at < 80; at++) w.push(rotated(w[at - 3] ^ w[at - 8] ^ w[at - 14] ^ w[at - 16], 1));
    const before = words;
    const rounds = [];
    let [a, b, c, d, e] = before;
    for (let at = 0; at < 80; at++) {
      const [mix, constant] = [
        [(b & c) | (~b & d), 0x5a827999], [b ^ c ^ d, 0x6ed9eba1], [(b & c) | (b & d) | (c & d), 0x8f1bbcdc], [b ^ c ^ d, 0xca62c1d6],
      ][Math.floor(at / 20)];
      [a, b, c, d, e] = [(rotated(a, 5) + mix + e + w[at] + constant) >>> 0, a, rotated(b, 30), c, d];
      rounds.push([a, b, c, d, e]);
    }
    words = [a, b, c, d, e].map((word, at) => (word + before[at]) >>> 0);
    blocks.push({ block, before, rounds, after: words });
  }
  const digest = new Uint8Array(20);
  words.forEach((word, at) => new DataView(digest.buffer).setUint32(at * 4, word));
  return { digest, blocks };
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * Returns the groups of three bytes of a base64 text: the bytes, their bits in sixes, and the
 * letters. The last group may have fewer bytes; then its text ends in `=`.
 */
export function base64Groups(bytes) {
  const groups = [];
  for (let start = 0; start < bytes.length; start += 3) {
    const three = Array.from(bytes.slice(start, start + 3));
    const all = three.map(bits).join("");
    const sixes = all.match(/.{1,6}/g).map((six) => six.padEnd(6, "0"));
    groups.push({ bytes: three, sixes, letters: sixes.map((six) => LETTERS[parseInt(six, 2)]).join("").padEnd(4, "=") });
  }
  return groups;
}

export const base64 = (bytes) => base64Groups(bytes).map(({ letters }) => letters).join("");
