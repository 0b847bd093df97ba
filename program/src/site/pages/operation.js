// Operations on a text that several people change at the same time. This is the same code as in
// program/src/site/editor/operation.rs, which explains it. An operation goes through a text from
// start to end. It is a list of parts: a length is retained, a text is inserted, a negative length
// is deleted: [5, "word", -3, 7].
//
// Lengths are in UTF-16 code units. A text comes before a deletion at the same place, neighbours of
// the same kind are combined, and no part is empty. So equal changes are equal lists.

const isText = (part) => typeof part === "string";
// Without the check, a text that looks like a number would be compared as a number.
const isKept = (part) => !isText(part) && part > 0;
const isOut = (part) => !isText(part) && part < 0;
const length = (part) => (isText(part) ? part.length : Math.abs(part));

/** Adds a part to a list. A text comes before a deletion at the same place. */
function add(parts, part) {
  if (length(part) === 0) return parts;
  const isDeleting = parts.length > 0 && isOut(parts[parts.length - 1]);
  const end = isText(part) && isDeleting ? parts.length - 1 : parts.length;
  const last = parts[end - 1];
  const isSame = end > 0 && isText(last) === isText(part) && (isText(part) || last > 0 === part > 0);
  if (isSame) parts[end - 1] = last + part;
  else parts.splice(end, 0, part);
  return parts;
}

/** Returns an operation in the form described above. */
export const operation = (...parts) => parts.reduce(add, []);

/** Returns the code units of the text before the operation. */
export const lengthBefore = (parts) => parts.reduce((sum, part) => sum + (isText(part) ? 0 : Math.abs(part)), 0);

/** Returns the code units of the text after the operation. */
export const lengthAfter = (parts) => parts.reduce((sum, part) => sum + (isText(part) ? part.length : Math.max(part, 0)), 0);

/** Returns whether the operation changes nothing. */
export const isNothing = (parts) => parts.every(isKept);

export function apply(text, parts) {
  if (lengthBefore(parts) !== text.length) throw new RangeError("the operation is for another text");
  let at = 0;
  let after = "";
  for (const part of parts) {
    if (isText(part)) after += part;
    else {
      if (part > 0) after += text.slice(at, at + part);
      at += Math.abs(part);
    }
  }
  return after;
}

/** Returns the operation that undoes an operation on this text. */
export function invert(text, parts) {
  const inverse = [];
  let at = 0;
  for (const part of parts) {
    if (isText(part)) add(inverse, -part.length);
    else {
      add(inverse, part > 0 ? part : text.slice(at, at - part));
      at += Math.abs(part);
    }
  }
  return inverse;
}

/** Goes through the parts of an operation, in pieces of any length. */
class Rest {
  #parts;
  #at = 0;
  #passed = 0;

  constructor(parts) {
    this.#parts = parts;
  }

  /** The rest of the current part, or 0 at the end. */
  get head() {
    const part = this.#parts[this.#at] ?? 0;
    if (isText(part)) return this.#passed ? part.slice(this.#passed) : part;
    return part > 0 ? part - this.#passed : part + this.#passed;
  }

  pass(units) {
    this.#passed += units;
    if (this.#passed >= length(this.#parts[this.#at] ?? 0)) {
      this.#at += 1;
      this.#passed = 0;
    }
  }
}

/**
 * Returns two operations on the same text, each as it is after the other one: [first, second].
 * Where both insert, the text of the first comes first.
 */
export function transform(first, second) {
  if (lengthBefore(first) !== lengthBefore(second)) throw new RangeError("the operations are for different texts");
  const [a, b] = [new Rest(first), new Rest(second)];
  const [firstAfter, secondAfter] = [[], []];
  for (;;) {
    const [ours, theirs] = [a.head, b.head];
    if (isText(ours)) {
      add(firstAfter, ours);
      add(secondAfter, ours.length);
      a.pass(ours.length);
    } else if (isText(theirs)) {
      add(firstAfter, theirs.length);
      add(secondAfter, theirs);
      b.pass(theirs.length);
    } else if (ours === 0 || theirs === 0) {
      return [firstAfter, secondAfter];
    } else {
      const units = Math.min(Math.abs(ours), Math.abs(theirs));
      if (ours > 0 && theirs > 0) {
        add(firstAfter, units);
        add(secondAfter, units);
      } else if (theirs > 0) add(firstAfter, -units);
      else if (ours > 0) add(secondAfter, -units);
      a.pass(units);
      b.pass(units);
    }
  }
}

