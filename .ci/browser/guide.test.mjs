// The guide: its chapters and pictures, the search by mouse and keyboard, both languages, print.

import { check, equal, keyboard, look, match, open, serve, silent, suite } from "./kit.mjs";

await suite(async () => {
  const server = await serve();
  const at = (path) => new URL(path, server.url).href;
  const results = (page) => page.$$eval(".found a", (links) => links.map((link) => link.getAttribute("href")));

  /** Types words into the search and waits for what it says. */
  async function search(page, words, said) {
    await page.fill("#guide-words", words);
    await page.waitForFunction((said) => new RegExp(said).test(document.getElementById("guide-count").textContent), said);
  }

  await check("one reads from the contents through all chapters, and nothing is missing", async () => {
    const page = await open(at("/guide"));
    const chapters = await page.$$eval(".chapters li a", (links) => links.map((link) => link.getAttribute("href")));
    equal(chapters.length, 15, "chapters");
    for (const path of chapters) {
      await page.click('.neighbours a[rel="next"]');
      await page.waitForURL(at(path));
      equal(page.url(), at(path), "the next chapter");
      equal(await page.getAttribute(".chapters [aria-current]", "href"), path, "the marked chapter");
      // A picture that is drawn has a size, and a name for those who do not see it.
      const pictures = await page.$$eval("figure svg", (nodes) => nodes.map((node) => {
        const { width, height } = node.getBoundingClientRect();
        return width > 200 && height > 50 && node.getBBox().width > 200 && node.getAttribute("aria-label").length > 40;
      }));
      equal(pictures.length > 0 && pictures.every(Boolean), true, `the pictures of ${path}`);
      match(await page.textContent(".text"), /Exercises/, `the exercises of ${path}`);
    }
    equal(await page.locator('.neighbours a[rel="next"]').count(), 0, "links after the last chapter");
    await page.click('.neighbours a[rel="prev"]');
    await page.waitForURL(at(chapters.at(-2)));
    equal(page.requests.filter((url) => !url.startsWith(server.url)).join(" "), "", "requests to others");
    equal(page.requests.some((url) => url.includes("search.")), false, "whether texts are loaded before somebody searches");
    silent(page);
    await page.context().close();
  });

  await check("a heading has a link, and the link leads to it", async () => {
    const page = await open(at("/guide/ch03_frames"));
    await page.click('.sections a[href="#why-clients-mask"]');
    const top = () => page.evaluate(() => Math.round(document.getElementById("why-clients-mask").getBoundingClientRect().top));
    await page.waitForFunction(() => location.hash === "#why-clients-mask");
    equal(await top() >= 0 && await top() < 100, true, "whether the section is at the top");
    await page.focus("#why-clients-mask .anchor");
    equal(await page.evaluate(() => getComputedStyle(document.activeElement).opacity), "1", "opacity of a link with the focus");
    match(await page.getAttribute("#why-clients-mask .anchor", "aria-label"), /Why clients mask/, "its name");
    await page.context().close();
  });

  await check("code has colours and no hidden lines, and links lead to chapters", async () => {
    const page = await open(at("/guide/ch04_messages"));
    const code = await page.locator("pre").first().innerText();
    match(code, /^use lariat::protocol::\{Header, Limits, Opcode\};/, "the first line that is not hidden");
    equal(/^# /m.test(code), false, "whether a hidden line is shown");
    const colour = (selector) => page.locator(selector).first().evaluate((node) => getComputedStyle(node).color);
    equal(await colour("pre .k") === await colour("pre code"), false, "whether a keyword looks like other code");
    await page.click('.text a[href="/guide/ch02_opening_handshake"]');
    await page.waitForURL(at("/guide/ch02_opening_handshake"));
    await page.context().close();
  });

  await check("the search finds words in all chapters, with their context", async () => {
    const page = await open(at("/guide/ch01_purpose"));
    await search(page, "masking key", "section");
    const found = await results(page);
    equal(found.some((path) => path.startsWith("/guide/ch03_frames")), true, `whether chapter 3 is among ${found}`);
    equal(await page.locator(".found mark").first().isVisible(), true, "whether words are marked");
    equal((await page.$$eval(".found mark", (marks) => marks.map((mark) => mark.textContent.toLowerCase())))
      .every((word) => ["masking", "key"].includes(word)), true, "whether only these words are marked");
    await search(page, "SENDERROR::GONE", "section");
    match((await results(page)).join(" "), /ch08_turn/, "what is found in code, in any case");
    await search(page, "no such words here", "No section");
    equal((await results(page)).length, 0, "results");
    await search(page, "<script>alert(1)</script>", "No section");
    await search(page, "backpressure", "section");
    await page.click(".found a");
    await page.waitForURL(/\/guide\/ch10_slow_readers/);
    silent(page);
    await page.context().close();
  });

  await check("the keyboard suffices for the search", async () => {
    const page = await open(at("/guide/ch03_frames"));
    await page.keyboard.press("/");
    equal(await page.evaluate(() => document.activeElement.id), "guide-words", "the focus after a slash");
    await page.keyboard.type("timing wheel");
    await page.waitForFunction(() => document.querySelectorAll(".found a").length > 1);
    const focus = () => page.evaluate(() => {
      const links = [...document.querySelectorAll(".found a")];
      return document.activeElement.id || links.indexOf(document.activeElement);
    });
    await page.keyboard.press("ArrowDown");
    equal(await focus(), 0, "after one step down");
    await page.keyboard.press("ArrowDown");
    equal(await focus(), 1, "after two");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowUp");
    equal(await focus(), "guide-words", "back in the field");
    await page.keyboard.press("Escape");
    equal(await page.inputValue("#guide-words"), "", "the words after Escape");
    equal((await results(page)).length, 0, "results after Escape");
    await page.keyboard.type("a/b");
    equal(await page.inputValue("#guide-words"), "a/b", "a slash in the field is a slash");
    await search(page, "timing wheel", "section");
    const [first] = await results(page);
    await page.keyboard.press("Enter");
    await page.waitForURL(at(first));
    silent(page);
    await page.context().close();
  });

  await check("a result in the same page closes the list and shows the section", async () => {
    const page = await open(at("/guide/ch03_frames"));
    await search(page, "vector instructions", "1 section");
    await page.click(".found a");
    await page.waitForFunction(() => location.hash === "#why-clients-mask" && !document.querySelector(".found a"));
    await page.context().close();
  });

  await check("Tab goes through the page in a good order", async () => {
    const page = await open(at("/guide"));
    await keyboard(page, ["guide-words"]);
    await page.context().close();
  });

  await check("in Chinese there are Chinese chapters, and the others are marked", async () => {
    const page = await open(at("/guide/ch03_frames#why-clients-mask"), { locale: "zh-CN" });
    match(await page.textContent("h1"), /帧/, "title");
    equal(await page.getAttribute(".text", "lang"), "zh-Hans", "language of the text");
    match(await page.textContent(".note"), /母语读者/, "what is said of the translation");
    match(await page.textContent("#why-clients-mask"), /掩码/, "the same section has the same place");
    await search(page, "掩码", "小节");
    equal((await results(page)).some((path) => path.startsWith("/guide/ch03_frames")), true, "whether Chinese words are found");
    await page.click('.languages [lang="en"]');
    await page.waitForFunction(() => document.documentElement.lang === "en");
    match(page.url(), /ch03_frames.*#why-clients-mask$/, "where the switch leads");
    silent(page);
    await page.context().close();
  });

  await check("without JavaScript everything but the search is there", async () => {
    const page = await open(at("/guide/ch05_closing"), { javaScriptEnabled: false });
    match(await page.locator(".text").innerText(), /The closing handshake/, "text");
    equal(await page.locator("#guide-search").isVisible(), false, "whether the search is shown");
    equal(await page.locator("figure svg").first().isVisible(), true, "whether the picture is shown");
    await page.context().close();
  });

  await check("on paper there is only the chapter", async () => {
    const page = await open(at("/guide/ch03_frames"));
    await page.emulateMedia({ media: "print" });
    for (const selector of [".top", ".chapters", "#guide-search", ".neighbours", ".foot"]) {
      equal(await page.locator(selector).first().isVisible(), false, `whether ${selector} is printed`);
    }
    equal(await page.locator("figure svg").first().isVisible(), true, "whether the picture is printed");
    await page.context().close();
  });

  await check("if the texts cannot be loaded, the search says so, and tries again", async () => {
    const page = await open(at("/guide"));
    await page.route("**/search.en.json", (route) => route.abort());
    await page.fill("#guide-words", "frame");
    await page.waitForFunction(() => /cannot be loaded/.test(document.getElementById("guide-count").textContent));
    await page.unroute("**/search.en.json");
    await search(page, "frames", "section");
    silent(page, /ERR_FAILED/);
    await page.context().close();
  });

  await look(at("/guide"), async (page) => {
    const isEnglish = (await page.evaluate(() => document.documentElement.lang)) === "en";
    await page.fill("#guide-words", isEnglish ? "frame" : "帧");
    await page.waitForFunction(() => document.querySelectorAll(".found a").length > 3);
  }, "-search");
  await look(at("/guide/ch14_tls"), () => {}, "-chapter");
  await server.stop();
});
