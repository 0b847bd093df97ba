// Lessons 1 to 5, about bytes on the wire: right and wrong predictions, by keyboard and by touch,
// in both languages.

import {
  accessible, check, equal, match, open, picture, serve, silent, suite, tabOrder, tooWide, tooWideAnywhere, waitForLink,
} from "./kit.mjs";

/**
 * The questions of each lesson: their choices, what really happens, and what the reader does. That
 * gets the ways of a reader: `press` a button, `write` into a field, `tick` a box.
 */
const LESSONS = [
  ["handshake", [
    ["version", ["101", "400", "426"], "426", async ({ write, press }) => {
      await write("#version-Sec-WebSocket-Version", "12");
      await press("#version-send");
    }],
    ["key", ["101", "400", "426"], "400", async ({ tick, press }) => {
      await tick("#key-Sec-WebSocket-Key-sent");
      await press("#key-send");
    }],
    ["accept", ["public", "password", "random"], "public", async ({ press, page }) => {
      await press("#accept-ask");
      await page.waitForSelector("#accept-next:visible");
      for (let step = 2; step <= 5; step++) {
        await press("#accept-next");
        await page.waitForSelector(`.accept-steps > li:nth-child(${step})`);
      }
    }],
  ]],
  ["frame", [
    ["reserved", ["echo", "1002", "nothing"], "1002", async ({ press }) => {
      await press('#question-reserved [data-bit="1"]');
      await press("#reserved-send");
    }],
    ["length", ["echo", "1002", "nothing"], "nothing", async ({ press }) => {
      await press('#question-length [data-bit="12"]');
      await press("#length-send");
    }],
    ["encoding", ["echo", "1002", "1007"], "1007", async ({ tick, write, press }) => {
      await tick("#encoding-hex");
      await write("#encoding-payload", "ff");
      await press("#encoding-send");
    }],
  ]],
  ["mask", [
    ["same", ["same", "different"], "different", async ({ press }) => press("#same-send")],
    ["xor", ["48", "37", "7f", "00"], "7f", async ({ press }) => {
      for (const bit of [1, 2, 3, 4, 5, 6, 7]) await press(`#question-xor [data-bit="${bit}"]`);
      await press("#xor-send");
    }],
    ["unmasked", ["echo", "1002", "nothing"], "1002", async ({ press }) => press("#unmasked-send")],
  ]],
  ["fragments", [
    ["ping", ["pong", "echo", "1002"], "pong", async ({ press }) => {
      await press('#question-ping [data-piece="ping"] [data-act="up"]');
      await press("#ping-send");
    }],
    ["second", ["both", "joined", "1002"], "1002", async ({ press }) => {
      await press('#question-second [data-piece="second"] [data-act="up"]');
      await press("#second-send");
    }],
    ["split", ["echo", "1007", "1002"], "echo", async ({ press }) => press("#split-send")],
  ]],
  ["closing", [
    ["first", ["server", "client", "nobody"], "server", async ({ press }) => press("#first-send")],
    ["code", ["1006", "1002", "1000"], "1002", async ({ press }) => {
      await press("#code-1006");
      await press("#code-send");
    }],
    ["lost", ["1000", "1005", "1006"], "1006", async ({ press }) => press("#lost-fin")],
  ]],
];

let server;
const at = (path) => new URL(path, server.url).href;
const choice = (question, name) => `#question-${question}-${name}`;
const verdict = (question) => `#question-${question} .verdict`;

/** A reader with a mouse or a finger. */
const hands = (page) => ({
  page,
  press: (selector) => page.click(selector),
  write: (selector, text) => page.fill(selector, text),
  tick: (selector) => page.click(selector),
  choose: (selector) => page.click(selector),
});

