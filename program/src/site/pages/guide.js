// The search of the guide. The server knows nothing of it: the page loads all texts when somebody
// begins to search.

import { $, LANGUAGE, element, setText, t } from "./page.js";

/** The most results, and the characters around the first word that was found. */
const MOST = 20;
const AROUND = 60;

const form = $("guide-search");
const input = $("guide-words");
const list = $("guide-found");

/** The sections, once they are loaded. */
let sections = null;
let loading = null;

function load() {
  loading ??= fetch(`/guide/search.${LANGUAGE.slice(0, 2)}.json`)
    .then((response) => (response.ok ? response.json() : Promise.reject(new Error(response.status))))
    .then((loaded) => { sections = loaded.map(prepared); })
    .catch(() => { loading = null; });
  return loading;
}

const prepared = (section) => ({
  ...section,
  titles: `${section.chapter} ${section.title}`.toLowerCase(),
  lower: section.text.toLowerCase(),
});

/** Returns the sections that have all words, the best first. */
function find(words) {
  const found = [];
  for (const section of sections) {
    let score = 0;
    for (const word of words) {
      const inTitle = section.titles.includes(word);
      const count = section.lower.split(word).length - 1;
      if (!inTitle && !count) { score = 0; break; }
      score += (inTitle ? 10 : 0) + Math.min(count, 5);
    }
    if (score) found.push({ section, score });
  }
  return found.sort((one, other) => other.score - one.score).map(({ section }) => section);
}

/** Returns where a word begins, close behind a place. A text without spaces may be cut anywhere. */
function wordStart(text, at) {
  if (at <= 0) return 0;
  const space = text.indexOf(" ", at);
  return space >= 0 && space - at < 15 ? space + 1 : Math.min(at, text.length);
}

/** Returns the text around the first word, with the words marked. */
function context(section, words) {
  const places = words.map((word) => section.lower.indexOf(word)).filter((at) => at >= 0);
  const start = wordStart(section.text, Math.min(...places, section.text.length) - AROUND);
  const end = wordStart(section.text, start + 3 * AROUND);
  const nodes = [start > 0 ? "… " : ""];
  let at = start;
  while (at < end) {
    const next = words
      .map((word) => ({ at: section.lower.indexOf(word, at), length: word.length }))
      .filter((place) => place.at >= 0 && place.at < end)
      .sort((one, other) => one.at - other.at || other.length - one.length)[0];
    if (!next) break;
    nodes.push(section.text.slice(at, next.at), element("mark", {}, section.text.slice(next.at, next.at + next.length)));
    at = next.at + next.length;
  }
  nodes.push(section.text.slice(at, end), end < section.text.length ? " …" : "");
  return nodes;
}

function show() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  list.replaceChildren();
  if (!words.length || !sections) return setText($("guide-count"), sections || !words.length ? "" : t("guide.not_loaded"));
  const all = find(words);
  for (const section of all.slice(0, MOST)) {
    const title = section.title ? `${section.chapter}: ${section.title}` : section.chapter;
    list.append(element("li", {}, element("a", { href: section.path },
      element("b", {}, title), element("span", { class: "small soft" }, ...context(section, words)))));
  }
  setText($("guide-count"), all.length ? t("guide.found", { count: all.length }) : t("guide.nothing"));
}

/** Moves the focus among the field and the results. */
function move(by) {
  const stops = [input, ...list.querySelectorAll("a")];
  const to = stops[stops.indexOf(document.activeElement) + by];
  to?.focus();
  return Boolean(to);
}

form.hidden = false;
input.addEventListener("focus", load);
input.addEventListener("input", async () => { await load(); show(); });
form.addEventListener("submit", (event) => { event.preventDefault(); list.querySelector("a")?.click(); });
form.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" && move(1)) event.preventDefault();
  else if (event.key === "ArrowUp" && move(-1)) event.preventDefault();
  else if (event.key === "Escape") { input.value = ""; show(); input.focus(); }
});
// A slash begins to search, wherever the focus is, but not in a field.
document.addEventListener("keydown", (event) => {
  const isElsewhere = !event.target.closest("input,textarea,select") && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (event.key === "/" && isElsewhere) { event.preventDefault(); input.focus(); }
});
// A link into this page closes the list, so that what was found can be seen.
list.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link && link.pathname === location.pathname) { input.value = ""; show(); }
});
