// What a page knows of the arena, without the page itself: the last snapshots, the places of the
// others between two snapshots, and the place of its own rider when its wish reaches the server.
// The layout of a snapshot is in program/src/site/arena/snapshot.rs, and the rules are in world.rs
// there.

export const TICK_MS = 50;
export const RADIUS = 16;
const TICKS_IN_A_SECOND = 20;
const SPEED = 260;
const RESPONSE = 0.3;
const HELD_SPEED = 0.3;
/** The others are shown so many ticks late, so that there are two snapshots even if one is late. */
export const DELAY_TICKS = 2.2;
/** The ticks that are remembered: more than the longest rope. */
const REMEMBERED_TICKS = 70;
/** The wish is repeated after so many ticks. Without it, the server stops the rider. */
const REPEAT_TICKS = 10;
/** A rider that is farther than this from where it was shown jumps. Otherwise it glides. */
const JUMP = 160;

/** Reads a snapshot from its bytes. */
export function read(buffer) {
  const view = new DataView(buffer);
  const snapshot = {
    tick: view.getUint32(0, true),
    number: view.getUint16(4, true),
    age: view.getUint16(6, true),
    own: { x: view.getFloat32(8, true), y: view.getFloat32(12, true), dx: view.getFloat32(16, true), dy: view.getFloat32(20, true), held: 0 },
    side: view.getUint16(24, true),
    score: view.getUint16(26, true),
    rank: view.getUint16(28, true),
    count: view.getUint16(30, true),
    seconds: view.getUint8(32),
    riders: [],
    strays: [],
  };
  let at = 35;
  for (let i = 0; i < view.getUint8(33); i++, at += 9) {
    snapshot.riders.push({
      id: view.getUint16(at, true), x: view.getUint16(at + 2, true) / 4, y: view.getUint16(at + 4, true) / 4,
      rope: view.getUint8(at + 6), loops: view.getUint8(at + 7), held: view.getUint8(at + 8),
    });
  }
  for (let i = 0; i < view.getUint8(34); i++, at += 6) {
    snapshot.strays.push({ id: view.getUint16(at, true), x: view.getUint16(at + 2, true) / 4, y: view.getUint16(at + 4, true) / 4 });
  }
  snapshot.own.held = snapshot.riders[0]?.held ?? 0;
  return snapshot;
}

/** Moves a rider by one tick, as in world.rs. */
export function ride({ x, y, dx, dy, held }, wish, side) {
  const length = Math.max(1, Math.hypot(wish.x, wish.y) / 127);
  const speed = (SPEED * (held > 0 ? HELD_SPEED : 1)) / 127 / length;
  let speedX = dx + (wish.x * speed - dx) * RESPONSE;
  let speedY = dy + (wish.y * speed - dy) * RESPONSE;
  const clamp = (value) => Math.min(Math.max(value, RADIUS), side - RADIUS);
  const [wantedX, wantedY] = [x + speedX / TICKS_IN_A_SECOND, y + speedY / TICKS_IN_A_SECOND];
  const [newX, newY] = [clamp(wantedX), clamp(wantedY)];
  if (newX !== wantedX) speedX = 0;
  if (newY !== wantedY) speedY = 0;
  return { x: newX, y: newY, dx: speedX, dy: speedY, held: Math.max(0, held - 1) };
}

/** The places of something at the known ticks. */
class Track {
  #ticks = [];
  #places = [];

