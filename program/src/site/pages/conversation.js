// What a page knows of a room, without the page itself: the messages, its own messages that have
// not come back, and what to send when it is connected again. `send` is called with each message to
// the server.

import { randomId } from "./page.js";

/**
 * After a restart of the server, the page offers the last messages again: at most so many.
 */
const OFFERED = 100;
/** The most messages that are remembered. */
const REMEMBERED = 2000;
/** A message that the server could not store is sent again after this time. */
const AGAIN_MS = 1000;

export class Conversation {
  /** Called with a new message, or `{ missed }`; `null` is an unknown number. */
  onMessage = () => {};
  /** Called when an own message has come back, or was refused with `why`. */
  onSettled = () => {};
  #send;
  #server = "";
  #last = 0;
  /** The id of the message of that number, if it is known. */
  #lastId = "";
  /** Own messages that have not come back, the oldest first. */
  #pending = [];
  /** Own messages that the server has, and that have not come back: by id. */
  #taken = new Map();
  /** The ids of the shown messages, the oldest first, with the own messages among them. */
  #seen = new Map();
  #isIn = false;
  /** The timer after which messages go again, or 0. */
  #again = 0;

  constructor(room, send) {
    this.room = room;
    this.key = randomId();
    this.#send = send;
  }

  get pending() {
    return this.#pending;
  }

  /** Enters the room, perhaps again. To be called when the connection is open. */
  join(name) {
    this.#send({ join: { room: this.room, name, key: this.key, server: this.#server, after: this.#last, last: this.#lastId } });
  }

  /** To be called when the connection is lost. */
  lost() {
    this.#isIn = false;
    clearTimeout(this.#again);
    this.#again = 0;
  }

  /** Sends a message, now or as soon as possible. */
  say(text) {
    const message = { id: randomId(), text, at: Date.now() };
    this.#pending.push(message);
    // It does not overtake those that go again.
    if (this.#isIn && !this.#again) this.#sendMessage(message);
    return message;
  }

  welcome({ server, messages, missed }) {
    const isRestarted = this.#server !== "" && this.#server !== server;
    if (this.#server !== server) [this.#last, this.#lastId] = [0, ""];
    this.#server = server;
    this.#isIn = true;
    if (missed) this.onMessage({ missed });
    if (isRestarted) this.#takeBack();
    for (const message of messages) this.message(message);
    for (const message of this.#pending) this.#sendMessage(message);
  }

  /**
   * The next message is the one behind number `after`. If messages were `lost`, those of this page
   * may be among them.
   */
  place({ server, after, lost }) {
    const isSame = server === this.#server;
    const known = this.#last;
    [this.#server, this.#last] = [server, after];
    if (!isSame || after !== known) this.#lastId = "";
    if (!lost) {
      // All that the room has was shown. It does not have these.
      const back = [...this.#taken.values()];
      this.#taken.clear();
      this.#pending.push(...back);
      for (const message of back) this.#sendMessage(message);
      return;
    }
    if (isSame && after > known) {
      this.onMessage({ missed: after - known });
      return;
    }
    this.onMessage({ missed: null });
    for (const message of this.#takeBack()) this.#sendMessage(message);
  }

  /** Own messages of late are pending again. Returns them. */
  #takeBack() {
    const lately = [...this.#seen.values()].slice(-OFFERED).filter((own) => own && !this.#pending.includes(own));
    const back = [...lately, ...this.#taken.values()];
    this.#pending = [...back, ...this.#pending];
    this.#taken.clear();
    return back;
  }

  message({ n, id, name, text, age, server = this.#server }) {
    // A repeated message has the same number from the same server, and the same id from another
    // one.
    if (server !== this.#server) [this.#server, this.#last] = [server, 0];
    if (n <= this.#last) return;
    [this.#last, this.#lastId] = [n, id];
    const own = this.#pending.find((message) => message.id === id) ?? this.#taken.get(id) ?? null;
    this.#taken.delete(id);
    if (!this.#seen.has(id)) {
      this.#seen.set(id, own);
      if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
      this.onMessage({ id, name, text, at: own ? own.at : Date.now() - age, isOwn: own !== null });
    }
    this.#settle(id);
  }

  /** The server has this message already. It may still come: then it is an own one. */
  said(id) {
    const own = this.#pending.find((message) => message.id === id);
    if (own && !this.#seen.has(id)) this.#taken.set(id, own);
    this.#settle(id);
  }

  /** The server could not store this message. All that are pending go again, in their order. */
  again() {
    this.#again ||= setTimeout(() => {
      this.#again = 0;
      if (this.#isIn) for (const message of this.#pending) this.#sendMessage(message);
    }, AGAIN_MS);
  }

  refused({ id, why }) {
    this.#settle(id, why);
  }

  #settle(id, why = null) {
    const before = this.#pending.length;
    this.#pending = this.#pending.filter((message) => message.id !== id);
    if (this.#pending.length < before) this.onSettled(id, why);
  }

  #sendMessage({ id, text, at }) {
    this.#send({ say: { id, text, age: Math.max(0, Date.now() - at) } });
  }
}
