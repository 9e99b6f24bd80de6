// A grid of any number of photos under headings, of which only the rows in sight exist.
//
// Lines are placed by their number, so that the page scrolls to any photo at once. Where all lines
// together are taller than what browsers can scroll, the scroll bar stands for more than it moves.

import { GAP, Layout } from "./layout.js";
import { make } from "./page.js";
import { onLongPress } from "./selection.js";
import { fillTile, makeTile, markTile } from "./tile.js";

const PART = 200; // photos that are asked for at once
const PARTS_KEPT = 40; // so that memory does not grow with the scrolling
const TALLEST = 8_000_000; // CSS pixels; Firefox ends at 17.9 million, Chromium at 33.5 million
const TILE = 176; // CSS pixels that a tile has at least, where the page is wide
const FEWEST_COLUMNS = 3;
const PAUSE = 70; // milliseconds that a row must stay in sight before its pictures are fetched
const MOST_IN_RANGE = 5000; // photos that are selected at once

export class Grid {
  #element;
  #load;
  #open;
  #selection;
  #sections = [];
  #layout = new Layout([], FEWEST_COLUMNS, TILE);
  #active = 0; // place of the photo that the keyboard is at
  #anchor = 0; // place where a range of selected photos begins
  #side = TILE;
  #rows = new Map(); // line → element
  #parts = new Map(); // number → promise of photos, or photos; in order of use
  #epoch = 0; // counts the collections that were shown
  #drawing = false;
  #isStale = false; // the rows are not yet those of the collection

