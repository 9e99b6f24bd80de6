// A picture that can be zoomed and moved, by wheel, fingers and keys; and swiped away.

import { Fingers } from "./fingers.js";

const MOST = 8; // times its size in the window
const STEP = 1.0015; // of the zoom, for each pixel of the wheel
const TWICE = 300; // milliseconds between two taps

export class Zoom {
  #stage;
  #picture;
  #scale = 1;
  #x = 0;
  #y = 0;
  #tapped = 0;

  /** `swiped(x, y)` is called with the direction of a swipe; `zoomed(scale)` when that changes. */
  constructor(stage, picture, swiped, zoomed) {
    this.#stage = stage;
    this.#picture = picture;
    this.zoomed = zoomed;
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const { left, top } = stage.getBoundingClientRect();
        this.#to(this.#scale * STEP ** -event.deltaY, event.clientX - left, event.clientY - top);
      },
      { passive: false },
    );
    new Fingers(stage, {
      moved: (x, y) => this.#move(x, y),
      zoomed: (factor, x, y) => this.#to(this.#scale * factor, x, y),
      tapped: (x, y, time) => this.#tap(x, y, time),
      swiped: (x, y) => this.#scale === 1 && swiped(x, y),
    });
  }

  get scale() {
    return this.#scale;
  }

  reset() {
    this.#scale = 1;
    this.#x = this.#y = 0;
    this.#draw();
  }

  /** Zoom by a factor, about the middle. */
  by(factor) {
    this.#to(this.#scale * factor, this.#stage.clientWidth / 2, this.#stage.clientHeight / 2);
  }

  /** What lies at a point of the stage stays there. */
  #to(wanted, stageX, stageY) {
    const scale = Math.max(1, Math.min(MOST, wanted));
    const [x, y] = [stageX - this.#stage.clientWidth / 2, stageY - this.#stage.clientHeight / 2];
    this.#x = x - (x - this.#x) * (scale / this.#scale);
    this.#y = y - (y - this.#y) * (scale / this.#scale);
    this.#scale = scale;
    this.#draw();
  }

  #move(x, y) {
    if (this.#scale === 1) return;
    this.#x += x;
    this.#y += y;
    this.#draw();
  }

  #tap(x, y, time) {
    if (time - this.#tapped < TWICE) this.#to(this.#scale > 1 ? 1 : 2.5, x, y);
    this.#tapped = time;
  }

  #draw() {
    const { offsetWidth, offsetHeight } = this.#picture;
    const spare = (extent, window) => Math.max(0, (extent * this.#scale - window) / 2);
    const x = spare(offsetWidth, this.#stage.clientWidth);
    const y = spare(offsetHeight, this.#stage.clientHeight);
    this.#x = Math.max(-x, Math.min(x, this.#x));
    this.#y = Math.max(-y, Math.min(y, this.#y));
    this.#picture.style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
    this.#stage.classList.toggle("zoomed", this.#scale > 1);
    this.zoomed(this.#scale);
  }
}
