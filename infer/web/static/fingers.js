// What one or two fingers (or a mouse) do on an element: move, zoom, tap, swipe.

const STRAY = 10; // CSS pixels that a finger may move in a tap
const SWIPE = 60; // CSS pixels that a finger goes in a swipe

export class Fingers {
  #element;
  #does;
  #down = new Map(); // id → {x, y}, within the element
  #start = null; // where a lone finger began

  /**
   * `does` holds what is called: `moved(x, y)` with the way of a finger, `zoomed(factor, x, y)` with
   * the middle of two, `tapped(x, y)`, and `swiped(x, y)` with the direction of a finger (no mouse).
   */
  constructor(element, does) {
    this.#element = element;
    this.#does = { moved: () => {}, zoomed: () => {}, tapped: () => {}, swiped: () => {}, ...does };
    element.addEventListener("pointerdown", (event) => this.#begin(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#end(event));
    element.addEventListener("pointercancel", ({ pointerId }) => {
      this.#down.delete(pointerId);
      this.#start = null;
    });
  }

  #point({ clientX, clientY }) {
    const { left, top } = this.#element.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }

  #begin(event) {
    if (event.button !== 0 || event.target.closest("button, a")) return;
    this.#element.setPointerCapture(event.pointerId);
    const point = this.#point(event);
    this.#down.set(event.pointerId, point);
    this.#start = this.#down.size === 1 ? point : null;
  }

  #move(event) {
    const before = this.#down.get(event.pointerId);
    if (!before) return;
    const now = this.#point(event);
    this.#down.set(event.pointerId, now);
    if (this.#down.size === 2) {
      const other = [...this.#down].find(([id]) => id !== event.pointerId)[1];
      const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
      this.#does.zoomed(apart(now) / Math.max(1, apart(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (!this.#start || Math.hypot(now.x - this.#start.x, now.y - this.#start.y) >= STRAY) {
      this.#does.moved(now.x - before.x, now.y - before.y);
    }
  }

  #end(event) {
    if (!this.#down.delete(event.pointerId) || !this.#start) return;
    const now = this.#point(event);
    const [x, y] = [now.x - this.#start.x, now.y - this.#start.y];
    this.#start = null;
    if (Math.hypot(x, y) < STRAY) this.#does.tapped(now.x, now.y, event.timeStamp);
    else if (event.pointerType !== "mouse" && Math.max(Math.abs(x), Math.abs(y)) > SWIPE) {
      this.#does.swiped(Math.abs(x) > Math.abs(y) ? Math.sign(x) : 0, Math.abs(y) >= Math.abs(x) ? Math.sign(y) : 0);
    }
  }
}
