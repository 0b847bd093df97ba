// What the tests of the editor share.

import { open } from "./kit.mjs";

/** Somebody comes in under a name. */
export async function enter(url, name) {
  const page = await open(url, {}, `localStorage.setItem("lariat-name", ${JSON.stringify(name)})`);
  await page.waitForFunction(() => !document.getElementById("text").readOnly);
  return page;
}

export function text(page) {
  return page.evaluate(() => document.getElementById("text").value);
}

/** Makes this the text, as if it had been pasted over all. */
export async function put(page, text) {
  await page.fill("#text", text);
}

export function caret(page, at) {
  return page.evaluate((at) => {
    document.getElementById("text").focus();
    document.getElementById("text").setSelectionRange(at, at);
  }, at);
}

/** Waits until all of them show a text, or one that is as wanted. */
export async function shows(pages, wanted) {
  const is = typeof wanted === "string" ? (text) => text === wanted : wanted;
  const end = Date.now() + 10_000;
  for (const page of pages) {
    for (let now = await text(page); !is(now); now = await text(page)) {
      if (Date.now() > end) throw new Error(`the text should be ${wanted}, but is ${JSON.stringify(now)}`);
      await page.waitForTimeout(20);
    }
  }
}

/** Waits until nothing is under way and all show the same, and returns it. */
export async function agree(pages) {
  for (const page of pages) await page.waitForFunction(() => document.getElementById("state").dataset.state === "there");
  const end = Date.now() + 10_000;
  for (;;) {
    const texts = await Promise.all(pages.map(text));
    if (texts.every((text) => text === texts[0])) return texts[0];
    if (Date.now() > end) throw new Error(`they disagree: ${JSON.stringify(texts)}`);
    await pages[0].waitForTimeout(20);
  }
}

export async function shown(page, selector, pattern) {
  const end = Date.now() + 10_000;
  for (let now = await page.textContent(selector); !pattern.test(now); now = await page.textContent(selector)) {
    if (Date.now() > end) throw new Error(`${selector} should show ${pattern}, but shows ${JSON.stringify(now)}`);
    await page.waitForTimeout(20);
  }
}
