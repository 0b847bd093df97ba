// The index: what is there, how many are there now, and the same over [::1].

import { SERVER_IS_AWAY, check, equal, look, match, open, serve, silent, suite, waitForLink } from "./kit.mjs";

await suite(async () => {
  const server = await serve();
  const page = await open(server.url);

  await check("the page asks for nothing but this server's own", async () => {
    await waitForLink(page);
    equal(page.response.status(), 200, "status");
    match(page.response.headers()["content-type"], /^text\/html/, "Content-Type");
    match(await page.title(), /Lariat/, "title");
    equal(page.requests.filter((url) => !url.startsWith(server.url)).join(" "), "", "requests to others");
  });

  await check("each app has its card, its place in the navigation and a page", async () => {
    const cards = await page.$$eval(".app", (nodes) => nodes.map((node) => node.getAttribute("href")));
    const links = await page.$$eval(".apps-nav a", (nodes) => nodes.map((node) => node.getAttribute("href")));
    equal(cards.join(" "), links.join(" "), "cards and links");
    for (const path of cards) {
      const response = await fetch(new URL(path, server.url));
      equal(response.status, 200, path);
      match(response.headers.get("content-security-policy"), /default-src 'none'; script-src 'self'/, `policy of ${path}`);
    }
  });

  await check("who comes and goes is counted, live", async () => {
    const shown = (text) => page.waitForFunction((text) => document.querySelector('.own [data-count="/echo"]').textContent === text, text);
    await shown("nobody yet");
    await page.evaluate(() => { window.sockets = [1, 2, 3].map(() => new WebSocket("/echo")); });
    await shown("3 here now");
    await page.evaluate(() => window.sockets.forEach((socket) => socket.close()));
    await shown("nobody yet");
  });

  await check("what has not changed is not sent again", async () => {
    const url = new URL("/assets/style.css", server.url);
    const first = await fetch(url);
    const again = await fetch(url, { headers: { "If-None-Match": first.headers.get("etag") } });
    equal(`${first.status} ${again.status} ${(await again.text()).length}`, "200 304 0", "statuses and the second body's length");
    equal(first.headers.get("content-encoding"), "gzip", "coding");
  });

  await check("a page from elsewhere gets no socket here but at /echo", async () => {
    const asks = async (path, origin) => (await upgrade(server.url, path, origin)).split(" ")[1];
    equal(await asks("/", "http://elsewhere.test"), "403", "/ from elsewhere");
    equal(await asks("/console", "null"), "403", "/console from nowhere");
    equal(await asks("/", new URL(server.url).origin), "101", "/ from here");
    equal(await asks("/echo", "http://elsewhere.test"), "101", "/echo from elsewhere");
    equal(await asks("/"), "101", "/ from a program");
  });

  await check("when the server restarts, the page says so and comes back by itself", async () => {
    await server.kill();
    await page.waitForFunction(() => /Connection lost/.test(document.getElementById("link").textContent));
    await page.focus("#link button");
    const again = await serve({ port: server.port });
    await waitForLink(page);
    equal(await page.textContent("#link"), "Connected", "status");
    equal(await page.evaluate(() => document.activeElement.id), "link", "what has the focus that the button had");
    silent(page, SERVER_IS_AWAY);
    await page.context().close();
    await again.stop();
  });

  await check("the same over [::1] and localhost", async () => {
    const six = await serve({ host: "[::1]" });
    for (const url of [six.url, six.url.replace("[::1]", "localhost")]) {
      const other = await open(url);
      await waitForLink(other);
      await other.waitForFunction(() => document.querySelector(".count").textContent === "nobody yet");
      silent(other);
      await other.context().close();
    }
    await six.stop();
  });

  const last = await serve();
  await check("without JavaScript the page still tells what is here", async () => {
    const plain = await open(last.url, { javaScriptEnabled: false });
    match(await plain.locator("main").innerText(), /Console[^]*\/echo[^]*\/broadcast[^]*curl/, "text");
    await plain.context().close();
  });
  await look(last.url, waitForLink);
  await last.stop();
});

/** The first line of the answer to an upgrade from a page with this origin. */
async function upgrade(base, path, origin) {
  const { connect } = await import("node:net");
  const { hostname, port, host } = new URL(base);
  return new Promise((resolve, reject) => {
    const stream = connect(Number(port), hostname, () => {
      stream.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
        + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${origin ? `Origin: ${origin}\r\n` : ""}\r\n`);
    });
    stream.once("data", (bytes) => { resolve(bytes.toString("latin1").split("\r\n")[0]); stream.destroy(); });
    stream.once("error", reject);
  });
}
