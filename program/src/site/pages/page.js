// Helpers for all pages.

import { count, t } from "./texts.js";

export { LANGUAGE, count, has, nodes, t } from "./texts.js";

export const $ = (id) => document.getElementById(id);

/**
 * Makes an element: `element("p", { class: "soft" }, "text", child)`. Strings become text, never
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

/** Sets a node's text, if it differs: a screen reader announces only changes. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute if it differs, or removes it for `null`. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Formats a size: 1 byte, 2 bytes. */
export const bytes = (number) => t("shell.bytes", { count: number });

/** Formats a time: 0.4 ms, 1.2 s. */
export function duration(ms) {
  if (ms < 0.1) return t("shell.under", { time: "0.1 ms" });
  if (ms < 1000) return `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Formats what was agreed in a TLS handshake. */
export const secured = ({ version, cipher, name, resumed }) => t("shell.tls", {
  version, cipher,
  session: resumed ? t("shell.tls_resumed") : t("shell.tls_full"),
  name: name === null ? t("shell.tls_no_name") : t("shell.tls_name", { name }),
});

/** Names a state of a connection, as the server has it in `Open`. */
export const stateName = (state) => t(`shell.state.${state.toLowerCase()}`);

/** Says which rule a peer broke, as `told` of the server describes it. */
export const violation = ({ code, number, section }) => t("shell.violation_of", {
  // A close code is a name, not a quantity: 1006, not 1,006.
  rule: t(`shell.violation.${code}`, { number: code === "invalid_close_code" ? String(number) : number ?? "" }),
  rfc: code === "invalid_deflate" ? "RFC 7692" : "RFC 6455",
  section,
});

const two = (number) => String(number).padStart(2, "0");

/** Formats a time of day: 09:05. */
export const hourAndMinute = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;

/** Formats a time of day: 09:05:07.123. */
export const clock = (date) =>
  `${hourAndMinute(date)}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;

/**
 * Returns 128 random bits as 32 digits. A page that came over plain HTTP from another host has no
 * `crypto.randomUUID`.
 */
export const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Returns the URL of a socket of this server. */
export const socketUrl = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;

/** Shows the user's name, which all pages remember. Calls `take` with each new one. */
export function askForName(take) {
  $("name").value = localStorage.getItem("lariat-name") ?? t("shell.guest");
  $("name").addEventListener("input", () => { $("rename").hidden = false; });
  $("name-form").addEventListener("submit", (event) => {
    event.preventDefault();
    $("name").value = $("name").value.trim() || t("shell.guest");
    localStorage.setItem("lariat-name", $("name").value);
    $("rename").hidden = true;
    take($("name").value);
  });
}

/** Makes what the user types into a form the fragment of the URL. */
export function askWhereTo(form, field) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (name) location.hash = `#${encodeURIComponent(name)}`;
    field.value = "";
  });
}
