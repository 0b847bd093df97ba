// The chat between two contexts: who is there, who types, and nothing lost or doubled when the
// server restarts.

import { SERVER_IS_AWAY, check, equal, keyboard, look, match, serve, silent, suite, waitForLink } from "./kit.mjs";
import { enter, say, shows } from "./talk.mjs";

await suite(async () => {
  let server = await serve();
  const url = new URL("/chat", server.url).href;
  const ada = await enter(url, "Ada");
  const ben = await enter(url, "Ben");

  await check("both see who is there, and in which room", async () => {
    for (const page of [ada, ben]) {
      await shows(page, "#people", "Ada Ben");
      await shows(page, "#rooms", "#lobby2");
      equal(await page.textContent("#room-title"), "#lobby", "room");
    }
  });

  await check("what one says, both see, with the name and as text", async () => {
    const hostile = '<img src=x onerror="window.owned=1"> & Γειά 世界 👋';
    await say(ada, hostile);
    for (const page of [ada, ben]) {
      await said(page, [hostile]);
      equal(await page.locator("#log img").count(), 0, "elements that the message made");
    }
    equal(await ben.textContent("#log .who b"), "Ada", "name");
    equal(await ada.getAttribute("#log .said", "class"), "said own", "class of an own message");
  });

  await check("typing is seen, and ends with the message", async () => {
    await ben.locator("#text").pressSequentially("Hi");
    await shows(ada, "#typing", "Ben is typing…");
    await ben.press("#text", "Enter");
    await shows(ada, "#typing", "");
    await ada.waitForFunction(() => document.querySelectorAll("#log .said").length === 2);
  });

  await check("a newcomer reads what was said before", async () => {
    const cleo = await enter(url, "Cleo");
    await cleo.waitForFunction(() => document.querySelectorAll("#log .said").length === 2);
    await shows(ada, "#people", "Ada Ben Cleo");
    await cleo.context().close();
    await shows(ada, "#people", "Ada Ben");
  });

  await check("another room is another talk", async () => {
    const dan = await enter(`${url}#attic`, "Dan");
    await say(dan, "is anybody here?");
    await said(dan, ["is anybody here?"]);
    await dan.click('#rooms a[href="#lobby"]');
    await dan.waitForFunction(() => document.querySelectorAll("#log .said").length === 2);
    await shows(ada, "#people", "Ada Ben Dan");
    await dan.fill("#room-name", "a new room");
    await dan.press("#room-name", "Enter");
    await shows(dan, "#room-title", "#a new room");
    await shows(dan, "#people", "Dan");
    silent(dan);
    await dan.context().close();
  });

  await check("a name can be changed", async () => {
    await ben.fill("#name", "Benedict");
    await ben.click("#rename");
    await shows(ada, "#people", "Ada Benedict");
  });

  const texts = async (page) => page.$$eval("#log .said:not(.pending) .text", (nodes) => nodes.map((node) => node.textContent));

  await check("what comes between two own messages is between them for all", async () => {
    const before = await texts(ben);
    const eve = await enter(url, "Eve", `
      window.held = null;
      window.WebSocket = class extends WebSocket {
        send(data) { window.held && String(data).includes('"say"') ? window.held.push(() => super.send(data)) : super.send(data); }
      };`);
    await eve.evaluate(() => { window.held = []; });
    await say(eve, "first");
    await say(eve, "third");
    await eve.evaluate(() => window.held.shift()());
    await arrived(eve, "first");
    await say(ben, "second");
    await arrived(eve, "second");
    await eve.evaluate(() => window.held.shift()());
    for (const page of [eve, ben]) {
      await arrived(page, "third");
      equal((await texts(page)).slice(-3).join("|"), "first|second|third", "the order");
    }
    silent(eve);
    await eve.context().close();
    await said(ada, [...before, "first", "second", "third"]);
  });

  await check("the server restarts in between: no message is lost or doubled, and the order is one", async () => {
    const before = await texts(ada);
    await server.kill();
    await ada.waitForFunction(() => document.getElementById("link").dataset.state !== "open");
    await say(ada, "said while the server was away, 1");
    await say(ben, "said while the server was away, 2");
    await ada.waitForSelector("#log .said.pending");
    server = await serve({ port: server.port });
    for (const page of [ada, ben]) {
      await waitForLink(page);
      await page.waitForFunction((count) => document.querySelectorAll("#log .said").length === count
        && !document.querySelector("#log .pending"), before.length + 2);
    }
    equal((await texts(ada)).join("|"), (await texts(ben)).join("|"), "what both have seen");
    equal((await texts(ada)).slice(0, before.length).join("|"), before.join("|"), "what had been said before");
    await say(ada, "and on");
    // Also for Ada herself, who shows it as pending until it comes back.
    for (const page of [ada, ben]) {
      await page.waitForFunction((count) => document.querySelectorAll("#log .said:not(.pending)").length === count, before.length + 3);
    }
  });

  await check("in a flood, the server restarts again and again: all of it arrives, once", async () => {
    const wanted = [];
    const before = (await texts(ada)).length;
    for (let round = 0; round < 3; round++) {
      for (const [page, name] of [[ada, "ada"], [ben, "ben"]]) {
        for (let i = 0; i < 10; i++) wanted.push(`${name} ${round}.${i}`);
        await page.evaluate(([name, round]) => {
          for (let i = 0; i < 10; i++) {
            document.getElementById("text").value = `${name} ${round}.${i}`;
            document.getElementById("say-form").requestSubmit();
          }
        }, [name, round]);
      }
      // In the midst of it: first without a word, then properly.
      if (round % 2) await server.stop();
      else await server.kill();
      server = await serve({ port: server.port });
      await waitForLink(ada);
      await waitForLink(ben);
    }
    for (const page of [ada, ben]) {
      await page.waitForFunction((count) => document.querySelectorAll("#log .said:not(.pending)").length === count, before + wanted.length)
        .catch(async () => { throw new Error(`${(await texts(page)).length} messages instead of ${before + wanted.length}`); });
      equal((await texts(page)).slice(before).sort().join("|"), [...wanted].sort().join("|"), "all of it, once");
    }
    const newcomer = await enter(url, "Newcomer");
    // The last 50, and what the pages still offer to the last server.
    await newcomer.waitForFunction(() => document.querySelectorAll("#log .said").length >= 50);
    await newcomer.context().close();
  });

  await check("the keyboard reaches everything", async () => {
    await keyboard(ada, ["rooms-toggle", "in-lobby", "room-name", "room-go", "name", "log", "text", "say", "people-toggle"]);
    silent(ada, SERVER_IS_AWAY);
    silent(ben, SERVER_IS_AWAY);
    await ada.context().close();
    await ben.context().close();
    await server.stop();
  });

  await check("the same over [::1]", async () => {
    const six = await serve({ host: "[::1]" });
    const page = await enter(new URL("/chat", six.url).href, "Eve");
    await say(page, "over six");
    await said(page, ["over six"]);
    await page.waitForFunction(() => !document.querySelector("#log .pending"));
    silent(page);
    await page.context().close();
    await six.stop();
  });

  server = await serve();
  const shown = new URL("/chat", server.url).href;
  const talk = [await enter(shown, "Ada"), await enter(shown, "Ben"), await enter(`${shown}#attic`, "Cleo"), await enter(shown, "a very long name, of 32 letters.")];
  for (const [who, text] of [[0, "Hello! Is somebody here?"], [1, "Grüße, 5 €"], [1, "I am. It is quiet today."], [0, `${"one-long-word-".repeat(8)} fits`], [3, "Well,\nthat has two lines."]]) {
    await say(talk[who], text);
    await talk[0].waitForFunction((text) => [...document.querySelectorAll("#log .said:not(.pending) .text")].some((node) => node.textContent === text), text);
  }
  await look(shown, async (page) => {
    await page.fill("#name", "Zoë");
    await page.click("#rename");
    await waitForLink(page);
    const own = `It works: ${Math.random().toString(36).slice(2, 6)}`;
    await say(page, own);
    await page.waitForFunction(() => document.querySelector("#log .own") && !document.querySelector("#log .pending"));
    await talk[1].fill("#text", "");
    await talk[1].locator("#text").pressSequentially("x");
    await page.waitForFunction(() => document.getElementById("people").textContent.includes("Zoë"));
  });
  for (const page of talk) await page.context().close();
  await server.stop();
});

async function said(page, wanted) {
  await page.waitForFunction((wanted) => [...document.querySelectorAll("#log .said:not(.pending) .text")].map((node) => node.textContent).join("|") === wanted, wanted.join("|"));
}

/** Waits until a message has come, or has come back. */
async function arrived(page, wanted) {
  await page.waitForFunction((wanted) => [...document.querySelectorAll("#log .said:not(.pending) .text")]
    .some((node) => node.textContent === wanted), wanted);
}
