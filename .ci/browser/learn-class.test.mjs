// A class: learners join, the teacher sees what they expect and what happens, and holds the loop
// for all.

import { accessible, check, equal, match, open, picture, serve, silent, suite, tabOrder, tooWide, waitForLink } from "./kit.mjs";

// The loop that is held is the only one, as in loop.test.mjs.
process.env.LOOPS = "1";

await suite(async () => {
  const server = await serve({ args: ["--teach", "--classroom"] });
  const at = (path) => new URL(path, server.url).href;
  const html = await fetch(at("/learn")).then((response) => response.text());
  const mask = html.match(/href="(\/learn\/\d+)" data-lesson="mask"/)[1];
  const turn = html.match(/href="(\/learn\/\d+)" data-lesson="turn"/)[1];
  const holds = (page, selector, pattern) => page.waitForFunction(([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent), [selector, pattern.source])
    .catch(async () => { throw new Error(`${selector} should match ${pattern}, but is ${await page.textContent(selector)}`); });
  const learner = async (name, { lang, width, colorScheme }) => {
    const page = await open(at(`${mask}?lang=${lang}`), { colorScheme, viewport: { width, height: 860 }, hasTouch: width < 600 });
    await waitForLink(page);
    await page.fill("#class-name", name);
    await page.press("#class-name", "Enter");
    await page.waitForSelector("#class-form", { state: "hidden" });
    match(await page.evaluate(() => document.activeElement.textContent), /Ada|Bo/, "where the focus is after joining");
    return page;
  };

  const teacher = await open(at("/learn/class"), { viewport: { width: 1280, height: 860 } });
  await waitForLink(teacher);
  await teacher.waitForSelector("#room:visible");
  const ada = await learner("Ada", { lang: "en", width: 1280, colorScheme: "light" });
  const bo = await learner("Bo", { lang: "zh", width: 390, colorScheme: "dark" });

  await check("the teacher sees who is there, what each expects and what happens", async () => {
    await holds(teacher, "#learners", /Ada.*Bo/);
    await ada.check("#question-unmasked-1002");
    await holds(teacher, "#news", /Ada expects: It closes with the code 1002/);
    await bo.check("#question-unmasked-echo");
    await ada.click("#unmasked-send");
    await bo.click("#unmasked-send");
    await ada.waitForSelector("#question-unmasked .verdict:visible");
    await holds(teacher, "#news", /Bo expected: It sends hello back. What happened: It closes/);
    const counts = () => teacher.$$eval('#counts [data-lesson="mask"] td', (cells) => cells.map((cell) => cell.textContent).join());
    await teacher.waitForFunction(() => [...document.querySelectorAll('#counts [data-lesson="mask"] td')].map((cell) => cell.textContent).join() === "1,1,0")
      .catch(async () => { throw new Error(`right, wrong, open: ${await counts()}`); });
  });

  await check("the list says who sees the answers", async () => {
    const page = await open(at("/learn?lang=en"));
    match(await page.innerText("main"), /the teacher sees them as well/, "the sentence for a class");
    equal(/The server does not get them/.test(await page.innerText("main")), false, "the sentence without a class");
    await page.context().close();
  });

  await check("the loop is held for all, learners know it, and a step is one turn", async () => {
    match(await teacher.textContent("main"), /Pages cannot be opened while you hold the loop/, "what a hold means for others");
    const walker = await open(at(`${turn}?lang=en`));
    await waitForLink(walker);
    await teacher.click("#hold");
    await holds(walker, ".class-pace", /The teacher holds the loop/);
    await walker.check("#question-held-kernel");
    await holds(walker, "#question-held .stage", /this page cannot connect. It goes on when the loop does/);
    await holds(ada, ".class-pace", /The teacher holds the loop/);
    await holds(bo, ".class-pace", /老师暂停了循环/);
    await holds(teacher, "#pace", /on hold, and has turned 0 times/);
    await ada.check("#question-same-same");
    await ada.click("#same-send");
    match(await ada.textContent("#question-same .problem"), /The teacher holds the loop now, and experiments pause/, "why nothing happens");
    equal(/Ada expects: The same/.test(await teacher.textContent("#news")), false, "what waits is not seen");
    await picture(bo, "learn-class-held");
    await teacher.focus("#step");
    await teacher.keyboard.press("Enter");
    await holds(teacher, "#pace", /turned 1 time /);
    await holds(ada, ".class-pace", /turned 1 time /);
    await holds(teacher, "#news", /Ada expects/);
    await teacher.click("#free");
    await ada.waitForFunction(() => document.querySelector(".class-pace").textContent === "");
    equal(await ada.textContent("#question-same .problem"), "", "what was said during the hold");
    await ada.click("#same-send");
    await ada.waitForSelector("#question-same .verdict:visible");
    // This page is on the server's host and has not joined: it may hold the loop itself.
    await walker.click("#held-send");
    await walker.waitForSelector("#question-held .verdict:visible");
    equal(await walker.textContent("#question-held .problem"), "", "what was said during the hold");
    silent(walker);
    await walker.context().close();
  });

  await check("a learner may not teach from another name, goes, and comes back as the same", async () => {
    await bo.reload();
    await bo.waitForSelector("#class-form", { state: "hidden" });
    await teacher.waitForFunction(() => document.querySelectorAll('#learners [data-here="true"]').length === 2);
    await ada.context().close();
    await holds(teacher, "#learners", /Ada.*has left/);
  });

  await check("nothing overflows, and axe-core finds nothing", async () => {
    for (const [page, what] of [[teacher, "the teacher's page"], [bo, "a learner's page"]]) {
      equal((await tooWide(page)).join(", "), "", what);
      await accessible(page, what);
      await tabOrder(page);
      silent(page);
    }
    await picture(teacher, "learn-class-1280");
    const phone = await open(at("/learn/class?lang=zh"), { colorScheme: "dark", viewport: { width: 390, height: 844 }, hasTouch: true });
    await phone.waitForSelector("#room:visible");
    equal((await tooWide(phone)).join(", "), "", "the teacher's phone");
    await accessible(phone, "the teacher's phone");
    await picture(phone, "learn-class-390");
    silent(phone);
  });

  await check("without a class, the pages say so", async () => {
    const plain = await serve({ args: ["--teach"] });
    const page = await open(new URL("/learn/class", plain.url).href);
    await page.waitForSelector("#off:visible");
    match(await page.textContent("#off"), /--classroom/, "how to start one");
    await page.goto(new URL(mask, plain.url).href);
    await waitForLink(page);
    equal(await page.locator("#class-form").count(), 0, "forms");
    silent(page);
    await plain.stop();
  });

  await server.stop();
});
