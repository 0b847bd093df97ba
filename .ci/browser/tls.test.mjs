// The site over https and wss, with a certificate of `lariat cert`. The browser trusts its CA, and
// no other of this host.

import { spawnSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, equal, match, open, serve, silent, suite, waitForLink } from "./kit.mjs";

const folder = mkdtempSync(join(tmpdir(), "lariat-certificates-"));
const file = (name) => join(folder, name);
equal(spawnSync(process.argv[2], ["cert", "--dir", folder]).status, 0, "lariat cert");
const ca = new X509Certificate(readFileSync(file("lariat-ca.pem")));
const key = createHash("sha256").update(ca.publicKey.export({ type: "spki", format: "der" })).digest("base64");

await suite(async () => {
  const server = await serve({ args: ["--tls-cert", file("lariat-cert.pem"), "--tls-key", file("lariat-key.pem")] });
  match(server.url, /^https:/, "the address to open");

  for (const path of ["/", "/console", "/chat", "/editor", "/arena", "/ticker", "/loop"]) {
    await check(`${path} works over https and wss`, async () => {
      const page = await open(new URL(path, server.url).href);
      equal(page.response.status(), 200, "status");
      equal(await page.evaluate(() => window.isSecureContext), true, "a secure context");
      const { protocol, issuer } = await page.response.securityDetails();
      equal(protocol, "TLS 1.3", "version");
      match(issuer, /^Lariat development CA/, "issuer");
      if (!["/", "/console"].includes(path)) await waitForLink(page);
      silent(page);
      await page.context().close();
    });
  }

  // An address is no server name.
  const named = server.url.replace("127.0.0.1", "localhost");
  const agreed = (name) => new RegExp(`^TLS 1\\.3, TLS13_[A-Z0-9_]+, (full handshake|resumed session), ${name}$`);

  await check("the console shows what was agreed for each connection, before its request", async () => {
    const page = await open(new URL("/console", named).href);
    for (const number of [1, 2]) {
      if (number > 1) await page.click("#connect");
      await page.waitForFunction((number) => document.querySelector(`#wire [data-connection="${number}"]`), number);
      const lines = await page.$$eval("#wire > *", (nodes) => nodes.map((node) => node.textContent));
      const at = lines.findIndex((line) => line.startsWith(`#${number} TLS`));
      match(lines[at]?.slice(3), agreed("server name localhost"), "the line about TLS");
      match(lines[at + 1], /browserGET \/echo\?wire=/, "the line behind it");
    }
    equal(await page.locator('#wire [data-kind="tls"]').count(), 2, "lines about TLS");
    silent(page);
    await page.context().close();
  });

  await check("the loop shows what was agreed for the connection that it follows", async () => {
    const [page, other] = [await open(new URL("/loop", server.url).href), await open(new URL("/chat", server.url).href)];
    await Promise.all([page, other].map(waitForLink));
    // The pages were loaded over connections that have slots as well.
    const follows = async () => {
      for (let slot = 0; slot < 30; slot++) {
        await page.fill("#slot", String(slot));
        await page.click("#follow");
        await page.waitForFunction((slot) => document.getElementById("follow-problem").textContent
          || document.getElementById("story-of").textContent.startsWith(`${slot}.`), slot);
        if (/ on \/chat/.test(await page.textContent("#story-of"))) return;
      }
      throw new Error("no slot is that of the chat");
    };
    await follows();
    await page.waitForFunction(() => document.getElementById("story-tls").textContent);
    match(await page.textContent("#story-tls"), agreed("no server name"), "the line about TLS");
    await page.click("#unfollow");
    equal(await page.textContent("#story-tls"), "", "the line about TLS, when none is chosen");
    [page, other].forEach((page) => silent(page));
    await Promise.all([page, other].map((page) => page.context().close()));
  });

  await check("a page talks over wss", async () => {
    const page = await open(server.url);
    const echoes = await page.evaluate(async (url) => {
      const socket = new WebSocket(url);
      socket.binaryType = "arraybuffer";
      await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; });
      const sizes = [];
      for (const size of [0, 1, 16_384, 16_385, 1_000_000]) {
        const answer = new Promise((resolve) => { socket.onmessage = resolve; });
        socket.send(new Uint8Array(size));
        sizes.push((await answer).data.byteLength);
      }
      const closed = new Promise((resolve) => { socket.onclose = resolve; });
      socket.close(1000);
      const { code, wasClean } = await closed;
      return [...sizes, code, wasClean];
    }, new URL("/echo", server.url.replace("https:", "wss:")).href);
    equal(echoes.join(), "0,1,16384,16385,1000000,1000,true", "echoes and the end");
    silent(page);
  });

  await server.stop();
  rmSync(folder, { recursive: true });
}, [`--ignore-certificate-errors-spki-list=${key}`]);
