// What every page needs.

export const $ = (id) => document.getElementById(id);

/**
 * `element("p", { class: "soft" }, "text", child)`. What a peer has sent becomes text here, never
 * markup.
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Sets a node's text; a screen reader is not told of what has not changed. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute, or removes it for `null`, unless it is so already. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** 12,345 */
export const count = (number) => number.toLocaleString("en");

/** 1 byte, 2 bytes */
export const bytes = (number) => `${count(number)} ${number === 1 ? "byte" : "bytes"}`;

/** 0.4 ms, 1.2 s */
export function duration(ms) {
  if (ms < 0.1) return "under 0.1 ms";
  if (ms < 1000) return `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

const two = (number) => String(number).padStart(2, "0");

/** 09:05 */
export const hourAndMinute = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;

/** 09:05:07.123 */
export const clock = (date) =>
  `${hourAndMinute(date)}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;

/**
 * 128 random bits, as 32 digits. `crypto.randomUUID` is not there on a page that came over plain
 * HTTP from elsewhere.
 */
export const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The URL of a socket of this server. */
export const socketUrl = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
