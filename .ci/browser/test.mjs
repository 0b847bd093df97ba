// Does the page work in a real browser, against the real server?
//
//     node test.mjs http://127.0.0.1:PORT/ [OUTDIR]
//
// Needs `npm install` here once and a Chromium: /usr/bin/chromium, or the program that CHROMIUM names.
// Screenshots go to OUTDIR if it is given. Stops at the first failure. Exit codes: 0, 1 (failed), 2 (usage).

import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TOTAL_TIMEOUT_MS = 150_000;
const STEP_TIMEOUT_MS = 10_000;
const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
  "--no-first-run", "--disable-component-update", "--disable-sync",
];

const [address, outDir] = process.argv.slice(2);
const site = usableUrl(address);
if (!site) {
  console.error("usage: node test.mjs http://127.0.0.1:PORT/ [OUTDIR]");
  process.exit(2);
}
const socketUrl = (path) => new URL(path, site).href.replace(/^http/, "ws");

let passed = 0;
let step = "starting the browser";
let browser;
let temporary;
let finished = false;

const watchdog = setTimeout(() => finish(new Error(`not done after ${TOTAL_TIMEOUT_MS / 1000} s`)), TOTAL_TIMEOUT_MS);

try {
  await run();
  await finish(null);
} catch (error) {
  await finish(error);
}

