// The editor between several contexts. All have one text in the end: when they write at the same
// time, when they are offline, and when the server restarts.

import { connect, createServer } from "node:net";
import { SERVER_IS_AWAY, check, equal, keyboard, look, match, open, serve, silent, suite, waitForLink } from "./kit.mjs";
import { agree, caret, enter, put, shown, shows, text } from "./writing.mjs";

const LETTER = `Dear all,

a lariat is a rope with a running noose. What nobody had noticed
until now: one loop is enough, if it turns quickly.

\t- it catches whatever comes
\t- it never waits for one of them alone
\t- and it is never thrown twice at the same time, 5 €

Until then,
somebody`;

await suite(async () => {
  let server = await serve();
  const url = new URL("/editor", server.url).href;
  const ada = await enter(url, "Ada");
  // Ben's network can be cut.
  const wire = await proxy(server.port);
  const ben = await enter(url.replace(String(server.port), String(wire.port)), "Ben");
  const both = [ada, ben];

  await check("what one writes, the other sees, as text", async () => {
    const hostile = '<img src=x onerror="window.owned=1"> Γειά 世界 👋🏽';
    await ada.locator("#text").pressSequentially(hostile);
    await shows(both, hostile);
    equal(await ben.locator("#marks img").count(), 0, "elements that the text made");
    await ada.waitForFunction(() => document.getElementById("state").textContent === "up to date");
  });

  await check("each sees who is there, where the other one is, and its selection", async () => {
    await shown(ada, "#people", /^Adayou.*Ben/);
    await ben.fill("#text", "one\ntwo\nthree");
    await shows(both, "one\ntwo\nthree");
    await ben.evaluate(() => {
      document.getElementById("text").focus();
      document.getElementById("text").setSelectionRange(4, 7, "backward");
    });
    await shown(ada, "#people", /Benline 2$/);
    await ada.waitForFunction(() => document.querySelector("#marks mark")?.textContent === "two" && document.querySelector("#marks .caret").dataset.name === "Ben");
    const aligned = await ada.evaluate(() => {
      const caret = document.querySelector("#marks .caret").getBoundingClientRect();
      const field = document.getElementById("text").getBoundingClientRect();
      const line = parseFloat(getComputedStyle(document.getElementById("text")).lineHeight);
      return Math.round((caret.top - field.top - 27) / line);
    });
    equal(aligned, 1, "line of Ben's caret");
  });

  await check("both write at the same time, in the same line", async () => {
    await put(ada, "");
    await shows(both, "");
    await Promise.all([
      ada.locator("#text").pressSequentially("abcdefghijklmnopqrstuvwxyz", { delay: 5 }),
      ben.locator("#text").pressSequentially("01234567890123456789012345", { delay: 5 }),
    ]);
    const text = await agree(both);
    equal([...text].sort().join(""), [..."abcdefghijklmnopqrstuvwxyz01234567890123456789012345"].sort().join(""), "all letters, once");
    equal(text.replace(/\d/g, ""), "abcdefghijklmnopqrstuvwxyz", "Ada's letters in their order");
  });

  await check("undo takes back one's own writing, not the other's", async () => {
    await put(ada, "shared ");
    await shows(both, "shared ");
    await caret(ben, 7);
    await ben.locator("#text").pressSequentially("by Ben");
    await shows(both, "shared by Ben");
    await caret(ada, 0);
    await ada.waitForTimeout(750);
    await ada.locator("#text").pressSequentially("Ada: ");
    await shows(both, "Ada: shared by Ben");
    await ada.keyboard.press("Control+z");
    await shows(both, "shared by Ben");
    await ada.keyboard.press("Control+z");
    await shows(both, (text) => text.endsWith("by Ben") && !text.includes("shared"));
    await ada.click("#redo");
    await shows(both, "shared by Ben");
  });

  await check("the caret stays where it is when others write before it", async () => {
    await caret(ben, 6);
    await caret(ada, 0);
    await ada.locator("#text").pressSequentially("> ");
    await shows(both, "> shared by Ben");
    equal(await ben.evaluate(() => document.getElementById("text").selectionStart), 8, "Ben's caret");
  });

  await check("what is written offline is merged on return", async () => {
    await put(ada, "first line\nlast line");
    await shows(both, "first line\nlast line");
    wire.cut();
    await ben.waitForFunction(() => document.getElementById("link").dataset.state !== "open");
    await caret(ben, 10);
    await ben.locator("#text").pressSequentially(", longer by Ben");
    await caret(ada, 11);
    await ada.locator("#text").pressSequentially("the ");
    match(await ben.textContent("#state"), /offline, with unsent changes/, "Ben's state");
    wire.mend();
    await ben.click("#link button").catch(() => {});
    await shows(both, "first line, longer by Ben\nthe last line");
    equal(await ben.locator("#asides > *").count(), 0, "what could not be merged");
  });

  await check("the server restarts without a word while both write: nothing is lost or doubled", async () => {
    const words = [];
    for (let round = 0; round < 3; round++) {
      for (const page of both) {
        const word = `<${round}${page === ada ? "a" : "b"}>`;
        words.push(word);
        await page.evaluate((word) => {
          const field = document.getElementById("text");
          field.setSelectionRange(field.value.length, field.value.length);
          field.setRangeText(word, field.value.length, field.value.length, "end");
          field.dispatchEvent(new Event("input"));
        }, word);
      }
      await server.kill();
      for (const page of both) await page.waitForFunction(() => document.getElementById("link").dataset.state !== "open");
      await ada.locator("#text").press("End");
      await ada.locator("#text").pressSequentially(`[${round}]`);
      words.push(`[${round}]`);
      server = await serve({ port: server.port });
      for (const page of both) await page.evaluate(() => document.querySelector("#link button")?.click());
      for (const page of both) await waitForLink(page);
    }
    const text = await agree(both);
    for (const word of words) equal(text.split(word).length - 1, 1, `how often ${word} is in ${JSON.stringify(text)}`);
    const cleo = await enter(url, "Cleo");
    await shows([cleo], text);
    silent(cleo);
    await cleo.context().close();
  });

  await check("twenty replicas of a page's own and the server agree on a thousand edits by chance, with connections that break", async () => {
    const outcome = await ada.evaluate(replicas);
    equal(outcome.distinct, 1, "different texts");
    equal(outcome.edits >= 1000, true, `${outcome.edits} edits`);
    equal(outcome.asides, 0, "what could not be merged");
  });

  // With Redis, no text is ever not the server's any more.
  if (!process.env.REDIS) await check("a text that is not the server's any more is put aside, and shown", async () => {
    const far = await proxy(server.port);
    const page = await enter(`${url.replace(String(server.port), String(far.port))}#forgotten`, "Dora");
    // The server has it, and she knows that: a text that it never had would be merged.
    const reader = await enter(`${url}#forgotten`, "Ida");
    await put(page, "what I had");
    await shows([page, reader], "what I had");
    await page.waitForFunction(() => document.getElementById("state").dataset.state === "there");
    await reader.context().close();
    // She does not come back before the server has been restarted and somebody else has begun the
    // document anew.
    far.cut();
    await server.kill();
    server = await serve({ port: server.port });
    const other = await enter(`${url}#forgotten`, "Emil");
    await put(other, "begun anew");
    await other.waitForFunction(() => document.getElementById("state").dataset.state === "there");
    far.mend();
    await page.evaluate(() => document.querySelector("#link button")?.click());
    await shows([page, other], "begun anew");
    match(await page.textContent("#asides"), /started again while you were offline.*what I had/, "what is put aside");
    await page.click("#asides button:last-child");
    equal(await page.locator("#asides > *").count(), 0, "what is put aside, after it was dismissed");
    silent(page, SERVER_IS_AWAY);
    await page.context().close();
    await other.context().close();
    far.end();
  });

  await check("another document is another text", async () => {
    for (const page of both) await waitForLink(page);
    const here = await agree(both);
    await ada.fill("#document-name", "attic");
    await ada.press("#document-name", "Enter");
    await shown(ada, "#document-title", /^attic$/);
    await ada.waitForFunction(() => !document.getElementById("text").readOnly);
    equal(await text(ada), "", "text of the attic");
    await put(ada, "in the attic");
    await shown(ben, "#documents", /attic1/);
    equal(await text(ben), here, "text elsewhere");
    await ada.click('#documents a[href="#notes"]');
    await shows(both, here);
  });

  await check("the keyboard reaches everything", async () => {
    await keyboard(ada, ["undo", "redo", "name", "text"]);
  });

  await check("the browser's console is silent", async () => {
    for (const page of both) {
      silent(page, SERVER_IS_AWAY);
      await page.context().close();
    }
    wire.end();
    await server.stop();
  });

  await check("the same over [::1]", async () => {
    const six = await serve({ host: "[::1]" });
    const one = await enter(new URL("/editor#six", six.url).href, "One");
    const two = await enter(new URL("/editor#six", six.url).href, "Two");
    await one.locator("#text").pressSequentially("over IPv6");
    await shows([one, two], "over IPv6");
    for (const page of [one, two]) {
      silent(page);
      await page.context().close();
    }
    await six.stop();
  });

  server = await serve();
  const shownUrl = new URL("/editor#letter", server.url).href;
  const writers = [];
  for (const name of ["Ada", "Ben", "Cleo with a long name"]) writers.push(await enter(shownUrl, name));
  await put(writers[0], LETTER);
  await shows(writers, LETTER);
  await look(shownUrl, async (page) => {
    await page.waitForFunction((text) => document.getElementById("text").value === text, LETTER);
    const places = [[LETTER.indexOf("noticed"), LETTER.indexOf("noticed")], [LETTER.indexOf("a rope"), LETTER.indexOf("a rope") + 31], [LETTER.length - 7, LETTER.length - 7]];
    for (const [at, writer] of writers.entries()) {
      await writer.evaluate(([start, end]) => {
        document.getElementById("text").focus();
        document.getElementById("text").setSelectionRange(0, 0);
        document.getElementById("text").setSelectionRange(start, end);
      }, places[at]);
    }
    await page.waitForFunction(() => document.querySelectorAll("#marks .recent").length === 3);
    await page.waitForTimeout(400);
  });
  for (const writer of writers) await writer.context().close();
  await server.stop();
});

