// A grid of any number of photos, of which only the rows in sight exist.
//
// Rows are placed by their number, so that the page scrolls to any photo at once. Where all rows
// together are taller than what browsers can scroll, the scroll bar stands for more than it moves.

import { make, thumbnail } from "./page.js";

const PART = 200; // photos that are asked for at once
const PARTS_KEPT = 40; // so that memory does not grow with the scrolling
const TALLEST = 8_000_000; // CSS pixels; Firefox ends at 17.9 million, Chromium at 33.5 million
const GAP = 4; // CSS pixels between tiles
const TILE = 176; // CSS pixels that a tile has at least, where the page is wide
const FEWEST_COLUMNS = 3;
const PAUSE = 70; // milliseconds that a row must stay in sight before its pictures are fetched

export class Grid {
  #element;
  #load;
  #href;
  #total = 0;
  #active = 0; // place of the photo that the keyboard is at
  #columns = FEWEST_COLUMNS;
  #side = TILE;
  #rows = new Map(); // number → element
  #parts = new Map(); // number → photos, null while they are on their way; in order of use
  #epoch = 0; // counts the collections that were shown
  #drawing = false;
  #isStale = false; // the rows are not yet those of the collection

  /** `load(first, count)` promises {total, photos}; `href(photo)` is where a photo leads to. */
  constructor(element, load, href) {
    this.#element = element;
    this.#load = load;
    this.#href = href;
    new ResizeObserver(() => this.draw()).observe(element);
    addEventListener("scroll", () => this.#drawSoon(), { passive: true });
    addEventListener("resize", () => this.#drawSoon(), { passive: true });
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("focusin", ({ target }) => {
      if (target.dataset.place) this.#activate(Number(target.dataset.place));
    });
  }

  /** Show a collection of `total` photos from its start. */
  show(total) {
    this.#active = 0;
    this.#rows.forEach((row) => row.remove());
    this.#rows.clear();
    this.refresh(total);
  }

  /** Show what has become of the collection; tiles that are as before stay as they are. */
  refresh(total) {
    this.#epoch += 1;
    this.#total = total;
    this.#active = Math.max(0, Math.min(this.#active, total - 1));
    this.#parts.clear();
    this.#isStale = true;
    this.draw();
  }

  /** Draw what is in sight, if the grid itself is. */
  draw() {
    if (!this.#element.clientWidth) return;
    this.#measure();
    this.#draw();
  }

  /** Bring the photo that the keyboard is at into sight and focus it. */
  focus(place = this.#active) {
    if (!this.#total) return;
    this.#activate(Math.max(0, Math.min(place, this.#total - 1)));
    const number = Math.floor(this.#active / this.#columns);
    const top = this.#top() + (number * this.#pitch) / this.#stretch;
    const bar = document.querySelector("header").offsetHeight + GAP;
    if (top < scrollY + bar) scrollTo(0, number ? top - bar : 0);
    else if (top + this.#side > scrollY + innerHeight) scrollTo(0, top + this.#side + GAP - innerHeight);
    this.draw();
    this.#tile(this.#active)?.focus({ preventScroll: true });
  }

  get #pitch() {
    return this.#side + GAP;
  }

  get #height() {
    return Math.max(0, Math.ceil(this.#total / this.#columns) * this.#pitch - GAP);
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
    if (!this.#isStale && columns === this.#columns && Math.abs(side - this.#side) < 0.01) return;
    this.#isStale = false;
    // What was at the top of the window stays there when the window changes its width.
    const past = Math.max(0, scrollY - this.#top());
    const first = Math.floor((past * this.#stretch) / this.#pitch) * this.#columns;
    const isOther = columns !== this.#columns;
    this.#columns = columns;
    this.#side = side;
    if (isOther) {
      this.#rows.forEach((row) => row.remove());
      this.#rows.clear();
    }
    this.#element.style.height = `${Math.min(this.#height, TALLEST)}px`;
    this.#element.style.setProperty("--side", `${side}px`);
    this.#element.setAttribute("aria-rowcount", Math.ceil(this.#total / columns));
    this.#element.setAttribute("aria-colcount", columns);
    if (isOther && past) scrollTo(0, this.#top() + (Math.floor(first / columns) * this.#pitch) / this.#stretch);
    for (const [number, row] of this.#rows) this.#fill(number, row);
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
    const scrolled = scrollY - this.#top();
    const past = scrolled * this.#stretch;
    const last = Math.ceil(this.#total / this.#columns) - 1;
    const from = Math.max(0, Math.floor((past - innerHeight) / this.#pitch));
    const to = Math.min(last, Math.ceil((past + 2 * innerHeight) / this.#pitch));
    if (!this.#element.contains(document.activeElement)) {
      // The Tab key leads to a photo in sight.
      const seen = Math.max(0, Math.ceil(past / this.#pitch));
      const row = Math.floor(this.#active / this.#columns);
      if (row < seen || row * this.#pitch > past + innerHeight) this.#activate(Math.min(last, seen) * this.#columns);
    }
    const active = Math.floor(this.#active / this.#columns);
    for (const [number, row] of this.#rows) {
      const isSeen = number >= from && number <= to;
      if (isSeen || (number === active && number <= last)) continue;
      row.querySelectorAll("img").forEach((image) => image.removeAttribute("src")); // stops the fetching
      row.remove();
      this.#rows.delete(number);
    }
    const wanted = [];
    for (let number = from; number <= to; number += 1) wanted.push(number);
    if (last >= 0 && !wanted.includes(active)) wanted.push(active);
    for (const number of wanted) {
      const row = this.#rows.get(number) ?? this.#add(number);
      row.style.transform = `translateY(${number * this.#pitch - past + scrolled}px)`;
    }
  }

  #add(number) {
    const row = make("div", { className: "row", role: "row", "aria-rowindex": number + 1 });
    for (let column = 0; column < this.#columns; column += 1) {
      const link = make("a", { className: "tile", tabIndex: -1 }, make("img", { alt: "", draggable: false }));
      row.append(make("div", { role: "gridcell", "aria-colindex": column + 1 }, link));
    }
    this.#rows.set(number, row);
    // In the order of the page, for those who read it rather than look at it.
    const next = [...this.#rows.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
    this.#element.insertBefore(row, this.#rows.get(next) ?? null);
    this.#fill(number, row);
    return row;
  }

  /** Give a row its photos, as far as they are known; the others are asked for. */
  #fill(number, row) {
    [...row.children].forEach((cell, column) => {
      const place = number * this.#columns + column;
      const link = cell.firstChild;
      cell.hidden = place >= this.#total;
      if (cell.hidden) return;
      link.dataset.place = place;
      link.tabIndex = place === this.#active ? 0 : -1;
      const photo = this.#photo(place);
      if (photo === undefined) return; // filled again when it is known
      const address = photo ? thumbnail(photo) : "";
      if (link.dataset.address === address) return;
      link.dataset.address = address;
      link.classList.toggle("gone", !photo);
      const image = link.firstChild;
      image.removeAttribute("src");
      if (!photo) {
        link.removeAttribute("href");
        return;
      }
      link.href = this.#href(photo);
      link.title = photo.name;
      image.alt = photo.name;
      image.onload = () => link.classList.remove("gone");
      image.onerror = () => link.classList.add("gone");
      setTimeout(() => {
        if (link.isConnected && link.dataset.address === address) image.src = address;
      }, PAUSE);
    });
  }

  /** Find the photo at a place: null where it has left the index, undefined while it is unknown. */
  #photo(place) {
    const number = Math.floor(place / PART);
    const part = this.#parts.get(number);
    if (part === undefined) this.#fetch(number);
    if (!part) return undefined;
    this.#parts.delete(number); // now it is the one that was used last
    this.#parts.set(number, part);
    return part[place % PART] ?? null;
  }

  async #fetch(number) {
    const epoch = this.#epoch;
    this.#parts.set(number, null);
    let answer;
    try {
      answer = await this.#load(number * PART, PART);
    } catch {
      if (epoch === this.#epoch) this.#parts.delete(number); // asked for again when it is drawn
      return;
    }
    if (epoch !== this.#epoch) return;
    if (answer.total !== this.#total) {
      this.refresh(answer.total);
      return;
    }
    this.#parts.set(number, answer.photos);
    for (const oldest of this.#parts.keys()) {
      if (this.#parts.size <= PARTS_KEPT) break;
      this.#parts.delete(oldest);
    }
    for (const [row, node] of this.#rows) this.#fill(row, node);
  }

  #activate(place) {
    const before = this.#tile(this.#active);
    if (before) before.tabIndex = -1;
    this.#active = Math.max(0, place);
    const now = this.#tile(this.#active);
    if (now) now.tabIndex = 0;
  }

  #key(event) {
    const columns = this.#columns;
    const column = this.#active % columns;
    const page = Math.max(1, Math.floor(innerHeight / this.#pitch) - 1) * columns;
    const whole = event.ctrlKey || event.metaKey;
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      PageUp: -page,
      PageDown: page,
      Home: whole ? -this.#total : -column,
      End: whole ? this.#total : columns - 1 - column,
    };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.shiftKey) return;
    event.preventDefault();
    let place = this.#active + step;
    // Up and down never leave the column, except to end at the last photo.
    if (place < 0) place = event.key === "ArrowUp" || event.key === "PageUp" ? column : 0;
    this.focus(place);
  }
}