async function run() {
  const { chromium } = await import("playwright-core").catch(() => {
    throw new Error("playwright-core is not installed; run `npm install` beside test.mjs first");
  });
  if (outDir) mkdirSync(outDir, { recursive: true });
  // A profile of its own, gone afterwards; names other than the site's do not resolve.
  temporary = await mkdtemp(join(tmpdir(), "lariat-browser-"));
  const noNames = `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${site.hostname.replace(/^\[|\]$/g, "")}`;
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [...ARGUMENTS, noNames],
    env: { ...process.env, HOME: temporary, XDG_CONFIG_HOME: temporary, XDG_CACHE_HOME: temporary },
    timeout: STEP_TIMEOUT_MS * 6,
  }).catch((error) => {
    throw new Error(`${CHROMIUM} did not start; CHROMIUM=/path/to/chromium names another (${firstLine(error)})`);
  });

  const { page, complaints, requests } = await open();

  await check("the page loads and asks for nothing but itself", async () => {
    equal(page.response.status(), 200, "status of /");
    match(page.response.headers()["content-type"], /^text\/html/, "Content-Type of /");
    match(await page.title(), /Lariat/, "title");
    await waitForState(page, "1 OPEN");
    equal(requests.join(" "), site.href, "requests");
  });

  await check("it connects by itself: readyState goes from 0 to 1", async () => {
    const states = await page.evaluate(() => window.seenStates);
    equal(states.slice(-2).join(", "), "0 CONNECTING, 1 OPEN", "readyState over time");
    equal(await page.inputValue("#url"), socketUrl("/echo"), "URL field");
    equal(await page.textContent("#protocol"), "", "protocol");
    await line(page, "open", socketUrl("/echo"));
  });

  await check("text with multi-byte characters comes back", async () => {
    const text = "Zürich, Γειά, 世界, 👩‍🚀, \u{10ffff}";
    await page.fill("#text", text);
    await page.click("#send");
    const echo = await line(page, "message", text);
    match(echo.meta, new RegExp(`^text, ${Buffer.byteLength(text)} bytes`), "size of the echo");
    match(echo.meta, /round trip (under )?[\d.]+ ms/, "round-trip time");
  });

  await check("an empty text comes back, and Enter sends it", async () => {
    await page.fill("#text", "");
    await page.press("#text", "Enter");
    await page.waitForFunction(() => [...document.querySelectorAll('#log [data-kind="message"]')]
      .some((node) => node.querySelector(".data").textContent === "" && /^text, 0 bytes/.test(node.querySelector(".meta").textContent)));
  });

  await check("binary comes back with the right bytes", async () => {
    await page.fill("#hex", "00 01 7f 80 fe ff c3 28");
    await page.click("#send-binary");
    const echo = await line(page, "message", "00 01 7f 80 fe ff c3 28");
    match(echo.meta, /^binary, 8 bytes, round trip/, "size of the echo");
  });

  await check("bad hex is refused in words, not sent", async () => {
    const before = await page.textContent("#totals");
    await page.fill("#hex", "abc");
    await page.click("#send-binary");
    match(await page.textContent("#hex-problem"), /Two digits/, "what the page says");
    equal(await page.getAttribute("#hex", "aria-invalid"), "true", "aria-invalid");
    equal(await page.textContent("#totals"), before, "totals");
    await page.fill("#hex", "00 ff");
    await page.click("#send-binary");
    equal(await page.textContent("#hex-problem"), "", "what the page says afterwards");
  });

  await check("a file of 200,000 bytes comes back whole", async () => {
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 31) & 255));
    await page.setInputFiles("#file", { name: "some.bin", mimeType: "application/octet-stream", buffer: bytes });
    await page.click("#send-file");
    await page.waitForFunction(() => [...document.querySelectorAll('#log [data-kind="message"] .meta')]
      .some((node) => /^binary, 200,000 bytes.*round trip/.test(node.textContent)));
  });

  await check("what a peer sends is text to the page, never markup", async () => {
    const hostile = '<img src=x onerror="window.owned=1"><b>bold</b>';
    await page.fill("#text", hostile);
    await page.click("#send");
    await line(page, "message", hostile);
    equal(await page.locator("#log img, #log .data b").count(), 0, "elements that the message made");
    equal(await page.evaluate(() => window.owned), undefined, "script that the message ran");
  });

  await check("1 MiB of text echoes exactly, and bufferedAmount rises and falls", async () => {
    const result = await page.evaluate((url) => new Promise((resolve, reject) => {
      const unit = "Lariat é 世界 👋 ";
      const size = 1024 * 1024;
      const unitSize = new TextEncoder().encode(unit).length;
      const text = unit.repeat(Math.floor(size / unitSize)) + "x".repeat(size % unitSize);
      const socket = new WebSocket(url);
      const result = { states: [socket.readyState], bytes: new TextEncoder().encode(text).length };
      socket.onerror = () => reject(new Error("the raw socket failed"));
      socket.onopen = () => {
        result.states.push(socket.readyState);
        socket.send(text);
        result.buffered = socket.bufferedAmount;
      };
      socket.onmessage = ({ data }) => {
        result.same = data === text;
        result.length = data.length;
        result.left = socket.bufferedAmount;
        socket.close(1000, "enough");
        result.states.push(socket.readyState);
      };
      socket.onclose = ({ code, wasClean }) => {
        result.states.push(socket.readyState);
        resolve({ ...result, code, wasClean });
      };
    }), socketUrl("/echo"));
    equal(result.bytes, 1024 * 1024, "bytes sent");
    equal(result.buffered, 1024 * 1024, "bufferedAmount just after send");
    equal(result.left, 0, "bufferedAmount at the echo");
    equal(result.same, true, `the echo equals the text (${result.length} UTF-16 units came)`);
    equal(result.states.join(), "0,1,2,3", "readyState over time");
    equal(`${result.code} ${result.wasClean}`, "1000 true", "code and wasClean");
  });

  await check("a thousand messages come back in order, and the log stays at 500 lines", async () => {
    const inOrder = await page.evaluate((url) => new Promise((resolve, reject) => {
      const socket = new WebSocket(url);
      let next = 0;
      socket.onerror = () => reject(new Error("the raw socket failed"));
      socket.onopen = () => { for (let i = 0; i < 1000; i++) socket.send(String(i)); };
      socket.onmessage = ({ data }) => {
        if (data !== String(next)) resolve(`${data} instead of ${next}`);
        next += 1;
        if (next === 1000) { socket.close(); resolve("yes"); }
      };
    }), socketUrl("/echo"));
    equal(inOrder, "yes", "in order");
    const received = await page.evaluate(() => {
      const totals = document.getElementById("totals");
      const before = Number(totals.textContent.match(/([\d,]+) received/)[1].replace(",", ""));
      for (let i = 0; i < 300; i++) document.getElementById("text-form").requestSubmit();
      return before;
    });
    await page.waitForFunction((wanted) => {
      const totals = document.getElementById("totals").textContent;
      return Number(totals.match(/([\d,]+) received/)[1].replace(",", "")) === wanted;
    }, received + 300);
    await page.waitForFunction(() => document.getElementById("log").childElementCount === 500);
    equal(await page.textContent("#buffered"), "0", "bufferedAmount");
  });

  await check("a clean close: 1000, the reason, wasClean, readyState 3", async () => {
    await page.fill("#code", "1000");
    await page.fill("#reason", "genug für heute");
    await page.click("#close");
    await waitForState(page, "3 CLOSED");
    await line(page, "close", 'code 1000, reason "genug für heute", wasClean true');
    match(await page.textContent("#status"), /closed cleanly: 1000/, "status");
    equal(await page.textContent("#connect"), "Reconnect", "label of the button");
    equal(await page.getAttribute("#send", "aria-disabled"), "true", "aria-disabled of the send button");
  });

  await check("Reconnect opens again, an application's code comes back, an impossible one is refused", async () => {
    await page.click("#connect");
    await waitForState(page, "1 OPEN");
    await page.fill("#code", "1006");
    await page.click("#close");
    match(await page.textContent("#close-problem"), /1006|3000/, "what the page says of 1006");
    equal(await page.textContent("#ready-state"), "1 OPEN", "readyState");
    await page.fill("#code", "4321");
    await page.fill("#reason", "");
    await page.click("#close");
    await waitForState(page, "3 CLOSED");
    await line(page, "close", 'code 4321, reason "", wasClean true');
  });

  await check("a URL that is none is refused in words", async () => {
    await page.fill("#url", "gopher://nowhere/");
    await page.click("#connect");
    match(await page.textContent("#connect-problem"), /gopher|scheme/i, "what the page says");
    equal(await page.getAttribute("#url", "aria-invalid"), "true", "aria-invalid");
  });

  await check("a broadcast reaches two browser contexts", async () => {
    const other = await open();
    for (const one of [page, other.page]) {
      await one.click("#endpoint-broadcast");
      await one.waitForFunction((url) => document.getElementById("status").textContent.endsWith(`is open: ${url}`), socketUrl("/broadcast"));
    }
    for (const [from, text] of [[page, `to all ${Math.random()} 世界`], [other.page, `and back ${Math.random()}`]]) {
      await from.fill("#text", text);
      await from.click("#send");
      await line(page, "message", text);
      await line(other.page, "message", text);
    }
    await other.page.click("#close");
    await waitForState(other.page, "3 CLOSED");
    nothing(other.complaints);
    await other.page.context().close();
  });

  await check("the console was silent", async () => nothing(complaints));

  await check("declined subprotocols: protocol stays '', and the page says why it is closed", async () => {
    // A browser must fail a connection whose subprotocols were all declined, and it says so on the console.
    const one = await open();
    await waitForState(one.page, "1 OPEN");
    await one.page.fill("#subprotocols", "lariat-has-no-such-subprotocol, nor-this");
    await one.page.click("#connect");
    await waitForState(one.page, "3 CLOSED");
    equal(await one.page.textContent("#protocol"), "", "protocol");
    await line(one.page, "close", 'code 1006, reason "", wasClean false');
    match(await one.page.textContent("#status"), /did not open.*subprotocols/, "status");
    equal(one.complaints.length, 1, `number of console messages (${one.complaints.join("; ")})`);
    match(one.complaints[0], /Sec-WebSocket-Protocol|subprotocol/i, "console message");
    await one.page.fill("#subprotocols", "");
    await one.page.click("#connect");
    await waitForState(one.page, "1 OPEN");
    equal(one.complaints.length, 1, "number of console messages after the page recovered");
    await one.page.context().close();
  });

  await check("every control has a name, and the keyboard reaches it with a visible focus", async () => {
    const one = await open();
    const nameless = await one.page.evaluate(() => [...document.querySelectorAll("input, textarea, button")]
      .filter((node) => !(node.labels?.length || node.textContent.trim() || node.ariaLabel)).map((node) => node.outerHTML));
    equal(nameless.join(), "", "controls without a name");
    const wanted = ["endpoint-echo", "endpoint-broadcast", "url", "subprotocols", "connect", "code", "reason", "close",
      "text", "send", "hex", "send-binary", "file", "send-file", "clear", "log"];
    const reached = [];
    for (let i = 0; i < wanted.length; i++) {
      await one.page.keyboard.press("Tab");
      const focus = await one.page.evaluate(() => {
        const node = document.activeElement;
        return { id: node.id, outline: getComputedStyle(node).outlineStyle };
      });
      reached.push(focus.id);
      equal(focus.outline, "solid", `outline of #${focus.id}`);
    }
    equal(reached.join(" "), wanted.join(" "), "what Tab reaches");
    nothing(one.complaints);
    await one.page.context().close();
  });

  await check("without JavaScript the page still tells what is here", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const plain = await context.newPage();
    await plain.goto(site.href);
    equal(await plain.locator("#console").isVisible(), false, "the console is visible");
    match(await plain.locator("noscript").last().innerText(), /\/echo[^]*\/broadcast[^]*curl/, "text");
    await context.close();
  });

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [390, 1280]) {
      await check(`nothing overflows at ${width} px, ${colorScheme}`, () => look(width, colorScheme));
    }
  }
}

