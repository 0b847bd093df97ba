// What all browser tests share: a server of their own, a browser, pages that are watched for
// complaints.
//
//     node APP.test.mjs LARIAT [OUTDIR]
//
// LARIAT is the program. LOOPS is the number of its loops, and REDIS the URL for --redis. Needs
// `npm install` here once and a Chromium: /usr/bin/chromium, or the program that CHROMIUM names.
// Screenshots go to OUTDIR if it is given. Stops at the first failure. Exit codes: 0, 1 (failed), 2
// (usage).

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";

const TOTAL_TIMEOUT_MS = 280_000;
export const STEP_TIMEOUT_MS = 10_000;
const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
  "--no-first-run", "--disable-component-update", "--disable-sync",
  // Names other than this host's do not resolve.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE ::1, EXCLUDE localhost",
];

const [program, outDir] = process.argv.slice(2);
const name = basename(process.argv[1], ".test.mjs");

let passed = 0;
let step = "starting the browser";
let browser;
let axe;
let temporary;
let finished = false;
const servers = new Set();

/**
 * Runs a test file: `await suite(async () => { await check("…", async () => …); })`. More arguments
 * may be passed to the browser.
 */
export async function suite(body, moreArguments = []) {
  if (!program) {
    console.error(`usage: node ${name}.test.mjs LARIAT [OUTDIR]`);
    process.exit(2);
  }
  const watchdog = setTimeout(() => finish(new Error(`not done after ${TOTAL_TIMEOUT_MS / 1000} s`)), TOTAL_TIMEOUT_MS);
  try {
    await start(moreArguments);
    await body();
    clearTimeout(watchdog);
    await finish(null);
  } catch (error) {
    await finish(error);
  }
}

async function start(moreArguments) {
  const missing = () => { throw new Error("playwright-core or axe-core is not installed; run `npm install` beside the tests first"); };
  const { chromium } = await import("playwright-core").catch(missing);
  axe = (await import("axe-core").catch(missing)).default;
  if (outDir) mkdirSync(outDir, { recursive: true });
  // A profile of its own, gone afterwards.
  temporary = await mkdtemp(join(tmpdir(), "lariat-browser-"));
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [...ARGUMENTS, ...moreArguments],
    env: { ...process.env, HOME: temporary, XDG_CONFIG_HOME: temporary, XDG_CACHE_HOME: temporary },
    timeout: STEP_TIMEOUT_MS * 6,
  }).catch((error) => {
    throw new Error(`${CHROMIUM} did not start; CHROMIUM=/path/to/chromium names another (${firstLine(error)})`);
  });
}

/**
 * A running `lariat`. Its `url` ends in a slash; `stop()` ends it as Ctrl-C does, `kill()` without
 * a word.
 */
export async function serve({ host = "127.0.0.1", port = 0, args = [] } = {}) {
  const redis = process.env.REDIS ? ["--redis", process.env.REDIS] : [];
  args = ["--loops", process.env.LOOPS ?? "1", ...redis, ...args];
  const child = spawn(program, ["serve", "--listen", `${host}:${port}`, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  servers.add(child);
  const exited = new Promise((resolve) => child.once("exit", (code) => { servers.delete(child); resolve(code); }));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => {
      const found = line.match(/open (https?:\/\/\S+\/) in a browser/);
      if (found) resolve(found[1]);
      else reject(new Error(`not the ready line: ${line}`));
    });
    exited.then((code) => reject(new Error(`the server ended with ${code}`)));
  });
  return {
    url,
    host,
    port: Number(new URL(url).port),
    /** The exit code, once it has ended. */
    ended: exited,
    end(signal) { child.kill(signal); return exited; },
    async stop() { equal(await this.end("SIGTERM"), 0, "the server's exit code"); },
    async kill() { await this.end("SIGKILL"); },
  };
}

/**
 * A new context with one page, which has loaded the URL and records what goes wrong in it. `init`
 * runs in it first.
 */
export async function open(url, options = {}, init = null) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(STEP_TIMEOUT_MS);
  const page = await context.newPage();
  page.complaints = [];
  page.requests = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => page.complaints.push(`uncaught: ${error.message}`));
  page.on("crash", () => page.complaints.push("the page crashed"));
  page.on("request", (request) => page.requests.push(request.url()));
  if (init) await page.addInitScript(init);
  page.response = await page.goto(url).catch((error) => {
    throw new Error(`${url} does not answer (${firstLine(error)})`);
  });
  return page;
}

