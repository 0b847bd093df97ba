// The server is upgraded while pages are open: no page loses its connection or notices anything.
// Typing in the chat and in the editor goes on, and the arena, the ticker, the console and the page
// of the loop go on moving.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { check, equal, open, serve, silent, suite, waitForLink } from "./kit.mjs";

const UPGRADES = 4;

/** Counts the page's connections, and those that have closed. */
const COUNTED = `
  window.links = { opened: 0, closed: 0, messages: 0 };
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      window.links.opened += 1;
      this.addEventListener("close", () => (window.links.closed += 1));
      this.addEventListener("error", () => (window.links.closed += 1));
      this.addEventListener("message", () => (window.links.messages += 1));
    }
  };`;

await suite(async () => {
  const folder = await mkdtemp(join(tmpdir(), "lariat-handover-"));
  const args = ["--handover", join(folder, "socket")];
  let server = await serve({ args });

  async function upgrade() {
    const old = server;
    server = await serve({ port: old.port, args });
    equal(await old.ended, 0, "the exit code of the old process");
  }

  async function enter(path, name) {
    const page = await open(new URL(path, server.url).href, {}, `localStorage.setItem("lariat-name", ${JSON.stringify(name)});${COUNTED}`);
    await waitForLink(page);
    return page;
  }

  const [ada, ben] = [await enter("chat", "Ada"), await enter("chat", "Ben")];
  const [eve, fay] = [await enter("editor", "Eve"), await enter("editor", "Fay")];
  for (const page of [eve, fay]) await page.waitForFunction(() => !document.getElementById("text").readOnly);
  const moving = [await enter("arena", "Gil"), await enter("ticker", "Hal")];
  const pages = [ada, ben, eve, fay, ...moving];
  const connections = await Promise.all(pages.map((page) => page.evaluate(() => window.links.opened)));

  await check(`typing in the chat and the editor goes on through ${UPGRADES} upgrades`, async () => {
    let isDone = false;
    const typing = [[ada, "a", "Enter"], [ben, "b", "Enter"], [eve, "e", null], [fay, "f", null]].map(async ([page, letter, key]) => {
      let count = 0;
      await page.focus("#text");
      // On a busy host, a few messages take longer than the upgrades.
      while (!isDone || count < 8) {
        await page.keyboard.type(`${letter}${count} `, { delay: 5 });
        if (key) await page.keyboard.press(key);
        count += 1;
        await sleep(60);
      }
      return count;
    });
    for (let n = 0; n < UPGRADES; n++) {
      await sleep(700);
      await upgrade();
    }
    await sleep(700);
    isDone = true;
    const counts = await Promise.all(typing);

    // Each message, once, in the order in which it was typed, and for both in one order.
    const lines = (page) => page.evaluate(() => [...document.querySelectorAll("#log .said")].map((said) => said.querySelector(".text")?.textContent ?? said.textContent));
    for (const page of [ada, ben]) {
      await page.waitForFunction((count) => document.querySelectorAll("#log .said:not(.pending)").length >= count, Math.min(counts[0] + counts[1], 150));
    }
    const [one, other] = [await lines(ada), await lines(ben)];
    equal(one.join("|"), other.join("|"), "what Ada and Ben see");
    for (const letter of ["a", "b"]) {
      const numbers = one.flatMap((line) => [...line.matchAll(new RegExp(`\\b${letter}(\\d+)`, "g"))].map((found) => Number(found[1])));
      numbers.forEach((number, place) => equal(number, numbers[0] + place, `message ${place} of ${letter}`));
      equal(numbers.length > 5, true, `${numbers.length} messages of ${letter}`);
    }
    const texts = async () => Promise.all([eve, fay].map((page) => page.evaluate(() => document.getElementById("text").value)));
    const end = Date.now() + 10_000;
    for (let [mine, theirs] = await texts(); mine !== theirs; [mine, theirs] = await texts()) {
      if (Date.now() > end) throw new Error(`the editors disagree: ${JSON.stringify([mine, theirs])}`);
      await sleep(50);
    }
    const [text] = await texts();
    for (const [letter, count] of [["e", counts[2]], ["f", counts[3]]]) {
      equal(text.split(letter).length - 1, count, `letters ${letter} in the text`);
    }
  });

  await check("the arena and the ticker go on", async () => {
    for (const page of moving) {
      const before = await page.evaluate(() => window.links.messages);
      await page.waitForFunction((before) => window.links.messages > before + 5, before);
    }
  });

  await check("no page has noticed: no connection has closed, none was opened again", async () => {
    for (const [place, page] of pages.entries()) {
      const [opened, closed] = await page.evaluate(() => [window.links.opened, window.links.closed]);
      equal(closed, 0, `closed connections of page ${place}`);
      equal(opened, connections[place], `connections of page ${place}`);
      await waitForLink(page);
      silent(page);
    }
  });

  await check("a newcomer reads what was said and written before", async () => {
    const ivy = await enter("chat", "Ivy");
    await ivy.waitForFunction(() => document.querySelectorAll("#log .said").length > 5);
    const jan = await enter("editor", "Jan");
    const text = await eve.evaluate(() => document.getElementById("text").value);
    await jan.waitForFunction((text) => document.getElementById("text").value === text, text);
  });

  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
