// The page of the chat: shows what conversation.js knows.

import { $, LANGUAGE, askForName, askWhereTo, count, element, hourAndMinute, setAttribute, setText, t } from "./page.js";
import { Conversation } from "./conversation.js";
import { Socket } from "./socket.js";

const SHOWN_MESSAGES = 500;
const SHOWN_PEOPLE = 200;
const SAY_TYPING_EVERY_MS = 3000;
/** Within this time, messages of the same person are shown without the name. */
const FOLLOWS_MS = 5 * 60_000;
const HUES = ["--accent", "--blue", "--green", "--violet", "--teal", "--amber"];

const socket = new Socket();
const send = (what) => socket.send(JSON.stringify(what));

let conversation;
let me = null;
let people = new Map();
/** Who is typing, by server. */
let typing = new Map();

// ---- Entering

const roomOfUrl = () => {
  try {
    // As the server shortens names.
    return [...decodeURIComponent(location.hash.slice(1)).trim().replace(/\s+/g, " ")].slice(0, 32).join("") || "lobby";
  } catch {
    return "lobby";
  }
};

function enter(room) {
  conversation = new Conversation(room, send);
  conversation.onMessage = (message) => ("missed" in message ? noteMissed(message) : show(message));
  conversation.onSettled = settled;
  people = new Map();
  typing = new Map();
  $("messages").replaceChildren();
  setText($("room-title"), `#${room}`);
  setText($("script-url"), `${location.origin}/chat/${encodeURIComponent(room)}`);
  document.title = `#${room} · ${t("chat.title")} · Lariat`;
  renderPeople();
  renderTyping();
  if (socket.isOpen) conversation.join($("name").value);
}

socket.onOpen = () => conversation.join($("name").value);
socket.onClose = () => conversation.lost();
socket.onMessage = (data) => {
  const [[kind, content]] = Object.entries(JSON.parse(data));
  handlers[kind]?.(content);
};

const handlers = {
  welcome(content) {
    me = content.you;
    people = new Map(content.people);
    typing = new Map();
    renderPeople();
    renderTyping();
    conversation.welcome(content);
  },
  message: (content) => conversation.message(content),
  said: (id) => conversation.said(id),
  place: (content) => conversation.place(content),
  again: () => conversation.again(),
  refused(content) {
    if (content.id) conversation.refused(content);
    else note(t(`chat.refused.${content.why}`));
  },
  people({ came, left }) {
    for (const number of left) people.delete(number);
    for (const [number, name] of came) people.set(number, name);
    renderPeople();
  },
  typing(content) {
    typing.set(content.on, content);
    renderTyping();
  },
  rooms: renderRooms,
};

// ---- Messages

let last = null;

function show({ id, name, text, at, isOwn }) {
  const pending = isOwn && $(`m-${id}`);
  const node = said({ id, name, text, at, isOwn });
  // When an own message comes back, it takes its place among the others: before those that have not
  // come back.
  if (pending) pending.remove();
  insert(node, $("log").querySelector(".pending"));
  node.classList.toggle("follows", last !== null && last.name === name && last.isOwn === isOwn && at - last.at < FOLLOWS_MS);
  last = { name, isOwn, at };
}

function showPending({ id, text, at }) {
  const node = said({ id, name: people.get(me) ?? $("name").value, text, at, isOwn: true });
  node.classList.add("pending", "follows");
  insert(node);
  $("log").scrollTop = $("log").scrollHeight;
}

function said({ id, name, text, at, isOwn }) {
  const date = new Date(at);
  return element("li", { class: isOwn ? "said own" : "said", id: `m-${id}`, "data-hue": hueOf(name) },
    element("p", { class: "who" }, element("b", { dir: "auto" }, name), " ", element("time", { datetime: date.toISOString() }, hourAndMinute(date))),
    element("p", { class: "text", dir: "auto" }, text));
}

function noteMissed({ missed }) {
  note(missed === null ? t("chat.missing") : t("chat.missed", { count: missed }));
}

function note(text) {
  insert(element("li", { class: "note" }, text));
}

function insert(node, before = null) {
  const [log, messages] = [$("log"), $("messages")];
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
  if (node.dataset.hue) node.style.setProperty("--hue", `var(${node.dataset.hue})`);
  messages.insertBefore(node, before);
  while (messages.childElementCount > SHOWN_MESSAGES) messages.firstElementChild.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
  else $("newer").hidden = false;
}

