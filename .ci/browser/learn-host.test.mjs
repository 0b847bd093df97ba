// Lessons on the loop and its host: readiness, a turn step by step, backpressure, polling, limits.

import {
  accessible, check, equal, match, open, picture, serve, silent, suite, tabOrder, tooWide, tooWideAnywhere, waitForLink,
} from "./kit.mjs";

/** Which lesson has which number: links of the list. */
const numbers = async (url) => {
  const html = await fetch(new URL("/learn", url)).then((response) => response.text());
  return Object.fromEntries([...html.matchAll(/href="(\/learn\/\d+)" data-lesson="(\w+)"/g)].map(([, path, name]) => [name, path]));
};

/**
 * What one does in each question, besides the choice. `happens` is what must happen, if that does
 * not depend on the host. By keyboard, one presses Enter in the field `field`, or on the button.
 */
const LESSONS = {
  readiness: [
    { key: "threads", chosen: "one", act: "#threads-send", happens: "each", shows: /3 threads|3 个线程/ },
    { key: "switches", chosen: "more", act: "#switches-send", shows: /640/ },
    { key: "memory", chosen: "hundred", act: "#memory-send", happens: "hundred", shows: /64 (bytes|字节)/ },
  ],
  turn: [
    { key: "held", chosen: "kernel", act: "#held-send", happens: "kernel", shows: /bufferedAmount[^.。]*0/ },
    { key: "turns", chosen: "two", act: "#turns-send", field: "#turns-text", happens: "one", shows: /TEXT "Hello" \[5 bytes, masked\]/ },
    { key: "reads", chosen: "one", act: "#reads-send", happens: "one", shows: /29/ },
  ],
  pressure: [
    { key: "close", chosen: "waits", act: "#close-send", happens: "closed", shows: /MiB/ },
    { key: "latest", chosen: "newest", act: "#latest-send", happens: "newest", shows: /120/ },
    { key: "browser", chosen: "zero", act: "#browser-send", happens: "later", shows: /MiB/ },
  ],
  polling: [
    { key: "bytes", chosen: "ten", act: "#bytes-send", happens: "ten", shows: /KiB|bytes|字节/ },
    { key: "delay", chosen: "none", act: "#delay-send", happens: "half", shows: /ms/ },
    { key: "quiet", chosen: "poll", act: "#quiet-send", happens: "poll", shows: /0 (bytes|字节)/ },
  ],
  many: [
    { key: "first", chosen: "memory", act: "#first-send", shows: /lariat|open files|打开的文件/ },
    { key: "price", chosen: "kernel", act: "#price-send", happens: "kernel", shows: /3\.8 GiB/ },
  ],
};

/** Answers a question: the choice, by mouse or keyboard, then what one does, then the verdict. */
async function answer(page, { key, chosen, act, field = act, happens, shows }, byKeyboard) {
  const section = `#question-${key}`;
  equal(await page.isVisible(act), false, `${act} is locked`);
  if (byKeyboard) {
    await page.focus(`${section}-${chosen}`);
    await page.keyboard.press("Space");
    await page.waitForSelector(act);
    await page.focus(field);
    await page.keyboard.press("Enter");
  } else {
    await page.check(`${section}-${chosen}`);
    await page.click(act);
  }
  await page.waitForSelector(`${section} .verdict:visible`, { timeout: 16_000 }).catch(async () => {
    throw new Error(`${key}: no verdict; ${await page.textContent(`${section} .doing`)}`);
  });
  const marked = await page.$$eval(`${section} [data-mark="happened"] input`, (nodes) => nodes.map((node) => node.value));
  equal(marked.length, 1, `${key}: one thing has happened (${await page.textContent(`${section} .verdict`)})`);
  if (happens) equal(marked[0], happens, `${key}: what happened`);
  equal(await page.getAttribute(`${section} .verdict`, "data-kind"), marked[0] === chosen ? "right" : "wrong", `${key}: the verdict`);
  match(await page.textContent(`${section} .doing`), shows, `${key}: what is shown`);
}

