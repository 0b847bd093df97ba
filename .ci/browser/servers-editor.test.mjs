// The editor between two browsers on two servers that share a Redis: all have one text, also when a
// server or Redis is killed. Needs redis-server.

import { SERVER_IS_AWAY, check, equal, serve, silent, suite, waitForLink } from "./kit.mjs";
import { startRedis } from "./redis.mjs";
import { agree, enter, put, shown, shows, text } from "./writing.mjs";

await suite(async () => {
  let redis = await startRedis();
  const args = ["--redis", redis.url];
  let first = await serve({ args });
  const second = await serve({ args });
  const ada = await enter(editorOf(first), "Ada");
  const ben = await enter(editorOf(second), "Ben");
  const both = [ada, ben];

  await check("each sees who is there, and where the other one writes", async () => {
    await shown(ada, "#people", /^Adayou.*Ben/);
    await shown(ben, "#people", /^Benyou.*Ada/);
    await shown(ada, "#documents", /^notes2$/);
    await put(ada, "one\ntwo\nthree");
    await shows(both, "one\ntwo\nthree");
    await ben.evaluate(() => {
      document.getElementById("text").focus();
      document.getElementById("text").setSelectionRange(4, 7);
    });
    await shown(ada, "#people", /Benline 2$/);
  });

  await check("both write at the same time: both have one text, with all of it", async () => {
    await put(ada, "");
    await shows(both, "");
    const [letters, digits] = ["abcdefghijklmnopqrstuvwxyz", "01234567890123456789012345"];
    await Promise.all([
      ada.locator("#text").pressSequentially(letters, { delay: 5 }),
      ben.locator("#text").pressSequentially(digits, { delay: 5 }),
    ]);
    await shows(both, (now) => now.length === letters.length + digits.length);
    const now = await agree(both);
    equal(now.replace(/[0-9]/g, ""), letters, "Ada's letters");
    equal(now.replace(/[a-z]/g, ""), digits, "Ben's digits");
  });

  await check("many edits, more than a server keeps: a newcomer on either server has the same text", async () => {
    for (let round = 0; round < 6; round++) {
      await Promise.all(both.map((page, who) => write(page, 50, who ? "b" : "a")));
      await agree(both);
    }
    const now = await agree(both);
    equal([...now].filter((letter) => letter === ".").length, 600, "edits in the text");
    for (const server of [first, second]) {
      const cleo = await enter(editorOf(server), "Cleo");
      await shows([cleo], now);
      await cleo.context().close();
    }
  });

  await check("a server is killed while both write: nothing is lost or doubled", async () => {
    await put(ada, "");
    await shows(both, "");
    await Promise.all(both.map((page, who) => write(page, 10, who ? "b" : "a")));
    await first.kill();
    await Promise.all(both.map((page, who) => write(page, 10, who ? "b" : "a")));
    first = await serve({ port: first.port, args });
    await waitForLink(ada);
    const now = await agree(both);
    equal([...now].filter((letter) => letter === ".").length, 40, `edits in ${now}`);
    for (const page of both) equal(await page.locator("#asides > *").count(), 0, "what could not be merged");
  });

  await check("Redis is killed and forgets while both write: the pages bring the text back", async () => {
    await redis.kill();
    await Promise.all(both.map((page, who) => write(page, 10, who ? "b" : "a")));
    redis = await startRedis(redis.port);
    const now = await agree(both);
    equal([...now].filter((letter) => letter === ".").length, 60, `edits in ${now}`);
    const cleo = await enter(editorOf(second), "Cleo");
    await shows([cleo], now);
    await cleo.context().close();
  });

  await check("all servers are killed: the text is still there", async () => {
    const now = await agree(both);
    for (const page of both) await page.context().close();
    await first.kill();
    await second.kill();
    const third = await serve({ args });
    const cleo = await enter(editorOf(third), "Cleo");
    await shows([cleo], now);
    equal(await text(cleo), now, "text");
    silent(cleo, SERVER_IS_AWAY);
    await cleo.context().close();
    await third.stop();
  });

  await redis.kill();
});

function editorOf(server) {
  return new URL("/editor", server.url).href;
}

/** Makes so many edits, each of its own, at different places. */
function write(page, count, letter) {
  return page.evaluate(async ([count, letter]) => {
    const field = document.getElementById("text");
    for (let i = 0; i < count; i++) {
      const at = letter === "a" ? 0 : field.value.length;
      field.setRangeText(`${letter}.`, at, at, "end");
      field.dispatchEvent(new Event("input"));
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  }, [count, letter]);
}
