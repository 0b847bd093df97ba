// The texts of the page in its language. The server writes them into the page, from the files
// en.json and zh.json of program/src/site/texts.

const node = document.getElementById("texts");
const texts = node ? JSON.parse(node.textContent) : {};

/** The language of the page, for numbers and dates. */
export const LANGUAGE = document.documentElement.lang || "en";

const plurals = new Intl.PluralRules(LANGUAGE);

/** Formats a number: 12,345. */
export const count = (number, options) => number.toLocaleString(LANGUAGE, options);

/**
 * Returns a text in the language of the page: `t("loop.lines", { count: 3 })`. In a plural, `count`
 * chooses the form. Numbers are formatted.
 */
export const t = (key, values) => nodes(key, values).join("");

/**
 * Returns a text as a list, with values that may be nodes:
 * `element("p", {}, ...nodes("chat.from", { name: element("b", {}, name) }))`.
 */
export function nodes(key, values = {}) {
  let text = texts[key];
  if (typeof text === "object") text = text[plurals.select(values.count)] ?? text.other;
  if (text === undefined) {
    console.error(`no text ${key}`);
    return [key];
  }
  return text.split(/\{(\w+)\}/).map((part, at) => (at % 2 ? shown(values[part], `${key}: {${part}}`) : part))
    .filter((part) => part !== "");
}

function shown(value, what) {
  if (value === undefined) console.error(`no value for ${what}`);
  return typeof value === "number" ? count(value) : value ?? "";
}

/** Returns whether there is a text, for what the page may not know. */
export const has = (key) => key in texts;

// The links of the switch keep the place in the page. They are made when they are used: the query
// and the fragment may change.
for (const link of document.querySelectorAll(".languages a")) {
  const keepPlace = () => {
    const url = new URL(location.href);
    url.searchParams.set("lang", new URL(link.href).searchParams.get("lang"));
    link.href = url.href;
  };
  for (const event of ["pointerdown", "click"]) link.addEventListener(event, keepPlace);
}
