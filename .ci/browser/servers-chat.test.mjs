// The chat between two browsers on two servers that share a Redis: who is there, who types, and
// nothing lost or doubled when a server or Redis is killed. Needs redis-server.

import { setTimeout as sleep } from "node:timers/promises";

import { SERVER_IS_AWAY, check, equal, match, serve, silent, suite, waitForLink } from "./kit.mjs";
import { startRedis } from "./redis.mjs";
import { enter, say, shows } from "./talk.mjs";

await suite(async () => {
  let redis = await startRedis();
  const args = ["--redis", redis.url];
  let first = await serve({ args });
  const second = await serve({ args });
  const ada = await enter(chatOf(first), "Ada");
  const ben = await enter(chatOf(second), "Ben");
  const both = [ada, ben];

  await check("both see who is there, and in which room", async () => {
    for (const page of both) {
      await shows(page, "#people", "Ada Ben");
      await shows(page, "#rooms", "#lobby2");
    }
  });

  await check("what one says, both see, in one order", async () => {
    for (let i = 0; i < 5; i++) await Promise.all([say(ada, `Ada ${i}`), say(ben, `Ben ${i}`)]);
    await agree(10);
    equal(await ben.locator("#log .said.own").count(), 5, "Ben's own messages");
  });

  await check("typing is seen on the other server, and ends with the message", async () => {
    await ben.locator("#text").pressSequentially("Hi");
    await shows(ada, "#typing", "Ben is typing…");
    await ben.press("#text", "Enter");
    await shows(ada, "#typing", "");
    await agree(11);
  });

  await check("a newcomer on either server reads what was said before", async () => {
    const cleo = await enter(chatOf(first), "Cleo");
    await counts(cleo, 11);
    await shows(ben, "#people", "Ada Ben Cleo");
    await cleo.context().close();
    for (const page of both) await shows(page, "#people", "Ada Ben");
  });

  await check("what a script says on one server, all see", async () => {
    const answer = await fetch(new URL("/chat/lobby?name=backup", second.url), { method: "POST", body: "done" });
    equal(answer.status, 200, "status");
    match(await answer.text(), /^said in #lobby, where 2 people are/, "answer");
    await agree(12);
  });

  await check("a server is killed: no message is lost or doubled, and the order is one", async () => {
    await first.kill();
    await ada.waitForFunction(() => document.getElementById("link").dataset.state !== "open");
    await say(ada, "said while my server was away");
    for (let i = 0; i < 5; i++) await say(ben, `meanwhile ${i}`);
    first = await serve({ port: first.port, args });
    await waitForLink(ada);
    await agree(18);
  });

  await check("Redis is killed and forgets: the pages bring back what was said, and go on", async () => {
    await redis.kill();
    await say(ada, "said while Redis was away");
    await ada.waitForSelector("#log .said.pending");
    await sleep(1500);
    redis = await startRedis(redis.port);
    await agree(19);
    await say(ben, "and on");
    await agree(20);
    const cleo = await enter(chatOf(first), "Cleo");
    await cleo.waitForFunction(() => document.querySelectorAll("#log .said").length >= 19);
    await cleo.context().close();
  });

  await check("the people of a server that was killed disappear", async () => {
    await second.kill();
    await ada.waitForFunction(() => document.querySelectorAll("#people li").length === 1, null, { timeout: 30_000 });
    silent(ada, SERVER_IS_AWAY);
  });

  for (const page of both) await page.context().close();
  await first.stop();
  await redis.kill();

  async function agree(count) {
    for (const page of both) await counts(page, count);
    const [one, other] = await Promise.all(both.map((page) => page.$$eval("#log .said .text", (nodes) => nodes.map((node) => node.textContent))));
    equal(one.join("|"), other.join("|"), "what both have seen");
    equal(new Set(one).size, count, "different messages");
  }
});

function chatOf(server) {
  return new URL("/chat", server.url).href;
}

function counts(page, count) {
  return page.waitForFunction((count) => document.querySelectorAll("#log .said").length === count && !document.querySelector("#log .pending"), count)
    .catch(async () => {
      const texts = await page.$$eval("#log li", (nodes) => nodes.map((node) => `${node.className}: ${node.textContent}`));
      throw new Error(`not ${count} messages, but ${texts.join("|")}`);
    });
}