/** Runs in a page: replicas with sockets of their own, against the real server. */
async function replicas() {
  const { Replica } = await import("/assets/replica.js");
  const { difference } = await import("/assets/operation.js");
  let edits = 0;
  let asides = 0;
  let seed = 7;
  const chance = (limit) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  const all = Array.from({ length: 20 }, (_, at) => {
    const one = { socket: null };
    one.replica = new Replica("by chance", 1000 + at, (what) => one.socket.send(JSON.stringify(what)));
    one.replica.onAside = () => { asides += 1; };
    one.connect = () => new Promise((resolve) => {
      const socket = new WebSocket("/editor");
      one.socket = socket;
      socket.onopen = () => one.replica.join(`replica ${at}`);
      socket.onmessage = ({ data }) => {
        if (one.socket !== socket) return;
        const told = JSON.parse(data);
        if (told === "lost") one.replica.restore();
        else if (told.welcome) {
          one.replica.welcome(told.welcome);
          resolve();
        } else if (told.edit) one.replica.confirm(told.edit);
        else if (told.refused) one.replica.refused(told.refused);
      };
    });
    return one;
  });
  await Promise.all(all.map((one) => one.connect()));
  const pieces = ["a", "1", "-2", " ", "\n", "é", "世", "👋", "🏽 "];
  for (let round = 0; round < 60; round++) {
    for (const { replica } of all) {
      const characters = [...replica.text];
      characters.splice(chance(characters.length + 1), chance(4) ? 0 : chance(6), ...(chance(5) ? [pieces[chance(pieces.length)]] : []));
      const operation = difference(replica.text, characters.join(""));
      if (operation.every((part) => typeof part === "number" && part > 0)) continue;
      replica.edit(operation);
      edits += 1;
    }
    const broken = all[chance(all.length)];
    if (round % 3 === 0) {
      broken.socket.close();
      broken.replica.lost();
      await broken.connect();
    } else await new Promise((resolve) => setTimeout(resolve, chance(10)));
  }
  const end = performance.now() + 10_000;
  while (all.some(({ replica }) => replica.waiting || replica.revision !== all[0].replica.revision) && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const { socket } of all) socket.close();
  return { edits, asides, distinct: new Set(all.map(({ replica }) => replica.text)).size };
}

/** A wire to the server that can be cut. */
async function proxy(port) {
  const streams = new Set();
  let isCut = false;
  const listener = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    for (const [one, other] of [[near, far], [far, near]]) {
      streams.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        streams.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    isCut = true;
    for (const stream of streams) stream.destroy();
  };
  return {
    port: listener.address().port,
    cut,
    mend() { isCut = false; },
    end() {
      cut();
      listener.close();
    },
  };
}
