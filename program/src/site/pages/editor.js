// The page of the editor: shows what replica.js knows in a text field, and where the others are.

import { $, askForName, askWhereTo, count, element, setAttribute, setText, t } from "./page.js";
import { difference, transformPlace } from "./operation.js";
import { Replica, Undo } from "./replica.js";
import { Socket } from "./socket.js";

const SHOWN_PEOPLE = 100;
/** The most carets that are shown: those that moved last. */
const SHOWN_CARETS = 32;
/** After a caret has moved, its name is shown for so long. */
const NAME_SHOWN_MS = 3000;
const SELECT_EVERY_MS = 100;
const HUES = ["--blue", "--green", "--violet", "--teal", "--amber", "--accent"];

const field = $("text");
const socket = new Socket();
const send = (what) => socket.send(JSON.stringify(what));

let replica;
let undo;
let me = null;
/** By number: { name, at: [anchor, head] in the shown text or null, movedAt }. */
let people = new Map();

// ---- Entering

const documentOfUrl = () => {
  try {
    // As the server shortens names.
    return [...decodeURIComponent(location.hash.slice(1)).trim().replace(/\s+/g, " ")].slice(0, 32).join("") || "notes";
  } catch {
    return "notes";
  }
};

/** Returns a random number, which no other page has. */
function newAuthor() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high % 2 ** 20) * 2 ** 32 + low;
}

function enter(name) {
  replica = new Replica(name, newAuthor(), send);
  replica.onChange = (operation) => {
    undo.changed(operation);
    put(operation);
    moveOthers(operation);
  };
  replica.onAside = showAside;
  undo = new Undo();
  people = new Map();
  field.value = "";
  field.readOnly = true;
  setText($("document-title"), name);
  document.title = `${name} · ${t("editor.title")} · Lariat`;
  if (socket.isOpen) replica.join($("name").value);
  render();
}

socket.onOpen = () => replica.join($("name").value);
socket.onClose = () => {
  replica.lost();
  render();
};
socket.onMessage = (data) => {
  if (isComposing) held.push(data);
  else hear(data);
};

function hear(data) {
  const message = JSON.parse(data);
  const [[kind, content]] = typeof message === "string" ? [[message]] : Object.entries(message);
  try {
    handlers[kind]?.(content);
  } catch (error) {
    // An operation for another text.
    if (!(error instanceof RangeError)) throw error;
    replica.startOver();
  }
  render();
}

const handlers = {
  welcome(content) {
    me = content.you;
    replica.welcome(content);
    field.readOnly = false;
    people = new Map();
    for (const one of content.people) meet(one);
  },
  lost: () => replica.restore(),
  edit(content) {
    replica.confirm(content);
    place(content.who, content.selection);
  },
  people({ came, left, moved }) {
    for (const number of left) people.delete(number);
    for (const one of came) meet(one);
    for (const [number, selection] of moved) place(number, selection);
  },
  documents: renderDocuments,
  refused: (content) => replica.refused(content),
  full: (why) => setText($("problem"), t(`editor.full.${why}`)),
};

function meet([number, name, selection]) {
  people.set(number, { name, at: selection && replica.shown(selection), movedAt: -Infinity });
}

function place(number, selection) {
  const person = people.get(number);
  if (!person || !selection) return;
  person.at = replica.shown(selection);
  person.movedAt = performance.now();
}

function moveOthers(operation) {
  for (const person of people.values()) if (person.at) person.at = person.at.map((at) => transformPlace(operation, at));
}

// ---- The text field

let isComposing = false;
/**
 * Messages that came while a character was being composed. A change of the field would cancel the
 * composition.
 */
let held = [];

field.addEventListener("compositionstart", () => { isComposing = true; });
field.addEventListener("compositionend", () => {
  isComposing = false;
  changed();
  const before = held;
  held = [];
  for (const data of before) hear(data);
});
field.addEventListener("input", () => { if (!isComposing) changed(); });

/** To be called when the user has changed the field. */
function changed() {
  // A text field can have half a character, the server cannot.
  if (field.value.isWellFormed?.() === false) field.value = field.value.toWellFormed();
  const operation = difference(replica.text, field.value, field.selectionEnd);
  if (field.value === replica.text) return;
  undo.did(replica.text, operation, performance.now());
  moveOthers(operation);
  replica.edit(operation, selection());
  render();
}