/** Waits until the page's own socket, the one that the header speaks of, is open. */
export async function waitForLink(page) {
  await page.waitForFunction(() => document.getElementById("link").dataset.state === "open").catch(async () => {
    throw new Error(`the page should be connected, but says "${await page.textContent("#link")}"`);
  });
}

export async function check(what, body) {
  step = what;
  await body();
  passed += 1;
  console.log(`ok: ${what}`);
}

/**
 * Waits until an async function, which runs in the page, returns something true. Playwright's
 * waitForFunction takes its promise for true.
 */
export async function until(page, isSo) {
  const since = performance.now();
  while (!(await page.evaluate(isSo))) {
    if (performance.now() - since > STEP_TIMEOUT_MS) throw new Error(`not within ${STEP_TIMEOUT_MS} ms: ${isSo}`);
    await page.waitForTimeout(50);
  }
}

export function equal(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

export function match(actual, pattern, what) {
  if (!pattern.test(actual ?? "")) throw new Error(`${what}: expected ${pattern}, got ${JSON.stringify(actual)}`);
}

/** The browser's console has been silent, but for what fits one of the patterns. */
export function silent(page, ...expected) {
  const others = page.complaints.filter((complaint) => !expected.some((pattern) => pattern.test(complaint)));
  equal(others.join("; "), "", "console errors and warnings");
}

/** What Chromium says when a server is not there. */
export const SERVER_IS_AWAY = /WebSocket connection to .* failed|net::ERR_CONNECTION_(RESET|REFUSED)/;

/**
 * Two languages in two widths and two colour schemes: nothing overflows, axe finds nothing, and
 * there is a picture. `prepare` brings the page to what is to be seen. `part` is for suites that
 * look several times.
 */
export async function look(url, prepare, part = "") {
  for (const locale of ["en-US", "zh-CN"]) {
    for (const width of [390, 1280]) {
      await check(`nothing overflows and axe finds nothing at ${width} px, ${locale}`, async () => {
        const isPhone = width < 600;
        const page = await open(url, {
          locale,
          colorScheme: "light",
          viewport: { width, height: isPhone ? 844 : 860 },
          deviceScaleFactor: isPhone ? 2 : 1,
          hasTouch: isPhone,
        });
        await prepare(page);
        await page.evaluate(axe.source);
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); }));
          equal((await tooWide(page)).join(", "), "", `what is wider than the window, ${colorScheme}`);
          // Only contrast depends on the colours.
          const rules = colorScheme === "light" ? {} : { runOnly: ["color-contrast"] };
          equal((await inaccessible(page, rules)).join("; "), "", `what axe finds, ${colorScheme}`);
          await picture(page, `${name}${part}-${locale.slice(0, 2)}-${width}-${colorScheme}`);
        }
        silent(page);
        await page.context().close();
      });
    }
  }
}

/** axe-core finds nothing in the page as it is now. */
export async function accessible(page, what) {
  await page.evaluate(axe.source);
  // While something fades in, its contrast is low.
  await page.evaluate(() => {
    const passing = document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity);
    return Promise.allSettled(passing.map(({ finished }) => finished));
  });
  equal((await inaccessible(page)).join("; "), "", `what axe finds in ${what}`);
}

/** What axe-core finds in a page that has loaded it: the rule, and the first element. */
function inaccessible(page, rules) {
  return page.evaluate(async (rules) => {
    const { violations } = await window.axe.run({ ...rules, resultTypes: ["violations"] });
    return violations.map(({ id, help, nodes }) => `${id} (${help}): ${nodes.length} as ${nodes[0].html.slice(0, 200)}, ${nodes[0].failureSummary}`);
  }, rules);
}

