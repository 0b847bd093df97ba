// A WebSocket that reconnects. If the server restarts or the network fails, it tries again after a
// delay, which doubles each time. A random part makes the delay shorter, so that a thousand pages
// do not come back at the same moment.

import { element, setText, socketUrl, t } from "./page.js";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
/** A connection that has not opened after this time is closed. */
const HANDSHAKE_MS = 10_000;
/** After a connection that was open for this long, the next delay is short again. */
const GOOD_AFTER_MS = 3_000;

/**
 *     const socket = new Socket();                  // to this page's own path
 *     socket.onOpen = () => socket.send("hello");
 *     socket.onMessage = (data) => …;               // a string, or an ArrayBuffer
 *     socket.onClose = ({ code, reason }) => …;
 *
 * Shows its state in the element with the id `link`. `status` may be another element, or null.
 */
export class Socket {
  onOpen = () => {};
  onMessage = () => {};
  onClose = () => {};
  #path;
  #status;
  #socket = null;
  #failures = 0;
  #timer = 0;
  #ticking = 0;
  #retryAt = 0;
  #ended = false;

  constructor(path = location.pathname, { status = document.getElementById("link") } = {}) {
    this.#path = path;
    this.#status = status;
    // A user who comes back to the page or goes online does not want to wait.
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.retry(); });
    // The caller sets the handlers before the first one can be called.
    queueMicrotask(() => this.#connect());
  }

  get readyState() {
    return this.#socket ? this.#socket.readyState : WebSocket.CLOSED;
  }

  get isOpen() {
    return this.readyState === WebSocket.OPEN;
  }

  get bufferedAmount() {
    return this.#socket ? this.#socket.bufferedAmount : 0;
  }

  /**
   * Returns whether the browser has taken the data. If not, the caller must send it again.
   */
  send(data) {
    if (!this.isOpen) return false;
    this.#socket.send(data);
    return true;
  }

  /** Closes it for good. */
  close(code = 1000, reason = "") {
    this.#ended = true;
    clearTimeout(this.#timer);
    clearInterval(this.#ticking);
    this.#socket?.close(code, reason);
  }

  /** Ends this connection and opens another one at once. */
  reconnect() {
    this.#failures = 0;
    if (this.readyState < WebSocket.CLOSING) this.#socket.close(1000, "again");
    else this.retry();
  }

  /** Tries again now, if it waits for the next attempt. */
  retry() {
    if (this.#timer && this.#retryAt) this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    clearInterval(this.#ticking);
    this.#retryAt = 0;
    if (this.#ended) return;
    const socket = new WebSocket(socketUrl(this.#path));
    let openedAt = 0;
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#show("connecting", this.#failures ? t("shell.reconnecting") : t("shell.connecting"));
    this.#timer = setTimeout(() => socket.close(), HANDSHAKE_MS);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      openedAt = performance.now();
      this.#show("open", t("shell.connected"));
      this.onOpen();
    };
    socket.onmessage = ({ data }) => this.onMessage(data);
    socket.onclose = ({ code, reason }) => {
      clearTimeout(this.#timer);
      if (openedAt && performance.now() - openedAt > GOOD_AFTER_MS) this.#failures = 0;
      this.onClose({ code, reason });
      if (this.#ended) this.#show("waiting", t("shell.closed"));
      else this.#wait();
    };
  }

  #wait() {
    const longest = Math.min(FIRST_DELAY_MS * 2 ** this.#failures, LONGEST_DELAY_MS);
    const delay = longest * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#retryAt = performance.now() + delay;
    this.#timer = setTimeout(() => this.#connect(), delay);
    const countdown = element("span", { "aria-hidden": "true", class: "number" });
    const now = element("button", { type: "button", class: "plain" }, t("shell.retry_now"));
    now.addEventListener("click", () => this.retry());
    const show = () => setText(countdown, t("shell.retry_in", { seconds: Math.max(1, Math.ceil((this.#retryAt - performance.now()) / 1000)) }));
    show();
    this.#ticking = setInterval(show, 500);
    this.#show("waiting", t("shell.lost"), countdown, now);
  }

  #show(state, text, ...more) {
    if (!this.#status) return;
    this.#status.dataset.state = state;
    const [countdown, ...rest] = more;
    const hadFocus = this.#status.contains(document.activeElement);
    this.#status.replaceChildren(element("span", {}, text, ...(countdown ? [countdown] : [])), ...rest);
    // The keyboard focus stays at "Try now".
    if (hadFocus) (rest[0] ?? this.#status).focus();
  }
}
