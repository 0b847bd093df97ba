// The languages of the pages: chosen by the browser, by the switch and by its cookie, and kept over
// pages.

import { check, equal, match, open, serve, silent, suite, waitForLink } from "./kit.mjs";

await suite(async () => {
  const server = await serve();
  const at = (path) => new URL(path, server.url).href;
  const language = (page) => page.evaluate(() => document.documentElement.lang);
  const paths = await fetch(server.url).then((response) => response.text())
    .then((html) => ["/", ...[...html.matchAll(/<a class="card app" href="([^"]*)"/g)].map(([, path]) => path)]);

  await check("the browser says which language its user reads", async () => {
    for (const [locale, wanted] of [["zh-CN", "zh-Hans"], ["zh-TW", "zh-Hans"], ["de-DE", "en"], ["en-GB", "en"]]) {
      const page = await open(server.url, { locale });
      equal(await language(page), wanted, locale);
      equal(await page.getAttribute(".languages [aria-current]", "lang"), wanted, `what the switch marks for ${locale}`);
      await page.context().close();
    }
  });

  await check("the switch keeps path, query and fragment, and all pages stay in that language", async () => {
    const page = await open(at("/ticker?some=thing"));
    await page.evaluate(() => { location.hash = "place"; });
    await page.click('.languages [lang="zh-Hans"]');
    await page.waitForFunction(() => document.documentElement.lang === "zh-Hans");
    equal(page.url(), at("/ticker?some=thing&lang=zh#place"), "where the switch leads");
    await waitForLink(page);
    equal(await page.textContent("#link"), "已连接", "a text from a script");
    for (const path of paths) {
      await page.goto(at(path));
      equal(await language(page), "zh-Hans", path);
      match(await page.textContent(".foot"), /审校/, `the footer of ${path}`);
    }
    const [cookie] = await page.context().cookies();
    equal(`${cookie.name}=${cookie.value} ${cookie.path} ${cookie.sameSite}`, "lang=zh / Lax", "cookie");
    await page.goto(at("/chat"));
    await page.focus('.languages [lang="en"]');
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.documentElement.lang === "en");
    await waitForLink(page);
    equal(await page.textContent("#link"), "Connected", "a text from a script");
    await page.goto(server.url);
    equal(await language(page), "en", "the next page");
    equal(await page.locator(".foot p:visible").count(), 1, "paragraphs of the footer");
    silent(page);
    await page.context().close();
  });

  await check("without JavaScript the switch works as well", async () => {
    const page = await open(at("/chat"), { javaScriptEnabled: false });
    await page.click('.languages [lang="zh-Hans"]');
    await page.waitForURL(at("/chat?lang=zh"));
    equal(await page.locator("html").getAttribute("lang"), "zh-Hans", "language");
    await page.context().close();
  });

  await check("a link chooses the language, also against the cookie and the browser", async () => {
    const page = await open(at("/?lang=zh"), { locale: "en-US" });
    equal(await language(page), "zh-Hans", "by the link");
    await page.goto(at("/loop?lang=en"));
    equal(await language(page), "en", "by another link");
    await page.context().close();
  });

  await server.stop();
});