/** What reaches over the window's edges, but for what scrolls in a box of its own. */
export function tooWide(page) {
  return page.evaluate(() => {
    const wide = document.documentElement.scrollWidth > innerWidth ? ["the page itself"] : [];
    const scrolls = (node) => node && (/auto|scroll|hidden|clip/.test(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
    for (const node of document.querySelectorAll("body *")) {
      const box = node.getBoundingClientRect();
      const isOut = box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
      if (isOut && !scrolls(node.parentElement)) wide.push(`${node.tagName} ${node.id || node.getAttribute("class")}`);
    }
    return wide;
  });
}

/** What reaches over the edges of the card that it is in, but for what scrolls there. */
function outOfCards(page) {
  return page.evaluate(() => {
    const scrolls = (node) => /auto|scroll|hidden|clip/.test(getComputedStyle(node).overflowX) || (!node.matches(".card") && scrolls(node.parentElement));
    return [...document.querySelectorAll(".card *")].filter((node) => {
      const [box, card] = [node, node.parentElement.closest(".card")].map((one) => one.getBoundingClientRect());
      return box.width && (box.right > card.right + 0.5 || box.left < card.left - 0.5) && !scrolls(node.parentElement);
    }).map((node) => `${node.tagName} ${node.id || node.getAttribute("class")} in its card`);
  });
}

/**
 * What is wider than its place in a page as it is now, with all that was drawn, also in the window
 * of a phone.
 */
export async function tooWideAnywhere(page) {
  const found = [...await tooWide(page), ...await outOfCards(page)];
  const before = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 844 });
  found.push(...[...await tooWide(page), ...await outOfCards(page)].map((one) => `${one} at 390 px`));
  await page.setViewportSize(before);
  return found.join(", ");
}

export async function picture(page, called) {
  const image = await page.screenshot({ fullPage: true });
  if (outDir) writeFileSync(join(outDir, `${called}.png`), image);
}

/** Every control has a name, and Tab reaches each of these, in this order, with a visible focus. */
export async function keyboard(page, wanted) {
  const nameless = await page.evaluate(() => [...document.querySelectorAll("main input, main textarea, main select, main button")]
    .filter((node) => !(node.labels?.length || node.textContent.trim() || node.ariaLabel)).map((node) => node.outerHTML));
  equal(nameless.join(), "", "controls without a name");
  await page.focus("main");
  const reached = [];
  for (let i = 0; i < wanted.length; i++) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(() => {
      const node = document.activeElement;
      return { id: node.id, outline: getComputedStyle(node).outlineStyle };
    });
    reached.push(focus.id);
    equal(focus.outline, "solid", `outline of #${focus.id}, after ${reached.join(" ")}`);
  }
  equal(reached.join(" "), wanted.join(" "), "what Tab reaches");
}

/**
 * Tab reaches every control that can be seen, in the order of the page, and each has a visible
 * focus.
 */
export async function tabOrder(page) {
  const wanted = await page.evaluate(() => {
    const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
    // Of the radio buttons of a group, Tab reaches the checked one, or the first.
    const isSkipped = (node) => node.type === "radio" && all.some((other) => other !== node && other.type === "radio" && other.name === node.name
      && (other.checked || (!node.checked && other.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING)));
    window.tabbed = all.filter((node) => !node.matches(":disabled, [tabindex='-1']") && node.checkVisibility({ visibilityProperty: true }) && !isSkipped(node));
    document.activeElement.blur();
    window.getSelection().removeAllRanges();
    return window.tabbed.map((node) => node.id || node.outerHTML.slice(0, 80));
  });
  await page.evaluate(() => { window.tabbed[0].focus(); });
  for (const [at, what] of wanted.entries()) {
    if (at > 0) await page.keyboard.press("Tab");
    const { number, now, isOutlined } = await page.evaluate(() => {
      const node = document.activeElement;
      const outlines = [node, node.closest("label")].filter(Boolean).map((one) => getComputedStyle(one).outlineStyle);
      return { number: window.tabbed.indexOf(node), now: node.outerHTML.slice(0, 80), isOutlined: outlines.some((style) => style !== "none") };
    });
    equal(number, at, `Tab ${at} should reach ${what}, and reached ${now}`);
    // A script has focused the first.
    if (at > 0) equal(isOutlined, true, `the focus on ${what} is visible`);
  }
}

export function firstLine(error) {
  return error.message.split("\n")[0];
}

async function finish(error) {
  // Closing the browser makes what the watchdog interrupted fail as well. The first report counts.
  if (finished) return new Promise(() => {});
  finished = true;
  if (error) console.error(`FAILED: ${name}: ${step}: ${error.message}`);
  for (const server of servers) server.kill("SIGKILL");
  const closed = Promise.resolve(browser?.close()).catch(() => {});
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 3000))]);
  if (temporary) await rm(temporary, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  console.log(`${passed} passed, ${error ? 1 : 0} failed`);
  process.exit(error ? 1 : 0);
}
