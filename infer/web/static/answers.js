// One photo and the photos like it: one of the collection, or one that was dropped on the page.

import { announce, ask, bytes, complain, count, element, make, thumbnail, view } from "./page.js";

const FIRST = 60; // answers that are asked for at first, and how many more each time
const MOST = 500; // answers that the server gives
const NARROWEST = 0.5; // proportions beyond these are cropped, so that rows stay even
const WIDEST = 2.4;
const SHORT = new Intl.NumberFormat("en", { notation: "compact" });

export class Answers {
  #subject = null; // the photo of the collection that was asked for, or the file that was dropped
  #matches = [];
  #wanted = FIRST;
  #asking = null; // ends the question in progress
  #key = ""; // of the dropped file, once the server has it
  #picture = ""; // address of the dropped file's picture

  constructor() {
    element("found-folder").addEventListener("change", () => this.#again(FIRST));
    element("more").addEventListener("click", () => this.#again(this.#wanted + FIRST));
    element("floor").addEventListener("input", () => this.#draw());
    element("copy").addEventListener("click", () => this.#copy());
    element("matches").addEventListener("keydown", (event) => this.#move(event));
  }

  /** Show a photo of the collection, and then its neighbours. */
  async showPhoto(id) {
    this.#clear();
    const question = this.#asking;
    let photo;
    try {
      photo = await ask(`api/photos/${id}`, { signal: question.signal });
    } catch (error) {
      if (!question.signal.aborted) this.#fail(error);
      return;
    }
    this.#subject = photo;
    this.#picture = "";
    this.#head(photo.name, view(photo), [
      ["Size", `${photo.width.toLocaleString()} × ${photo.height.toLocaleString()} pixels, ${bytes(photo.bytes)}`],
      ["Changed", new Date(photo.changed).toLocaleString()],
      ["Path", photo.path],
    ]);
    element("copy").hidden = false;
    await this.#ask();
  }

  /** Search by a file that was dropped, pasted or chosen. */
  async showFile(file, most) {
    this.#clear();
    this.#subject = file;
    this.#picture = URL.createObjectURL(file);
    this.#head(file.name || "Pasted photo", this.#picture, [["Size", bytes(file.size)]]);
    if (file.size > most) {
      this.#fail(new Error(`This file has ${bytes(file.size)}; the page takes up to ${bytes(most)}.`));
      return;
    }
    await this.#ask();
  }

  /** Ask again, since the index has changed. */
  refresh() {
    if (this.#subject) this.#again(this.#wanted);
  }

  get hasFile() {
    return this.#subject instanceof File;
  }

  #clear() {
    this.#asking?.abort();
    this.#asking = new AbortController();
    if (this.#picture) URL.revokeObjectURL(this.#picture);
    this.#picture = "";
    this.#key = "";
    this.#subject = null;
    this.#matches = [];
    this.#wanted = FIRST;
    element("copy").hidden = true;
    element("more").hidden = true;
    element("none").hidden = true;
    element("found-count").textContent = "";
    element("matches").replaceChildren();
    this.#head("Photo", "", []);
  }

  #head(name, picture, facts) {
    const image = element("subject");
    document.title = `${name} – imgsim-edge`;
    element("answers-title").textContent = name;
    image.alt = picture ? name : "";
    image.onerror = () => {
      element("large").hidden = true;
    };
    if (picture) image.src = element("large").href = picture;
    else image.removeAttribute("src");
    element("large").hidden = !picture;
    element("facts").replaceChildren(
      ...facts.flatMap(([term, value]) => [
        make("dt", { textContent: term }),
        make("dd", { textContent: value }),
      ]),
    );
  }

  #again(wanted) {
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#wanted = Math.min(wanted, MOST);
    this.#ask();
  }

  async #ask() {
    const { signal } = this.#asking;
    const wishes = new URLSearchParams({ count: this.#wanted, folder: element("found-folder").value });
    element("matches").setAttribute("aria-busy", "true");
    try {
      let about = { like: this.#subject.id };
      if (this.hasFile) {
        const name = new URLSearchParams({ name: this.#subject.name });
        this.#key ||= (await ask(`api/uploads?${name}`, { method: "POST", body: this.#subject, signal })).key;
        about = { upload: this.#key };
      }
      this.#matches = (await ask(`api/similar?${wishes}&${new URLSearchParams(about)}`, { signal })).matches;
      complain(null);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
      return;
    }
    element("matches").setAttribute("aria-busy", "false");
    this.#draw();
    announce(`${count(element("matches").childElementCount, "photo", "photos")} similar to ${element("answers-title").textContent}`);
  }

  #fail(error) {
    element("matches").setAttribute("aria-busy", "false");
    complain(error.message);
  }

  #draw() {
    const floor = Number(element("floor").value);
    element("floor-shown").textContent = floor.toFixed(2);
    const shown = this.#matches.filter(({ score }) => score >= floor);
    const focused = document.activeElement?.dataset.id;
    const list = element("matches");
    const before = new Map([...list.children].map((item) => [item.dataset.key, item]));
    list.replaceChildren(
      ...shown.map((match) => {
        const key = `${match.id}/${match.version}/${match.score}`;
        return before.get(key) ?? item(match, key);
      }),
    );
    if (focused) list.querySelector(`[data-id="${focused}"]`)?.focus({ preventScroll: true });
    element("found-count").textContent = this.#matches.length ? shown.length.toLocaleString() : "";
    element("none").hidden = shown.length > 0;
    element("none").textContent = this.#matches.length
      ? `The best score is ${this.#matches[0].score.toFixed(2)}: move the slider to see more.`
      : "No other photo here.";
    const isAll = this.#matches.length < this.#wanted || this.#wanted >= MOST;
    element("more").hidden = isAll || shown.length < this.#matches.length;
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#subject.path);
      announce("Path copied");
      element("copy").textContent = "Copied";
    } catch {
      element("copy").textContent = "Not allowed by the browser";
    }
    setTimeout(() => {
      element("copy").textContent = "Copy path";
    }, 1500);
  }

  /** Move between the answers by arrow keys, as they lie on the page. */
  #move(event) {
    const links = [...element("matches").querySelectorAll("a")];
    const now = links.indexOf(document.activeElement);
    if (now < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const target = {
      ArrowLeft: () => links[now - 1],
      ArrowRight: () => links[now + 1],
      Home: () => links[0],
      End: () => links.at(-1),
      ArrowUp: () => nearest(links.slice(0, now).reverse(), links[now]),
      ArrowDown: () => nearest(links.slice(now + 1), links[now]),
    }[event.key];
    if (!target) return;
    event.preventDefault();
    target()?.focus();
  }
}

/** Find the link of the next other row that lies most nearly above or below. */
function nearest(links, from) {
  const { top, left, width } = from.getBoundingClientRect();
  const others = links.map((link) => ({ link, box: link.getBoundingClientRect() }));
  const next = others.find(({ box }) => Math.abs(box.top - top) > 1);
  if (!next) return undefined;
  const distance = ({ box }) => Math.abs(box.left + box.width / 2 - left - width / 2);
  return others
    .filter(({ box }) => Math.abs(box.top - next.box.top) <= 1)
    .sort((a, b) => distance(a) - distance(b))[0].link;
}

function item(match, key) {
  const ratio = match.width / match.height || 1;
  const image = make("img", { src: thumbnail(match), alt: match.name, loading: "lazy", draggable: false });
  const score = make("span", { className: "score", textContent: match.score.toFixed(2) });
  const link = make("a", { href: `#/photo/${match.id}`, title: match.name }, image, score);
  if (match.share) {
    const pairs = Math.round(1 / match.share);
    link.title = `${match.name}\n1 random pair of photos in ${pairs.toLocaleString()} is at least as similar`;
    score.append(make("small", { textContent: ` 1/${SHORT.format(pairs)}` }));
  }
  link.dataset.id = match.id;
  image.onerror = () => link.classList.add("gone");
  const made = make("li", {}, link);
  made.dataset.key = key;
  made.style.setProperty("--ratio", Math.min(WIDEST, Math.max(NARROWEST, ratio)));
  return made;
}
