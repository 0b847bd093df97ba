// The editor's modules without a browser. Operations have their properties, and the same results as
// on the server. Pages come to one text, also when connections break and the server restarts.
// Everything by chance comes from seeds.
//
//     node .ci/pages/editor.mjs

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

// What the page imports, where Node takes it for modules.
const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = mkdtempSync(join(tmpdir(), "lariat-pages-"));
for (const name of ["operation.js", "replica.js"]) cpSync(join(root, "program/src/site/pages", name), join(folder, name));
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
const { apply, compose, difference, differences, invert, lengthAfter, operation, transform, transformPlace } = await import(pathToFileURL(join(folder, "operation.js")));
const { Replica, Undo } = await import(pathToFileURL(join(folder, "replica.js")));
rmSync(folder, { recursive: true });

/** Mulberry32. */
class Random {
  constructor(seed) {
    this.state = seed;
  }

  next() {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit) {
    return Math.floor(this.next() * limit);
  }

  text(longest) {
    return Array.from({ length: this.below(longest + 1) }, () => ["a", "b", "1", "-", " ", "\n", "é", "世", "👋", "🏽"][this.below(10)]).join("");
  }

  /** Of the whole text, at many places, no character taken apart. */
  operation(text) {
    const parts = [];
    for (const character of text) {
      if (this.next() < 0.15) parts.push(this.text(3));
      parts.push(this.next() < 0.2 ? -character.length : character.length);
    }
    return operation(...parts, this.text(2));
  }

  /** As one types. */
  keystroke(text) {
    const characters = [...text];
    const at = this.below(characters.length + 1);
    const out = this.next() < 0.3 ? Math.min(this.below(4), characters.length - at) : 0;
    const length = (list) => list.join("").length;
    return operation(length(characters.slice(0, at)), this.next() < 0.8 ? this.text(3) : "", -length(characters.slice(at, at + out)), length(characters.slice(at + out)));
  }
}

const isWhole = (text) => text.isWellFormed?.() ?? !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
let passed = 0;
function check(what, body) {
  body();
  passed += 1;
  console.log(`ok: ${what}`);
}

check("5,000 seeds: two operations lead to the same text in either order, and what follows them too", () => {
  for (let seed = 0; seed < 5000; seed++) {
    const random = new Random(seed);
    const text = random.text(20);
    const [a, b] = [random.operation(text), random.operation(text)];
    const [a2, b2] = transform(a, b);
    const both = apply(apply(text, a), b2);
    assert.equal(apply(apply(text, b), a2), both, `seed ${seed}`);
    assert.ok(isWhole(both), `seed ${seed}`);
    assert.equal(apply(apply(text, a), invert(text, a)), text, `seed ${seed}: undone`);
    const next = random.operation(apply(text, a));
    const composed = compose(a, next);
    assert.equal(apply(text, composed), apply(apply(text, a), next), `seed ${seed}: composed`);
    // Past one after another, or past both at once. (That the lists are equal is too much to ask:
    // what was put in and taken out again held places apart.)
    const [, past] = transform(composed, b);
    assert.equal(apply(apply(text, composed), past), apply(apply(text, b), transform(composed, b)[0]), `seed ${seed}: past both`);
    for (const place of [0, random.below(text.length + 1), text.length]) assert.ok(transformPlace(a, place) <= lengthAfter(a), `seed ${seed}`);
  }
});

check("a difference leads from one text to the other, and is where the caret is", () => {
  for (let seed = 0; seed < 5000; seed++) {
    const random = new Random(seed);
    const before = random.text(12);
    const after = random.next() < 0.5 ? random.text(12) : apply(before, random.keystroke(before));
    const found = difference(before, after, random.below(after.length + 1));
    assert.equal(apply(before, found), after, `seed ${seed}`);
    assert.ok(found.every((part) => typeof part !== "string" || isWhole(part)), `seed ${seed}`);
    const fine = differences(before, after);
    assert.equal(apply(before, fine), after, `seed ${seed}: in detail`);
    assert.ok(fine.every((part) => typeof part !== "string" || isWhole(part)), `seed ${seed}: in detail`);
  }
  assert.deepEqual(difference("aaa", "aaaa", 1), ["a", 3]);
  assert.deepEqual(difference("aaa", "aaaa", 4), [3, "a"]);
  assert.deepEqual(difference("aaa", "aa", 1), [1, -1, 1]);
  assert.deepEqual(difference("👋", "👍", 2), ["👍", -2]);
  assert.deepEqual(difference("x👋y", "x🐋y", 3), [1, "🐋", -2, 1]);
  assert.deepEqual(differences("one two three", "one2 two thre"), [3, "2", 8, -1, 1]);
  const [long, longer] = [Array.from({ length: 3000 }, (_, at) => `line ${at}\n`), Array.from({ length: 3000 }, (_, at) => `line ${at + 2}\n`)];
  assert.equal(apply(long.join(""), differences(long.join(""), longer.join(""))), longer.join(""));
});

