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
function inside(server = "first") {
  const [sent, shown] = [[], []];
  const conversation = new Conversation("lobby", (what) => sent.push(what));
  conversation.onMessage = (message) => shown.push(message);
  conversation.join("Ada");
  conversation.welcome({ server, messages: [] });
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

  "of several servers, the page knows its place, and says it when it comes back to any of them"() {
    const { conversation, sent, shown } = inside("");
    conversation.message({ ...message(8, "a", "late"), server: "e1" });
    conversation.place({ server: "e1", after: 9, lost: false });
    conversation.lost();
    conversation.join("Ada");
    assert.deepEqual([sent.at(-1).join.server, sent.at(-1).join.after], ["e1", 9]);
    conversation.welcome({ server: "e1", messages: [] });
    conversation.message({ ...message(9, "b", "known"), server: "e1" });
    conversation.message({ ...message(10, "c", "new"), server: "e1" });
    assert.deepEqual(shown.map(({ text }) => text), ["late", "new"]);
  },

  "a page that comes back says which message it has seen last, as long as it knows"() {
    const { conversation, sent } = inside("");
    conversation.message({ ...message(8, "a", "late"), server: "e1" });
    conversation.place({ server: "e1", after: 8, lost: false });
    conversation.join("Ada");
    assert.deepEqual([sent.at(-1).join.after, sent.at(-1).join.last], [8, "a"]);
    conversation.place({ server: "e1", after: 7, lost: true });
    conversation.join("Ada");
    assert.deepEqual([sent.at(-1).join.after, sent.at(-1).join.last], [7, ""]);
  },

  "what was confirmed before the page knew its place, and is not in the history, is sent again"() {
    const { conversation, sent } = inside("");
    const { id } = conversation.say("hello");
    conversation.said(id);
    conversation.lost();
    conversation.welcome({ server: "", messages: [] });
    conversation.place({ server: "e2", after: 0, lost: false });
    assert.deepEqual(says(sent), [id, id]);
    assert.equal(conversation.pending.length, 1);
  },

  "after a gap in the same history, the page shows how many are missing, and goes on behind it"() {
    const { conversation, sent, shown } = inside("");
    conversation.place({ server: "e1", after: 3, lost: false });
    const before = sent.length;
    conversation.place({ server: "e1", after: 7, lost: true });
    conversation.message(message(7, "a", "before"));
    conversation.message(message(8, "b", "after"));
    assert.deepEqual(shown.map(({ missed, text }) => missed ?? text), [4, "after"]);
    assert.equal(sent.length, before);
  },

  "if the history was lost, own messages are offered again, and not shown twice"() {
    for (const [server, after] of [["e2", 0], ["e1", 1]]) {
      const { conversation, sent, shown } = inside("");
      conversation.place({ server: "e1", after: 1, lost: false });
      const { id } = conversation.say("hello");
      conversation.message(message(2, id, "hello"));
      conversation.place({ server, after, lost: true });
      assert.deepEqual(says(sent), [id, id]);
      conversation.message(message(after + 1, id, "hello"));
      conversation.message(message(after + 2, "b", "and on"));
      assert.deepEqual(shown.map(({ missed, text }) => text ?? missed), ["hello", null, "and on"]);
      assert.deepEqual(conversation.pending, []);
    }
  },

  async "messages that the server could not store are sent again, in their order, and none overtakes them"() {
    const { conversation, sent } = inside("");
    const [one, two, three] = [conversation.say("one"), conversation.say("two"), conversation.say("three")];
    conversation.again(one.id);
    await new Promise((resolve) => setTimeout(resolve, 500));
    conversation.again(three.id);
    conversation.message(message(1, two.id, "two"));
    const four = conversation.say("four");
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.deepEqual(says(sent), [one.id, two.id, three.id, one.id, three.id, four.id]);
    conversation.say("five");
    assert.equal(says(sent).length, 7);
  },
};

for (const [name, test] of Object.entries(tests)) {
  await test();
  console.log(`ok: ${name}`);
}