  add(tick, place) {
    if (this.#ticks.length && tick <= this.#ticks.at(-1)) return;
    this.#ticks.push(tick);
    this.#places.push(place);
    while (this.#ticks[0] < tick - REMEMBERED_TICKS) {
      this.#ticks.shift();
      this.#places.shift();
    }
  }

  get last() {
    return this.#ticks.at(-1);
  }

  /** Returns the place at a time, between the two snapshots around it. */
  at(tick) {
    const after = this.#ticks.findIndex((known) => known >= tick);
    if (after < 0) return this.#places.at(-1);
    if (after === 0) return this.#places[0];
    const [from, to] = [this.#places[after - 1], this.#places[after]];
    const share = (tick - this.#ticks[after - 1]) / (this.#ticks[after] - this.#ticks[after - 1]);
    // A rider that is suddenly far away did not ride there.
    if (Math.hypot(to.x - from.x, to.y - from.y) > JUMP) return from;
    return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
  }

  /** Returns the places from one tick to another, with the place at the latter. */
  between(from, to) {
    const line = this.#places.filter((_, index) => this.#ticks[index] >= from && this.#ticks[index] < to);
    return [...line, this.at(to)];
  }
}

export class Game {
  /** Called when a rider has closed a loop, with its id and the line. */
  onLoop = () => {};
  me = 0;
  /** The last snapshot. */
  snapshot = null;
  #send;
  #riders = new Map();
  #strays = new Map();
  /** The server's tick at local time 0. */
  #offset = null;
  // The own rider: local ticks, the wish in each tick, and the predicted place.
  #tick = 0;
  #time = 0;
  #frameAt = 0;
  #wishes = [];
  #number = 0;
  #sentAt = -Infinity;
  #sent = { x: 0, y: 0 };
  #before = null;
  #now = null;
  /** The shown place is off by this. It becomes less with each frame. */
  #error = { x: 0, y: 0 };
  #rope = [];
  #ropeTicks = 0;

  constructor(send) {
    this.#send = send;
  }

  /** Starts again, perhaps as another rider. */
  begin(me) {
    this.me = me;
    this.snapshot = null;
    this.#riders.clear();
    this.#strays.clear();
    this.#offset = null;
    this.#wishes = [];
    this.#now = null;
    this.#rope = [];
    this.#sentAt = -Infinity;
  }

  // ---- Messages from the server

  hear(buffer, now) {
    const snapshot = read(buffer);
    const { tick, riders, strays } = snapshot;
    this.snapshot = snapshot;
    const offset = tick - now / TICK_MS;
    // Snapshots can be late, but not early. So the clock follows slowly, unless it is far off.
    const isWrong = this.#offset === null || Math.abs(offset - this.#offset) > TICKS_IN_A_SECOND / 2;
    this.#offset = isWrong ? offset : this.#offset + (offset - this.#offset) * 0.08;
    for (const rider of riders) {
      let known = this.#riders.get(rider.id);
      if (!known || known.track.last < tick - TICKS_IN_A_SECOND) {
        known = { track: new Track(), loops: rider.loops, rope: 0, held: 0 };
        this.#riders.set(rider.id, known);
      }
      if (known.loops !== rider.loops && known.rope > 2) {
        this.onLoop(rider.id, rider.id === this.me ? this.#rope.map((place) => ({ ...place })) : known.track.between(tick - known.rope - 1, tick));
      }
      known.track.add(tick, { x: rider.x, y: rider.y });
      [known.loops, known.rope, known.held] = [rider.loops, rider.rope, rider.held];
    }
    for (const stray of strays) {
      let known = this.#strays.get(stray.id);
      if (!known || known.last < tick - TICKS_IN_A_SECOND) {
        known = new Track();
        this.#strays.set(stray.id, known);
      }
      known.add(tick, { x: stray.x, y: stray.y });
    }
    for (const [id, { track }] of this.#riders) if (track.last < tick - TICKS_IN_A_SECOND) this.#riders.delete(id);
    for (const [id, track] of this.#strays) if (track.last < tick - TICKS_IN_A_SECOND) this.#strays.delete(id);
    this.#reconcile(snapshot);
  }

  /**
   * Predicts the own place: from the one in the snapshot, with all wishes that had not reached the
   * server then.
   */
  #reconcile({ own, number, age, side, riders }) {
    const first = this.#wishes.findIndex((wish) => wish.number === number);
    let state = own;
    let before = own;
    let ahead = 0;
    if (first >= 0) {
      for (const wish of this.#wishes.slice(first + age)) {
        before = state;
        state = ride(state, wish, side);
        ahead += 1;
      }
    }
    const shown = this.#now;
    this.#before = ahead ? before : own;
    this.#now = state;
    if (shown) {
      const [x, y] = [this.#error.x + shown.x - state.x, this.#error.y + shown.y - state.y];
      this.#error = Math.hypot(x, y) > JUMP ? { x: 0, y: 0 } : { x, y };
    }
    this.#ropeTicks = (riders[0]?.rope ?? 0) + ahead;
    this.#rope = this.#rope.slice(-this.#ropeTicks - 1);
  }

  // ---- Messages to the server

  /** Moves on to the time `now`. `wish` is the wanted direction and speed, from -127 to 127. */
  go(now, wish) {
    const left = 0.5 ** ((now - this.#frameAt) / 60);
    this.#frameAt = now;
    this.#error = { x: this.#error.x * left, y: this.#error.y * left };
    // While the page was hidden, the rider stood still.
    this.#time = this.#now ? Math.max(this.#time, now - 1000) : now;
    for (; now - this.#time >= TICK_MS; this.#time += TICK_MS) this.#step(wish);
  }

  #step(wish) {
    this.#tick += 1;
    if (wish.x !== this.#sent.x || wish.y !== this.#sent.y || this.#tick - this.#sentAt >= REPEAT_TICKS) {
      this.#number = (this.#number + 1) % 65_536;
      this.#sent = { ...wish };
      this.#sentAt = this.#tick;
      const bytes = new DataView(new ArrayBuffer(4));
      bytes.setUint16(0, this.#number, true);
      bytes.setInt8(2, wish.x);
      bytes.setInt8(3, wish.y);
      this.#send(bytes.buffer);
    }
    this.#wishes.push({ ...this.#sent, number: this.#number });
    if (this.#wishes.length > 100) this.#wishes.shift();
    this.#before = this.#now;
    this.#now = ride(this.#now, this.#sent, this.snapshot.side);
    this.#ropeTicks += 1;
    this.#rope.push({ x: this.#now.x, y: this.#now.y });
    this.#rope = this.#rope.slice(-Math.min(this.#ropeTicks, 60) - 1);
  }

  // ---- What is shown

  /** Returns the tick of the server at which the others are shown. */
  shownTick(now) {
    return this.#offset === null ? 0 : Math.min(now / TICK_MS + this.#offset - DELAY_TICKS, this.snapshot.tick);
  }

  /** Returns the own place. */
  own(now) {
    if (!this.#now) return null;
    const share = Math.min(Math.max((now - this.#time) / TICK_MS, 0), 1);
    const [from, to] = [this.#before, this.#now];
    return { x: from.x + (to.x - from.x) * share + this.#error.x, y: from.y + (to.y - from.y) * share + this.#error.y };
  }

  /** Returns all riders in sight: { id, x, y, held, rope }. A rope ends at its rider. */
  riders(now) {
    if (!this.snapshot) return [];
    const tick = this.shownTick(now);
    return [...this.#riders].map(([id, { track, rope, held }]) => {
      if (id !== this.me) {
        const line = track.between(this.snapshot.tick - rope, tick);
        return { id, ...line.at(-1), held, rope: line };
      }
      const place = this.own(now);
      return { id, ...place, held, rope: [...this.#rope.slice(0, -1), place] };
    });
  }

  strays(now) {
    const tick = this.shownTick(now);
    return this.snapshot ? [...this.#strays].map(([id, track]) => ({ id, ...track.at(tick) })) : [];
  }
}
