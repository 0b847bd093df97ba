// The game's module without a browser: snapshots from bytes, one's own rider ahead of the server,
// the others between snapshots. What is left to chance comes from seeds.
//
//     node .ci/pages/arena.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const source = readFileSync(new URL("../../program/src/site/pages/game.js", import.meta.url), "utf8");
const { DELAY_TICKS, Game, RADIUS, TICK_MS, read, ride } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

let passed = 0;
function check(what, body) {
  body();
  passed += 1;
  console.log(`ok: ${what}`);
}

/** The bytes of a snapshot, as program/src/site/arena/snapshot.rs writes them. */
function write({ tick, number = 0, age = 0, own, side = 1200, score = 0, rank = 1, count = 8, seconds = 90, riders = [], strays = [] }) {
  const view = new DataView(new ArrayBuffer(35 + riders.length * 9 + strays.length * 6));
  view.setUint32(0, tick, true);
  view.setUint16(4, number, true);
  view.setUint16(6, age, true);
  [own.x, own.y, own.dx, own.dy].forEach((value, at) => view.setFloat32(8 + at * 4, value, true));
  [side, score, rank, count].forEach((value, at) => view.setUint16(24 + at * 2, value, true));
  view.setUint8(32, seconds);
  view.setUint8(33, riders.length);
  view.setUint8(34, strays.length);
  riders.forEach(({ id, x, y, rope = 0, loops = 0, held = 0 }, index) => {
    const at = 35 + index * 9;
    [id, Math.floor(x * 4), Math.floor(y * 4)].forEach((value, field) => view.setUint16(at + field * 2, value, true));
    [rope, loops, held].forEach((value, field) => view.setUint8(at + 6 + field, value));
  });
  strays.forEach(({ id, x, y }, index) => {
    [id, Math.floor(x * 4), Math.floor(y * 4)].forEach((value, field) => view.setUint16(35 + riders.length * 9 + index * 6 + field * 2, value, true));
  });
  return view.buffer;
}

check("a snapshot is read as it was written", () => {
  const own = { x: 100.5, y: 200.25, dx: -3, dy: 4.5, held: 0 };
  const riders = [{ id: 7, x: 100.5, y: 200.25, rope: 60, loops: 255, held: 0 }, { id: 65_535, x: 14_000.75, y: 0, rope: 0, loops: 0, held: 40 }];
  const strays = [{ id: 3, x: 5.25, y: 6 }];
  const written = { tick: 4_000_000_000, number: 65_535, age: 9, own, side: 14_311, score: 31, rank: 2, count: 1000, seconds: 90, riders, strays };
  assert.deepEqual(read(write(written)), written);
});

/**
 * A server with one rider that goes where it is told, and another that goes round; messages take a
 * while, this way and that.
 */
