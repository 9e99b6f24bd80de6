// The whole collection at a glance: photos that are alike lie together. From afar a picture stands
// for those around it; it gives way to them when one comes closer.

import { Fingers } from "./fingers.js";
import { Tiles } from "./overview_tiles.js";
import { announce, ask, complain, count, element } from "./page.js";

const SMALLEST = 68; // CSS pixels of a picture; what is smaller gives way to one that stands for four
const ACROSS = 7; // pictures beside each other that fit on any screen
const LARGEST = 260; // CSS pixels of a picture, at most
const GAP = 3; // CSS pixels between pictures
const STEP = 1.0015; // of the zoom, for each pixel of the wheel
const CLOSER = 4; // times closer, by a click on a picture that stands for others
const GLIDE = 220; // milliseconds that it takes
const PROGRESS = 700; // milliseconds between two looks at how far the arranging is

export class Overview {
  #canvas = element("map");
  #tiles = new Tiles(() => this.#drawSoon());
  #told = null; // what the server has arranged
  #scale = 0; // CSS pixels of a cell of the finest level
  #x = 0; // of the finest level's cells, what is in the middle
  #y = 0;
  #cursor = null; // the cell that the keyboard is at: {level, column, row}
  #hovered = null;
  #drawing = 0;
  #gliding = 0;
  #timer = 0;
  #open;

