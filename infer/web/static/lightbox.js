// One photo, as large as the window, over the view that it belongs to.

import { showLabels } from "./labels.js";
import { announce, ask, bytes, complain, copy, download, element, make, original, tell, thumbnail, view } from "./page.js";
import { Zoom } from "./zoom.js";

const SIDES = [1280, 2048, 4096]; // CSS pixels of the pictures that the server makes
const DATE = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "short", timeZone: "UTC" });

export class Lightbox {
  #dialog = element("lightbox");
  #picture = element("large");
  #zoom;
  #selection;
  #labels;
  #labelDialog;
  #source = null; // {total, at(place)}: what the photo is one of
  #place = 0;
  #photo = null;
  #shown = 0; // counts the photos that were shown
  #side = 0; // of the picture that is shown; 0 for the thumbnail

  /** `moved(photo)` is called when another one is shown, `closed(place)` at the end. */
  constructor(selection, labels, labelDialog, moved, closed) {
    this.#selection = selection;
    this.#labels = labels;
    this.#labelDialog = labelDialog;
    this.moved = moved;
    this.#zoom = new Zoom(element("stage"), this.#picture, (x, y) => (x ? this.step(-x) : y > 0 && this.close()), (scale) => {
      if (scale > 1.2) this.#sharpen(SIDES.at(-1));
    });
    this.#dialog.addEventListener("close", () => closed(this.#place));
    this.#dialog.addEventListener("keydown", (event) => this.#key(event));
    element("previous").addEventListener("click", () => this.step(-1));
    element("next").addEventListener("click", () => this.step(1));
    element("close").addEventListener("click", () => this.close());
    element("about").addEventListener("click", () => this.#showFacts(element("facts-panel").hidden));
    element("choose").addEventListener("click", () => this.#photo && selection.toggle(this.#photo));
    element("keep").addEventListener("click", () => this.#photo && download(original(this.#photo)));
    element("copy").addEventListener("click", async () => {
      const isCopied = this.#photo && (await copy(await pathOf(this.#photo)));
      announce(isCopied ? "Path copied" : "The browser does not allow copying");
      element("copy").textContent = "Copied";
      setTimeout(() => {
        element("copy").textContent = "Copy path";
      }, 1500);
    });
    selection.addEventListener("change", () => this.#mark());
  }

  get source() {
    return this.#source;
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** Show the photo at a place of a source. */
  async open(source, place) {
    this.#source = source;
    this.#showFacts(localStorage.getItem("facts") === "yes" && innerWidth > 720);
    if (!this.#dialog.open) this.#dialog.showModal();
    await this.#show(place);
  }

  /** Close it; `isLeft`: for another view, where no photo is to be gone back to. */
  close(isLeft = false) {
    if (!this.#dialog.open) return;
    if (isLeft) this.#source = null;
    this.#shown += 1; // what is on its way for a photo is late
    this.#dialog.close();
  }

  async step(by) {
    const place = this.#place + by;
    if (place >= 0 && place < this.#source.total) await this.#show(place);
  }

  async #show(place) {
    this.#place = place;
    const number = (this.#shown += 1);
    const source = this.#source;
    const { total } = source;
    element("previous").disabled = place === 0;
    element("next").disabled = place >= total - 1;
    element("position").textContent = total > 1 ? `${(place + 1).toLocaleString()} of ${total.toLocaleString()}` : "";
    let photo = null;
    try {
      photo = await source.at(place);
    } catch (error) {
      complain(error.message);
    }
    if (number !== this.#shown) return;
    this.#photo = photo;
    element("photo-title").textContent = photo?.name ?? "This photo has left the index";
    element("like-this").hidden = element("choose").hidden = element("keep").hidden = !photo;
    this.#picture.hidden = !photo;
    if (!photo) return;
    element("like-this").href = `#/similar/${photo.id}`;
    this.moved(photo);
    this.#mark();
    this.#zoom.reset();
    this.#picture.alt = photo.name;
    this.#picture.width = photo.width;
    this.#picture.height = photo.height;
    this.#picture.style.setProperty("--ratio", photo.width / photo.height);
    this.#picture.src = thumbnail(photo);
    element("unseen").hidden = true;
    this.#side = 0;
    announce(`${photo.name}, ${element("position").textContent}`);
    this.#tellFacts(photo, number);
    await this.#sharpen(fitting());
    for (const other of [place + 1, place - 1]) {
      const next = number === this.#shown && other >= 0 && other < total && (await source.at(other).catch(() => null));
      if (next) new Image().src = view(next, fitting());
    }
  }

  /** Show a sharper picture once it is there. */
  async #sharpen(side) {
    const number = this.#shown;
    const photo = this.#photo;
    if (!photo || side <= this.#side) return;
    this.#side = side;
    const sharp = new Image();
    sharp.src = view(photo, side);
    try {
      await sharp.decode();
      if (number === this.#shown && side === this.#side) this.#picture.src = sharp.src;
    } catch {
      if (number !== this.#shown) return;
      this.#side = 0;
      await this.#explain(photo);
    }
  }

  /** Say why a photo cannot be shown. */
  async #explain(photo) {
    const answer = await fetch(view(photo, SIDES[0])).catch(() => null);
    const told = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
    element("unseen").hidden = false;
    element("unseen").textContent = told.error ?? "The server does not answer.";
  }

  #mark() {
    if (this.#photo) element("choose").setAttribute("aria-pressed", String(this.#selection.has(this.#photo.id)));
  }

  #showFacts(isShown) {
    element("facts-panel").hidden = !isShown;
    element("about").setAttribute("aria-expanded", String(isShown));
    localStorage.setItem("facts", isShown ? "yes" : "no");
    this.#zoom.reset();
  }

  async #tellFacts(photo, number) {
    element("facts").replaceChildren();
    element("photo-labels").replaceChildren();
    let known;
    try {
      known = await ask(`api/photos/${photo.id}`);
    } catch {
      return; // the picture says what is wrong
    }
    if (number !== this.#shown) return;
    element("facts").replaceChildren(
      ...factsOf(known).flatMap(([term, value]) => [make("dt", { textContent: term }), make("dd", {}, value)]),
    );
    element("path").textContent = known.path;
    await showLabels(element("photo-labels"), photo, this.#labels, this.#labelDialog).catch(() => {});
  }

  /** Ask what the photo shows. */
  #label() {
    if (!this.#photo || document.body.classList.contains("read-only")) return;
    this.#showFacts(true);
    this.#labelDialog.open([this.#photo], () => this.#tellFacts(this.#photo, this.#shown));
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const does = {
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      Home: () => this.#show(0),
      End: () => this.#show(this.#source.total - 1),
      "+": () => this.#zoom.by(1.5),
      "-": () => this.#zoom.by(1 / 1.5),
      0: () => this.#zoom.reset(),
      i: () => element("about").click(),
      s: () => element("like-this").click(),
      x: () => element("choose").click(),
      l: () => this.#label(),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }
}

/** A path as it is, where what is shown of it spells out marks that turn text around. */
async function pathOf(photo) {
  try {
    return (await tell("api/paths", [photo.id])).join();
  } catch {
    return element("path").textContent;
  }
}

/** Say what is known of a photo, as [term, text or element]. */
function factsOf(photo) {
  const source = { name: " (by its name)", xmp: "" }[photo.taken_source] ?? "";
  return [
    ["Taken", photo.taken ? `${DATE.format(new Date(`${photo.taken}Z`))}${source}` : null],
    ["Camera", photo.camera],
    ["Size", `${photo.width.toLocaleString()} × ${photo.height.toLocaleString()}, ${bytes(photo.bytes)}`],
    ["Changed", photo.taken ? null : new Date(photo.changed).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })],
    ["Folder", photo.folder_key ? make("a", { href: `#/?folder=${photo.folder_key}`, textContent: photo.folder }) : photo.folder],
  ].filter(([, value]) => value);
}

/** Choose the picture that fits the screen. */
function fitting() {
  const wanted = Math.max(innerWidth, innerHeight) * Math.min(2, devicePixelRatio);
  return SIDES.find((side) => side >= wanted) ?? SIDES.at(-1);
}
