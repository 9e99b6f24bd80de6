// The strip along the edge of the collection: years to jump to, and months while it is dragged.

import { make } from "./page.js";

const CLOSEST = 22; // CSS pixels between two years

export class Scrubber {
  #element;
  #grid;
  #bubble;
  #marker;
  #years;
  #height = 0; // CSS pixels
  #place = 0; // of the marker, in CSS pixels from the top

  constructor(element, grid) {
    this.#element = element;
    this.#grid = grid;
    this.#bubble = make("div", { className: "bubble", "aria-hidden": "true", hidden: true });
    this.#marker = make("div", { className: "marker", "aria-hidden": "true" });
    this.#years = make("div", { className: "years" });
    element.append(this.#years, this.#marker, this.#bubble);
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.#drag(event);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.#drag(event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      element.addEventListener(name, () => {
        this.#bubble.hidden = true;
      });
    }
    new ResizeObserver(() => this.draw()).observe(element);
  }

  /** Show the years of the collection; `year(heading)` gives that of a heading. */
  show(year) {
    this.year = year;
    this.draw();
  }

  draw() {
    const { layout } = this.#grid;
    this.#element.hidden = layout.sections.length < 2 || !this.year;
    const height = this.#element.clientHeight;
    this.#height = height;
    if (!height) return;
    const labels = [];
    let last = -CLOSEST;
    let before = null;
    for (const { heading, top } of layout.sections) {
      const year = this.year(heading);
      if (year === before) continue;
      before = year;
      const place = (top / layout.height) * height;
      if (place < last + CLOSEST || place > height - CLOSEST) continue;
      last = place;
      const button = make("button", { type: "button", textContent: year, title: `Go to ${heading}` });
      button.style.top = `${place}px`;
      button.addEventListener("click", (event) => {
        if (event.detail === 0) this.#grid.scrollTo(top); // by the keyboard; a pointer has scrolled
      });
      labels.push(button);
    }
    this.#years.replaceChildren(...labels);
    this.follow();
  }

  /** Show where the window is. */
  follow() {
    const { layout, past } = this.#grid;
    if (!layout.height) return;
    const place = Math.round(Math.min(1, past / layout.height) * this.#height);
    if (place === this.#place) return; // most frames: the page is drawn anew for every change
    this.#place = place;
    this.#marker.style.transform = `translateY(${place}px)`;
  }

  #drag(event) {
    const { top, height } = this.#element.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientY - top) / height));
    const { layout } = this.#grid;
    const past = share * layout.height;
    this.#bubble.textContent = layout.sectionAt(past).heading;
    this.#bubble.style.top = `${share * 100}%`;
    this.#bubble.hidden = false;
    this.#grid.scrollTo(past);
  }
}
