// The photos of the overview, asked for part by part, and their pictures.

import { ask, thumbnail } from "./page.js";

const PARTS_KEPT = 400;
const PICTURES_KEPT = 2500;
const AT_ONCE = 8; // pictures that are fetched
const PAUSE = 60; // milliseconds without drawing, before pictures are fetched

export class Tiles {
  #told = null;
  #parts = new Map(); // "level/column/row" → rows of photos, or null while it is asked for
  #pictures = new Map(); // address → an image, or null where there is none
  #wanted = new Map(); // address → when it was last drawn without its picture
  #fetching = 0;
  #timer = 0;
  #changed;

  /** `changed()` is called when there is more to draw. */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Begin with an arrangement, as the server tells of it. */
  show(told) {
    this.#told = told;
    this.#parts.clear();
    this.#wanted.clear();
  }

  /** Give the photo of a cell: null where there is none, undefined while that is not known. */
  photo(level, column, row) {
    const { part } = this.#told;
    const [left, top] = [Math.floor(column / part), Math.floor(row / part)];
    const key = `${level}/${left}/${top}`;
    const rows = this.#parts.get(key);
    if (rows === undefined) this.#ask(key, level, left, top);
    if (!rows) return undefined;
    return rows[row - top * part]?.[column - left * part] ?? null;
  }

  /** Give a photo's picture, or undefined while it is being fetched. */
  picture(photo) {
    const address = thumbnail(photo);
    const known = this.#pictures.get(address);
    if (known !== undefined) {
      this.#pictures.delete(address); // now it is the one that was used last
      this.#pictures.set(address, known);
      return known;
    }
    this.#wanted.set(address, performance.now());
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fetch(), PAUSE);
    return undefined;
  }

  async #ask(key, level, column, row) {
    this.#parts.set(key, null);
    const { number } = this.#told;
    const wishes = new URLSearchParams({ level, column, row });
    try {
      const rows = await ask(`api/overview/${number}/photos?${wishes}`);
      if (number !== this.#told.number) return;
      this.#parts.set(key, rows);
      this.#forget(this.#parts, PARTS_KEPT);
      this.#changed();
    } catch {
      // Asked for again when it is drawn again; that the server is away, the page tells.
      setTimeout(() => this.#parts.get(key) === null && this.#parts.delete(key), 2000);
    }
  }

  #fetch() {
    // What was drawn last is still in sight.
    const newest = Math.max(0, ...this.#wanted.values());
    for (const [address, drawn] of this.#wanted) {
      if (this.#fetching >= AT_ONCE) return;
      this.#wanted.delete(address);
      if (drawn < newest - 500 || this.#pictures.has(address)) continue;
      this.#load(address);
    }
  }

  async #load(address) {
    this.#fetching += 1;
    const image = new Image();
    image.src = address;
    let picture = null;
    try {
      await image.decode();
      picture = image;
    } catch {
      // A photo that cannot be shown leaves its cell empty.
    }
    this.#pictures.set(address, picture);
    this.#forget(this.#pictures, PICTURES_KEPT);
    this.#fetching -= 1;
    this.#changed();
    this.#fetch();
  }

  #forget(map, most) {
    for (const oldest of map.keys()) {
      if (map.size <= most) return;
      map.delete(oldest);
    }
  }
}