/** Returns one operation that does what two do one after the other. */
export function compose(first, second) {
  if (lengthAfter(first) !== lengthBefore(second)) throw new RangeError("the second does not follow the first");
  const [a, b] = [new Rest(first), new Rest(second)];
  const both = [];
  for (;;) {
    const [ours, theirs] = [a.head, b.head];
    if (isOut(ours)) {
      add(both, ours);
      a.pass(-ours);
    } else if (isText(theirs)) {
      add(both, theirs);
      b.pass(theirs.length);
    } else if (ours === 0 || theirs === 0) {
      return both;
    } else {
      const units = Math.min(length(ours), Math.abs(theirs));
      if (theirs > 0) add(both, isText(ours) ? ours.slice(0, units) : units);
      // A text that is inserted and deleted again leaves nothing.
      else if (!isText(ours)) add(both, -units);
      a.pass(units);
      b.pass(units);
    }
  }
}

/** Returns where a place is afterwards. A text that is inserted exactly there comes after it. */
export function transformPlace(parts, place) {
  let at = 0;
  let moved = place;
  for (const part of parts) {
    if (at > place) break;
    if (isText(part)) moved += at < place ? part.length : 0;
    else {
      if (part < 0) moved -= Math.min(-part, place - at);
      at += Math.abs(part);
    }
  }
  return moved;
}

/** Returns whether this unit is the second half of a character. */
const isSecondHalf = (text, at) => (text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;

/**
 * Returns one change from a text to another one, as in a text field whose caret is now at `caret`.
 */
export function difference(before, after, caret = after.length) {
  // The text behind the caret was mostly there before. Otherwise, "a" typed before "aa" would not
  // be recognised.
  let end = 0;
  const behind = Math.min(after.length - caret, before.length);
  while (end < behind && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  let start = 0;
  const most = Math.min(before.length, after.length) - end;
  while (start < most && before[start] === after[start]) start += 1;
  const rest = Math.min(before.length, after.length) - start;
  while (end < rest && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  // No character is split.
  if (isSecondHalf(before, start) || isSecondHalf(after, start)) start -= 1;
  if (isSecondHalf(before, before.length - end) || isSecondHalf(after, after.length - end)) end -= 1;
  return operation(start, after.slice(start, after.length - end), start + end - before.length, end);
}

/**
 * The most comparisons for the alignment of two lists.
 */
const MOST_COMPARISONS = 4_000_000;

/**
 * Returns the changes from a text to another one, as few as possible: by characters, or by lines if
 * the texts are long.
 */
export function differences(before, after) {
  const whole = difference(before, after);
  const [start, end] = [isKept(whole[0]) ? whole[0] : 0, whole.length > 1 && isKept(whole.at(-1)) ? whole.at(-1) : 0];
  const [out, put] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  for (const split of [(text) => [...text], (text) => text.split(/(?<=\n)/)]) {
    const [ours, theirs] = [split(out), split(put)];
    if (ours.length * theirs.length <= MOST_COMPARISONS) return operation(start, ...alignment(ours, theirs), end);
  }
  return whole;
}

/** Returns the parts that turn one list into the other, by their longest common subsequence. */
function alignment(ours, theirs) {
  const width = theirs.length + 1;
  const common = new Uint32Array((ours.length + 1) * width);
  for (let i = ours.length - 1; i >= 0; i--) {
    for (let j = theirs.length - 1; j >= 0; j--) {
      const at = i * width + j;
      common[at] = ours[i] === theirs[j] ? common[at + width + 1] + 1 : Math.max(common[at + width], common[at + 1]);
    }
  }
  const parts = [];
  let [i, j] = [0, 0];
  while (i < ours.length || j < theirs.length) {
    if (i < ours.length && j < theirs.length && ours[i] === theirs[j]) {
      parts.push(ours[i].length);
      i += 1;
      j += 1;
    } else if (j < theirs.length && (i === ours.length || common[i * width + j + 1] >= common[(i + 1) * width + j])) parts.push(theirs[j++]);
    else parts.push(-ours[i++].length);
  }
  return parts;
}
