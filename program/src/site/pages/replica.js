// What a page knows of a document, without a page: the text up to the last revision of which it was
// told, and edits that it has not seen come back, which follow it. `send` is called with what the
// server is to be told.

import { apply, compose, difference, differences, invert, isNothing, transform, transformPlace } from "./operation.js";

/** What happened last is remembered for a server that has been restarted: so many edits, */
const REMEMBERED = 200;
/** of so many code units in all. */
const REMEMBERED_UNITS = 65_536;
/** Edits are not put together beyond so many stretches. */
const MOST_PARTS = 500;

const inserted = (operation) => operation.reduce((sum, part) => sum + (typeof part === "string" ? part.length : 0), 0);
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const isSameEdit = (one, other) => one.by === other.by && one.n === other.n;
const move = (operation, [anchor, head]) => [transformPlace(operation, anchor), transformPlace(operation, head)];

export class Replica {
  /** Others have changed the text: apply this operation to what is shown. */
  onChange = () => {};
  /**
   * Something could not be merged exactly, or not at all: a text that would be lost otherwise, and
   * why.
   */
  onAside = () => {};
  #send;
  #n = 0;
  /**
   * The servers' lives that it has come through, by numbers, each with the last revision that it
   * has of it.
   */
  #lives = [];
  #revision = 0;
  /** The text at that revision. */
  #base = "";
  /** The edits that led there: { by, n, operation, inverse, units }. */
  #history = [];
  #historyUnits = 0;
  /** The last edit of each author that is in it. */
  #authors = new Map();
  /**
   * Edits that the server has not confirmed, the oldest first. One that was sent once is not
   * changed any more.
   */
  #pending = [];
  /** What is to be seen: the base with all that is pending. */
  #text = "";
  #isIn = false;
  /** The first of those that are pending is under way. */
  #isSending = false;
  /** What it has cannot be brought to what the server has but by looking at both texts. */
  #isAstray = false;
  /** A selection that waits until it means the same here and there. */
  #selection = null;

  constructor(document, author, send) {
    this.document = document;
    this.author = author;
    this.#send = send;
  }

  get text() {
    return this.#text;
  }

  get revision() {
    return this.#revision;
  }

  /** How many edits wait to be confirmed. */
  get waiting() {
    return this.#pending.length;
  }

  /** Where a selection in the server's text is in what is to be seen. */
  shown(selection) {
    return this.#pending.reduce((places, { operation }) => move(operation, places), selection);
  }

  // ---- What the page says

  /** The connection is open: come in, perhaps again. */
  join(name) {
    this.name = name;
    this.#isIn = false;
    const lineage = this.#isAstray ? [] : this.#lineage();
    this.#send({ join: { document: this.document, name, author: this.author, lineage } });
  }

  #lineage() {
    const earlier = this.#lives.slice(0, -1);
    return [...earlier, ...this.#lives.slice(-1).map(([life]) => [life, this.#revision])];
  }

  /** The connection is gone. */
  lost() {
    this.#isIn = false;
    this.#isAstray = false;
  }

  /** The text has been changed here. `selection` is where it is afterwards, [anchor, head]. */
  edit(operation, selection = null) {
    this.#text = apply(this.#text, operation);
    const last = this.#pending[this.#pending.length - 1];
    if (last && !last.wasSent && last.by === this.author && last.operation.length < MOST_PARTS) {
      last.operation = compose(last.operation, operation);
    } else {
      this.#n += 1;
      this.#pending.push({ by: this.author, n: this.#n, operation, wasSent: false });
    }
    this.select(selection);
  }

  /** The selection has changed. */
  select(selection) {
    this.#selection = selection;
    this.#flush();
  }

  /** Sends what may be sent: an edit of what the server has, or a selection in it. */
  #flush() {
    if (!this.#isIn || this.#isSending) return;
    const [first] = this.#pending;
    // With one edit, the selection is in the text that follows it.
    const selection = this.#pending.length > 1 ? null : this.#selection;
    if (selection) this.#selection = null;
    if (first) {
      first.wasSent = true;
      this.#isSending = true;
      this.#send({ edit: { by: first.by, n: first.n, operation: first.operation, revision: this.#revision, selection } });
    } else if (selection) {
      this.#send({ select: { revision: this.#revision, selection } });
    }
  }

  // ---- What the server says

  /** It knows nothing of this document. */
  restore() {
    const edits = this.#history.map(({ by, n, operation }) => ({ by, n, operation }));
    this.#send({ restore: { text: this.#base, authors: [...this.#authors], edits } });
  }