/** Applies an operation to the field. The selection is kept. */
function put(operation) {
  if (operation.length > 50) {
    const [start, end, direction] = [field.selectionStart, field.selectionEnd, field.selectionDirection];
    field.value = replica.text;
    field.setSelectionRange(transformPlace(operation, start), transformPlace(operation, end), direction);
    return;
  }
  let at = 0;
  for (const part of operation) {
    if (typeof part === "string") {
      field.setRangeText(part, at, at, "preserve");
      at += part.length;
    } else if (part > 0) at += part;
    else field.setRangeText("", at, at - part, "preserve");
  }
}

const selection = () => {
  const ends = [field.selectionStart, field.selectionEnd];
  return field.selectionDirection === "backward" ? ends.reverse() : ends;
};

let selecting = 0;

function selected() {
  if (selecting || document.activeElement !== field || field.readOnly) return;
  selecting = setTimeout(() => {
    selecting = 0;
    if (!isComposing && field.value === replica.text) replica.select(selection());
  }, SELECT_EVERY_MS);
}
document.addEventListener("selectionchange", selected);
field.addEventListener("selectionchange", selected);
field.addEventListener("focus", selected);

// ---- Undo. The undo of the field itself would also undo the edits of others.

function turn(which) {
  const operation = isComposing || field.readOnly ? null : undo[which](replica.text);
  if (!operation) return;
  let at = 0;
  for (const part of operation.slice(0, typeof operation.at(-1) === "number" && operation.at(-1) > 0 ? -1 : undefined)) {
    at += typeof part === "string" ? part.length : Math.max(part, 0);
  }
  put(operation);
  field.setSelectionRange(at, at);
  moveOthers(operation);
  replica.edit(operation, [at, at]);
  render();
}

for (const which of ["undo", "redo"]) {
  $(which).addEventListener("click", () => {
    turn(which);
    field.focus();
  });
}
field.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const key = event.key.toLowerCase();
  const which = key === "z" ? (event.shiftKey ? "redo" : "undo") : key === "y" ? "redo" : null;
  if (!which) return;
  event.preventDefault();
  turn(which);
});
field.addEventListener("beforeinput", (event) => {
  const which = { historyUndo: "undo", historyRedo: "redo" }[event.inputType];
  if (!which) return;
  event.preventDefault();
  turn(which);
});

// ---- State, people, marks

let rendering = 0;

function render() {
  rendering ||= requestAnimationFrame(() => {
    rendering = 0;
    renderState();
    renderPeople();
    renderMarks();
  });
}

function renderState() {
  const isAway = !socket.isOpen || field.readOnly;
  const waiting = replica.waiting;
  const state = isAway ? "away" : waiting ? "sending" : "there";
  $("state").dataset.state = state;
  setText($("state"), t(state === "there" ? "editor.up_to_date" : state === "sending" ? "editor.sending" : field.readOnly ? "editor.not_connected"
    : waiting ? "editor.offline_unsent" : "editor.offline"));
  setAttribute($("undo"), "aria-disabled", undo.canUndo ? null : "true");
  setAttribute($("redo"), "aria-disabled", undo.canRedo ? null : "true");
  const text = field.value;
  const lines = text === "" ? 0 : text.split("\n").length;
  setText($("counts"), t("editor.size", { lines: t("editor.lines", { count: lines }), characters: t("editor.characters", { count: [...text].length }) }));
}

function renderPeople() {
  const shown = [...people].filter(([number]) => number !== me).slice(0, SHOWN_PEOPLE);
  const own = people.get(me);
  const known = new Map([...$("people").children].map((item) => [item.dataset.person, item]));
  const items = [...(own ? [[me, own]] : []), ...shown].map(([number, { name, at }]) => {
    const item = known.get(String(number)) ?? personItem(number);
    known.delete(String(number));
    const [who, where] = item.firstChild.children;
    setText(who, name);
    setText(where, number === me ? t("shell.you") : at ? t("editor.line", { number: field.value.slice(0, at[1]).split("\n").length }) : "");
    return item;
  });
  for (const gone of known.values()) gone.remove();
  items.forEach((item, at) => {
    if ($("people").children[at] !== item) $("people").insertBefore(item, $("people").children[at] ?? null);
  });
  setText($("people-count"), people.size ? count(people.size) : "");
}

/** Returns the item of a person. For others, it is a button that scrolls to their caret. */
function personItem(number) {
  const inside = [element("span", { dir: "auto" }), element("span", { class: "soft tiny number" })];
  const one = number === me ? element("span", { class: "one" }, ...inside) : element("button", { type: "button" }, ...inside);
  if (number !== me) one.addEventListener("click", () => goTo(number));
  const item = element("li", { "data-person": number }, one);
  if (number !== me) item.style.setProperty("--hue", `var(${hueOf(number)})`);
  return item;
}

