// Two photos of a group, large and in the same place: what they differ in, and which of them stays.
//
// Both are laid where the server has found them to lie over each other, in the pixels of the photo
// that is proposed to stay, and are seen through one window: what is zoomed and moved is the window.

import { announce, ask, bytes, complain, element, view } from "./page.js";

const SIDES = [1280, 2048, 4096]; // pixels of the pictures that the server makes
const MOST = 16; // times the size at which both fit
const STEP = 1.0015; // of the zoom, for each pixel of the wheel
const NUDGE = 0.15; // of the window, for a key
const BESIDE = "beside", FLIP = "flip", DIFFERENCE = "difference";

export class Review {
  #decide;
  #total = 0;
  #number = 0; // of the group
  #group = null;
  #order = []; // the places of its photos but the first, those to be looked at first
  #step = 0; // in that order
  #pair = []; // the two photos
  #mode = BESIDE;
  #front = 1; // which of them is seen where they are flipped
  #window = { x: 0, y: 0, scale: 1 }; // its middle, and the zoom
  #fingers = new Map(); // id → {x, y}
  #panes;

  /** `decide(number, what, decision)` tells the server and gives the group as it is then. */
  constructor(decide) {
    this.#decide = decide;
    this.#panes = [element("pane-a"), element("pane-b")];
    const dialog = element("review");
    dialog.addEventListener("keydown", (event) => this.#key(event));
    for (const button of dialog.querySelectorAll("[data-key]")) {
      button.addEventListener("click", () => this.#press(button.dataset.key));
    }
    element("review-close").addEventListener("click", () => dialog.close());
    this.#listen(element("panes"));
    new ResizeObserver(() => this.#draw()).observe(element("panes"));
  }

  /** Show the first pair of a group. */
  async open(number, total) {
    this.#total = total;
    if (!(await this.#load(number))) return;
    this.#step = 0;
    element("review").showModal();
    element("panes").focus();
    this.#show();
  }

  async #load(number) {
    try {
      const [group] = await ask(`api/duplicates/groups?first=${number}&count=1`);
      if (!group) return false;
      this.#group = group;
      this.#number = number;
    } catch (error) {
      this.#fail(error);
      return false;
    }
    const { photos } = this.#group;
    this.#order = photos.map((_, place) => place).slice(1);
    this.#order.sort((one, other) => photos[one].certain - photos[other].certain);
    return true;
  }

  #fail(error) {
    element("review").close();
    complain(error.message);
  }

  /** Go to another pair, in the next or the last group where this one has no more. */
  async #go(by) {
    const step = this.#step + by;
    if (step >= 0 && step < this.#order.length) this.#step = step;
    else {
      const number = this.#number + by;
      if (number < 0 || number >= this.#total) {
        announce(by > 0 ? "That was the last group" : "This is the first group");
        if (by > 0) element("review").close();
        return;
      }
      if (!(await this.#load(number))) return;
      this.#step = by > 0 ? 0 : this.#order.length - 1;
    }
    this.#show();
  }

  // --- what is shown -----------------------------------------------------------------------------

  #show() {
    const { photos } = this.#group;
    const place = this.#order[this.#step];
    const right = photos[place];
    // It is compared with one that stays.
    const left = photos.find((photo) => photo.stays && photo !== right) ?? photos[0];
    this.#pair = [left, right];
    this.#front = 1;
    this.#panes.forEach((pane, n) => this.#fill(pane, this.#pair[n], "AB"[n]));
    this.#window = { ...this.#middle(), scale: 1 };
    this.#tell();
    this.#draw();
  }

  #fill(pane, photo, letter) {
    const [image, text] = [pane.querySelector("img"), pane.querySelector("figcaption")];
    pane.classList.remove("gone");
    image.onerror = () => pane.classList.add("gone");
    image.alt = `${letter}: ${photo.name}`;
    image.removeAttribute("src");
    image.dataset.side = 0;
    const size = `${photo.width.toLocaleString()} × ${photo.height.toLocaleString()}, ${bytes(photo.bytes)}`;
    text.querySelector("strong").textContent = letter;
    text.querySelector("span").textContent = `${photo.name} – ${size}`;
    text.title = `${photo.folder}/${photo.name}`;
  }

  /** Tell what is decided, and where in the groups this is. */
  #tell() {
    const [left, right] = this.#pair;
    const { photos, not_duplicates: areNone } = this.#group;
    const of = this.#order.length > 1 ? `, copy ${this.#step + 1} of ${this.#order.length}` : "";
    element("review-title").textContent = `Group ${this.#number + 1} of ${this.#total.toLocaleString()}${of}`;
    const doubt = areNone ? "Not duplicates" : right.certain ? "Certain" : "To be looked at";
    element("review-reason").textContent = `${doubt}: ${right.reason} (${right.score.toFixed(2)})`;
    const decided = areNone ? "n" : left.stays && right.stays ? "3" : left.stays ? "1" : "2";
    for (const button of element("review").querySelectorAll(".decisions [data-key]")) {
      button.setAttribute("aria-pressed", String(button.dataset.key === decided));
    }
    for (const button of element("review").querySelectorAll(".modes [data-key]")) {
      const mode = { s: BESIDE, f: FLIP, d: DIFFERENCE }[button.dataset.key];
      button.setAttribute("aria-pressed", String(mode === this.#mode));
    }
    this.#panes.forEach((pane, n) => {
      pane.classList.toggle("goes", !areNone && !this.#pair[n].stays);
      pane.classList.toggle("behind", this.#mode === FLIP && n !== this.#front);
    });
    element("panes").className = `panes ${this.#mode}`;
    element("panes").dataset.photos = photos.length;
  }

  /** Where a photo lies: in pixels of the first photo of the group. */
  #box(photo) {
    const { width, height } = this.#group.photos[0];
    const [x, across, y, down] = photo.place;
    return { x: x * width, y: y * height, width: across * width, height: down * height };
  }

  #around() {
    const boxes = this.#pair.map((photo) => this.#box(photo));
    const left = Math.min(...boxes.map(({ x }) => x));
    const top = Math.min(...boxes.map(({ y }) => y));
    const right = Math.max(...boxes.map(({ x, width }) => x + width));
    const bottom = Math.max(...boxes.map(({ y, height }) => y + height));
    return { left, top, right, bottom };
  }

  #middle() {
    const { left, top, right, bottom } = this.#around();
    return { x: (left + right) / 2, y: (top + bottom) / 2 };
  }

  /** CSS pixels for a pixel of the first photo. */
  #scale() {
    const { left, top, right, bottom } = this.#around();
    const { clientWidth, clientHeight } = this.#panes[0];
    return this.#window.scale * Math.min(clientWidth / (right - left), clientHeight / (bottom - top));
  }