/** A reader with a keyboard. */
function keys(page) {
  const reach = async (selector) => {
    // Which way? Nothing is pressed when it is reached.
    const way = () => page.$eval(selector, (node) => {
      if (node === document.activeElement) return null;
      return document.activeElement.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_PRECEDING ? "Shift+Tab" : "Tab";
    });
    for (let key = await way(), presses = 0; key; key = await way(), presses++) {
      if (presses > 80) throw new Error(`Tab does not reach ${selector}`);
      await page.keyboard.press(key);
    }
    // A radio button shows its focus at the line around it.
    const outlines = await page.$eval(selector, (node) => [node, node.parentElement].map((one) => getComputedStyle(one).outlineStyle));
    equal(outlines.includes("solid"), true, `a visible focus at ${selector}`);
  };
  return {
    page,
    async press(selector) { await reach(selector); await page.keyboard.press("Enter"); },
    async write(selector, text) { await reach(selector); await page.keyboard.press("Control+a"); await page.keyboard.type(text); },
    async tick(selector) { await reach(selector); await page.keyboard.press("Space"); },
    async choose(selector) {
      // Tab reaches a group of radio buttons, and the arrows move inside it.
      const group = await page.$eval(selector, (node) => node.name);
      await reach(`[name="${group}"]`);
      await page.keyboard.press("Space");
      while (!await page.isChecked(selector)) await page.keyboard.press("ArrowDown");
    },
  };
}

async function answer(reader, [question, choices, happens, does], isRight) {
  const { page } = reader;
  equal(await page.locator(`#question-${question} .stage`).count(), 0, `the stage of ${question} is locked`);
  await reader.choose(choice(question, isRight ? happens : choices.find((one) => one !== happens)));
  await page.waitForSelector(`#question-${question} .stage:visible`);
  equal(await page.isVisible(verdict(question)), false, "a verdict before anything has happened");
  await does(reader);
  await page.waitForSelector(`${verdict(question)}:visible`).catch(() => { throw new Error(`no verdict on ${question}`); });
  equal(await page.getAttribute(verdict(question), "data-kind"), isRight ? "right" : "wrong", `verdict on ${question}`);
  equal(await page.getAttribute(`#question-${question} .choice:has(${choice(question, happens)})`, "data-mark"), "happened", "the marked answer");
  equal(await page.textContent("#announcer"), await page.textContent(verdict(question)), "what is announced");
}