function play(seconds, latency, jitter, wishes) {
  let seed = 1;
  const chance = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const underWay = [];
  const sent = { up: 0, down: 0 };
  // In order, as TCP has it.
  const travel = (way, now, arrive) => {
    sent[way] = Math.max(sent[way], now + latency + jitter * chance());
    underWay.push({ at: sent[way], arrive });
  };
  let now = 0;
  let server = { x: 600, y: 600, dx: 0, dy: 0, held: 0 };
  let wish = { x: 0, y: 0, number: 0, age: 0 };
  const history = [];
  const game = new Game((buffer) => {
    const view = new DataView(buffer);
    const said = { number: view.getUint16(0, true), x: view.getInt8(2), y: view.getInt8(3), age: 0 };
    travel("up", now, () => { wish = said; });
  });
  game.begin(1);
  const worst = { own: 0, other: 0, jump: 0 };
  let before = null;
  for (let tick = 0; now < seconds * 1000; now += 1) {
    for (const message of underWay.filter(({ at }) => at <= now)) {
      underWay.splice(underWay.indexOf(message), 1);
      message.arrive();
    }
    if (now % TICK_MS === 0) {
      tick += 1;
      wish.age += 1;
      server = ride(server, wish, 1200);
      const other = { id: 2, x: 600 + 100 * Math.cos(tick / 10), y: 600 + 100 * Math.sin(tick / 10) };
      history.push({ tick, own: server, other });
      const bytes = write({ tick, number: wish.number, age: wish.age, own: server, riders: [{ id: 1, ...server }, other] });
      travel("down", now, () => game.hear(bytes, now));
    }
    if (now % 16 !== 0) continue;
    game.go(now, wishes(now));
    if (now < 1000) continue;
    const own = game.own(now);
    if (before) worst.jump = Math.max(worst.jump, Math.hypot(own.x - before.x, own.y - before.y));
    before = own;
    const shown = game.riders(now).find(({ id }) => id === 2);
    const at = game.shownTick(now);
    const exact = { x: 600 + 100 * Math.cos(at / 10), y: 600 + 100 * Math.sin(at / 10) };
    worst.other = Math.max(worst.other, Math.hypot(shown.x - exact.x, shown.y - exact.y));
    assert.ok(at > tick - DELAY_TICKS - (latency + jitter) / TICK_MS - 1.5, `tick ${at} is shown in tick ${tick}`);
  }
  return { game, server, worst };
}

check("one's own rider is where the server will have it, and does not jump, with 80 ms each way and up to 30 more", () => {
  const turns = (now) => {
    const angle = Math.floor(now / 700) * 1.9;
    return { x: Math.round(Math.cos(angle) * 127), y: Math.round(Math.sin(angle) * 127) };
  };
  const { worst } = play(20, 80, 30, turns);
  // 16 ms at 260 units a second are 4.2 units.
  assert.ok(worst.jump < 8, `${worst.jump} units from one frame to the next`);
  assert.ok(worst.other < 1.5, `${worst.other} units off the circle`);
});

check("when nothing changes any more, the place that is shown is the server's", () => {
  const { game, server } = play(6, 100, 0, (now) => (now < 3000 ? { x: 127, y: -30 } : { x: 0, y: 0 }));
  const own = game.own(6000);
  assert.ok(Math.hypot(own.x - server.x, own.y - server.y) < 0.5, JSON.stringify([own, server]));
});

check("the fence stops a rider, and who is held is slow", () => {
  let rider = { x: 1100, y: 600, dx: 0, dy: 0, held: 0 };
  for (let tick = 0; tick < 100; tick++) rider = ride(rider, { x: 127, y: 127 }, 1200);
  assert.deepEqual([rider.x, rider.dx], [1200 - RADIUS, 0]);
  const free = ride({ x: 600, y: 600, dx: 0, dy: 0, held: 0 }, { x: 127, y: 0 }, 1200);
  const held = ride({ x: 600, y: 600, dx: 0, dy: 0, held: 2 }, { x: 127, y: 0 }, 1200);
  assert.ok(held.dx < free.dx / 3 && held.held === 1);
});

check("a loop that somebody closes is shown with its line, also if the snapshot of that tick was never sent", () => {
  const game = new Game(() => {});
  game.begin(1);
  const loops = [];
  game.onLoop = (id, line) => loops.push([id, line.length]);
  const own = { x: 10, y: 10, dx: 0, dy: 0 };
  for (const tick of [1, 2, 3, 4, 5, 6, 9]) {
    const isClosed = tick === 9;
    const other = { id: 2, x: 100 + tick * 10, y: 50, rope: isClosed ? 1 : tick, loops: isClosed ? 1 : 0 };
    game.hear(write({ tick, own, riders: [{ id: 1, ...own }, other] }), tick * TICK_MS);
  }
  assert.equal(loops.length, 1);
  assert.equal(loops[0][0], 2);
  assert.ok(loops[0][1] >= 4, `${loops[0][1]} places`);
});

console.log(`${passed} passed, 0 failed`);