// The loop that is held is the only one, as in loop.test.mjs.
process.env.LOOPS = "1";

await suite(async () => {
  const server = await serve({ args: ["--teach"] });
  const paths = await numbers(server.url);
  const at = (path) => new URL(path, server.url).href;
  const EN = { lang: "en", width: 1280, colorScheme: "light" };
  const ZH = { lang: "zh", width: 390, colorScheme: "dark" };
  const VIEWS = [EN, ZH];
  // All lessons at once: most of their time is waiting. The one that holds the loop comes alone.
  const lessons = async (...views) => Promise.all(views.map(async ([name, { lang, width, colorScheme }]) => {
    const page = await open(at(`${paths[name]}?lang=${lang}`), { colorScheme, viewport: { width, height: 860 }, hasTouch: width < 600 });
    await waitForLink(page);
    for (const [at, question] of LESSONS[name].entries()) await answer(page, question, at % 2 === 1);
    return [name, page];
  }));
  const ending = async (pages) => {
    for (const [name, page] of pages) {
      equal(await tooWideAnywhere(page), "", `${name}: what is wider than its place`);
      await accessible(page, name);
      await tabOrder(page);
      await picture(page, `learn-host-${name}`);
      silent(page);
      await page.context().close();
    }
  };

  await check("readiness and limits: right and wrong predictions, by mouse and keyboard", async () => ending(await lessons(["readiness", EN], ["many", ZH], ["many", EN])));
  await check("polling and backpressure: right and wrong predictions, by mouse and keyboard", async () => ending(await lessons(["polling", EN], ["pressure", ZH], ["pressure", EN])));
  await check("a turn, step by step", async () => {
    const pages = await lessons(["turn", EN]);
    const [[, page]] = pages;
    await page.click("#question-reads .stage #station-next");
    equal(await page.locator('#question-reads .station[data-state="now"]').count(), 1, "stations now");
    await ending(pages);
  });

  await check("without --teach, a turn that happened is shown", async () => {
    const plain = await serve();
    const page = await open(new URL(`${paths.turn}?lang=zh`, plain.url).href, { viewport: { width: 1280, height: 860 }, colorScheme: "dark" });
    await waitForLink(page);
    await page.check("#question-held-kernel");
    await page.click("#held-record");
    await page.waitForSelector('.station[data-station="kernel_out"][data-state="now"]');
    match(await page.textContent(".stations"), /TEXT \[5 bytes, masked\]/, "the frame, without its content");
    await accessible(page, "turn without --teach");
    silent(page);
    await page.context().close();
    await plain.stop();
  });

  await check("the sheet has all questions and answers, also on paper", async () => {
    for (const { lang, width, colorScheme } of VIEWS) {
      const page = await open(at(`/learn/sheet?lang=${lang}`), { colorScheme, viewport: { width, height: 860 } });
      equal(await page.locator(".sheet-lesson").count(), Object.keys(paths).length, "lessons");
      equal(await page.locator(".asked").count() > 15, true, "questions");
      equal((await tooWide(page)).join(", "), "", "what is wider than the window");
      for (const [lesson, questions] of Object.entries(LESSONS)) {
        for (const { key, happens } of questions.filter(({ happens }) => happens)) {
          const right = page.locator(`[data-lesson="${lesson}"] [data-question="${key}"] li.right`);
          equal(await right.getAttribute("data-choice"), happens, `the right choice of ${key}`);
        }
      }
      match(await page.textContent('[data-lesson="many"] [data-question="first"] .answer'), /depends on the host|取决于主机/, "what depends on the host");
      await accessible(page, "sheet");
      await picture(page, `learn-host-sheet-${width}`);
      await page.emulateMedia({ media: "print" });
      equal(await page.isVisible(".top"), false, "the header on paper");
      equal(await page.isVisible(".answer"), true, "an answer on paper");
      silent(page);
      await page.context().close();
    }
  });

  await server.stop();
});