  /**
   * `load(first, count)` promises {total, photos}; `open(place, photo)` is called for the photo that
   * is to be looked at; `selection` holds those that are selected.
   */
  constructor(element, load, open, selection) {
    this.#element = element;
    this.#load = load;
    this.#open = open;
    this.#selection = selection;
    this.onscroll = () => {};
    new ResizeObserver(() => this.draw()).observe(element);
    addEventListener("scroll", () => this.#drawSoon(), { passive: true });
    addEventListener("resize", () => this.#drawSoon(), { passive: true });
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("focusin", ({ target }) => {
      if (target.dataset.place) this.#activate(Number(target.dataset.place));
    });
    onLongPress(element, (target) => {
      const link = target.closest("[role=gridcell]")?.querySelector(".tile[href]");
      if (link) this.#pick(Number(link.dataset.place), false);
    });
    selection.addEventListener("change", () => this.#mark());
  }

  get total() {
    return this.#layout.photos;
  }

  get layout() {
    return this.#layout;
  }

  /** How far down the collection the window begins, in CSS pixels of all its lines. */
  get past() {
    return Math.max(0, scrollY - this.#top() + this.#bar) * this.#stretch;
  }

  /** Show a collection from its start; `sections` are {heading, photos}. */
  show(sections) {
    this.#active = this.#anchor = 0;
    this.#rows.forEach((row) => row.remove());
    this.#rows.clear();
    this.refresh(sections);
  }

  /** Show what has become of the collection; tiles that are as before stay as they are. */
  refresh(sections) {
    this.#epoch += 1;
    this.#sections = sections;
    this.#parts.clear();
    this.#isStale = true;
    this.draw();
  }

  /** Try those pictures again that could not be had. */
  retry() {
    for (const link of this.#element.querySelectorAll(".tile.gone")) delete link.dataset.address;
    this.#fillAll();
  }

  /** Draw what is in sight, if the grid itself is. */
  draw() {
    if (!this.#element.clientWidth) return;
    this.#measure();
    this.#draw();
  }

  /** Bring the photo that the keyboard is at into sight and focus it. */
  focus(place = this.#active) {
    if (!this.total) return;
    this.#activate(Math.max(0, Math.min(place, this.total - 1)));
    const number = this.#layout.lineOf(this.#active);
    const top = this.#top() + this.#layout.line(number).top / this.#stretch;
    if (top < scrollY + this.#bar) scrollTo(0, number > 1 ? top - this.#bar : 0);
    else if (top + this.#side > scrollY + innerHeight) scrollTo(0, top + this.#side + GAP - innerHeight);
    this.draw();
    this.#tile(this.#active)?.focus({ preventScroll: true });
  }

  /** Scroll to a distance from the collection's top, in CSS pixels of all its lines. */
  scrollTo(past) {
    scrollTo(0, this.#top() + past / this.#stretch - this.#bar);
  }

  /** Promise the photo at a place; null where it has left the index. */
  async at(place) {
    const part = await this.#part(Math.floor(place / PART));
    return part[place % PART] ?? null;
  }

  get #bar() {
    return document.querySelector("header").offsetHeight + GAP;
  }

  get #height() {
    return Math.max(0, this.#layout.height - GAP);
  }

  /** How much further a pixel of the scroll bar leads than a pixel. */
  get #stretch() {
    const spare = TALLEST - innerHeight;
    return this.#height > TALLEST ? (this.#height - innerHeight) / spare : 1;
  }

  #top() {
    return this.#element.getBoundingClientRect().top + scrollY;
  }

  #tile(place) {
    return this.#element.querySelector(`[data-place="${place}"]`);
  }

  #measure() {
    const width = this.#element.clientWidth;
    const columns = Math.max(FEWEST_COLUMNS, Math.floor((width + GAP) / (TILE + GAP)));
    const side = (width - GAP * (columns - 1)) / columns;
    const before = this.#layout;
    if (!this.#isStale && columns === before.columns && Math.abs(side - this.#side) < 0.01) return;
    // What was at the top of the window stays there when the window changes its width.
    const { past } = this;
    const isNarrowed = !this.#isStale && past > 0 && before.photos > 0;
    const top = isNarrowed ? before.line(before.lineAt(past)) : null;
    this.#side = side;
    this.#layout = new Layout(this.#sections, columns, side);
    this.#active = Math.max(0, Math.min(this.#active, this.total - 1));
    if (this.#isStale || columns !== before.columns) {
      this.#rows.forEach((row) => row.remove());
      this.#rows.clear();
    }
    this.#isStale = false;
    this.#element.style.height = `${Math.min(this.#height, TALLEST)}px`;
    this.#element.style.setProperty("--side", `${side}px`);
    this.#element.setAttribute("aria-rowcount", this.#layout.lines);
    this.#element.setAttribute("aria-colcount", columns);
    if (top) this.scrollTo(this.#layout.line(this.#layout.lineOf(top.first ?? top.section.first)).top);
  }

  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.draw();
    });
  }

  #draw() {
    const layout = this.#layout;
    const scrolled = scrollY - this.#top();
    const past = scrolled * this.#stretch;
    this.onscroll(); // before rows change: nothing has to be laid out for what it measures
    const wanted = new Set();
    if (layout.lines) {
      const to = layout.lineAt(past + 2 * innerHeight);
      for (let number = layout.lineAt(past - innerHeight); number <= to; number += 1) wanted.add(number);
      if (!this.#element.contains(document.activeElement)) this.#followScroll(past);
      wanted.add(layout.lineOf(this.#active));
    }
    for (const [number, row] of this.#rows) {
      if (wanted.has(number)) continue;
      row.querySelectorAll("img").forEach((image) => image.removeAttribute("src")); // stops the fetching
      row.remove();
      this.#rows.delete(number);
    }
    for (const number of wanted) {
      const row = this.#rows.get(number) ?? this.#add(number);
      row.style.transform = `translateY(${layout.line(number).top - past + scrolled}px)`;
    }
  }

  /** The Tab key leads to a photo in sight. */
  #followScroll(past) {
    const layout = this.#layout;
    const { top } = layout.line(layout.lineOf(this.#active));
    if (top >= past - this.#side && top <= past + innerHeight) return;
    const line = layout.line(layout.lineAt(past + this.#side));
    this.#activate(line.first ?? line.section.first);
  }

  #add(number) {
    const line = this.#layout.line(number);
    const row = make("div", { role: "row", "aria-rowindex": number + 1 });
    if (line.heading === undefined) {
      row.className = "row";
      for (let column = 0; column < line.photos; column += 1) {
        const { link, pick } = makeTile();
        link.dataset.place = line.first + column;
        row.append(make("div", { role: "gridcell", "aria-colindex": column + 1 }, link, pick));
      }
    } else {
      row.className = "heading";
      row.append(
        make(
          "div",
          { role: "rowheader" },
          make("h2", { textContent: line.heading }, " ", make("small", { textContent: line.section.photos.toLocaleString() })),
        ),
      );
    }
    this.#rows.set(number, row);
    // In the order of the page, for those who read it rather than look at it.
    let next = null;
    for (const other of this.#rows.keys()) if (other > number && (next === null || other < next)) next = other;
    this.#element.insertBefore(row, next === null ? null : this.#rows.get(next));
    this.#fill(row);
    return row;
  }

  #fillAll() {
    for (const row of this.#rows.values()) this.#fill(row);
  }

  /** Give a row its photos, as far as they are known; the others are asked for. */
  #fill(row) {
    for (const cell of row.querySelectorAll("[role=gridcell]")) {
      const [link, pick] = cell.children;
      const place = Number(link.dataset.place);
      link.tabIndex = place === this.#active ? 0 : -1;
      const number = Math.floor(place / PART);
      const part = this.#parts.get(number);
      if (!Array.isArray(part)) {
        if (!part) this.#part(number).then(() => this.#fillAll(), () => {}); // asked for again when drawn
        continue;
      }
      const photo = part[place % PART] ?? null;
      fillTile(link, pick, photo, PAUSE);
      markTile(cell, pick, photo !== null && this.#selection.has(photo.id));
    }
  }

  #mark() {
    this.#element.classList.toggle("selecting", this.#selection.size > 0);
    this.#fillAll();
  }

  /** Promise the photos of a part. */
  async #part(number) {
    const known = this.#parts.get(number);
    if (known) {
      this.#parts.delete(number); // now it is the one that was used last
      this.#parts.set(number, known);
      return known;
    }
    const epoch = this.#epoch;
    const asking = this.#load(number * PART, PART).then(({ photos }) => photos);
    this.#parts.set(number, asking);
    try {
      const photos = await asking;
      if (epoch === this.#epoch) {
        this.#parts.set(number, photos);
        for (const oldest of this.#parts.keys()) {
          if (this.#parts.size <= PARTS_KEPT) break;
          this.#parts.delete(oldest);
        }
      }
      return photos;
    } catch (error) {
      if (epoch === this.#epoch) this.#parts.delete(number);
      throw error;
    }
  }

  #activate(place) {
    const before = this.#tile(this.#active);
    if (before) before.tabIndex = -1;
    this.#active = Math.max(0, place);
    const now = this.#tile(this.#active);
    if (now) now.tabIndex = 0;
  }

  async #click(event) {
    const link = event.target.closest("[role=gridcell]")?.querySelector(".tile[href]");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const place = Number(link.dataset.place);
    if (event.shiftKey || event.target.closest(".pick") || this.#selection.size) {
      await this.#pick(place, event.shiftKey);
    } else {
      const photo = await this.at(place);
      if (photo) this.#open(place, photo);
    }
  }

  /** Select a photo or take it out; or all from the last one that was picked to this one. */
  async #pick(place, isRange) {
    if (!isRange) {
      this.#anchor = place;
      const photo = await this.at(place);
      if (photo) this.#selection.toggle(photo);
      return;
    }
    const from = Math.max(Math.min(this.#anchor, place), place - MOST_IN_RANGE);
    const to = Math.min(Math.max(this.#anchor, place), from + MOST_IN_RANGE);
    const photos = [];
    for (let number = Math.floor(from / PART); number <= Math.floor(to / PART); number += 1) {
      const part = await this.#part(number);
      photos.push(...part.slice(Math.max(0, from - number * PART), to - number * PART + 1));
    }
    this.#selection.add(photos.filter(Boolean));
  }

  async #key(event) {
    if (event.altKey || !event.target.dataset.place) return;
    const place = this.#active;
    if (event.key === " ") {
      event.preventDefault();
      await this.#pick(place, event.shiftKey);
      return;
    }
    const line = this.#layout.line(this.#layout.lineOf(place));
    const page = Math.max(1, Math.floor(innerHeight / this.#layout.pitch) - 1);
    const whole = event.ctrlKey || event.metaKey;
    const to = {
      ArrowLeft: () => place - 1,
      ArrowRight: () => place + 1,
      ArrowUp: () => this.#layout.below(place, -1),
      ArrowDown: () => this.#layout.below(place, 1),
      PageUp: () => this.#layout.below(place, -page),
      PageDown: () => this.#layout.below(place, page),
      Home: () => (whole ? 0 : line.first),
      End: () => (whole ? this.total - 1 : line.first + line.photos - 1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    this.focus(to());
    if (event.shiftKey) {
      if (!this.#selection.size) this.#anchor = place;
      await this.#pick(this.#active, true);
    }
  }
}
