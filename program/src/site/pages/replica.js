// What a page knows of a document, without the page itself: the text at the last known revision,
// and the edits after it that have not come back. `send` is called with each message to the server.

import { apply, compose, difference, differences, invert, isNothing, transform, transformPlace } from "./operation.js";

/** The last edits are kept, for a restarted server: at most so many, */
const REMEMBERED = 200;
/** with so many code units in total. */
const REMEMBERED_UNITS = 65_536;
/** Edits are combined up to so many parts. */
const MOST_PARTS = 500;

const inserted = (operation) => operation.reduce((sum, part) => sum + (typeof part === "string" ? part.length : 0), 0);
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const isSameEdit = (one, other) => one.by === other.by && one.n === other.n;
const move = (operation, [anchor, head]) => [transformPlace(operation, anchor), transformPlace(operation, head)];

export class Replica {
  /** Called when others have changed the text: apply this operation to the shown text. */
  onChange = () => {};
  /**
   * Called with a text that could not be merged exactly and would be lost, and the reason.
   */
  onAside = () => {};
  #send;
  #n = 0;
  /**
   * The lives of the document that this copy has gone through, each with the last known revision.
   */
  #lives = [];
  #revision = 0;
  /** The text at that revision. */
  #base = "";
  /** The edits that led there: { by, n, operation, inverse, units }. */
  #history = [];
  #historyUnits = 0;
  /** The last edit of each author in this text. */
  #authors = new Map();
  /**
   * Edits that the server has not confirmed, the oldest first. An edit that was sent is not changed
   * any more.
   */
  #pending = [];
  /** The shown text: the base with all pending edits. */
  #text = "";
  #isIn = false;
  /** The first pending edit is in flight. */
  #isSending = false;
  /** Only a comparison of both texts can lead to the server's text. */
  #isAstray = false;
  /** This copy is none of the server's text. */
  #isForeign = false;
  /** A selection that waits until it can be sent. */
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

  /** The number of edits that are not confirmed. */
  get waiting() {
    return this.#pending.length;
  }

  /** Converts a selection in the server's text to the shown text. */
  shown(selection) {
    return this.#pending.reduce((places, { operation }) => move(operation, places), selection);
  }

  // ---- Messages to the server

  /** Enters the document, perhaps again. To be called when the connection is open. */
  join(name) {
    this.name = name;
    this.#isIn = false;
    const lineage = this.#isAstray || this.#isForeign ? [] : this.#lineage();
    this.#send({ join: { document: this.document, name, author: this.author, lineage } });
  }

  #lineage() {
    const earlier = this.#lives.slice(0, -1);
    return [...earlier, ...this.#lives.slice(-1).map(([life]) => [life, this.#revision])];
  }

  /**
   * To be called when a message does not fit this copy: the server has lost what it is made of. The
   * page takes the server's text, and puts its own aside.
   */
  startOver() {
    this.#isForeign = true;
    this.join(this.name);
  }

  /** To be called when the connection is lost. */
  lost() {
    this.#isIn = false;
    this.#isAstray = false;
  }

  /** Adds an edit of this page. `selection` is the one after it, [anchor, head]. */
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

  /** To be called when the selection has changed. */
  select(selection) {
    this.#selection = selection;
    this.#flush();
  }

  /** Sends an edit of the server's text, or a selection in it, if possible. */
  #flush() {
    if (!this.#isIn || this.#isSending) return;
    const [first] = this.#pending;
    // With one edit, the selection is in the text after it.
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

  // ---- Messages from the server

  /** The server does not know this document. */
  restore() {
    const edits = this.#history.map(({ by, n, operation }) => ({ by, n, operation }));
    this.#send({ restore: { text: this.#base, authors: [...this.#authors], edits } });
  }

  welcome({ lineage, since, edits, text, kin, authors }) {
    if (text === undefined && this.#revision - since > this.#history.length) {
      // That revision is not known here any more: only the whole text can help.
      this.#isAstray = true;
      this.join(this.name);
      return;
    }
    this.#isSending = false;
    if (text === undefined) {
      this.#goBackTo(since);
      for (const edit of edits) this.#confirm(edit);
    } else if (!this.#isForeign && (kin || this.#isAstray || this.#revision === 0)) this.#goOnWith(text, new Map(authors));
    else this.#startAgainWith(text, new Map(authors));
    this.#isAstray = false;
    this.#isForeign = false;
    this.#lives = lineage;
    this.#revision = lineage.at(-1)[1];
    this.#isIn = true;
    this.#flush();
  }

  /** An edit that makes the next revision. */
  confirm(edit) {
    // Edits before the welcome are also in the welcome.
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
   * Goes back to a revision. An earlier life of the server confirmed the edits after it, but this
   * one may not know them. They become pending, like own edits.
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

  /** Rebases the pending edits over an operation on the base. */
  #rebase(operation, from = 0) {
    let other = operation;
    for (const edit of this.#pending.slice(from)) [other, edit.operation] = transform(other, edit.operation);
    this.#text = apply(this.#text, other);
    if (this.#selection) this.#selection = move(other, this.#selection);
    if (!isNothing(other)) this.onChange(other);
  }

  /** Removes a pending edit, as if it had never been made. */
  #drop(at) {
    let before = this.#base;
    for (const edit of this.#pending.slice(0, at)) before = apply(before, edit.operation);
    const [dropped] = this.#pending.splice(at, 1);
    if (at === 0) this.#isSending = false;
    this.#rebase(invert(before, dropped.operation), at);
  }

  /**
   * Takes over a later state of the text without its edits. The pending edits are rebased as well
   * as possible.
   */
  #goOnWith(text, authors) {
    const before = this.#text;
    const isSafe = !this.#isAstray && (this.#pending.length === 0 || this.#revision === 0);
    // The numbers show which edits are in that text. All others follow it.
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
    if (!isSafe && before !== this.#text && before !== "") this.onAside(before, "changed");
  }

  /** Takes over a text of a different origin. */
  #startAgainWith(text, authors) {
    const before = this.#text;
    this.#pending = [];
    this.#rebase(difference(before, text));
    this.#base = text;
    this.#authors = authors;
    this.#history = [];
    this.#historyUnits = 0;
    if (before !== "" && before !== text) this.onAside(before, "restarted");
  }

  #remember(edit) {
    const units = inserted(edit.operation) + inserted(edit.inverse);
    this.#history.push({ ...edit, units });
    this.#historyUnits += units;
    while (this.#history.length > REMEMBERED || this.#historyUnits > REMEMBERED_UNITS) this.#historyUnits -= this.#history.shift().units;
  }
}

/** The edits of this page that can be undone. */
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
   * Adds an edit of this page. Edits in quick succession are undone together.
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

  /** To be called when others have changed the text. */
  changed(operation) {
    for (const stack of [this.#done, this.#undone]) {
      let other = operation;
      for (let at = stack.length - 1; at >= 0; at--) [other, stack[at]] = transform(other, stack[at]);
    }
  }

  /** Returns the operation that undoes the last edit, or `null` if there is none. */
  undo(text) {
    return this.#turn(text, this.#done, this.#undone);
  }

  redo(text) {
    return this.#turn(text, this.#undone, this.#done);
  }

  #turn(text, from, to) {
    this.#at = -Infinity;
    // Edits whose text others have deleted cannot be undone.
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
