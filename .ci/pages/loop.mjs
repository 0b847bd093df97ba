// The recordings of the loop's page without a browser: changes of the grid, places in a recording,
// files, and files that are none.
//
//     node .ci/pages/loop.mjs

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

// The scripts, where Node takes them for modules.
const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = mkdtempSync(join(tmpdir(), "lariat-pages-"));
for (const name of ["cells.js", "recording.js"]) cpSync(join(root, "program/src/site/pages", name), join(folder, name));
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
const { applyChanges, changesOf } = await import(pathToFileURL(join(folder, "cells.js")));
const { BadRecording, COUNTED, Recorder, Recording } = await import(pathToFileURL(join(folder, "recording.js")));
rmSync(folder, { recursive: true });

/** Random numbers that are the same in each run. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const report = (turns, pace = "free") => ({
  turns, busy: 1.5, busiest: 1, timed: turns, telling: 3, listeners: 0, reads: 1, writes: 0, states: [0, 0, 0, 1, 0, 0, 0, 0],
  phases: [[1, 0, 0, 0, 0, 0, 0], [0.5, 0, 0, 0, 0, 0, 0], [0.5, 0, 0, 0, 0, 0, 0]], counts: COUNTED.map((name) => [name, turns, 1]), pace,
});

/** A recording of a grid that changes at random, and the grids themselves. */
function record(seed, rounds = 40) {
  const below = random(seed);
  let cells = Uint8Array.from({ length: below(300) }, () => below(4) * 3);
  const recorder = new Recorder(1000, { loop: 0, loops: 2, slot: 3, cells });
  const grids = [[0, cells]];
  for (let round = 0; round < rounds; round++) {
    const at = round * 250;
    recorder.report(1000 + at, 0.25, report(round));
    const next = new Uint8Array(Math.min(2 ** 16, cells.length + below(40) - 10 < 0 ? 5 : cells.length + below(40) - 10));
    next.set(cells.subarray(0, next.length));
    for (let change = below(20); change > 0 && next.length; change--) next[below(next.length)] = below(128);
    cells = next;
    recorder.changes(1000 + at + 1, changesOf(cells));
    grids.push([at + 1, cells]);
  }
  return { recording: recorder.finish(), grids };
}

