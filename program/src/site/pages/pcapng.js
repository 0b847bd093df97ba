// The console's connections as a capture file, which Wireshark opens.
//
// The server traces what was sent: heads and frames, as they were on the wire before encryption.
// It does not trace packets. So packets are made here: IPv4 and TCP with addresses from a range for
// examples (RFC 5737), with the right sequence and acknowledgement numbers and checksums, a
// handshake, and the end that the server's states tell of. Times are those at which the page heard
// of a step.
//
// The server sends at most the first 16 KiB of a frame's payload. A longer frame is a packet that
// was captured shorter than it was, as with a snapshot length.
//
// The format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html

/** The page keeps at most so many bytes. */
const MOST_BYTES = 32 << 20;
/** The most bytes of a TCP segment, so that the packet fits into an IPv4 packet. */
const LONGEST_SEGMENT = 65_483;

const [SECTION, INTERFACE, PACKET] = [0x0a0d0d0a, 1, 6];
/** Packets begin with their IP header. */
const LINKTYPE_RAW = 101;
const [COMMENT, APPLICATION, NAME, RESOLUTION] = [1, 4, 2, 9];
const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16];

const ADDRESSES = { peer: [192, 0, 2, 1], us: [192, 0, 2, 2] };
const OTHER = { peer: "us", us: "peer" };
const utf8 = new TextEncoder();
const fromHex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Collects the steps of the console's connections, as the server sends them. */
export class Capture {
  /** By number: { steps, frame, isOpen, bytes, isFull }. */
  #connections = new Map();
  #bytes = 0;
  #port;
  #t;