  /** `open(photo)` is called for a photo that is to be looked at. */
  constructor(open) {
    this.#open = open;
    new Fingers(this.#canvas, {
      moved: (x, y) => this.#move(-x / this.#scale, -y / this.#scale),
      zoomed: (factor, x, y) => this.#zoom(factor, x, y),
      tapped: (x, y) => this.#enter(this.#cellAt(x, y)),
    });
    this.#canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.#zoom(STEP ** -event.deltaY, event.offsetX, event.offsetY);
      },
      { passive: false },
    );
    this.#canvas.addEventListener("pointermove", ({ offsetX, offsetY, pointerType }) => {
      this.#hovered = pointerType === "mouse" ? this.#cellAt(offsetX, offsetY) : null;
      this.#drawSoon();
    });
    this.#canvas.addEventListener("pointerleave", () => {
      this.#hovered = null;
      this.#drawSoon();
    });
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#canvas.addEventListener("focus", () => this.#drawSoon());
    this.#canvas.addEventListener("blur", () => this.#drawSoon());
    element("closer").addEventListener("click", () => this.#glide(2));
    element("farther").addEventListener("click", () => this.#glide(0.5));
    element("whole").addEventListener("click", () => this.#fit(this.#whole));
    new ResizeObserver(() => this.#resize()).observe(this.#canvas);
  }

  /** Show what is arranged, and how far an arranging is. */
  async show() {
    clearTimeout(this.#timer);
    let told;
    try {
      told = await ask("api/overview");
    } catch (error) {
      complain(error.message);
      return;
    }
    const { number, progress, photos = 0 } = told;
    const isOther = number && number !== this.#told?.number;
    if (isOther) {
      this.#told = told;
      this.#cursor = this.#hovered = null;
      this.#tiles.show(told);
      this.#scale = 0;
    }
    const isEmpty = number > 0 && photos === 0;
    element("arranging").hidden = !progress.is_running || number > 0;
    element("arranged").max = progress.total || 1;
    if (progress.total) element("arranged").value = progress.done;
    else element("arranged").removeAttribute("value");
    element("map-frame").hidden = !number || isEmpty;
    element("nothing-arranged").hidden = !isEmpty;
    if (isOther) this.#resize();
    element("placed").textContent = number ? photos.toLocaleString() : "";
    if (isOther && photos) announce(`${count(photos, "photo", "photos")}, arranged by likeness`);
    if (progress.error) complain(progress.error);
    if (progress.is_running) this.#timer = setTimeout(() => this.show(), PROGRESS);
  }

  hide() {
    clearTimeout(this.#timer);
  }

  // --- where the eye is ---------------------------------------------------------------------------

  get #width() {
    return this.#canvas.clientWidth;
  }

  get #height() {
    return this.#canvas.clientHeight;
  }

  /** The level whose pictures have a good size. */
  get #level() {
    const smallest = Math.min(SMALLEST, this.#width / ACROSS);
    const wanted = Math.ceil(Math.log2(smallest / this.#scale));
    return Math.max(0, Math.min(this.#told.levels.length - 1, wanted));
  }

  get #whole() {
    const [columns, rows] = this.#told.levels[0];
    return Math.min(this.#width / columns, this.#height / rows);
  }

  /** The scale at which the photos fill the canvas, more or less. */
  get #filling() {
    const [columns, rows] = this.#told.levels[0];
    return Math.min(2 * this.#whole, Math.max(this.#width / columns, this.#height / rows));
  }

  #fit(scale) {
    if (!this.#told?.number || !this.#width) return;
    const [columns, rows] = this.#told.levels[0];
    cancelAnimationFrame(this.#gliding);
    this.#scale = Math.min(LARGEST, scale);
    this.#x = columns / 2;
    this.#y = rows / 2;
    this.#drawSoon();
  }

  #resize() {
    const ratio = Math.min(2, devicePixelRatio);
    this.#canvas.width = Math.round(this.#width * ratio);
    this.#canvas.height = Math.round(this.#height * ratio);
    if (!this.#told?.number || !this.#width) return;
    if (!this.#scale) this.#fit(this.#filling);
    this.#move(0, 0);
  }

  #move(x, y) {
    const [columns, rows] = this.#told.levels[0];
    this.#x = Math.max(0, Math.min(columns, this.#x + x));
    this.#y = Math.max(0, Math.min(rows, this.#y + y));
    this.#drawSoon();
  }

  /** Zoom by a factor; what lies at a point of the canvas stays there. */
  #zoom(factor, x = this.#width / 2, y = this.#height / 2) {
    const before = this.#scale;
    this.#scale = Math.max(Math.min(LARGEST, this.#whole), Math.min(LARGEST, before * factor));
    const [right, down] = [x - this.#width / 2, y - this.#height / 2];
    this.#move(right / before - right / this.#scale, down / before - down / this.#scale);
  }

  /** Zoom by a factor in a little while; the point comes to the middle, where one is given. */
  #glide(factor, to = { x: this.#x, y: this.#y }) {
    cancelAnimationFrame(this.#gliding);
    const [scale, x, y] = [this.#scale, this.#x, this.#y];
    const goal = Math.max(Math.min(LARGEST, this.#whole), Math.min(LARGEST, scale * factor));
    const from = performance.now();
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const step = (now) => {
      const done = isStill ? 1 : Math.min(1, Math.max(0, (now - from) / GLIDE));
      const eased = done * (2 - done);
      this.#scale = scale * (goal / scale) ** eased;
      this.#x = x + (to.x - x) * eased;
      this.#y = y + (to.y - y) * eased;
      this.#move(0, 0);
      if (done < 1) this.#gliding = requestAnimationFrame(step);
    };
    step(from);
  }

  #cellAt(x, y) {
    if (!this.#told?.number) return null;
    const level = this.#level;
    const side = this.#scale * 2 ** level;
    const column = Math.floor((x - this.#width / 2) / side + this.#x / 2 ** level);
    const row = Math.floor((y - this.#height / 2) / side + this.#y / 2 ** level);
    const [columns, rows] = this.#told.levels[level];
    return column >= 0 && row >= 0 && column < columns && row < rows ? { level, column, row } : null;
  }

  /** Go closer to a picture, or open the photo where it stands for itself alone. */
  #enter(cell) {
    const photo = cell && this.#tiles.photo(cell.level, cell.column, cell.row);
    if (!photo) return;
    this.#cursor = cell;
    if (cell.level === 0) {
      this.#open(photo);
      return;
    }
    const size = 2 ** cell.level;
    this.#glide(CLOSER, { x: (cell.column + 0.5) * size, y: (cell.row + 0.5) * size });
  }

  // --- drawing ------------------------------------------------------------------------------------

  #drawSoon() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#draw();
    });
  }

  #draw() {
    if (!this.#told?.number || !this.#width) return;
    const pen = this.#canvas.getContext("2d");
    const ratio = this.#canvas.width / this.#width;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.#width, this.#height);
    const level = this.#level;
    const empty = getComputedStyle(this.#canvas).getPropertyValue("--sunk");
    const accent = getComputedStyle(this.#canvas).getPropertyValue("--accent");
    for (const cell of this.#inSight(level)) {
      const { x, y, side } = this.#place(cell);
      const photo = this.#tiles.photo(level, cell.column, cell.row);
      if (photo === null) continue; // nobody
      const picture = photo && this.#tiles.picture(photo);
      if (picture) {
        draw(pen, picture, x, y, side - GAP);
      } else {
        pen.fillStyle = empty;
        pen.fillRect(x, y, side - GAP, side - GAP);
      }
    }
    if (document.activeElement === this.#canvas && this.#canvas.matches(":focus-visible")) {
      this.#outline(pen, this.#atCursor(), accent, 4);
    }
    if (this.#hovered?.level === level) this.#outline(pen, this.#hovered, accent, 2);
  }

  #outline(pen, cell, colour, width) {
    const { x, y, side } = this.#place(cell);
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.strokeRect(x, y, side - GAP, side - GAP);
  }

  #place({ level, column, row }) {
    const side = this.#scale * 2 ** level;
    return {
      x: this.#width / 2 + (column - this.#x / 2 ** level) * side + GAP / 2,
      y: this.#height / 2 + (row - this.#y / 2 ** level) * side + GAP / 2,
      side,
    };
  }

  *#inSight(level) {
    const side = this.#scale * 2 ** level;
    const [columns, rows] = this.#told.levels[level];
    const [x, y] = [this.#x / 2 ** level, this.#y / 2 ** level];
    const [right, down] = [this.#width / 2 / side, this.#height / 2 / side];
    for (let row = Math.max(0, Math.floor(y - down)); row <= Math.min(rows - 1, y + down); row += 1) {
      for (let column = Math.max(0, Math.floor(x - right)); column <= Math.min(columns - 1, x + right); column += 1) {
        yield { level, column, row };
      }
    }
  }

  // --- the keyboard -------------------------------------------------------------------------------

  /** The cell that the keyboard is at, on the level that is shown; the middle at first. */
  #atCursor() {
    const level = this.#level;
    if (!this.#cursor) return this.#cellAt(this.#width / 2, this.#height / 2);
    const shift = 2 ** (this.#cursor.level - level); // to its upper left, or up to what stands for it
    const [columns, rows] = this.#told.levels[level];
    return {
      level,
      column: Math.min(columns - 1, Math.floor(this.#cursor.column * shift)),
      row: Math.min(rows - 1, Math.floor(this.#cursor.row * shift)),
    };
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.#told?.number) return;
    const go = (column, row) => {
      const now = this.#atCursor();
      const [columns, rows] = this.#told.levels[now.level];
      this.#cursor = {
        level: now.level,
        column: Math.max(0, Math.min(columns - 1, now.column + column)),
        row: Math.max(0, Math.min(rows - 1, now.row + row)),
      };
      this.#show(this.#cursor);
    };
    const middle = () => {
      const { level, column, row } = this.#atCursor();
      return { x: (column + 0.5) * 2 ** level, y: (row + 0.5) * 2 ** level };
    };
    const does = {
      ArrowLeft: () => go(-1, 0),
      ArrowRight: () => go(1, 0),
      ArrowUp: () => go(0, -1),
      ArrowDown: () => go(0, 1),
      Enter: () => this.#enter(this.#atCursor()),
      " ": () => this.#enter(this.#atCursor()),
      "+": () => this.#glide(2, middle()),
      "-": () => this.#glide(0.5, middle()),
      0: () => this.#fit(this.#whole),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  /** Bring a cell into sight, and say what it is. */
  #show(cell) {
    const { x, y, side } = this.#place(cell);
    const past = (from, window) => Math.min(0, from) + Math.max(0, from + side - window);
    this.#move(past(x, this.#width) / this.#scale, past(y, this.#height) / this.#scale);
    const photo = this.#tiles.photo(cell.level, cell.column, cell.row);
    if (!photo) return;
    const others = 4 ** cell.level;
    announce(others > 1 ? `${photo.name}, for up to ${others.toLocaleString()} photos like it` : photo.name);
  }
}

/** Draw the middle square of a picture. */
function draw(pen, picture, x, y, side) {
  const { naturalWidth: width, naturalHeight: height } = picture;
  const square = Math.min(width, height);
  pen.drawImage(picture, (width - square) / 2, (height - square) / 2, square, square, x, y, side, side);
}