await suite(async () => {
  server = await serve();
  const kept = [];

  for (const [number, [lesson, questions]] of LESSONS.entries()) {
    const path = `/learn/${number + 1}`;

    await check(`${lesson}: right predictions, with the keyboard, in English`, async () => {
      const page = await open(at(`${path}?lang=en`), { viewport: { width: 1280, height: 860 } });
      await waitForLink(page);
      await page.focus("main");
      for (const question of questions) await answer(keys(page), question, true);
      await accessible(page, `${lesson} on a wide window`);
      await tabOrder(page);
      // English words are longer than Chinese ones.
      equal(await tooWideAnywhere(page), "", "what is wider than its place");
      await picture(page, `learn-${lesson}-1280-light`);
      silent(page);
      kept.push(await page.evaluate(() => localStorage.getItem("lariat-learn")));
      await page.context().close();
    });

    await check(`${lesson}: wrong predictions, on a phone, in Chinese`, async () => {
      const page = await open(at(`${path}?lang=zh`), {
        viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true, reducedMotion: "reduce",
      });
      await waitForLink(page);
      for (const question of questions) await answer(hands(page), question, false);
      await accessible(page, `${lesson} on a phone`);
      equal(await tooWideAnywhere(page), "", "what is wider than its place");
      match(await page.textContent(verdict(questions[0][0])), /你的预测：/, "the verdict");
      await picture(page, `learn-${lesson}-390-dark`);
      silent(page);
      await page.context().close();
    });

    await check(`${lesson}: the answers are kept`, async () => {
      const page = await open(at(`${path}?lang=zh`), { viewport: { width: 1280, height: 860 } });
      await page.evaluate((answers) => localStorage.setItem("lariat-learn", answers), kept[number]);
      await page.reload();
      for (const [question] of questions) equal(await page.getAttribute(verdict(question), "data-kind"), "right", `the kept verdict on ${question}`);
      equal((await tooWide(page)).join(", "), "", "what is wider than the window");
      await page.setViewportSize({ width: 390, height: 844 });
      equal((await tooWide(page)).join(", "), "", "what is wider than the window of a phone");
      silent(page);
      await page.context().close();
    });
  }

  await check("the sheet marks what has happened", async () => {
    const page = await open(at("/learn/sheet?lang=en"));
    for (const [lesson, questions] of LESSONS) {
      for (const [question, choices, happens] of questions) {
        const asked = page.locator(`[data-lesson="${lesson}"] [data-question="${question}"]`);
        equal(await asked.locator("li.right").getAttribute("data-choice"), happens, `the right choice of ${question}`);
        equal(await asked.locator("[data-choice]").count(), choices.length, `the choices of ${question}`);
      }
    }
    silent(page);
    await page.context().close();
  });

  await check("an experiment that fails says so, and the focus stays where one reads", async () => {
    const page = await open(at("/learn/1?lang=en"));
    await waitForLink(page);
    await page.click(choice("accept", "public"));
    await page.click("#accept-ask");
    await page.waitForSelector("#accept-next:visible");
    for (let step = 2; step <= 5; step++) await page.press("#accept-next", "Enter");
    await page.waitForSelector(`${verdict("accept")}:visible`);
    equal(await page.evaluate(() => document.activeElement.className), "verdict", "where the focus is after the last step");
    await page.click(choice("version", "426"));
    await page.evaluate(() => { TextDecoder.prototype.decode = () => { throw new Error("a mistake"); }; });
    await page.click("#version-send");
    await page.waitForSelector("#question-version .problem:not(:empty)");
    match(await page.textContent("#question-version .problem"), /An error in this page/, "the problem");
    silent(page, /a mistake/);
    await page.context().close();
  });

  await check("the list shows how far one is, and a lesson can begin again", async () => {
    const page = await open(at("/learn?lang=en"));
    equal(await page.textContent('[data-lesson="mask"] .lesson-progress'), "Not begun yet", "before");
    await accessible(page, "the list");
    await tabOrder(page);
    await page.goto(at("/learn/3"));
    await waitForLink(page);
    await accessible(page, "a lesson at the beginning");
    await answer(hands(page), LESSONS[2][1][0], false);
    await answer(hands(page), LESSONS[2][1][2], true);
    await page.click(".lesson-place a");
    await page.waitForURL(at("/learn"));
    equal(await page.textContent('[data-lesson="mask"] .lesson-progress'), "2 of 3 answered, 1 right", "in between");
    await accessible(page, "the list with a meter");
    await page.goto(at("/learn/3"));
    await page.waitForSelector(`${verdict("unmasked")}:visible`);
    await page.click("#again");
    equal(await page.locator(".stage").count(), 0, "stages that are open");
    equal(await page.evaluate(() => document.activeElement.name), "question-same", "where the focus is");
    await page.goto(at("/learn"));
    equal(await page.textContent('[data-lesson="mask"] .lesson-progress'), "Not begun yet", "afterwards");
    silent(page);
    await page.context().close();
  });

  await check("what does not answer the question gives no verdict, and what was kept by others is ignored", async () => {
    const page = await open(at("/learn/1?lang=en"), {}, () => localStorage.setItem("lariat-learn", '{"handshake":{"answers":{"version":{"chosen":"x","happened":7},"key":3}}}'));
    await waitForLink(page);
    equal(await page.locator(".stage").count(), 0, "stages that are open");
    await page.click(choice("version", "426"));
    await page.click("#version-send");
    await page.waitForSelector("#question-version .head:visible");
    match(await page.textContent("#question-version .tries tbody"), /nothing\s*101 Switching Protocols/, "the list of tries");
    equal(await page.isVisible(verdict("version")), false, "a verdict on a good request");
    for (const [name, value, status] of [["Host", null, "400"], ["Upgrade", "h2c", "426"], ["Connection", "close", "400"], ["Sec-WebSocket-Key", "short", "400"]]) {
      const field = `#version-${name}`;
      const good = await page.inputValue(field);
      const change = (to) => (value === null ? page.click(`${field}-sent`) : page.fill(field, to));
      await change(value);
      await page.click("#version-send");
      await page.waitForFunction(([name, status]) => {
        const [changed, answered] = document.querySelectorAll("#question-version .tries td");
        return changed.textContent.includes(name) && answered.textContent.startsWith(status);
      }, [name, status]);
      equal(await page.isVisible(verdict("version")), false, `a verdict without ${name}`);
      await change(good);
    }
    silent(page);
    await page.context().close();
  });

  await check("what else can be tried: bits, pieces, codes and ends", async () => {
    const page = await open(at("/learn/2?lang=en"));
    await waitForLink(page);
    const tried = (question) => page.$$eval(`#question-${question} .tries tbody tr`, (rows) => rows.map((row) => [...row.children].slice(1).map((cell) => cell.textContent).join(" ")));
    const trying = async (question, press, wanted) => {
      const before = (await tried(question)).length;
      for (const selector of press) await page.click(selector);
      await page.waitForFunction(([question, before]) => document.querySelectorAll(`#question-${question} .tries tbody tr`).length > before, [question, before]);
      equal((await tried(question))[0], wanted, `the last try of ${question}`);
    };
    await page.click(choice("reserved", "echo"));
    const bit = (number) => `#question-reserved [data-bit="${number}"]`;
    await trying("reserved", ["#reserved-send"], "sends it back –");
    await trying("reserved", [bit(6), "#reserved-send"], "closes with 1002 5.2");
    await trying("reserved", ["#reserved-reset", bit(8), "#reserved-send"], "closes with 1002 5.1");
    await trying("reserved", ["#reserved-reset", bit(4), bit(0), "#reserved-send"], "closes with 1002 5.5");
    await page.fill("#reserved-key", "37 fa");
    match(await page.textContent("#question-reserved .problem"), /four bytes/, "a short key");
    await page.goto(at("/learn/5"));
    await waitForLink(page);
    await page.click(choice("code", "1000"));
    for (const [code, wanted] of [["1000", "1000 –"], ["1005", "1002 7.4"], ["999", "1002 7.4"], ["3000", "3000 –"], ["4999", "4999 –"]]) {
      await trying("code", [`#code-${code}`, "#code-send"], wanted);
    }
    await trying("code", ["#code-1006", "#code-send"], "1002 7.4");
    match(await page.textContent("#question-code .sequence"), /invalid close code 1006:/, "the server's note");
    await page.fill("#code-number", "");
    await trying("code", ["#code-send"], "no code –");
    await page.fill("#code-number", "1000");
    await page.fill("#code-reason", "ff");
    await trying("code", ["#code-hex", "#code-send"], "1007 8.1");
    await page.fill("#code-number", "70000");
    await page.click("#code-send");
    match(await page.textContent("#question-code .problem"), /65535/, "a code that is too large");
    await page.click(choice("lost", "1000"));
    for (const [end, wanted] of [
      ["no_code", "the client said goodbye, code 1005 1005"], ["after", "the client said goodbye, code 1000 1000"], ["reset", "the connection broke: reset 1006"],
      ["silent", "Nothing: for the server, the connection is still open –"],
    ]) await trying("lost", [`#lost-${end}`], wanted);
    await page.goto(at("/learn/4"));
    await waitForLink(page);
    await page.click(choice("ping", "echo"));
    for (const [add, wanted] of [["long_ping", /CLOSE 1002 "control frame of more than 125/], ["cut_ping", /CLOSE 1002 "fragmented control/]]) {
      await page.click("#ping-reset");
      await page.click(`#ping-add-${add}`);
      await page.click("#ping-send");
      await page.waitForFunction((source) => new RegExp(source).test(document.querySelector("#question-ping .sequence")?.textContent), wanted.source);
    }
    equal(await page.isVisible(verdict("ping")), false, "a verdict on something else");
    silent(page);
    await page.context().close();
  });

  await check("when the server has gone, a lesson says so", async () => {
    const own = await serve();
    const page = await open(new URL("/learn/3?lang=en", own.url).href);
    await waitForLink(page);
    await page.click(choice("same", "same"));
    await own.stop();
    await page.waitForFunction(() => document.getElementById("link").dataset.state !== "open");
    await page.click("#same-send");
    match(await page.textContent("#question-same .problem:not(:empty)"), /connection to the server was lost/, "the problem");
    equal(await page.isVisible(verdict("same")), false, "a verdict on nothing");
    await page.context().close();
  });

  await check("without JavaScript a lesson says what it needs", async () => {
    const page = await open(at("/learn/1?lang=en"), { javaScriptEnabled: false });
    match(await page.locator("noscript").first().innerText(), /needs JavaScript/, "text");
    await page.context().close();
  });

  await server.stop();
});
