// The photos that are selected, in whatever view; and how fingers select.

const LONG = 450; // milliseconds that a finger rests on a photo to select it
const STRAY = 10; // CSS pixels that it may move meanwhile

/** Photos by id. Sends "change". */
export class Selection extends EventTarget {
  #photos = new Map();

  get size() {
    return this.#photos.size;
  }

  get photos() {
    return [...this.#photos.values()];
  }

  get ids() {
    return [...this.#photos.keys()];
  }

  has(id) {
    return this.#photos.has(id);
  }

  toggle(photo) {
    if (!this.#photos.delete(photo.id)) this.#photos.set(photo.id, photo);
    this.dispatchEvent(new Event("change"));
  }

  add(photos) {
    for (const photo of photos) this.#photos.set(photo.id, photo);
    this.dispatchEvent(new Event("change"));
  }

  clear() {
    this.#photos.clear();
    this.dispatchEvent(new Event("change"));
  }
}

/** Call `press(target)` where a finger rests; the click that would follow is swallowed. */
export function onLongPress(element, press) {
  let timer = 0;
  let from = null;
  let isDone = false;
  const end = () => clearTimeout(timer);
  element.addEventListener("pointerdown", (event) => {
    isDone = false;
    if (event.pointerType === "mouse") return;
    from = event;
    timer = setTimeout(() => {
      isDone = true;
      press(event.target);
    }, LONG);
  });
  element.addEventListener("pointermove", (event) => {
    if (from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > STRAY) end();
  });
  for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, end);
  element.addEventListener("contextmenu", (event) => {
    if (from && event.pointerType !== "mouse") event.preventDefault();
  });
  element.addEventListener(
    "click",
    (event) => {
      if (!isDone) return;
      isDone = false;
      event.preventDefault();
      event.stopPropagation();
    },
    { capture: true },
  );
}