function goTo(number) {
  const person = people.get(number);
  if (!person?.at) return;
  person.movedAt = performance.now();
  renderMarks();
  const caret = $("marks").querySelector(`[data-person="${number}"]`);
  if (caret) field.scrollTop = caret.offsetTop - field.clientHeight / 2;
  field.focus();
}

const hueOf = (number) => HUES[number % HUES.length];

let fading = 0;

/**
 * Draws the same text again, invisible, with the selections and carets of the others in it.
 */
function renderMarks() {
  const now = performance.now();
  const others = [...people].filter(([number, person]) => number !== me && person.at)
    .sort(([, one], [, other]) => other.movedAt - one.movedAt).slice(0, SHOWN_CARETS);
  const marks = $("marks");
  marks.replaceChildren();
  clearTimeout(fading);
  if (others.length === 0) return;
  const text = field.value;
  const ends = new Set(others.flatMap(([, { at }]) => at));
  const places = [...ends].sort((one, other) => one - other);
  let from = 0;
  for (const to of [...places, text.length]) {
    const covering = others.find(([, { at }]) => Math.min(...at) <= from && to <= Math.max(...at) && from < to);
    const stretch = text.slice(from, to);
    if (covering) {
      const mark = element("mark", {}, stretch);
      mark.style.setProperty("--hue", `var(${hueOf(covering[0])})`);
      marks.append(mark);
    } else marks.append(stretch);
    for (const [number, { name, at, movedAt }] of others) {
      if (at[1] !== to || !ends.has(to)) continue;
      const isRecent = now - movedAt < NAME_SHOWN_MS;
      const caret = element("span", { class: isRecent ? "caret recent" : "caret", "data-name": name, "data-person": number });
      caret.style.setProperty("--hue", `var(${hueOf(number)})`);
      marks.append(caret);
    }
    ends.delete(to);
    from = to;
  }
  // Without it, an empty last line would be missing.
  marks.append("\u200b");
  marks.style.paddingRight = `calc(1rem + ${field.offsetWidth - field.clientWidth - 2}px)`;
  for (const caret of marks.querySelectorAll(".recent")) caret.classList.toggle("at-end", caret.offsetLeft > marks.clientWidth / 2);
  marks.scrollTop = field.scrollTop;
  fading = setTimeout(render, NAME_SHOWN_MS);
}

field.addEventListener("scroll", () => { $("marks").scrollTop = field.scrollTop; }, { passive: true });
new ResizeObserver(render).observe(field);

/** Shows a text that could not be merged exactly, so that nothing is lost unnoticed. */
function showAside(text, why) {
  const area = element("pre", { class: "scroll", tabindex: "0" }, text);
  const copy = element("button", { type: "button" }, t("editor.select"));
  const dismiss = element("button", { type: "button" }, t("editor.discard"));
  const aside = element("div", {}, element("p", { class: "small" }, t("editor.aside", { why: t(`editor.why.${why}`) })), area, element("div", { class: "row" }, copy, dismiss));
  copy.addEventListener("click", () => {
    area.focus();
    getSelection().selectAllChildren(area);
  });
  dismiss.addEventListener("click", () => {
    aside.remove();
    field.focus();
  });
  $("asides").append(aside);
}

// Existing items stay: otherwise a link could lose the keyboard focus.
function renderDocuments(documents) {
  const known = new Map([...$("documents").children].map((item) => [item.dataset.document, item]));
  const items = documents.map(([name, number]) => {
    const item = known.get(name) ?? element("li", { "data-document": name },
      element("a", { id: `in-${name}`, href: `#${encodeURIComponent(name)}` }, element("span", { dir: "auto" }, name), element("span", { class: "soft number" })));
    setText(item.querySelector(".number"), count(number));
    setAttribute(item.firstChild, "aria-current", name === replica.document ? "true" : null);
    known.delete(name);
    return item;
  });
  for (const gone of known.values()) gone.remove();
  items.forEach((item, at) => {
    if ($("documents").children[at] !== item) $("documents").insertBefore(item, $("documents").children[at] ?? null);
  });
}

// ---- Names

askForName((name) => {
  field.focus();
  if (socket.isOpen) replica.join(name);
});
askWhereTo($("document-form"), $("document-name"));
addEventListener("hashchange", () => {
  const name = documentOfUrl();
  if (name === replica.document) return;
  setText($("problem"), "");
  if (replica.waiting === 0) {
    enter(name);
    return;
  }
  history.replaceState(null, "", `#${encodeURIComponent(replica.document)}`);
  setText($("problem"), t("editor.wait"));
});
addEventListener("beforeunload", (event) => { if (replica.waiting) event.preventDefault(); });

enter(documentOfUrl());