check("the server's results, case by case", () => {
  const cases = JSON.parse(readFileSync(join(root, "program/tests/site/operations.json"), "utf8"));
  assert.ok(cases.length >= 100);
  for (const { text, first, second, first_after, second_after, both, places } of cases) {
    assert.deepEqual(transform(first, second), [first_after, second_after]);
    assert.equal(apply(apply(text, first), second_after), both);
    assert.deepEqual(places.map((_, place) => transformPlace(first, place)), places);
  }
});

/** What program/src/site/editor does. */
class Server {
  constructor(life, kept = Infinity) {
    this.life = life;
    this.kept = kept;
    this.text = "";
    this.revision = 0;
    this.ancestors = [];
    this.edits = [];
    this.authors = new Map();
    this.links = new Set();
  }

  hear(link, [[kind, asked]]) {
    if (kind === "join") {
      link.join = asked;
      if (this.revision === 0 && asked.lineage.at(-1)?.[1]) link.tell("lost");
      else this.enter(link, asked);
    } else if (kind === "restore") {
      if (this.revision === 0) {
        this.ancestors = link.join.lineage;
        [this.text, this.revision, this.edits] = [asked.text, this.ancestors.at(-1)[1], [...asked.edits]];
        this.authors = new Map(asked.authors);
        assert.equal(this.links.size, 0, "nobody came in before");
      }
      this.enter(link, link.join);
    } else if (kind === "edit" && this.links.has(link)) this.edit(link, asked);
  }

  enter(link, { author, lineage }) {
    for (const other of this.links) if (other.author === author) this.links.delete(other);
    link.author = author;
    this.links.add(link);
    const own = [...this.ancestors, [this.life, this.revision]];
    const both = lineage.flatMap(([life, last]) => own.filter(([other]) => other === life).map(([, ownLast]) => Math.min(last, ownLast)));
    const common = both.at(-1) ?? null;
    const told = { lineage: own };
    if (common !== null && this.revision - common <= this.edits.length) {
      link.tell({ welcome: { ...told, since: common, edits: this.edits.slice(this.edits.length - (this.revision - common)) } });
    } else link.tell({ welcome: { ...told, text: this.text, kin: common !== null, authors: [...this.authors] } });
  }

  edit(link, { by, n, operation: asked, revision }) {
    if (n <= (this.authors.get(by) ?? 0)) return link.tell({ refused: { by, n, why: "known" } });
    let rebased = asked;
    if (this.revision - revision > this.edits.length) return this.enter(link, { author: link.author, lineage: [[this.life, 0]] });
    for (const earlier of this.edits.slice(this.edits.length - (this.revision - revision))) [, rebased] = transform(earlier.operation, rebased);
    this.text = apply(this.text, rebased);
    this.revision += 1;
    this.authors.set(by, n);
    this.edits = [...this.edits, { by, n, operation: rebased }].slice(-this.kept);
    for (const other of this.links) other.tell({ edit: { by, n, operation: rebased } });
  }
}

/** A connection: what is said arrives later, in order, or not at all. */
class Link {
  constructor(server) {
    this.server = server;
    this.toServer = [];
    this.toPage = [];
  }

  tell(told) {
    this.toPage.push(structuredClone(told));
  }
}

class Page {
  constructor(author, random) {
    this.random = random;
    this.asides = [];
    this.replica = new Replica("notes", author, (asked) => this.link?.toServer.push(structuredClone(asked)));
    this.seen = "";
    this.undo = new Undo();
    this.replica.onChange = (change) => {
      this.seen = apply(this.seen, change);
      this.undo.changed(change);
    };
    this.replica.onAside = (text) => this.asides.push(text);
  }