function settled(id, why) {
  const node = $(`m-${id}`);
  if (why === null) {
    node?.classList.remove("pending");
    return;
  }
  node?.classList.replace("pending", "refused");
  setText($("say-problem"), t(`chat.refused.${why}`));
}

/** Returns the colour of a name, always the same one. */
function hueOf(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return HUES[hash % HUES.length];
}

// ---- Rooms and people

// Existing items stay: otherwise a link could lose the keyboard focus.
function renderRooms(rooms) {
  const known = new Map([...$("rooms").children].map((item) => [item.dataset.room, item]));
  const items = rooms.map(([name, number]) => {
    const item = known.get(name) ?? element("li", { "data-room": name },
      element("a", { id: `in-${name}`, href: `#${encodeURIComponent(name)}` }, element("span", {}, `#${name}`), element("span", { class: "soft number" })));
    setText(item.querySelector(".number"), count(number));
    setAttribute(item.firstChild, "aria-current", name === conversation.room ? "true" : null);
    known.delete(name);
    return item;
  });
  for (const gone of known.values()) gone.remove();
  items.forEach((item, at) => {
    if ($("rooms").children[at] !== item) $("rooms").insertBefore(item, $("rooms").children[at] ?? null);
  });
}

const byName = new Intl.Collator(LANGUAGE);
let renderingPeople = 0;

// A thousand people may enter at once.
function renderPeople() {
  if (!renderingPeople) {
    renderingPeople = requestAnimationFrame(() => {
      renderingPeople = 0;
      const sorted = [...people].sort(([, one], [, other]) => byName.compare(one, other));
      const shown = sorted.slice(0, SHOWN_PEOPLE).map(([number, name]) => {
        const item = element("li", {}, element("span", { dir: "auto" }, name), number === me ? element("span", { class: "soft tiny" }, t("shell.you")) : "");
        item.style.setProperty("--hue", `var(${hueOf(name)})`);
        return item;
      });
      if (people.size > SHOWN_PEOPLE) shown.push(element("li", { class: "soft" }, t("chat.more", { count: people.size - SHOWN_PEOPLE })));
      $("people").replaceChildren(...shown);
      setText($("people-count"), people.size ? count(people.size) : "");
    });
  }
}

function renderTyping() {
  const who = [...typing.values()].flatMap((of) => of.who);
  const more = [...typing.values()].reduce((sum, of) => sum + of.more, 0);
  const names = who.filter((number) => number !== me).map((number) => people.get(number)).filter(Boolean);
  if (more) names.push(t("chat.more_typing", { count: more }));
  const list = new Intl.ListFormat(LANGUAGE).format(names);
  setText($("typing"), names.length ? t("chat.typing", { names: list, count: names.length + Math.max(0, more - 1) }) : "");
}

// ---- Sending

let saidTypingAt = -Infinity;

$("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  setText($("say-problem"), "");
  if (!text) return;
  showPending(conversation.say(text));
  $("text").value = "";
  saidTypingAt = -Infinity;
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say-form").requestSubmit();
});

$("text").addEventListener("input", () => {
  const now = performance.now();
  if ($("text").value && now - saidTypingAt > SAY_TYPING_EVERY_MS && send("typing")) saidTypingAt = now;
});

$("log").addEventListener("scroll", () => {
  const log = $("log");
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 48) $("newer").hidden = true;
});
$("newer").addEventListener("click", () => { $("log").scrollTop = $("log").scrollHeight; });

// ---- Names

askForName((name) => {
  $("text").focus();
  if (socket.isOpen) conversation.join(name);
});
askWhereTo($("room-form"), $("room-name"));
addEventListener("hashchange", () => {
  const room = roomOfUrl();
  if (room === conversation.room) return;
  if (conversation.pending.length === 0) {
    enter(room);
    return;
  }
  history.replaceState(null, "", `#${encodeURIComponent(conversation.room)}`);
  setText($("say-problem"), t("chat.wait"));
});

// On a phone, the messages come first.
if (matchMedia("(max-width: 60rem)").matches) {
  $("rooms-box").open = false;
  $("people-box").open = false;
}
enter(roomOfUrl());