async function look(width, colorScheme) {
  const phone = width < 600;
  const { page, complaints } = await open({
    colorScheme,
    viewport: { width, height: phone ? 844 : 860 },
    deviceScaleFactor: phone ? 2 : 1,
    hasTouch: phone,
  });
  await waitForState(page, "1 OPEN");
  for (const text of ["Hello! Γειά, 世界 👋", `${"one-long-word-".repeat(8)} <b>no markup</b>`]) {
    await page.fill("#text", text);
    await page.click("#send");
    await line(page, "message", text);
  }
  await page.fill("#hex", "4c 61 72 00 ff");
  await page.click("#send-binary");
  await line(page, "message", "4c 61 72 00 ff");
  await page.fill("#text", "Hello! Γειά, 世界 👋");
  const tooWide = await page.evaluate(() => {
    const wide = document.documentElement.scrollWidth > innerWidth ? ["the page itself"] : [];
    for (const node of document.querySelectorAll("body *")) {
      const box = node.getBoundingClientRect();
      if (box.width && (box.right > innerWidth + 0.5 || box.left < -0.5)) wide.push(`${node.tagName} ${node.id || node.className}`);
    }
    return wide;
  });
  equal(tooWide.join(", "), "", "what is wider than the window");
  await picture(page, `${width}-${colorScheme}`);
  await page.click("#close");
  await waitForState(page, "3 CLOSED");
  await picture(page, `${width}-${colorScheme}-closed`);
  nothing(complaints);
  await page.context().close();
}