  connect(server) {
    this.link = new Link(server);
    this.replica.join("somebody");
  }

  disconnect() {
    this.link?.server.links.delete(this.link);
    this.link = null;
    this.replica.lost();
  }

  edit(change) {
    this.seen = apply(this.seen, change);
    this.replica.edit(change, [0, 0]);
    assert.equal(this.replica.text, this.seen);
  }

  type() {
    const change = this.random.keystroke(this.seen);
    this.undo.did(this.seen, change, this.random.below(1000));
    this.edit(change);
  }

  /** One message of one direction arrives. */
  step() {
    if (!this.link) return;
    const { toServer, toPage, server } = this.link;
    if (toServer.length && this.random.next() < 0.5) {
      const said = toServer.shift();
      server.hear(this.link, Object.entries(said));
    } else if (toPage.length) {
      const told = toPage.shift();
      if (told === "lost") this.replica.restore();
      else if (told.welcome) this.replica.welcome(told.welcome);
      else if (told.refused) this.replica.refused(told.refused);
      else this.replica.confirm(told.edit);
      assert.equal(this.replica.text, this.seen);
    }
  }

  get isBusy() {
    return this.link.toServer.length + this.link.toPage.length + this.replica.waiting > 0;
  }
}

function settle(pages, server) {
  for (const page of pages) if (page.link?.server !== server) page.connect(server);
  for (let rounds = 0; pages.some((page) => page.isBusy); rounds++) {
    assert.ok(rounds < 100_000, "it never comes to rest");
    pages.forEach((page) => page.step());
  }
  for (const page of pages) {
    assert.equal(page.seen, server.text);
    assert.ok(isWhole(page.seen));
  }
}

check("1,000 seeds: pages converge, whoever is away for a while", () => {
  for (let seed = 0; seed < 1000; seed++) {
    const random = new Random(seed);
    const server = new Server(1);
    const pages = Array.from({ length: 2 + random.below(4) }, (_, at) => new Page(at + 1, random));
    pages.forEach((page) => page.connect(server));
    for (let i = 0; i < 150; i++) {
      const page = pages[random.below(pages.length)];
      const chance = random.next();
      if (chance < 0.3) page.type();
      else if (chance < 0.33) page.disconnect();
      else if (chance < 0.36 && !page.link) page.connect(server);
      else page.step();
    }
    settle(pages, server);
    assert.deepEqual(pages.flatMap((page) => page.asides), [], `seed ${seed}`);
  }
});

check("1,000 seeds: over restarts of the server nothing is lost or doubled", () => {
  let inexact = 0;
  for (let seed = 0; seed < 1000; seed++) {
    const random = new Random(seed);
    let server = new Server(1);
    const pages = Array.from({ length: 2 + random.below(4) }, (_, at) => new Page(at + 1, random));
    pages.forEach((page) => page.connect(server));
    const words = [];
    // Each types words of its own at the end, and takes nothing out: all words must be there in the
    // end, once.
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 60; i++) {
        const page = pages[random.below(pages.length)];
        if (random.next() < 0.3) {
          words.push(`<${words.length}>`);
          const at = random.next() < 0.5 ? 0 : page.seen.length;
          page.edit(operation(at, words.at(-1), page.seen.length - at));
        } else page.step();
      }
      // It dies with what is under way. Who comes back first is anybody's guess; who has nothing
      // yet does not come before the others.
      server = new Server(round + 2);
      const order = pages.map((page) => [page.replica.revision ? random.next() : 2, page]).sort(([a], [b]) => a - b);
      for (const page of pages) page.disconnect();
      order[0][1].connect(server);
      for (let i = 0; i < 10 && server.revision === 0; i++) order[0][1].step();
      for (const [, page] of order.slice(1)) page.connect(server);
    }
    settle(pages, server);
    const found = server.text.match(/<\d+>/g) ?? [];
    const asides = pages.flatMap((page) => page.asides).length;
    inexact += asides ? 1 : 0;
    // Who knows only the whole text of what has happened may put a word into another one, and is
    // shown what was there.
    if (asides) assert.equal([...server.text].sort().join(""), [...words.join("")].sort().join(""), `seed ${seed}`);
    else assert.deepEqual([...found].sort(), [...words].sort(), `seed ${seed}`);
  }
  assert.ok(inexact < 50, `${inexact} of them by comparing texts`);
});