const tests = {
  "changes make the cells that they were made of, whatever was before"() {
    const below = random(7);
    for (let round = 0; round < 300; round++) {
      const cells = Uint8Array.from({ length: below(2000) }, () => (below(3) ? 3 : below(128)));
      const before = Uint8Array.from({ length: below(2000) }, () => below(128));
      assert.deepEqual(applyChanges(new Uint8Array(0), changesOf(cells)), cells);
      assert.deepEqual(applyChanges(before, changesOf(cells)), cells);
    }
    const most = new Uint8Array(2 ** 16).fill(11);
    assert.deepEqual(applyChanges(new Uint8Array(0), changesOf(most)), most);
  },

  "changes of the server: what is skipped stays"() {
    const before = Uint8Array.from([1, 2, 3, 4, 5]);
    assert.deepEqual([...applyChanges(before, [5])], [1, 2, 3, 4, 5]);
    assert.deepEqual([...applyChanges(before, [7, 1, 2, 9, 2, 1, 8])], [1, 9, 9, 4, 5, 8, 0]);
    assert.deepEqual([...applyChanges(before, [2])], [1, 2]);
    assert.deepEqual([...before], [1, 2, 3, 4, 5]);
  },

  "changes that make no sense are refused, and nothing else happens"() {
    const below = random(11);
    for (const bytes of [[], [128], [1, 0, 2, 5], [1, 2, 0, 5], [3, 0, 1], [255, 255, 255, 255, 255, 1], [129, 128, 4]]) {
      assert.throws(() => applyChanges(new Uint8Array(1), bytes), RangeError, String(bytes));
    }
    for (let round = 0; round < 20_000; round++) {
      const bytes = Array.from({ length: below(12) }, () => below(256));
      try {
        assert.equal(applyChanges(new Uint8Array(3), bytes).length <= 2 ** 16, true);
      } catch (error) {
        assert.equal(error instanceof RangeError, true, `${bytes}: ${error}`);
      }
    }
  },

  "each place of a recording shows its report and its grid, in any order"() {
    const { recording, grids } = record(1);
    assert.equal(recording.duration, 39 * 250 + 1);
    const below = random(3);
    for (let round = 0; round < 500; round++) {
      const ms = below(recording.duration + 500);
      const { report, seconds, cells } = recording.at(ms);
      assert.equal(report.turns, Math.min(39, Math.floor(ms / 250)));
      assert.equal(seconds, 0.25);
      assert.deepEqual(cells, grids.findLast(([at]) => at <= ms)[1], `at ${ms}`);
    }
  },

  "a file has the same recording"() {
    for (let seed = 1; seed < 20; seed++) {
      const { recording, grids } = record(seed, 5 + seed);
      const again = Recording.parse(recording.toText());
      assert.equal(again.toText(), recording.toText());
      assert.deepEqual([again.duration, again.slot, again.recorded], [recording.duration, 3, recording.recorded]);
      for (const [at, cells] of grids) assert.deepEqual(again.at(at).cells, cells);
    }
  },

  "without a report there is no recording"() {
    assert.equal(new Recorder(0, { loop: 0, loops: 1, slot: 0, cells: new Uint8Array(2) }).finish(), null);
  },

  "a file that is none is refused, and it is said what is wrong"() {
    const good = JSON.parse(record(5, 4).recording.toText());
    const refused = (text) => {
      try {
        Recording.parse(text);
      } catch (error) {
        assert.equal(error instanceof BadRecording, true, String(error));
        return `${error.why} ${error.what}`;
      }
      throw new Error(`taken: ${text.slice(0, 200)}`);
    };
    for (const [text, why] of [["", "json "], ["{", "json "], ["null", "format "], ["[]", "format "], ["3", "format "], ["{}", "format "]]) assert.equal(refused(text), why);
    const broken = (change) => {
      const copy = structuredClone(good);
      change(copy);
      return refused(JSON.stringify(copy));
    };
    for (const [why, change] of [
      ["version 2", (file) => { file.version = 2; }],
      ["version undefined", (file) => { delete file.version; }],
      ["field recorded", (file) => { file.recorded = "yesterday"; }],
      ["field slot", (file) => { file.slot = -1; }],
      ["field loop", (file) => { file.loop = "0"; }],
      ["field reports", (file) => { file.reports = []; }],
      ["field reports", (file) => { file.reports = { length: 3 }; }],
      ["field grids", (file) => { file.grids = Array.from({ length: 2001 }, () => file.grids[0]); }],
      ["field reports[1].at", (file) => { file.reports[1].at = null; }],
      ["field reports[2].at", (file) => { file.reports[2].at = 1; }],
      ["field grids[4].at", (file) => { file.grids[4].at = 60_001; }],
      ["field grids[0].at", (file) => { file.grids[0] = null; }],
      ["field grids[1].changes", (file) => { file.grids[1].changes = "A"; }],
      ["field grids[1].changes", (file) => { file.grids[1].changes = 7; }],
      ["field grids[2].changes", (file) => { file.grids[2].changes = "AQAC"; }],
      ["field reports[0].seconds", (file) => { file.reports[0].seconds = -1; }],
      ["field reports[0].turns", (file) => { file.reports[0].turns = null; }],
      ["field reports[0].turns.busy", (file) => { file.reports[0].turns.busy = "1"; }],
      ["field reports[0].turns.phases", (file) => { file.reports[0].turns.phases[1].pop(); }],
      ["field reports[0].turns.counts", (file) => { file.reports[0].turns.counts[3][0] = "bytes"; }],
      ["field reports[0].turns.counts", (file) => { file.reports[0].turns.counts[3].length = 2; }],
      ["field reports[0].turns.pace", (file) => { file.reports[0].turns.pace = "fast"; }],
    ]) assert.equal(broken(change), why);
  },

  "a damaged file is a recording or is refused, and never anything else"() {
    const text = record(9, 3).recording.toText();
    const below = random(13);
    for (let round = 0; round < 3000; round++) {
      const at = below(text.length);
      const damaged = text.slice(0, at) + '0"[]{},:nA-'[below(11)] + text.slice(at + below(3));
      try {
        Recording.parse(damaged).at(below(2000));
      } catch (error) {
        assert.equal(error instanceof BadRecording, true, `${error}: ${damaged.slice(Math.max(0, at - 20), at + 20)}`);
      }
    }
  },
};

for (const [name, test] of Object.entries(tests)) {
  await test();
  console.log(`ok: ${name}`);
}