async function picture(page, name) {
  const image = await page.screenshot({ fullPage: true });
  if (outDir) writeFileSync(join(outDir, `${name}.png`), image);
}

/** A new context with one page, which has loaded the site and records what goes wrong in it. */
async function open(options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(STEP_TIMEOUT_MS);
  const page = await context.newPage();
  const complaints = [];
  const requests = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("crash", () => complaints.push("the page crashed"));
  page.on("request", (request) => requests.push(request.url()));
  await page.addInitScript(() => {
    window.seenStates = [];
    new MutationObserver(() => {
      const state = document.getElementById("ready-state")?.textContent;
      if (state && state !== window.seenStates.at(-1)) window.seenStates.push(state);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  page.response = await page.goto(site.href).catch((error) => {
    throw new Error(`${site.href} does not answer (${firstLine(error)})`);
  });
  return { page, complaints, requests };
}

async function waitForState(page, wanted) {
  await page.waitForFunction((text) => document.getElementById("ready-state").textContent === text, wanted)
    .catch(async () => {
      const shown = await page.textContent("#ready-state").catch(() => "nothing");
      const status = await page.textContent("#status").catch(() => "");
      throw new Error(`readyState should become "${wanted}" but is "${shown}" (${status})`);
    });
}

/** Waits for a line of the log with exactly this data. */
async function line(page, kind, data) {
  const found = await page.waitForFunction(([kind, data]) => {
    const node = [...document.querySelectorAll(`#log [data-kind="${kind}"]`)]
      .findLast((node) => node.querySelector(".data").textContent === data);
    return node && { meta: node.querySelector(".meta")?.textContent ?? "" };
  }, [kind, data]).catch(() => {
    throw new Error(`the log should show a line "${kind}" with ${JSON.stringify(data)}`);
  });
  return found.jsonValue();
}

async function check(name, body) {
  step = name;
  await body();
  passed += 1;
  console.log(`ok: ${name}`);
}

function equal(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

function match(actual, pattern, what) {
  if (!pattern.test(actual ?? "")) throw new Error(`${what}: expected ${pattern}, got ${JSON.stringify(actual)}`);
}

function nothing(complaints) {
  equal(complaints.join("; "), "", "console errors and warnings");
}

function firstLine(error) {
  return error.message.split("\n")[0];
}

function usableUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}

async function finish(error) {
  // Closing the browser makes whatever the watchdog interrupted fail as well: the first report counts.
  if (finished) return new Promise(() => {});
  finished = true;
  clearTimeout(watchdog);
  if (error) console.error(`FAILED: ${step}: ${error.message}`);
  const closed = Promise.resolve(browser?.close()).catch(() => {});
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 3000))]);
  if (temporary) await rm(temporary, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  console.log(`${passed} passed, ${error ? 1 : 0} failed`);
  process.exit(error ? 1 : 0);
}
