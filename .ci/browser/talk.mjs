// What the tests of the chat share.

import { open } from "./kit.mjs";

/** Somebody comes in under a name. `init` runs in the page first. */
export async function enter(url, name, init = "") {
  const page = await open(url, {}, `localStorage.setItem("lariat-name", ${JSON.stringify(name)});${init}`);
  await page.waitForFunction((name) => document.getElementById("people").textContent.includes(name), name);
  return page;
}

export async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Waits until an element, or the first parts of its items, show a text. */
export async function shows(page, selector, text) {
  await page.waitForFunction(([selector, text]) => {
    const node = document.querySelector(selector);
    const items = [...node.querySelectorAll("li")];
    const shown = items.length ? items.map((item) => (selector === "#people" ? item.firstChild : item).textContent).join(" ") : node.textContent;
    return shown === text;
  }, [selector, text]).catch(async () => {
    throw new Error(`${selector} should show ${JSON.stringify(text)}, but shows ${JSON.stringify(await page.textContent(selector))}`);
  });
}