check("300 seeds: who comes back too late for the server's memory loses nothing silently", () => {
  let between = 0;
  for (let seed = 0; seed < 300; seed++) {
    const random = new Random(seed);
    const server = new Server(1, 5);
    const pages = [new Page(1, random), new Page(2, random)];
    pages.forEach((page) => page.connect(server));
    pages[0].edit(operation("in the beginning"));
    settle(pages, server);
    pages[1].disconnect();
    pages[1].edit(operation(7, "<offline>", pages[1].seen.length - 7));
    const before = pages[1].seen;
    for (let i = 0; i < 20; i++) {
      const at = random.next() < 0.5 ? 0 : pages[0].seen.length;
      pages[0].edit(operation(at, `${i} `, pages[0].seen.length - at));
      settle([pages[0]], server);
    }
    settle(pages, server);
    assert.ok(server.text.includes("<offline>"), `seed ${seed}`);
    between += /in the .*<offline>.*beginning/s.test(server.text) ? 1 : 0;
    assert.deepEqual(pages[1].asides, [before], `seed ${seed}`);
  }
  // Mostly where it was written.
  assert.ok(between > 200, `${between}`);
});

check("another text of the same name puts the own one aside", () => {
  const random = new Random(1);
  const page = new Page(1, random);
  const server = new Server(1);
  page.connect(server);
  page.edit(operation("what I had"));
  settle([page], server);
  page.disconnect();
  const other = new Page(2, random);
  const anew = new Server(9);
  other.connect(anew);
  other.edit(operation("begun anew"));
  settle([other], anew);
  page.connect(anew);
  settle([page, other], anew);
  assert.equal(page.seen, "begun anew");
  assert.deepEqual(page.asides, ["what I had"]);
});

check("a copy that is none of the server's is put aside, and the page goes on with the server's text", () => {
  const sent = [];
  const replica = new Replica("notes", 1, (what) => sent.push(what));
  const asides = [];
  replica.onAside = (text) => asides.push(text);
  replica.join("Ada");
  replica.welcome({ lineage: [[7, 2]], text: "one TWO", kin: false, authors: [[2, 2]] });
  // The server has lost TWO, and another edit has its number.
  assert.throws(() => replica.confirm({ by: 3, n: 1, operation: [3, " three"] }), RangeError);
  replica.startOver();
  assert.deepEqual(sent.at(-1).join.lineage, []);
  replica.welcome({ lineage: [[7, 3]], text: "one three", kin: false, authors: [[2, 1], [3, 1]] });
  assert.deepEqual([replica.text, ...asides], ["one three", "one TWO"]);
  replica.confirm({ by: 3, n: 2, operation: [9, "!"] });
  assert.equal(replica.text, "one three!");
  replica.edit(operation("x", 10));
  assert.equal(sent.at(-1).edit.revision, 4);
});

check("1,000 seeds: undoing everything of one's own leaves what the others wrote", () => {
  for (let seed = 0; seed < 1000; seed++) {
    const random = new Random(seed);
    const server = new Server(1);
    const [own, other] = [new Page(1, random), new Page(2, random)];
    const pages = [own, other];
    pages.forEach((page) => page.connect(server));
    const typed = [];
    for (let i = 0; i < 60; i++) {
      const page = pages[random.below(2)];
      if (random.next() < 0.3) {
        // The other one's words in digits, one's own in letters.
        const word = page === own ? "abc".slice(0, 1 + random.below(3)) : String(100 + i);
        const at = random.below(page.seen.length + 1);
        const change = operation(at, word, page.seen.length - at);
        if (page === own) own.undo.did(own.seen, change, i * 1000);
        else typed.push(word);
        page.edit(change);
      } else page.step();
    }
    settle(pages, server);
    while (own.undo.canUndo) {
      const change = own.undo.undo(own.seen);
      if (change) own.edit(change);
    }
    settle(pages, server);
    assert.ok(!/[abc]/.test(server.text), `seed ${seed}: ${server.text}`);
    assert.equal([...server.text].sort().join(""), [...typed.join("")].sort().join(""), `seed ${seed}`);
    while (own.undo.canRedo) own.edit(own.undo.redo(own.seen));
    settle(pages, server);
    assert.equal(/[abc]/.test(server.text), own.undo.canUndo, `seed ${seed}: done again`);
  }
});

console.log(`${passed} passed, 0 failed`);