  #draw() {
    if (!this.#pair.length || !element("review").open) return;
    const scale = this.#scale();
    this.#panes.forEach((pane, n) => {
      const photo = this.#pair[n];
      const box = this.#box(photo);
      const image = pane.querySelector("img");
      const [across, down] = [box.width * scale, box.height * scale];
      const isOnItsSide = photo.quarter_turns % 2 === 1;
      image.style.left = `${pane.clientWidth / 2 + (box.x + box.width / 2 - this.#window.x) * scale}px`;
      image.style.top = `${pane.clientHeight / 2 + (box.y + box.height / 2 - this.#window.y) * scale}px`;
      image.style.width = `${isOnItsSide ? down : across}px`;
      image.style.height = `${isOnItsSide ? across : down}px`;
      // Mirrored first, then turned counterclockwise.
      const turn = `rotate(${-90 * photo.quarter_turns}deg) scaleX(${photo.mirrored ? -1 : 1})`;
      image.style.transform = `translate(-50%, -50%) ${turn}`;
      this.#picture(image, photo, Math.max(across, down) * devicePixelRatio);
    });
  }

  /** Let a picture be as large as it is seen; the smaller one is seen until it is there. */
  #picture(image, photo, pixels) {
    const side = SIDES.find((most) => most >= Math.min(pixels, photo.width, photo.height)) ?? SIDES.at(-1);
    if (side <= Number(image.dataset.side)) return;
    image.dataset.side = side;
    const address = view(photo, side);
    if (!image.getAttribute("src")) {
      image.src = address;
      return;
    }
    const next = new Image();
    next.onload = () => {
      if (this.#pair.includes(photo) && Number(image.dataset.side) === side) image.src = address;
    };
    next.src = address;
  }

  // --- the window --------------------------------------------------------------------------------

  #zoom(wanted, x = 0, y = 0) {
    const before = this.#scale();
    this.#window.scale = Math.max(1, Math.min(MOST, wanted));
    const after = this.#scale();
    // What lies at that point, from the middle of the window, stays there.
    this.#move(x * (1 / before - 1 / after), y * (1 / before - 1 / after));
  }

  /** Move the window by pixels of the first photo; its middle stays in the pictures. */
  #move(x, y) {
    const { left, top, right, bottom } = this.#around();
    const isWhole = this.#window.scale === 1;
    const middle = this.#middle();
    this.#window.x = isWhole ? middle.x : Math.max(left, Math.min(right, this.#window.x + x));
    this.#window.y = isWhole ? middle.y : Math.max(top, Math.min(bottom, this.#window.y + y));
    this.#draw();
  }

  /** Where an event is in its pane, from the middle. */
  #inPane(point) {
    const pane = this.#panes.find((one) => {
      const { left, right, top, bottom } = one.getBoundingClientRect();
      return point.x >= left && point.x <= right && point.y >= top && point.y <= bottom;
    });
    const { left, top, width, height } = (pane ?? this.#panes[0]).getBoundingClientRect();
    return [point.x - left - width / 2, point.y - top - height / 2];
  }

  #listen(panes) {
    panes.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.#zoom(this.#window.scale * STEP ** -event.deltaY, ...this.#inPane({ x: event.clientX, y: event.clientY }));
      },
      { passive: false },
    );
    let hasMoved = false;
    panes.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      panes.setPointerCapture(event.pointerId);
      hasMoved = this.#fingers.size > 0;
      this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    panes.addEventListener("pointermove", (event) => {
      const before = this.#fingers.get(event.pointerId);
      if (!before) return;
      const now = { x: event.clientX, y: event.clientY };
      const [first] = [...this.#fingers].filter(([id]) => id !== event.pointerId);
      if (first) {
        const other = first[1];
        const apart = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
        const between = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
        this.#zoom((this.#window.scale * apart(now)) / apart(before), ...this.#inPane(between));
      } else {
        hasMoved ||= Math.hypot(now.x - before.x, now.y - before.y) > 3;
        if (!hasMoved) return; // a finger is never quite still
        const scale = this.#scale();
        this.#move((before.x - now.x) / scale, (before.y - now.y) / scale);
      }
      this.#fingers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      panes.addEventListener(name, (event) => {
        if (!this.#fingers.delete(event.pointerId) || hasMoved || name === "pointercancel") return;
        if (this.#mode === FLIP) this.#press("f"); // a tap
      });
    }
  }

  // --- keys, and buttons with the same meaning ---------------------------------------------------

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isKnown = this.#press(event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key.toLowerCase());
    if (isKnown) event.preventDefault();
  }

  #press(key) {
    const { clientWidth, clientHeight } = this.#panes[0];
    const nudge = (x, y) => this.#move((x * NUDGE * clientWidth) / this.#scale(), (y * NUDGE * clientHeight) / this.#scale());
    const does = {
      1: () => this.#stay(true, false),
      2: () => this.#stay(false, true),
      3: () => this.#stay(true, true),
      n: () => this.#settle("not-duplicates", !this.#group.not_duplicates),
      s: () => this.#look(BESIDE),
      f: () => this.#flip(),
      d: () => this.#look(this.#mode === DIFFERENCE ? BESIDE : DIFFERENCE),
      "+": () => this.#zoom(this.#window.scale * 1.5),
      "=": () => this.#zoom(this.#window.scale * 1.5),
      "-": () => this.#zoom(this.#window.scale / 1.5),
      0: () => this.#zoom(1),
      arrowright: () => this.#go(1),
      arrowleft: () => this.#go(-1),
      "Shift+ArrowRight": () => nudge(1, 0),
      "Shift+ArrowLeft": () => nudge(-1, 0),
      "Shift+ArrowUp": () => nudge(0, -1),
      "Shift+ArrowDown": () => nudge(0, 1),
    }[key];
    does?.();
    return Boolean(does);
  }

  #look(mode) {
    this.#mode = mode;
    this.#tell();
    this.#draw(); // a window beside another one is smaller
  }

  /** Show the one, then the other, in the same place. */
  #flip() {
    if (this.#mode === FLIP) this.#front = 1 - this.#front;
    this.#look(FLIP);
    announce(`${"AB"[this.#front]}: ${this.#pair[this.#front].name}`);
  }

  #stay(left, right) {
    const stays = (photo) => (photo === this.#pair[0] ? left : photo === this.#pair[1] ? right : photo.stays);
    const ids = this.#group.photos.filter(stays).map(({ id }) => id);
    return this.#settle("stay", ids);
  }

  /** Tell the server, and go on. */
  async #settle(what, decision) {
    if (document.body.classList.contains("read-only")) return;
    try {
      // A group of which something is to stay or go are duplicates after all.
      if (what === "stay" && this.#group.not_duplicates) await this.#decide(this.#number, "not-duplicates", false);
      this.#group = await this.#decide(this.#number, what, decision);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (what === "not-duplicates" && decision) this.#step = this.#order.length - 1; // said of all of them
    if (what === "not-duplicates" && !decision) this.#tell();
    else await this.#go(1);
  }
}