  welcome({ lineage, since, edits, text, kin, authors }) {
    if (text === undefined && this.#revision - since > this.#history.length) {
      // Back to something that is forgotten here: only the whole text can help.
      this.#isAstray = true;
      this.join(this.name);
      return;
    }
    this.#isSending = false;
    if (text === undefined) {
      this.#goBackTo(since);
      for (const edit of edits) this.#confirm(edit);
    } else if (kin || this.#isAstray || this.#revision === 0) this.#goOnWith(text, new Map(authors));
    else this.#beginAnewWith(text, new Map(authors));
    this.#isAstray = false;
    this.#lives = lineage;
    this.#revision = lineage.at(-1)[1];
    this.#isIn = true;
    this.#flush();
  }

  /** The next revision. */
  confirm(edit) {
    // What comes before the welcome comes with it, too.
    if (!this.#isIn) return;
    this.#confirm(edit);
    this.#flush();
  }

  refused({ by, n, why }) {
    const at = this.#pending.findIndex((edit) => isSameEdit(edit, { by, n }));
    if (at < 0) return;
    this.onAside(this.#text, why);
    this.#drop(at);
    this.#flush();
  }

  /**
   * What was confirmed after a revision by a server that is gone may be unknown to this one: it
   * follows like edits of one's own.
   */
  #goBackTo(revision) {
    while (this.#revision > revision) {
      const { by, n, operation, inverse, units } = this.#history.pop();
      this.#historyUnits -= units;
      this.#base = apply(this.#base, inverse);
      this.#pending.unshift({ by, n, operation, wasSent: true });
      this.#authors.set(by, n - 1);
      this.#revision -= 1;
    }
  }

  #confirm({ by, n, operation }) {
    const at = this.#pending.findIndex((edit) => isSameEdit(edit, { by, n }));
    if (at === 0) this.#isSending = false;
    const isExact = at === 0 && isSame(this.#pending[0].operation, operation);
    if (isExact) this.#pending.shift();
    else if (at >= 0) this.#drop(at);
    this.#remember({ by, n, operation, inverse: invert(this.#base, operation) });
    if (!isExact) this.#rebase(operation);
    this.#base = apply(this.#base, operation);
    this.#authors.set(by, n);
    this.#revision += 1;
  }

  /** What is pending follows the operation now, which follows the base. */
  #rebase(operation, from = 0) {
    let other = operation;
    for (const edit of this.#pending.slice(from)) [other, edit.operation] = transform(other, edit.operation);
    this.#text = apply(this.#text, other);
    if (this.#selection) this.#selection = move(other, this.#selection);
    if (!isNothing(other)) this.onChange(other);
  }

  /** Takes back what is pending, as if it had never been. */
  #drop(at) {
    let before = this.#base;
    for (const edit of this.#pending.slice(0, at)) before = apply(before, edit.operation);
    const [dropped] = this.#pending.splice(at, 1);
    if (at === 0) this.#isSending = false;
    this.#rebase(invert(before, dropped.operation), at);
  }

  /**
   * A later state of the text, and not known how it came: what is pending follows as well as can
   * be.
   */
  #goOnWith(text, authors) {
    const before = this.#text;
    const isSafe = !this.#isAstray && (this.#pending.length === 0 || this.#revision === 0);
    // What is in that text is known by its number; all else follows.
    const isKnown = ({ by, n }) => n <= (authors.get(by) ?? 0);
    const unknown = this.#history.findIndex((edit) => !isKnown(edit));
    if (unknown >= 0) this.#goBackTo(this.#revision - (this.#history.length - unknown));
    while (this.#pending.length && isKnown(this.#pending[0])) this.#base = apply(this.#base, this.#pending.shift().operation);
    for (let at = this.#pending.length - 1; at >= 0; at--) if (isKnown(this.#pending[at])) this.#drop(at);
    this.#rebase(differences(this.#base, text));
    this.#base = text;
    this.#authors = authors;
    this.#history = [];
    this.#historyUnits = 0;
    if (!isSafe && before !== this.#text && before !== "") this.onAside(before, "Much has happened while you were away.");
  }

  /** Another text than the one that was here. */
  #beginAnewWith(text, authors) {
    const before = this.#text;
    this.#pending = [];
    this.#rebase(difference(before, text));
    this.#base = text;
    this.#authors = authors;
    this.#history = [];
    this.#historyUnits = 0;
    if (before !== "" && before !== text) this.onAside(before, "This document was begun anew while you were away.");
  }

  #remember(edit) {
    const units = inserted(edit.operation) + inserted(edit.inverse);
    this.#history.push({ ...edit, units });
    this.#historyUnits += units;
    while (this.#history.length > REMEMBERED || this.#historyUnits > REMEMBERED_UNITS) this.#historyUnits -= this.#history.shift().units;
  }
}

/** What has been done here, to be undone: nobody else's edits. */
export class Undo {
  #done = [];
  #undone = [];
  #at = -Infinity;

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /**
   * Somebody here has made this of the text. What follows soon after one another is undone
   * together.
   */
  did(text, operation, now) {
    const inverse = invert(text, operation);
    const last = this.#done.pop();
    if (last && now - this.#at < 700 && this.#undone.length === 0) this.#done.push(compose(inverse, last));
    else this.#done.push(...(last ? [last] : []), inverse);
    this.#done.splice(0, this.#done.length - 100);
    this.#undone = [];
    this.#at = now;
  }

  /** Others have changed the text. */
  changed(operation) {
    for (const stack of [this.#done, this.#undone]) {
      let other = operation;
      for (let at = stack.length - 1; at >= 0; at--) [other, stack[at]] = transform(other, stack[at]);
    }
  }

  /** What is to be applied to the text to undo the last; `null`: there is nothing. */
  undo(text) {
    return this.#turn(text, this.#done, this.#undone);
  }

  redo(text) {
    return this.#turn(text, this.#undone, this.#done);
  }

  #turn(text, from, to) {
    this.#at = -Infinity;
    // What others have taken out meanwhile cannot be undone.
    while (from.length) {
      const operation = from.pop();
      if (isNothing(operation)) continue;
      to.push(invert(text, operation));
      return operation;
    }
    return null;
  }

  forget() {
    this.#done = [];
    this.#undone = [];
  }
}
