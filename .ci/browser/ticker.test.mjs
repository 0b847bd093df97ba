// The ticker: prices pushed and polled, what either costs by both counts, and a reader that is too
// slow.

import { SERVER_IS_AWAY, check, equal, keyboard, look, open, serve, silent, suite, waitForLink } from "./kit.mjs";

await suite(async () => {
  let server = await serve();
  const url = new URL("/ticker", server.url).href;
  const page = await open(url);
  await waitForLink(page);

  const price = (page, name) => page.textContent(`#symbol-${name} .price`);
  const moves = (page, name, before) => page.waitForFunction(
    ([name, before]) => document.querySelector(`#symbol-${name} .price`).textContent !== before, [name, before]);
  const cell = async (kind, side, name) => Number((await page.textContent(`#${kind} [data-${side}="${name}"]`)).replaceAll(",", ""));
  const reaches = (kind, side, name, least) => page.waitForFunction(([kind, side, name, least]) =>
    Number(document.querySelector(`#${kind} [data-${side}="${name}"]`).textContent.replaceAll(",", "")) >= least, [kind, side, name, least]);

  await check("prices that are watched move, with thirty seconds behind them", async () => {
    await page.waitForSelector("#symbol-ROPE");
    await page.waitForFunction(() => /^\d+\.\d\d$/.test(document.querySelector("#symbol-ROPE .price").textContent));
    await moves(page, "ROPE", await price(page, "ROPE"));
    equal(await page.locator("#chart circle").count(), 3, "lines of the chart");
    equal(await page.$eval("#chart path", (path) => path.getAttribute("d").split("L").length > 200), true, "points of the first line");
  });

  await check("only what is watched is sent", async () => {
    equal(await price(page, "DUST"), "–", "price of what is not watched");
    await page.click("#symbol-DUST");
    await page.waitForFunction(() => document.querySelectorAll("#chart circle").length === 4);
    await moves(page, "DUST", await price(page, "DUST"));
    await page.click("#symbol-DUST");
    await page.waitForFunction(() => document.querySelectorAll("#chart circle").length === 3);
  });

  await check("what is pushed is counted on both sides, and they agree", async () => {
    await reaches("pushed", "server", "count", 40);
    const [seen, saw] = [await cell("pushed", "page", "count"), await cell("pushed", "server", "count")];
    equal(Math.abs(seen - saw) < 60, true, `messages that the page counts, ${seen}, and the server, ${saw}`);
    equal(await cell("polled", "server", "count"), 0, "requests while prices are pushed");
    const each = await cell("pushed", "server", "each");
    equal(each > 25 && each < 200, true, `bytes for each price: ${each}`);
  });

  await check("polled, the same prices move, and requests are counted on both sides", async () => {
    await page.click("#poll");
    await reaches("polled", "server", "count", 15);
    await moves(page, "ROPE", await price(page, "ROPE"));
    await page.click("#push");
    await page.waitForFunction(() => {
      const number = (side) => document.querySelector(`#polled [data-${side}="count"]`).textContent;
      return number("page") === number("server");
    });
    const [pushed, polled] = [await cell("pushed", "server", "each"), await cell("polled", "server", "each")];
    equal(polled > 2 * pushed, true, `bytes a price: ${polled} polled, ${pushed} pushed`);
    equal(await cell("polled", "server", "bytes") > 2 * (await cell("polled", "page", "bytes")), true, "heads weigh more than what they carry");
    await page.waitForFunction(() => /times as many bytes|倍/.test(document.getElementById("verdict").textContent));
  });

  await check("for a reader that stops, books are replaced by newer ones, and it is up to date when it reads again", async () => {
    await page.click("#books");
    await page.waitForFunction(() => Number(document.getElementById("slow-read").textContent.replaceAll(",", "")) > 500);
    equal(await page.textContent("#slow-replaced"), "0", "replaced while it reads");
    await page.click("#stall");
    await page.waitForFunction(() => document.getElementById("slow-state").textContent === "not reading");
    await page.waitForFunction(() => document.getElementById("slow-replaced").textContent !== "0", null, { timeout: 25_000 });
    const metrics = await (await fetch(new URL("/metrics", server.url))).text();
    const conflated = Number(metrics.match(/^lariat_\S*conflated\S* (\d+)/m)[1]);
    equal(conflated > 0, true, `conflated, as the server counts: ${conflated}`);
    console.log(`    ${await page.textContent("#slow-read")} read, ${await page.textContent("#slow-replaced")} replaced, the server counts ${conflated}`);
    await page.click("#books");
    await page.waitForFunction(() => document.getElementById("slow-state").textContent === "off");
  });

  await check("when the server restarts, prices go on, and so do the books", async () => {
    const state = (text) => page.waitForFunction((text) => document.getElementById("slow-state").textContent === text, text);
    await page.click("#books");
    await state("reading");
    await server.kill();
    await state("connection lost");
    server = await serve({ port: server.port });
    await waitForLink(page);
    await moves(page, "ROPE", await price(page, "ROPE"));
    await state("reading");
    const read = await page.textContent("#slow-read");
    await page.waitForFunction((read) => document.getElementById("slow-read").textContent !== read, read);
    await page.click("#books");
    await state("off");
    silent(page, SERVER_IS_AWAY);
  });

  await check("the keyboard reaches everything", async () => {
    await keyboard(page, ["push", "poll", ...["ROPE", "KNOT", "HERD", "SPUR", "CORN", "DUST"].map((name) => `symbol-${name}`), "books", "stall"]);
    await page.context().close();
  });

  await check("the same over [::1]", async () => {
    const six = await serve({ host: "[::1]" });
    const other = await open(new URL("/ticker", six.url).href);
    await waitForLink(other);
    await moves(other, "ROPE", "–");
    silent(other);
    await other.context().close();
    await six.stop();
  });

  await look(url, async (page) => {
    await waitForLink(page);
    await moves(page, "ROPE", "–");
    await page.click("#poll");
    await page.waitForFunction(() => Number(document.querySelector('#polled [data-server="count"]').textContent) > 12);
    await page.click("#push");
    await page.click("#books");
    await page.waitForFunction(() => /times as many bytes|倍/.test(document.getElementById("verdict").textContent)
      && Number(document.getElementById("slow-read").textContent.replaceAll(",", "")) > 2000);
  });
  await server.stop();
});
