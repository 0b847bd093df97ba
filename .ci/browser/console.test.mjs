// The console: a WebSocket by hand, what went over the wire, bit by bit, and its export, as tshark
// reads it.

import { execFileSync } from "node:child_process";
import { SERVER_IS_AWAY, check, equal, keyboard, look, match, open, serve, silent, suite, waitForLink } from "./kit.mjs";

let server;
const socketUrl = (path) => new URL(path, server.url).href.replace(/^http/, "ws");

await suite(async () => {
  server = await serve();
  const page = await openConsole();

  await check("it connects by itself: readyState goes from 0 to 1", async () => {
    equal(page.requests.filter((url) => !url.startsWith(server.url)).join(" "), "", "requests to others");
    const states = await page.evaluate(() => window.seenStates);
    equal(states.slice(-2).join(", "), "0 CONNECTING, 1 OPEN", "readyState over time");
    equal(await page.inputValue("#url"), socketUrl("/echo"), "URL field");
    equal(await page.textContent("#protocol"), "", "protocol");
    await line(page, "open", socketUrl("/echo"));
  });

  await check("the wire shows the handshake as it was", async () => {
    const [request, response] = await steps(page, 2);
    const text = await inside(page, request, "pre", (node) => node.textContent);
    const lines = text.trimEnd().split("\n");
    match(lines[0], /^GET \/echo\?wire=[0-9a-f]{32}\.1&plain HTTP\/1\.1$/, "request line");
    equal(lines.find((header) => header.startsWith("Host:")), `Host: ${new URL(server.url).host}`, "Host");
    equal(lines.filter((header) => /^Upgrade: websocket$/.test(header)).length, 1, "Upgrade headers");
    const key = lines.find((header) => header.startsWith("Sec-WebSocket-Key:")).slice(19);
    const { createHash } = await import("node:crypto");
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const answer = await inside(page, response, "pre", (node) => node.textContent);
    match(answer, /^HTTP\/1\.1 101 Switching Protocols\n/, "status line");
    equal(answer.includes(`Sec-WebSocket-Accept: ${accept}\n`), true, `Sec-WebSocket-Accept in ${answer}`);
    equal(await page.locator('#wire [data-kind="tls"]').count(), 0, "lines about TLS");
  });

  await check("text with multi-byte characters comes back", async () => {
    const text = "Zürich, Γειά, 世界, 👩‍🚀, \u{10ffff}";
    await page.fill("#text", text);
    await page.click("#send");
    const echo = await line(page, "message", text);
    match(echo.meta, new RegExp(`^text, ${Buffer.byteLength(text)} bytes`), "size of the echo");
    match(echo.meta, /round trip (under )?[\d.]+ ms/, "round-trip time");
  });

  await check("the wire shows the right bits of a short text, masked and unmasked", async () => {
    await page.fill("#text", "Hello");
    await page.click("#send");
    await line(page, "message", "Hello");
    const [asked, echoed] = await frames(page, 2, (pair) => pair.every(({ node }) => node.dataset.length === "5"));
    equal(asked.bits, "FIN 1|RSV1–3 000|opcode 0001|MASK 1|payload length 0000101", "header of what the browser sent");
    equal(echoed.bits, "FIN 1|RSV1–3 000|opcode 0001|MASK 0|payload length 0000101", "header of what the server sent");
    equal(asked.rows.unmasked, "48 65 6c 6c 6f", "unmasked");
    equal(asked.rows.text, "H e l l o", "text");
    equal(unmask(asked.rows["on the wire"], asked.key), "48 65 6c 6c 6f", "on the wire, with the key");
    equal(asked.rows["XOR key"].slice(0, 11), asked.key, "key beside the payload");
    equal(echoed.rows.payload, "48 65 6c 6c 6f", "payload of the echo");
    equal(`${asked.size}, ${echoed.size}`, "11 bytes, 7 bytes", "sizes with the header");
  });

  await check("lengths of 16 and 64 bits", async () => {
    for (const [length, bits, extended] of [
      [125, "1111101", ""], [126, "1111110", "00 7e"], [300, "1111110", "01 2c"], [65_536, "1111111", "00 00 00 00 00 01 00 00"],
    ]) {
      await page.fill("#text", "x".repeat(length));
      await page.click("#send");
      const [asked, echoed] = await frames(page, 2, (pair) => pair.every(({ node }) => node.dataset.length === String(length)));
      for (const frame of [asked, echoed]) {
        match(frame.bits, new RegExp(`payload length ${bits}`), `7 bits for ${length}`);
        equal(frame.extended, extended, `extended length for ${length}`);
      }
    }
  });

  await check("a ping from the server, and the browser's pong", async () => {
    await page.fill("#ping-text", "é?");
    await page.click("#ping");
    const [ping, pong] = await frames(page, 2, ([one, other]) => one.node.dataset.opcode === "9" && other.node.dataset.opcode === "10");
    match(ping.bits, /opcode 1001\|MASK 0\|payload length 0000011/, "ping");
    match(pong.bits, /opcode 1010\|MASK 1\|payload length 0000011/, "pong");
    equal(`${ping.rows.payload}, ${pong.rows.unmasked}`, "c3 a9 3f, c3 a9 3f", "payloads");
    equal(pong.rows.text, "é · ?", "text");
    await page.fill("#ping-text", "x".repeat(126));
    await page.click("#ping");
    match(await page.textContent("#ping-problem"), /125/, "what the page says of a long one");
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

  await check("the export dissects as WebSocket, all of it", async () => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
    match(download.suggestedFilename(), /^lariat-console-[\d-]+T[\d-]+\.pcapng$/, "name of the file");
    const path = await download.path();
    const tshark = (filter, ...fields) => execFileSync("tshark",
      ["-n", "-r", path, "-o", "tcp.check_checksum:TRUE", "-Y", filter, "-T", "fields", ...fields.flatMap((name) => ["-e", name])],
      { encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "ignore"] }).trimEnd().split("\n");
    equal(tshark("_ws.malformed or tcp.analysis.flags or _ws.expert.severity >= 6291456 or tcp.checksum.status == 0", "frame.number", "_ws.expert.message").join(), "", "what is wrong");
    const frames = tshark("websocket and tcp.stream == 0", "ip.src", "websocket.opcode", "websocket.mask", "websocket.payload_length_ext_64", "text", "websocket.payload.close.status_code", "websocket.payload.close.reason")
      .map((row) => row.split("\t"));
    equal(frames.length > 600, true, `three hundred messages and their echoes: ${frames.length} frames`);
    equal(frames.every(([source, , mask]) => (source === "192.0.2.1") === (mask === "1")), true, "frames of the browser are masked, and no others");
    // Longer than an IPv4 packet. The browser may send the file in several frames, but the server
    // does not.
    const large = frames.filter((frame) => frame[3]).map(([source, , , length]) => `${source} ${length}`);
    equal(large.some((frame) => frame.startsWith("192.0.2.1 ")) && large.includes("192.0.2.2 200000"), true, `large frames: ${large}`);
    equal(frames.filter(([, opcode, , , text]) => opcode === "1" && text.endsWith("Hello")).length, 2, "frames with Hello");
    equal(frames.slice(-2).map(([source, opcode, , , , code, reason]) => `${source} ${opcode} ${code} ${reason}`).join(),
      "192.0.2.1 8 1000 genug für heute,192.0.2.2 8 1000 genug für heute", "the closing handshake");
    equal(tshark("http", "http.request.method", "http.response.code").slice(0, 2).join(), "GET\t,\t101", "the opening handshake");
  });

  await check("a broadcast reaches two browser contexts", async () => {
    const other = await openConsole();
    for (const one of [page, other]) {
      await one.click("#endpoint-broadcast");
      await one.waitForFunction((url) => document.getElementById("status").textContent.endsWith(`is open: ${url}`), socketUrl("/broadcast"));
    }
    for (const [from, text] of [[page, `to all ${Math.random()} 世界`], [other, `and back ${Math.random()}`]]) {
      await from.fill("#text", text);
      await from.click("#send");
      await line(page, "message", text);
      await line(other, "message", text);
    }
    await other.click("#close");
    await waitForState(other, "3 CLOSED");
    silent(other);
    await other.context().close();
  });

  await check("the console was silent", async () => silent(page));

  await check("declined subprotocols: protocol stays '', and the page says why it is closed", async () => {
    // A browser must fail a connection whose subprotocols were all declined, and it says so on the
    // console.
    const one = await openConsole();
    await waitForState(one, "1 OPEN");
    await one.fill("#subprotocols", "lariat-has-no-such-subprotocol, nor-this");
    await one.click("#connect");
    await waitForState(one, "3 CLOSED");
    equal(await one.textContent("#protocol"), "", "protocol");
    await line(one, "close", 'code 1006, reason "", wasClean false');
    match(await one.textContent("#status"), /did not open.*subprotocols/, "status");
    equal(one.complaints.length, 1, `number of console messages (${one.complaints.join("; ")})`);
    match(one.complaints[0], /Sec-WebSocket-Protocol|subprotocol/i, "console message");
    await one.fill("#subprotocols", "");
    await one.click("#connect");
    await waitForState(one, "1 OPEN");
    equal(one.complaints.length, 1, "number of console messages after the page recovered");
    await one.context().close();
  });

  await check("every control has a name, and the keyboard reaches it with a visible focus", async () => {
    const one = await openConsole();
    await keyboard(one, ["endpoint-echo", "endpoint-broadcast", "url", "subprotocols", "compress", "connect", "text", "send", "hex",
      "send-binary", "file", "send-file", "ping-text", "ping", "code", "reason", "close", "clear", "log", "export", "wire-clear", "wire"]);
    silent(one);
    await one.context().close();
  });

  await check("without JavaScript the page says what it needs", async () => {
    const plain = await open(new URL("/console", server.url).href, { javaScriptEnabled: false });
    match(await plain.locator("noscript").innerText(), /needs JavaScript[^]*\/echo[^]*\/broadcast/, "text");
    await plain.context().close();
  });

  await check("compressed messages: RSV1, and what they say", async () => {
    const one = await openConsole();
    await one.check("#compress");
    await one.click("#connect");
    await waitForState(one, "1 OPEN");
    match(await one.textContent("#extensions"), /^permessage-deflate/, "extensions");
    const text = "again and again and again and again and again";
    await one.fill("#text", text);
    await one.click("#send");
    await line(one, "message", text);
    const [asked] = await frames(one, 2, (pair) => pair.every(({ node }) => node.dataset.opcode === "1"));
    match(asked.bits, /^FIN 1\|RSV1–3 100\|opcode 0001/, "header");
    // A Close of the connection before may stand open, too.
    await one.waitForFunction((text) => [...document.querySelectorAll("#wire details[open]")]
      .some((node) => node.textContent.includes(`Its content is ${JSON.stringify(text)}`)), text);
    silent(one);
    await one.context().close();
  });

  await check("when the server restarts, the page says so; Reconnect opens again, and the wire is told", async () => {
    const own = await serve();
    const one = await open(new URL("/console", own.url).href);
    await waitForState(one, "1 OPEN");
    await own.stop();
    await waitForState(one, "3 CLOSED");
    await line(one, "close", 'code 1001, reason "", wasClean true');
    match(await one.textContent("#link"), /Connection lost/, "status");
    const again = await serve({ port: own.port });
    await waitForLink(one);
    await one.click("#connect");
    await waitForState(one, "1 OPEN");
    await one.fill("#text", "again");
    await one.click("#send");
    await line(one, "message", "again");
    await frames(one, 2);
    silent(one, SERVER_IS_AWAY);
    await one.context().close();
    await again.stop();
  });

  await check("the same over [::1]", async () => {
    const six = await serve({ host: "[::1]" });
    const other = await open(new URL("/console", six.url).href);
    await waitForState(other, "1 OPEN");
    await other.fill("#text", "over six");
    await other.click("#send");
    await line(other, "message", "over six");
    const [asked] = await frames(other, 2);
    equal(asked.rows.text, "o v e r s i x", "text on the wire");
    silent(other);
    await other.context().close();
    await six.stop();
  });

  await look(new URL("/console", server.url).href, async (shown) => {
    await waitForState(shown, "1 OPEN");
    for (const text of ["Hello! Grüße, 5 €", `${"one-long-word-".repeat(8)} <b>no markup</b>`]) {
      await shown.fill("#text", text);
      await shown.click("#send");
      await line(shown, "message", text);
    }
    await shown.fill("#hex", "4c 61 72 00 ff");
    await shown.click("#send-binary");
    await line(shown, "message", "4c 61 72 00 ff");
    await shown.fill("#text", "Hello! Grüße!");
    await shown.click("#send");
    await line(shown, "message", "Hello! Grüße!");
    await frames(shown, 2);
  });
  await server.stop();
});

