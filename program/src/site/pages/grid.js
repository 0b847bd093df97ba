// The slab as a grid, one cell for each slot. Only changed cells are drawn again.

import { BLOCKED, HEARD, STATES, TO_READ, TO_WRITE } from "./cells.js";

export const HUES = ["--line", "--amber", "--violet", "--green", "--blue", "--red", "--teal", "--soft"];

const [LARGEST, SMALLEST, TALLEST] = [26, 4, 470];
/** The opacity of quiet connections. */
const QUIET = 0.45;

export class Grid {
  cells = new Uint8Array(0);
  own = -1;
  chosen = -1;
  cursor = -1;
  #canvas;
  #context;
  #size = 0;
  #columns = 0;
  #width = 0;
  #colours = {};

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    new ResizeObserver(() => { if (canvas.clientWidth !== this.#width) this.draw(); }).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Shows these cells. Draws those that differ from the ones before. */
  show(cells) {
    const before = this.cells;
    this.cells = cells;
    if (cells.length !== before.length && this.#layout()) {
      this.draw();
      return;
    }
    for (let slot = 0; slot < Math.max(cells.length, before.length); slot++) {
      if (cells[slot] !== before[slot]) this.#drawCell(slot);
    }
  }

  /** Returns the slot at a point of the canvas, or -1. */
  slotAt(x, y) {
    const column = Math.floor(x / this.#size);
    const slot = Math.floor(y / this.#size) * this.#columns + column;
    return column < this.#columns && slot < this.cells.length ? slot : -1;
  }

  /** Moves the cursor by a key, and returns its slot, or -1 for other keys. */
  move(key) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns, Home: -this.cells.length, End: this.cells.length }[key];
    if (!by || !this.cells.length) return -1;
    this.mark("cursor", Math.min(Math.max(this.cursor + by, 0), this.cells.length - 1));
    return this.cursor;
  }

  /** Sets `own`, `chosen` or `cursor`, and draws the changed cells. */
  mark(what, slot) {
    const before = this[what];
    this[what] = slot;
    for (const each of [before, slot]) if (each >= 0) this.#drawCell(each);
  }

  draw() {
    const style = getComputedStyle(document.documentElement);
    for (const hue of [...HUES, "--ink", "--card", "--sunk", "--accent"]) this.#colours[hue] = style.getPropertyValue(hue).trim();
    this.#layout();
    const [rows, scale] = [Math.max(1, Math.ceil(this.cells.length / this.#columns)), devicePixelRatio];
    this.#canvas.style.height = `${rows * this.#size}px`;
    this.#canvas.width = Math.round(this.#width * scale);
    this.#canvas.height = Math.round(rows * this.#size * scale);
    this.#context.setTransform(scale, 0, 0, scale, 0, 0);
    this.cells.forEach((_, slot) => this.#drawCell(slot));
  }

  /** Chooses the largest cells that fit. Returns whether the canvas must be resized. */
  #layout() {
    const before = `${this.#size} ${this.#columns} ${this.#canvas.dataset.rows}`;
    this.#width = this.#canvas.clientWidth;
    const fits = (size) => Math.ceil(this.cells.length / Math.floor(this.#width / size)) * size <= TALLEST;
    this.#size = LARGEST;
    while (this.#size > SMALLEST && !fits(this.#size)) this.#size -= 1;
    this.#columns = Math.max(1, Math.floor(this.#width / this.#size));
    const rows = Math.ceil(this.cells.length / this.#columns);
    Object.assign(this.#canvas.dataset, { size: this.#size, columns: this.#columns, rows });
    return before !== `${this.#size} ${this.#columns} ${rows}`;
  }

  #drawCell(slot) {
    const [context, size] = [this.#context, this.#size];
    const [left, top] = [(slot % this.#columns) * size, Math.floor(slot / this.#columns) * size];
    const [cell, gap] = [this.cells[slot], size > 7 ? 2 : 1];
    const inner = size - gap;
    const fill = (hue, alpha, x, y, width, height) => {
      context.globalAlpha = alpha;
      context.fillStyle = this.#colours[hue];
      context.fillRect(left + x, top + y, width, height);
    };
    context.clearRect(left, top, size, size);
    if (cell === undefined) return;
    const state = cell & 7;
    const isQuiet = STATES[state] === "open" && !(cell & (HEARD | TO_READ));
    fill(HUES[state], state ? (isQuiet ? QUIET : 1) : 0.5, 0, 0, inner, inner);
    if (cell & TO_READ) {
      // A small cell has space for one colour only.
      if (size < 8) fill("--accent", 1, 0, 0, inner, inner);
      else fill("--card", 1, inner * 0.3, inner * 0.3, inner * 0.4, inner * 0.4);
    }
    if (cell & TO_WRITE) fill("--ink", 1, 0, inner - Math.max(1, inner / 5), inner, Math.max(1, inner / 5));
    if (cell & BLOCKED) this.#frame("--red", left, top, inner, Math.max(1, inner / 7));
    if (slot === this.own) this.#frame("--ink", left, top, inner, Math.max(1, inner / 9));
    if (slot === this.chosen || slot === this.cursor) this.#frame("--accent", left, top, inner, Math.max(1, inner / 6));
    context.globalAlpha = 1;
  }

  #frame(hue, left, top, inner, width) {
    this.#context.globalAlpha = 1;
    this.#context.strokeStyle = this.#colours[hue];
    this.#context.lineWidth = width;
    this.#context.strokeRect(left + width / 2, top + width / 2, inner - width, inner - width);
  }
}
