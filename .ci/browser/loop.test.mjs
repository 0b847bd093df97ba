// The loop: the picture of a turn, the slab as a grid, turns and their phases, one connection's
// story, recordings, and the pace: slow, held, step by step.

import { readFileSync } from "node:fs";
import { SERVER_IS_AWAY, check, equal, keyboard, look, match, open, serve, silent, suite, waitForLink } from "./kit.mjs";

await suite(async () => {
  let server = await serve({ args: ["--teach"] });
  const url = new URL("/loop", server.url).href;
  const page = await open(url);
  await waitForLink(page);

  const socketUrl = (path) => new URL(path, server.url).href.replace(/^http/, "ws");
  /** The sum of some kinds of the legend at one moment, since connections change their kind. */
  const legend = (page, ...kinds) => page.evaluate((kinds) => {
    const number = (kind) => Number(document.querySelector(`#legend [data-kind="${kind}"] b`).textContent.replaceAll(",", ""));
    return kinds.map(number).reduce((sum, number) => sum + number, 0);
  }, kinds);
  const taken = (page, number) => page.waitForFunction((number) => document.getElementById("slots-count").textContent === number, number);
  const story = (page) => page.$$eval("#story li", (nodes) => nodes.map((node) => node.textContent));
  const tells = (page, line) => page.waitForFunction((line) => [...document.querySelectorAll("#story li")].some((node) => node.textContent === line), line)
    .catch(async () => { throw new Error(`${JSON.stringify(line)} should be told, but the story is ${JSON.stringify(await story(page))}`); });
  const isPressed = (page, id) => page.waitForFunction((id) => document.getElementById(id).getAttribute("aria-pressed") === "true", id);
  /**
   * A page of somebody who talks to /echo; the messages that have come back are in `window.heard`.
   */
  const talker = async () => {
    const other = await open(new URL("/healthz", server.url).href);
    await taken(page, "1");
    await other.evaluate((url) => {
      window.heard = [];
      window.socket = new WebSocket(url);
      window.socket.onmessage = ({ data }) => window.heard.push(data);
      return new Promise((resolve) => { window.socket.onopen = resolve; });
    }, socketUrl("/echo"));
    return other;
  };
  const place = (page, slot) => page.$eval("#grid", (canvas, slot) => {
    const { size, columns } = canvas.dataset;
    return { x: ((slot % columns) + 0.4) * size, y: (Math.floor(slot / columns) + 0.4) * size };
  }, slot);
  /** The slot of the only open connection beside this page's. */
  const slotOfOther = async () => {
    for (let slot = 0; slot < 28; slot++) {
      await page.hover("#grid", { position: await place(page, slot) });
      if (/: open(?!.*this page)/.test(await page.textContent("#cell"))) return slot;
    }
    throw new Error("no cell says that it is open");
  };
  /** The colour in the middle of a cell. */
  const colour = (page, slot) => page.$eval("#grid", (canvas, slot) => {
    const { size, columns } = canvas.dataset;
    const at = (number) => Math.round((number * size + size / 4) * devicePixelRatio);
    return [...canvas.getContext("2d").getImageData(at(slot % columns), at(Math.floor(slot / columns)), 1, 1).data].join();
  }, slot);

  await check("this page is a cell itself, and turns are told", async () => {
    await taken(page, "1");
    await page.waitForFunction(() => /per second, busy/.test(document.getElementById("rate").textContent));
    await page.waitForFunction(() => /µs|ms/.test(document.querySelector("#phases tr:nth-child(4) td:nth-child(2)").textContent));
    equal(await page.locator("#phases tr").count(), 7, "phases");
    equal(await page.locator(".phase .fill").count(), 7, "phases of the picture");
    // On a busy host, a report may come without a turn that has waited.
    await page.waitForFunction(() => document.querySelector('.phase[data-phase="wait"] .fill').getAttribute("width") > 0);
  });

  await check("the longest turn was never shorter than the last one", async () => {
    const wrong = await page.evaluate(() => new Promise((resolve) => {
      const micros = (cell) => parseFloat(cell.textContent.replaceAll(",", "")) * { "µs": 1, ms: 1000, s: 1e6 }[cell.textContent.split(" ")[1]];
      const found = [];
      let reports = 0;
      new MutationObserver(() => {
        const [, last, longest] = document.getElementById("whole").cells;
        // Both are rounded.
        if (micros(last) > micros(longest) * 1.06 + 0.1) found.push(`${last.textContent} > ${longest.textContent}`);
        if ((reports += 1) === 6) resolve(found);
      }).observe(document.getElementById("whole"), { subtree: true, childList: true, characterData: true });
    }));
    equal(wrong.join(), "", "last turns that were longer than the longest");
  });

  let other;
  let slot;
  await check("a new connection is a new cell, in the colour of its state", async () => {
    other = await talker();
    await taken(page, "2");
    slot = await slotOfOther();
    const [open, none] = [await colour(page, slot), await colour(page, 27)];
    equal(none, "0,0,0,0", "colour where no cell is");
    equal(/^29,106,58,\d+$/.test(open), true, `green, more or less: ${open}`);
    equal(await legend(page, "open-active", "open-quiet"), 2, "open connections of the legend");
  });

  await check("a click on its cell follows it: what it says, what is said to it", async () => {
    await page.click("#grid", { position: await place(page, slot) });
    await page.waitForFunction(() => / on \/echo$/.test(document.getElementById("story-of").textContent));
    await other.evaluate(() => window.socket.send("hi"));
    await page.waitForFunction(() => document.querySelectorAll("#story li").length === 2);
    const [asked, answered] = await story(page);
    const drawn = await page.$$eval("#steps li", (items) => items.map((item) => `${item.dataset.side ?? item.dataset.kind}: ${item.textContent.replace(/ [\d.]+ s$/, "")}`));
    equal(drawn.join("; "), 'state: state: open; peer: TEXT "hi" 2 bytes, masked; us: TEXT "hi" 2 bytes', "the sequence diagram");
    match(asked, /^< TEXT "hi" \[2 bytes, masked\]$/, "what it says");
    match(answered, /^> TEXT "hi" \[2 bytes\]$/, "what is said to it");
  });

  await check("its end is told state by state", async () => {
    await other.evaluate(() => window.socket.close(1000));
    await tells(page, "= OPEN -> DRAINING");
    await tells(page, "= DRAINING -> CLOSED");
    const notes = await page.$$eval("#steps .note", (items) => items.map((item) => item.textContent));
    equal(notes.slice(1, 3).join(), "open → draining,draining → closed", "the notes of the diagram");
    match(notes[3], /has disconnected$/, "the last note");
    await page.waitForFunction(() => /has disconnected$/.test(document.getElementById("story-of").textContent));
    await taken(page, "1");
    await other.context().close();
  });

  await check("held, others wait and this page does not; each step is one turn", async () => {
    other = await talker();
    await taken(page, "2");
    await page.fill("#slot", String(await slotOfOther()));
    await page.click("#follow");
    await page.waitForFunction(() => / on \/echo$/.test(document.getElementById("story-of").textContent));
    await page.click("#hold");
    await isPressed(page, "hold");
    await other.evaluate(() => [1, 2, 3].forEach((number) => window.socket.send(`message ${number}`)));
    await page.waitForFunction(() => document.getElementById("waits-reads").textContent === "1");
    equal((await other.evaluate(() => window.heard)).join(), "", "what has come back");
    equal((await story(page)).join(), "", "what has happened");
    equal(await legend(page, "to-read"), 1, "cells that wait to be read");
    await page.click("#step");
    await other.waitForFunction(() => window.heard.length === 3);
    equal((await other.evaluate(() => window.heard)).join(), "message 1,message 2,message 3", "what has come back");
    equal((await story(page)).length, 6, "steps of the story");
    await page.waitForFunction(() => document.getElementById("waits-reads").textContent === "0");
    match(await page.textContent("#counts tr:nth-child(3) td:last-child"), /^1$/, "reads of the last turn");
    const done = await page.$$eval(".flow[data-done]", (flows) => flows.map((flow) => flow.dataset.flow).filter((name) => name !== "timers"));
    equal(done.join(), "events,reads,messages,writes,queued", "what the picture shows of the step");
    equal(await page.textContent('[data-flow="reads"] .strong'), "1 read", "reads in the picture");
  });

  await check("slowed down, a turn comes when its time has come; free again, at once", async () => {
    await page.selectOption("#slow-by", "1000");
    await page.click("#slow");
    await isPressed(page, "slow");
    const took = await other.evaluate(async () => {
      const begin = performance.now();
      for (let round = 0; round < 3; round++) {
        window.heard = [];
        window.socket.send("?");
        while (!window.heard.length) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return performance.now() - begin;
    });
    equal(took > 1900 && took < 8000, true, `three echoes, at a turn a second, took ${took.toFixed(0)} ms`);
    await page.click("#free");
    await isPressed(page, "free");
  });

  await check("a recording can be looked at again, kept as a file, and opened from it", async () => {
    /** What the picture, the grid and the numbers show. */
    const shown = (page) => page.evaluate(() => [
      document.getElementById("turn").textContent, document.getElementById("slots-count").textContent,
      document.getElementById("phases").textContent, document.getElementById("whole").textContent,
      document.getElementById("counts").textContent, document.getElementById("waiting").textContent,
      document.getElementById("legend").textContent, document.getElementById("rate").textContent,
    ].join("|"));
    const goTo = async (page, place) => {
      await page.$eval("#place", (slider, place) => {
        slider.value = place === "end" ? slider.max : place;
        slider.dispatchEvent(new Event("input"));
      }, place);
      return shown(page);
    };
    await page.click("#record");
    await page.waitForFunction(() => /recording, \d+ s left/.test(document.getElementById("record-state").textContent));
    // A connection comes while it records.
    await other.evaluate((url) => { window.more = new WebSocket(url); }, socketUrl("/echo"));
    await taken(page, "3");
    await page.waitForTimeout(600);
    await page.click("#record");
    await page.waitForFunction(() => !document.getElementById("replay").hidden);
    const begin = await goTo(page, 0);
    equal(await page.textContent("#slots-count"), "2", "connections at the beginning");
    match(await page.textContent("#place-time"), /^0\.0 of [\d.]+ s$/, "the place");
    equal(await page.getAttribute("#hold", "aria-disabled"), "true", "Hold, in a recording");
    const end = await goTo(page, "end");
    equal(await page.textContent("#slots-count"), "3", "connections at the end");
    equal(begin === end, false, "beginning and end are the same");
    // What happens now is not shown meanwhile.
    await other.evaluate(() => window.more.close());
    await page.waitForTimeout(500);
    equal(await shown(page), end, "the end, later");
    equal(await goTo(page, 0), begin, "the beginning again");
    await page.click("#play");
    await page.waitForFunction(() => Number(document.getElementById("place").value) === Number(document.getElementById("place").max)
      && document.getElementById("play").textContent === "Play");
    equal(await shown(page), end, "the end, after it was played");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
    match(download.suggestedFilename(), /^lariat-loop-[\d-]+T[\d-]+\.json$/, "name of the file");
    const text = readFileSync(await download.path(), "utf8");
    await page.click("#live");
    await taken(page, "2");

    const reader = await open(url);
    await waitForLink(reader);
    const choose = (content, name = "a.json") => reader.setInputFiles("#file", { name, mimeType: "application/json", buffer: Buffer.from(content) });
    await choose(text);
    await reader.waitForFunction(() => !document.getElementById("replay").hidden);
    equal(await goTo(reader, 0), begin, "the beginning, from the file");
    equal(await goTo(reader, "end"), end, "the end, from the file");
    await reader.click("#live");
    const file = JSON.parse(text);
    for (const [content, complaint] of [
      ["nonsense", /not JSON/], [text.slice(0, -10), /not JSON, or is cut off/], ["{}", /not a recording/],
      [JSON.stringify({ ...file, version: 2 }), /has version 2/],
      [JSON.stringify({ ...file, reports: [] }), /damaged: reports is/],
      [JSON.stringify({ ...file, grids: [{ at: 0, changes: "/w==" }] }), /damaged: grids\[0\]\.changes is/],
    ]) {
      await choose(content);
      await reader.waitForFunction((source) => new RegExp(source).test(document.getElementById("record-problem").textContent), complaint.source)
        .catch(async () => { throw new Error(`${complaint} should be said, not "${await reader.textContent("#record-problem")}"`); });
      equal(await reader.isHidden("#replay"), true, "no recording is shown");
    }
    silent(reader);
    await reader.context().close();
  });

  await check("a held loop goes on by itself when the page that held it is gone", async () => {
    const second = await open(url);
    await waitForLink(second);
    await second.click("#hold");
    await isPressed(page, "hold");
    await other.evaluate(() => { window.heard = []; window.socket.send("still there?"); });
    await page.waitForFunction(() => document.getElementById("waits-reads").textContent === "1");
    // This test itself looks at pixels.
    silent(page, /willReadFrequently/);
    await page.context().close();
    await isPressed(second, "hold");
    silent(second);
    await second.context().close();
    await other.waitForFunction(() => window.heard.length === 1);
    await other.context().close();
  });

  await check("the dot goes around, unless its reader wants no motion", async () => {
    const place = (page) => page.$eval(".turn .dot", (dot) => dot.getAttribute("transform"));
    const lively = await open(url);
    await waitForLink(lively);
    const before = await place(lively);
    await lively.waitForFunction((before) => document.querySelector(".turn .dot").getAttribute("transform") !== before, before);
    await lively.context().close();
    const calm = await open(url, { reducedMotion: "reduce" });
    await calm.waitForFunction(() => /per second, busy/.test(document.getElementById("rate").textContent));
    equal(await calm.isHidden(".turn .dot"), true, "the dot is hidden");
    await calm.context().close();
  });

  await check("without --teach one may watch, but not hold, and does not read what others say", async () => {
    const plain = await serve();
    const watcher = await open(new URL("/loop", plain.url).href);
    await waitForLink(watcher);
    await taken(watcher, "1");
    match(await watcher.textContent("#pace-hint"), /--teach/, "what the page says");
    equal(await watcher.getAttribute("#hold", "aria-disabled"), "true", "Hold");
    await watcher.evaluate(() => { window.echo = new WebSocket("/echo"); return new Promise((resolve) => { window.echo.onopen = resolve; }); });
    await taken(watcher, "2");
    for (let slot = 0; !/ on \/echo$/.test(await watcher.textContent("#story-of")); slot++) {
      equal(slot < 28, true, "a slot that can be followed");
      await watcher.fill("#slot", String(slot));
      await watcher.press("#slot", "Enter");
      await watcher.waitForFunction(() => document.getElementById("follow-problem").textContent || / on \/echo$/.test(document.getElementById("story-of").textContent));
    }
    await watcher.waitForFunction(() => / on \/echo$/.test(document.getElementById("story-of").textContent));
    await watcher.evaluate(() => window.echo.send("a secret"));
    await watcher.waitForFunction(() => document.querySelectorAll("#story li").length === 2);
    match((await story(watcher))[0], /^< TEXT \[\d+ bytes, masked(, compressed)?\]$/, "what it says");
    equal(/another page like this one|slot is free/.test(await watcher.textContent("#follow-problem")), false, "a problem that is no more");
    silent(watcher);
    await watcher.context().close();
    await plain.stop();
  });

  await check("when the server restarts, the page comes back; the keyboard reaches everything", async () => {
    const last = await open(url);
    await waitForLink(last);
    await server.kill();
    server = await serve({ port: server.port, args: ["--teach"] });
    await waitForLink(last);
    await taken(last, "1");
    await keyboard(last, ["free", "slow", "slow-by", "hold", "step", "record", "open-file", "slot", "follow", "grid", "unfollow", "drawn", "story"]);
    silent(last, SERVER_IS_AWAY);
    await last.context().close();
  });

  await check("the same over [::1]: also held", async () => {
    const six = await serve({ host: "[::1]", args: ["--teach"] });
    const page = await open(new URL("/loop", six.url).href);
    await waitForLink(page);
    await page.click("#hold");
    await isPressed(page, "hold");
    await page.click("#step");
    silent(page);
    await page.context().close();
    await six.stop();
  });

  // Many connections, some of them talking.
  const crowd = await open(new URL("/healthz", server.url).href);
  await crowd.evaluate((url) => {
    window.sockets = Array.from({ length: 200 }, () => new WebSocket(url));
    return Promise.all(window.sockets.map((socket) => new Promise((resolve) => { socket.onopen = resolve; })));
  }, socketUrl("/echo"));
  // In turn, not at random: each speaks twice a second, also the one that is followed.
  await crowd.evaluate(() => {
    let next = 0;
    setInterval(() => {
      for (let i = 0; i < 20; i++) window.sockets[next++ % 200].send(`hello ${i}`);
    }, 50);
  });
  await look(url, async (page) => {
    await waitForLink(page);
    await page.waitForFunction(() => Number(document.querySelector('#legend [data-kind="open-active"] b').textContent) > 3);
    await page.fill("#slot", "3");
    await page.click("#follow");
    await page.waitForFunction(() => document.querySelectorAll("#story li").length > 8);
    await page.click("#hold");
    await isPressed(page, "hold");
    await page.waitForFunction(() => Number(document.getElementById("waits-reads").textContent) > 10);
    await page.click("#step");
    await page.waitForFunction(() => Number(document.getElementById("waits-reads").textContent) > 10);
  });
  await crowd.context().close();
  await server.stop();
});
