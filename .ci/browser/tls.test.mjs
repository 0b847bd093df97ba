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
