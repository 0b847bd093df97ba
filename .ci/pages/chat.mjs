// The chat's conversation without a browser: own messages when connections break and the server
// restarts.
//
//     node .ci/pages/chat.mjs

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

// What the page imports, where Node takes it for modules.
const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = mkdtempSync(join(tmpdir(), "lariat-pages-"));
cpSync(join(root, "program/src/site/pages/conversation.js"), join(folder, "conversation.js"));
writeFileSync(join(folder, "page.js"), "let last = 0;\nexport const randomId = () => `id${++last}`;\n");
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
const { Conversation } = await import(pathToFileURL(join(folder, "conversation.js")));
rmSync(folder, { recursive: true });

/** A conversation that is in its room, with what it sends and shows. */
function inside() {
  const [sent, shown] = [[], []];
  const conversation = new Conversation("lobby", (what) => sent.push(what));
  conversation.onMessage = (message) => shown.push(message);
  conversation.join("Ada");
  conversation.welcome({ server: "first", messages: [] });
  return { conversation, sent, shown };
}

const message = (n, id, text) => ({ n, id, text, name: "Ada", age: 0 });
const says = (sent) => sent.filter((what) => what.say).map((what) => what.say.id);

const tests = {
  "an own message that comes after the server has confirmed it is an own one, once"() {
    const { conversation, shown } = inside();
    const { id } = conversation.say("hello");
    conversation.lost();
    conversation.welcome({ server: "first", messages: [] });
    conversation.said(id);
    assert.deepEqual(conversation.pending, []);
    conversation.message(message(1, id, "hello"));
    conversation.message(message(1, id, "hello"));
    assert.deepEqual(shown.map(({ id, isOwn }) => [id, isOwn]), [[id, true]]);
  },

  "an own message that a server has confirmed and lost goes to the next server"() {
    const { conversation, sent, shown } = inside();
    const { id } = conversation.say("hello");
    conversation.said(id);
    conversation.lost();
    conversation.welcome({ server: "second", messages: [] });
    assert.deepEqual(says(sent), [id, id]);
    conversation.message(message(1, id, "hello"));
    assert.deepEqual(shown.map(({ isOwn }) => isOwn), [true]);
  },

  "own messages that were shown are offered again after a restart, and not shown twice"() {
    const { conversation, sent, shown } = inside();
    const { id } = conversation.say("hello");
    conversation.message(message(1, id, "hello"));
    conversation.lost();
    conversation.welcome({ server: "second", messages: [] });
    assert.deepEqual(says(sent), [id, id]);
    conversation.message(message(1, id, "hello"));
    assert.equal(shown.length, 1);
  },
};

for (const [name, test] of Object.entries(tests)) {
  test();
  console.log(`ok: ${name}`);
}