  /** `port` is the server's. `t` gives the texts of the comments in the file. */
  constructor(port, t) {
    [this.#port, this.#t] = [port, t];
  }

  get isEmpty() {
    return this.#connections.size === 0;
  }

  /** Whether steps were left out because there are too many bytes. */
  get isFull() {
    return [...this.#connections.values()].some(({ isFull }) => isFull);
  }

  /** Adds a message of the server. `at` is in milliseconds since 1970. */
  add(at, message) {
    const [[kind, content]] = Object.entries(message);
    if (kind === "missed") {
      for (const connection of this.#connections.values()) if (connection.isOpen) connection.steps.push({ at, kind, number: content });
      return;
    }
    let connection = this.#connections.get(content.on);
    if (!connection && kind === "handshake") {
      connection = { steps: [], frame: null, isOpen: true, bytes: 0, isFull: false };
      this.#connections.set(content.on, connection);
    }
    if (!connection) return;
    if (kind === "state") {
      if (content.to === "Closed") connection.isOpen = false;
      connection.steps.push({ at, kind, to: content.to, from: content.from });
    } else if (kind === "handshake") this.#keep(connection, { at, kind, side: content.side, bytes: utf8.encode(content.text) });
    else if (kind === "frame") {
      const bytes = fromHex(content.header + content.wire);
      const step = { at, kind, side: content.side, bytes, length: content.header.length / 2 + content.length };
      if (this.#keep(connection, step) && content.side === "peer") connection.frame = step;
    } else if (kind === "payload" && connection.frame) {
      const more = fromHex(content.wire);
      const bytes = new Uint8Array(connection.frame.bytes.length + more.length);
      bytes.set(connection.frame.bytes);
      bytes.set(more, connection.frame.bytes.length);
      connection.frame.bytes = bytes;
      this.#count(connection, more.length);
    }
  }

  #keep(connection, step) {
    this.#count(connection, step.bytes.length);
    if (connection.isFull) {
      connection.frame = null;
      return false;
    }
    connection.steps.push(step);
    return true;
  }

  /** If there are too many bytes, the oldest connections that have ended are forgotten. */
  #count(connection, bytes) {
    connection.bytes += bytes;
    this.#bytes += bytes;
    for (const [number, { isOpen, bytes }] of this.#connections) {
      if (this.#bytes <= MOST_BYTES) return;
      if (isOpen) continue;
      this.#connections.delete(number);
      this.#bytes -= bytes;
    }
    if (this.#bytes > MOST_BYTES) connection.isFull = true;
  }

  /** Returns the capture file. */
  file() {
    const writer = new Writer();
    // The dissectors of the port of TLS expect ciphertext.
    const port = this.#port === 443 ? 80 : this.#port;
    const packets = [...this.#connections].flatMap(([number, connection]) => packetsOf(number, connection, port, this.#t));
    packets.sort((one, other) => one.at - other.at);
    writer.section(this.#t("console.capture.section"));
    for (const packet of packets) writer.packet(packet);
    return writer.bytes();
  }
}

/** Returns the packets of a connection, in order. */
function packetsOf(number, { steps, isFull }, serverPort, t) {
  const packets = [];
  const ports = { peer: 49_152 + (number % 16_384), us: serverPort };
  /** The next sequence number of each side. */
  const next = { peer: 0x1000_0000, us: 0x2000_0000 };
  const hasEnded = { peer: false, us: false };
  let [identification, note] = [number * 1000, ""];

  const send = (at, side, flags, { bytes = new Uint8Array(0), length = bytes.length, options = [] } = {}) => {
    const acknowledged = flags & ACK ? next[OTHER[side]] : 0;
    const head = { side, ports, sequence: next[side], acknowledged, flags, options, identification: identification++ };
    packets.push({ at, ...packet(head, bytes, length), comment: note });
    note = "";
    next[side] = (next[side] + length + (flags & (SYN | FIN) ? 1 : 0)) >>> 0;
  };
  const begin = (at) => {
    // The largest segment, and a window that all fits into.
    const options = [2, 4, LONGEST_SEGMENT >> 8, LONGEST_SEGMENT & 255, 1, 3, 3, 14];
    send(at, "peer", SYN, { options });
    send(at, "us", SYN | ACK, { options });
    send(at, "peer", ACK);
  };
  const end = (at, side) => {
    if (hasEnded[side]) return;
    hasEnded[side] = true;
    send(at, side, FIN | ACK);
    send(at, OTHER[side], ACK);
  };

  steps.forEach((step, place) => {
    const { at, kind } = step;
    if (place === 0) begin(at);
    if (kind === "missed") {
      note = t("console.capture.missed", { count: step.number });
      // So that a reader sees that something is missing.
      for (const side of ["peer", "us"]) next[side] = (next[side] + 1) >>> 0;
    } else if (kind === "state") {
      if (step.to === "Draining") end(at, "us");
      else if (step.to === "Flushing") end(at, "peer");
      else if (step.to === "Closed" && (step.from === "Draining" || step.from === "Flushing")) {
        end(at, "peer");
        end(at, "us");
      } else if (step.to === "Closed") {
        note = t("console.capture.reset");
        send(at, "peer", RST | ACK);
      }
    } else {
      const { side, bytes, length = bytes.length } = step;
      if (bytes.length === length) {
        for (let start = 0; start < length; start += LONGEST_SEGMENT) send(at, side, PSH | ACK, { bytes: bytes.subarray(start, start + LONGEST_SEGMENT) });
      } else send(at, side, PSH | ACK, { bytes, length });
    }
  });
  if (isFull) packets.at(-1).comment = t("console.capture.full");
  return packets;
}

/**
 * Returns an IPv4 packet with TCP, `length` bytes of payload long, of which only `bytes` are there.
 */
function packet({ side, ports, sequence, acknowledged, flags, options, identification }, bytes, length) {
  const tcp = 20 + options.length;
  const data = new Uint8Array(20 + tcp + bytes.length);
  const view = new DataView(data.buffer);
  const total = 20 + tcp + length;
  view.setUint8(0, 0x45);
  // 0 means that the packet is as long as the capture says: the hardware would split it.
  view.setUint16(2, total > 65_535 ? 0 : total);
  view.setUint16(4, identification & 0xffff);
  // Not to be fragmented.
  view.setUint16(6, 0x4000);
  view.setUint8(8, 64);
  view.setUint8(9, 6);
  data.set(ADDRESSES[side], 12);
  data.set(ADDRESSES[OTHER[side]], 16);
  view.setUint16(10, checksum(data.subarray(0, 20)));
  view.setUint16(20, ports[side]);
  view.setUint16(22, ports[OTHER[side]]);
  view.setUint32(24, sequence);
  view.setUint32(28, acknowledged);
  view.setUint8(32, (tcp / 4) << 4);
  view.setUint8(33, flags);
  view.setUint16(34, 65_535);
  data.set(options, 40);
  data.set(bytes, 20 + tcp);
  // Nobody can know the checksum of bytes that are missing.
  if (bytes.length === length) {
    const pseudo = [0, 6, (tcp + length) >> 8, (tcp + length) & 255];
    view.setUint16(36, checksum(data.subarray(12, 20), pseudo, data.subarray(20)));
  }
  return { data, length: total };
}

/** Returns the checksum of the internet (RFC 1071). */
function checksum(...parts) {
  let sum = 0;
  for (const part of parts) for (let at = 0; at < part.length; at++) sum += at % 2 ? part[at] : part[at] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** Writes the blocks of a file. */
class Writer {
  #blocks = [];
  #length = 0;

  section(comment) {
    const head = new Uint8Array(16);
    const view = new DataView(head.buffer);
    view.setUint32(0, 0x1a2b3c4d, true);
    view.setUint16(4, 1, true);
    // The length of the section is not given.
    head.fill(255, 8);
    this.#block(SECTION, head, [[COMMENT, comment], [APPLICATION, "Lariat"]]);
    const link = new Uint8Array(8);
    new DataView(link.buffer).setUint16(0, LINKTYPE_RAW, true);
    // Times are in microseconds.
    this.#block(INTERFACE, link, [[NAME, "lariat"], [RESOLUTION, Uint8Array.of(6)]]);
  }

  packet({ at, data, length, comment }) {
    const body = new Uint8Array(20 + padded(data.length));
    const view = new DataView(body.buffer);
    const time = BigInt(Math.round(at * 1000));
    view.setUint32(4, Number(time >> 32n), true);
    view.setUint32(8, Number(time & 0xffff_ffffn), true);
    view.setUint32(12, data.length, true);
    view.setUint32(16, length, true);
    body.set(data, 20);
    this.#block(PACKET, body, comment ? [[COMMENT, comment]] : []);
  }

  bytes() {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const block of this.#blocks) {
      all.set(block, at);
      at += block.length;
    }
    return all;
  }

  #block(type, body, options) {
    const values = options.map(([code, value]) => [code, typeof value === "string" ? utf8.encode(value) : value]);
    // An end of the options is only needed if there are some.
    const length = 12 + body.length + values.reduce((sum, [, value]) => sum + 4 + padded(value.length), values.length ? 4 : 0);
    const block = new Uint8Array(length);
    const view = new DataView(block.buffer);
    view.setUint32(0, type, true);
    view.setUint32(4, length, true);
    block.set(body, 8);
    let at = 8 + body.length;
    for (const [code, value] of values) {
      view.setUint16(at, code, true);
      view.setUint16(at + 2, value.length, true);
      block.set(value, at + 4);
      at += 4 + padded(value.length);
    }
    view.setUint32(length - 4, length, true);
    this.#blocks.push(block);
    this.#length += length;
  }
}

const padded = (length) => Math.ceil(length / 4) * 4;