/** A console that has connected. */
async function openConsole() {
  const page = await open(new URL("/console", server.url).href, {}, () => {
    window.seenStates = [];
    new MutationObserver(() => {
      const state = document.getElementById("ready-state")?.textContent;
      if (state && state !== window.seenStates.at(-1)) window.seenStates.push(state);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await waitForState(page, "1 OPEN");
  return page;
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

/** The first `count` steps of the wire, as handles. */
async function steps(page, count) {
  await page.waitForFunction((count) => document.querySelectorAll("#wire details").length >= count, count);
  return (await page.$$("#wire details")).slice(0, count);
}

/** Opens a step and looks for something inside. */
async function inside(page, step, selector, read) {
  await step.evaluate((node) => { node.open = true; });
  await page.waitForFunction(([node, selector]) => node.querySelector(selector), [step, selector]);
  return step.$eval(selector, read);
}

/**
 * The last frames of the wire, taken apart, once they fit: by default, once they are an answered
 * message.
 */
async function frames(page, count, fit = ([asked, echoed]) => asked.node.dataset.side === "peer" && echoed.node.dataset.side === "us"
  && asked.node.dataset.opcode < "8" && asked.size !== echoed.size) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = await page.evaluate(async (count) => {
      const nodes = [...document.querySelectorAll("#wire details[data-opcode]")].slice(-count);
      for (const node of nodes) node.open = true;
      await new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); });
      return nodes.map((node) => {
        const labelled = (field) => field.querySelector("span").textContent;
        const cells = (field, between) => [...field.querySelectorAll("i")].map((cell) => cell.textContent).join(between);
        const fields = [...node.querySelectorAll(".field")];
        const rows = {};
        for (const row of node.querySelectorAll(".payload tr")) {
          const label = row.querySelector("th").textContent;
          const text = [...row.querySelectorAll("td")].map((cell) => cell.textContent.trim()).filter(Boolean).join(" ");
          rows[label] = rows[label] ? `${rows[label]} ${text}` : text;
        }
        return {
          node: { dataset: { ...node.dataset } },
          size: node.querySelector(".size").textContent,
          bits: fields.filter((field) => !field.classList.contains("all")).map((field) => `${labelled(field)} ${cells(field, "")}`).join("|"),
          extended: fields.filter((field) => field.classList.contains("all") && field.classList.contains("length")).map((field) => cells(field, " ")).join(),
          key: fields.filter((field) => field.classList.contains("key")).map((field) => cells(field, " ")).join(),
          rows,
        };
      });
    }, count);
    if (found.length === count && fit(found)) return found;
    if (Date.now() > deadline) throw new Error(`not the frames that should be there: ${JSON.stringify(found)}`);
  }
}

function unmask(wire, key) {
  const [bytes, keys] = [wire, key].map((digits) => digits.split(" ").map((pair) => parseInt(pair, 16)));
  return bytes.map((byte, at) => (byte ^ keys[at % 4]).toString(16).padStart(2, "0")).join(" ");
}
