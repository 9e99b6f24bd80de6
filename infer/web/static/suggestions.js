// Photos that may show what a label says: one is asked about at a time, those first that teach most.

import { announce, complain, count, element, make, view } from "./page.js";
import { fillTile, makeTile, markTile } from "./tile.js";

const MOST = 60; // suggestions that are shown
const ROUND = 5; // answers after which the suggestions are made anew
const SIDE = 1280; // pixels of the photo that is asked about
const WORDS = { sure: "Surely", likely: "Likely", perhaps: "Perhaps", unlikely: "Hardly" };

export class Suggestions {
  #labels;
  #selection;
  #open;
  #label = "";
  #queue = []; // photos to be asked about, the first of them now
  #answered = []; // {photo, verdict}, for undo; the last one last
  #sending = Promise.resolve(); // answers reach the server one after the other
  #fresh = 0; // answers since the suggestions were made
  #asked = 0; // counts what was asked of the server, so that a late answer is known as such

  /** `open(place, photo)` is called for the photo that is to be looked at. */
  constructor(labels, selection, open) {
    this.#labels = labels;
    this.#selection = selection;
    this.#open = open;
    for (const button of document.querySelectorAll("#suggestions [data-verdict]")) {
      button.addEventListener("click", () => this.#answer(button.dataset.verdict));
    }
    element("undo-verdict").addEventListener("click", () => this.#undo());
    element("asked").addEventListener("click", () => this.#open(0, this.#queue[0]));
    element("queue").addEventListener("click", (event) => this.#click(event));
    addEventListener("keydown", (event) => this.#key(event));
    selection.addEventListener("change", () => this.#mark());
  }

  get total() {
    return this.#queue.length;
  }

  async at(place) {
    return this.#queue[place] ?? null;
  }

  placeOf(id) {
    return this.#queue.findIndex((photo) => photo.id === id);
  }

  focus() {
    element("suggestions-title").focus({ preventScroll: true });
  }

  /** Show the suggestions for a label. */
  async show(label) {
    this.#label = label;
    this.#queue = [];
    this.#answered = [];
    element("suggestions-title").textContent = `Does it show ${label}?`;
    element("suggestions-sum").textContent = "";
    this.#draw();
    element("none-suggested").hidden = true;
    await this.#learn();
  }

  /** Ask the server for suggestions; the photo that is asked about stays the first. */
  async #learn() {
    const number = (this.#asked += 1);
    const label = this.#label;
    this.#fresh = 0;
    let found;
    try {
      await this.#sending;
      found = await this.#labels.suggestions(label, MOST);
    } catch (error) {
      if (number !== this.#asked) return;
      element("none-suggested").hidden = false;
      element("none-suggested").textContent = sentence(error.message);
      return;
    }
    if (number !== this.#asked) return;
    const known = new Set(this.#answered.map(({ photo }) => photo.id));
    const now = this.#queue.slice(0, 1);
    now.forEach(({ id }) => known.add(id));
    for (const one of [...found.questions, ...found.suggestions]) {
      if (known.has(one.photo.id)) continue;
      known.add(one.photo.id);
      now.push({ ...brief(one.photo), probability: one.probability, band: one.band, ask: one.ask });
    }
    this.#queue = now;
    element("suggestions-sum").textContent = `Some ${count(found.expected, "photo is", "photos are")} thought to show it.`;
    this.#draw();
  }

  #draw() {
    const [first] = this.#queue;
    const image = element("asked-photo");
    element("asking").hidden = !first;
    element("queued").hidden = this.#queue.length < 2;
    element("none-suggested").hidden = Boolean(first);
    element("none-suggested").textContent = "No photo is left to be asked about.";
    element("undo-verdict").disabled = !this.#answered.length;
    if (first) {
      const address = view(first, SIDE);
      if (image.getAttribute("src") !== address) image.src = address;
      image.alt = first.name;
      image.width = first.width;
      image.height = first.height;
      element("asked-how").textContent = `· ${WORDS[first.band]}, ${Math.round(100 * first.probability)} %`;
      element("asked-name").textContent = first.name;
      const next = this.#queue[1];
      if (next) new Image().src = view(next, SIDE);
      announce(`Does it show ${this.#label}? ${first.name}`);
    }
    element("queue").replaceChildren(...this.#queue.slice(1).map((photo, n) => this.#item(photo, n + 1)));
    this.#mark();
  }

  #item(photo, place) {
    const { link, pick } = makeTile();
    fillTile(link, pick, photo);
    link.dataset.place = place;
    link.tabIndex = 0;
    link.title = `${photo.name}\n${WORDS[photo.band]}, ${Math.round(100 * photo.probability)} %`;
    if (photo.ask) link.append(make("span", { className: "badge", textContent: "?" }));
    const item = make("li", {}, link, pick);
    item.style.setProperty("--ratio", Math.min(2.4, Math.max(0.5, photo.width / photo.height || 1)));
    return item;
  }

  #mark() {
    element("queue").classList.toggle("selecting", this.#selection.size > 0);
    for (const item of element("queue").children) {
      const [link, pick] = item.children;
      markTile(item, pick, this.#selection.has(this.#queue[Number(link.dataset.place)]?.id));
    }
  }

  #click(event) {
    const item = event.target.closest("li");
    if (!item || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const place = Number(item.firstChild.dataset.place);
    const photo = this.#queue[place];
    if (event.target.closest(".pick") || this.#selection.size) this.#selection.toggle(photo);
    else if (document.body.classList.contains("read-only")) this.#open(place, photo);
    else {
      this.#queue.splice(place, 1);
      this.#queue.unshift(photo);
      this.#draw();
      scrollTo(0, 0);
    }
  }

  /** Say "yes", "no" or (skip) nothing of the photo that is asked about. */
  #answer(verdict) {
    const photo = this.#queue.shift();
    if (!photo) return;
    this.#answered.push({ photo, verdict });
    if (verdict !== "skip") {
      this.#fresh += 1;
      this.#send({ [verdict]: [photo.id] }, () => {
        this.#answered = this.#answered.filter((one) => one.photo !== photo);
        this.#queue.unshift(photo);
      });
    }
    this.#draw();
    if (this.#fresh >= ROUND || !this.#queue.length) this.#learn();
  }

  #undo() {
    const last = this.#answered.pop();
    if (!last) return;
    this.#queue.unshift(last.photo);
    if (last.verdict !== "skip") {
      this.#send({ undo: [last.photo.id] }, () => {
        this.#queue = this.#queue.filter((photo) => photo !== last.photo);
        this.#answered.push(last);
      });
    }
    this.#draw();
  }

  #send(said, takeBack) {
    const label = this.#label;
    this.#sending = this.#sending
      .then(() => this.#labels.say(label, said))
      .catch((error) => {
        complain(error.message);
        if (label !== this.#label) return;
        takeBack();
        this.#draw();
      });
  }

  #key(event) {
    if (element("suggestions").hidden || document.querySelector("dialog[open]")) return;
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
    if (document.body.classList.contains("read-only")) return;
    const does = {
      y: () => this.#answer("yes"),
      n: () => this.#answer("no"),
      s: () => this.#answer("skip"),
      u: () => this.#undo(),
    }[event.key.toLowerCase()];
    if (!does) return;
    event.preventDefault();
    does();
  }
}

/** A photo of the HTTP API as the page knows photos. */
const brief = ({ id, digest, name, width, height }) => ({ id, version: digest.slice(0, 16), name, width, height });
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
