// The cells of the grid, one for each slot of the server, and the changes of them that the server
// sends.

/** The states: the lower three bits of a cell. */
export const STATES = ["free", "handshaking", "deciding", "open", "closing", "draining", "flushing", "closed"];
export const [HEARD, TO_READ, TO_WRITE, BLOCKED] = [8, 16, 32, 64];

/** The server shows at most so many slots. */
const MOST = 1 << 16;

/**
 * Returns the cells after some changes: the number of slots, then `skip, run, cell`, repeated. The
 * numbers are LEB128. Throws a RangeError if the changes make no sense.
 */
export function applyChanges(before, bytes) {
  let at = 0;
  const byte = () => {
    if (at === bytes.length) throw new RangeError("the changes are cut off");
    return bytes[at++];
  };
  const number = () => {
    let value = 0;
    for (let factor = 1; factor <= 128 * 128 * 128; factor *= 128) {
      const part = byte();
      value += (part & 127) * factor;
      if (part < 128) return value;
    }
    throw new RangeError("a number is too long");
  };
  const length = number();
  if (length > MOST) throw new RangeError("there are too many slots");
  const cells = new Uint8Array(length);
  cells.set(before.subarray(0, length));
  for (let slot = 0; at < bytes.length;) {
    const start = slot + number();
    slot = start + number();
    if (slot > length) throw new RangeError("a change is beyond the last slot");
    cells.fill(byte(), start, slot);
  }
  return cells;
}

/** Returns the changes that make these cells from none. */
export function changesOf(cells) {
  const bytes = [];
  const put = (number) => {
    for (; number > 127; number >>>= 7) bytes.push((number & 127) | 128);
    bytes.push(number);
  };
  put(cells.length);
  for (let at = 0; at < cells.length;) {
    let end = at + 1;
    while (end < cells.length && cells[end] === cells[at]) end += 1;
    put(0);
    put(end - at);
    bytes.push(cells[at]);
    at = end;
  }
  return Uint8Array.from(bytes);
}
