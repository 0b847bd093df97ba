// What a page knows of a room, without a page: what has been said, what it has said itself and not
// seen come back, and what it has to say when it is connected again. `send` is called with what the
// server is to be told.

import { randomId } from "./page.js";

/**
 * What had been said lately is offered again to a server that has been restarted: as many messages
 * back as these.
 */
const OFFERED = 100;
/** So many messages are remembered. */
const REMEMBERED = 2000;

export class Conversation {
  /** A message that is new, or `{ missed }`. */
  onMessage = () => {};
  /** A message of this page's own has been seen to come back, or was refused: `why`. */
  onSettled = () => {};
  #send;
  #server = "";
  #last = 0;
  /** Own messages that have not come back, the oldest first. */
  #pending = [];
  /** The ids of what has been shown, the oldest first; and own messages among them. */
  #seen = new Map();
  #isIn = false;

  constructor(room, send) {
    this.room = room;
    this.key = randomId();
    this.#send = send;
  }

  get pending() {
    return this.#pending;
  }

  /** The connection is open: come in, perhaps again. */
  join(name) {
    this.#send({ join: { room: this.room, name, key: this.key, server: this.#server, after: this.#last } });
  }

  /** The connection is gone. */
  lost() {
    this.#isIn = false;
  }

  /** Says something, now or as soon as possible. */
  say(text) {
    const message = { id: randomId(), text, at: Date.now() };
    this.#pending.push(message);
    if (this.#isIn) this.#tell(message);
    return message;
  }

  welcome({ server, messages, missed }) {
    const isRestarted = this.#server !== "" && this.#server !== server;
    if (this.#server !== server) this.#last = 0;
    this.#server = server;
    this.#isIn = true;
    if (missed) this.onMessage({ missed });
    if (isRestarted) {
      const lately = [...this.#seen.values()].slice(-OFFERED).filter((own) => own && !this.#pending.includes(own));
      this.#pending = [...lately, ...this.#pending];
    }
    for (const message of messages) this.message(message);
    for (const message of this.#pending) this.#tell(message);
  }

  message({ n, id, name, text, age }) {
    // What comes twice over the same server has the same number, and over two servers the same id.
    if (n <= this.#last) return;
    this.#last = n;
    const own = this.#pending.find((message) => message.id === id) ?? null;
    if (!this.#seen.has(id)) {
      this.#seen.set(id, own);
      if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
      this.onMessage({ id, name, text, at: own ? own.at : Date.now() - age, isOwn: own !== null });
    }
    this.#settle(id);
  }

  /** The server has heard this before. */
  said(id) {
    this.#settle(id);
  }

  refused({ id, why }) {
    this.#settle(id, why);
  }

  #settle(id, why = null) {
    const before = this.#pending.length;
    this.#pending = this.#pending.filter((message) => message.id !== id);
    if (this.#pending.length < before) this.onSettled(id, why);
  }

  #tell({ id, text, at }) {
    this.#send({ say: { id, text, age: Math.max(0, Date.now() - at) } });
  }
}
