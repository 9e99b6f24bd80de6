// A picture that can be zoomed and moved, by wheel, fingers and keys; and swiped away.

const MOST = 8; // times its size in the window
const STEP = 1.0015; // of the zoom, for each pixel of the wheel
const SWIPE = 60; // CSS pixels that a finger goes to change the photo
const TWICE = 300; // milliseconds between two taps

export class Zoom {
  #stage;
  #picture;
  #scale = 1;
  #x = 0;
  #y = 0;
  #fingers = new Map(); // id → {x, y}
  #start = null; // where a swipe began
  #tapped = 0;

  /** `swiped(x, y)` is called with the direction of a swipe; `zoomed(scale)` when that changes. */
  constructor(stage, picture, swiped, zoomed) {
    this.#stage = stage;
    this.#picture = picture;
    this.zoomed = zoomed;
    this.swiped = swiped;
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.#to(this.#scale * STEP ** -event.deltaY, event.clientX, event.clientY);
      },
      { passive: false },
    );
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.#up(event));
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
    const { left, top, width, height } = this.#stage.getBoundingClientRect();
    this.#to(this.#scale * factor, left + width / 2, top + height / 2);
  }

  /** What lies at a point of the window stays there. */
  #to(wanted, clientX, clientY) {
    const scale = Math.max(1, Math.min(MOST, wanted));
    const { left, top, width, height } = this.#stage.getBoundingClientRect();
    const [x, y] = [clientX - left - width / 2, clientY - top - height / 2];
    this.#x = x - (x - this.#x) * (scale / this.#scale);
    this.#y = y - (y - this.#y) * (scale / this.#scale);
    this.#scale = scale;
    this.#draw();
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

  #down(event) {
    if (event.button !== 0 || event.target.closest("button, a")) return;
    this.#stage.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.#start = this.#fingers.size === 1 ? { x: event.clientX, y: event.clientY } : null;
  }

  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (this.#fingers.size === 2) {
      const other = [...this.#fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
      this.#to((this.#scale * apart(now)) / Math.max(1, apart(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (this.#scale > 1) {
      this.#x += now.x - before.x;
      this.#y += now.y - before.y;
      this.#draw();
    }
    this.#fingers.set(event.pointerId, now);
  }

  #up(event) {
    if (!this.#fingers.delete(event.pointerId) || !this.#start) return;
    const [x, y] = [event.clientX - this.#start.x, event.clientY - this.#start.y];
    this.#start = null;
    if (Math.hypot(x, y) < 10) {
      if (event.timeStamp - this.#tapped < TWICE) this.#to(this.#scale > 1 ? 1 : 2.5, event.clientX, event.clientY);
      this.#tapped = event.timeStamp;
    } else if (this.#scale === 1 && event.pointerType !== "mouse" && Math.max(Math.abs(x), Math.abs(y)) > SWIPE) {
      this.swiped(Math.abs(x) > Math.abs(y) ? Math.sign(x) : 0, Math.abs(y) >= Math.abs(x) ? Math.sign(y) : 0);
    }
  }
}
