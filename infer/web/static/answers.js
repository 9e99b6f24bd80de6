// Photos like one or several others, by how much they are alike.

import { FILTERS, read, write } from "./address.js";
import { announce, ask, complain, count, element, icon, make, thumbnail, view } from "./page.js";
import { onLongPress } from "./selection.js";
import { fillTile, makeTile, markTile } from "./tile.js";

const FIRST = 60; // answers that are asked for at first, and how many more each time
const MOST = 500; // answers that the server gives
const NARROWEST = 0.5; // proportions beyond these are cropped, so that rows stay even
const WIDEST = 2.4;
const BANDS = { same: "Same picture", close: "Close", related: "Related", weak: "Weak", newest: "Newest first" };
const NEWEST = "newest"; // all that are not folded away, in the order of their dates
const FOLDED = "weak"; // the band that is folded away

export class Answers {
  #asked = null; // {like, unlike, upload, folder, since, until, camera, label, order}
  #answer = null; // {like, unlike, upload, matches}
  #shown = []; // answers in the order of the page, copies left out
  #wanted = FIRST;
  #asking = new AbortController(); // ends the question in progress
  #anchor = 0; // where a range of selected photos begins
  #open;
  #selection;
  #isUnfolded = false;

  /** `open(place, photo)` is called for the photo that is to be looked at. */
  constructor(open, selection) {
    this.#open = open;
    this.#selection = selection;
    element("more").addEventListener("click", () => this.#again(this.#wanted + FIRST));
    element("matches").addEventListener("keydown", (event) => this.#key(event));
    element("matches").addEventListener("click", (event) => this.#click(event));
    onLongPress(element("matches"), (target) => {
      const place = placeOf(target);
      if (place !== null) this.#pick(place, false);
    });
    selection.addEventListener("change", () => this.#mark());
  }

  get total() {
    return this.#shown.length;
  }

  async at(place) {
    return this.#shown[place] ?? null;
  }

  placeOf(id) {
    return this.#shown.findIndex((match) => match.id === id);
  }

  focus(place) {
    this.#link(place)?.focus();
  }

  /** Show the answers to what an address says. */
  async show(asked) {
    this.#asked = asked;
    this.#answer = null;
    this.#shown = [];
    this.#isUnfolded = false;
    element("matches").replaceChildren();
    element("examples").replaceChildren();
    element("found-count").textContent = "";
    element("answers-title").textContent = "Similar photos";
    element("more").hidden = element("none").hidden = true;
    await this.#again(FIRST);
  }

  /** Ask again, since the index has changed. */
  refresh() {
    if (this.#asked) this.#again(this.#wanted);
  }

  async #again(wanted) {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    this.#wanted = Math.min(wanted, MOST);
    const { like, unlike, upload, folder, order } = this.#asked;
    const wishes = new URLSearchParams({ like: like.join(), unlike: unlike.join(), upload, folder, order, count: this.#wanted });
    for (const name of FILTERS) if (this.#asked[name]) wishes.set(name, this.#asked[name]);
    element("matches").setAttribute("aria-busy", "true");
    try {
      this.#answer = await ask(`api/similar?${wishes}`, { signal });
    } catch (error) {
      if (signal.aborted) return;
      element("none").hidden = false;
      element("none").textContent = error.status === 404 ? sentence(error.message) : "";
      element("found-count").textContent = "0";
      element("matches").replaceChildren();
      if (error.status !== 404) complain(error.message);
      return;
    } finally {
      if (!signal.aborted) element("matches").setAttribute("aria-busy", "false");
    }
    this.#draw();
    announce(`${element("found-count").textContent} found: ${element("answers-title").textContent}`);
  }

  #draw() {
    const { like, unlike, upload, matches } = this.#answer;
    this.#drawExamples();
    const all = like.length + (upload === null ? 0 : 1);
    const first = like[0]?.name ?? (upload || "your photo");
    element("answers-title").textContent = all > 1 || unlike.length ? "Photos like these" : `Photos like ${first}`;
    document.title = `${element("answers-title").textContent} – imgsim-edge`;
    const copies = new Map(); // content → how many
    this.#shown = matches.filter(({ version }) => {
      copies.set(version, (copies.get(version) ?? 0) + 1);
      return copies.get(version) === 1;
    });
    const focused = placeOf(document.activeElement);
    const bands = new Map();
    if (this.#asked.order === "date") this.#shown.sort((one, other) => (one.band === FOLDED) - (other.band === FOLDED));
    this.#shown.forEach((match, place) => {
      const band = this.#asked.order === "date" && match.band !== FOLDED ? NEWEST : match.band;
      if (!bands.has(band)) bands.set(band, []);
      bands.get(band).push(this.#item(match, place, copies.get(match.version)));
    });
    element("matches").replaceChildren(...[...bands].map(([band, items]) => this.#band(band, items)));
    if (focused !== null) this.focus(focused);
    this.#mark();
    const alike = this.#shown.filter(({ band }) => band !== FOLDED).length;
    element("found-count").textContent = alike.toLocaleString();
    const isNarrowed = FILTERS.some((name) => this.#asked[name]);
    const where = isNarrowed ? "that is wanted" : this.#asked.folder ? "in this folder" : "here";
    element("none").hidden = alike > 0;
    element("none").textContent = this.#shown.length ? `No photo ${where} is much like it.` : `No other photo ${where}.`;
    this.#offerMore();
  }

  /** More can be asked for, unless it would be folded away. */
  #offerMore() {
    const matches = this.#answer?.matches ?? [];
    const isAll = matches.length < this.#wanted || this.#wanted >= MOST;
    const endsWeak = matches.length > 0 && matches.reduce((least, one) => (one.score < least.score ? one : least)).band === FOLDED;
    element("more").hidden = isAll || (endsWeak && !this.#isUnfolded);
  }

  #band(band, items) {
    const list = make("ul", { className: "matches", role: "list" }, ...items);
    const title = make("h2", { textContent: BANDS[band] });
    if (band !== FOLDED) {
      title.append(" ", make("small", { textContent: items.length.toLocaleString() }));
      return make("section", { className: "band" }, title, list);
    }
    const folded = make("details", { className: "band", open: this.#isUnfolded }, make("summary", {}, title), list);
    folded.addEventListener("toggle", () => {
      this.#isUnfolded = folded.open;
      this.#offerMore();
    });
    return folded;
  }

  /** Show what is searched by: each example can be looked at, and taken away. */
  #drawExamples() {
    const { like, unlike, upload } = this.#answer;
    const chips = [];
    if (upload !== null) chips.push(this.#chip(`upload/${this.#asked.upload}`, upload || "your photo", null, { upload: "" }));
    for (const [photos, kind] of [[like, "like"], [unlike, "unlike"]]) {
      for (const photo of photos) {
        const rest = this.#asked[kind].filter((id) => id !== photo.id);
        chips.push(this.#chip(chips.length ? thumbnail(photo) : view(photo, 1280), photo.name, photo, { [kind]: rest }, kind));
      }
    }
    element("examples").classList.toggle("alone", chips.length === 1);
    element("examples").replaceChildren(...chips);
  }

  #chip(picture, name, photo, without, kind = "like") {
    const image = make("img", { src: picture, alt: "", draggable: false });
    const shown = photo
      ? make("a", { href: write({ ...read(), photo: photo.id }), "aria-label": `Look at ${name}` }, image)
      : make("span", {}, image);
    const isOnly = kind === "like" && this.#answer.like.length + (this.#answer.upload === null ? 0 : 1) === 1;
    const chip = make("li", { className: kind }, shown, make("span", { className: "name", textContent: kind === "unlike" ? `not ${name}` : name }));
    if (!isOnly) {
      const away = make("a", { className: "away", href: write({ ...read(), ...without, photo: NaN }), "aria-label": `Search without ${name}` }, icon("close"));
      chip.append(away);
    }
    return chip;
  }

  #item(match, place, copies) {
    const { link, pick } = makeTile();
    link.dataset.place = place;
    link.tabIndex = place ? -1 : 0;
    fillTile(link, pick, match);
    const more = copies > 1 ? `${copies} copies` : "";
    if (more) link.append(make("span", { className: "badge", textContent: more }));
    const rare = match.rarity ? `\n1 random pair of photos in ${Math.round(match.rarity).toLocaleString()} is at least as similar` : "";
    link.title = `${match.name}\nScore ${match.score.toFixed(2)}${rare}`;
    const made = make("li", {}, link, pick);
    made.dataset.id = match.id;
    made.style.setProperty("--ratio", Math.min(WIDEST, Math.max(NARROWEST, match.width / match.height || 1)));
    return made;
  }

  #mark() {
    element("matches").classList.toggle("selecting", this.#selection.size > 0);
    for (const item of element("matches").querySelectorAll("li")) {
      markTile(item, item.querySelector(".pick"), this.#selection.has(Number(item.dataset.id)));
    }
  }

  #link(place) {
    return element("matches").querySelector(`.tile[data-place="${place}"]`);
  }

  #click(event) {
    const place = placeOf(event.target);
    if (place === null || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey || event.target.closest(".pick") || this.#selection.size) this.#pick(place, event.shiftKey);
    else this.#open(place, this.#shown[place]);
  }

  #pick(place, isRange) {
    if (isRange) {
      const [from, to] = [Math.min(place, this.#anchor), Math.max(place, this.#anchor)];
      this.#selection.add(this.#shown.slice(from, to + 1));
    } else {
      this.#anchor = place;
      this.#selection.toggle(this.#shown[place]);
    }
  }

  /** Move between the answers by arrow keys, as they lie on the page. */
  #key(event) {
    const links = [...element("matches").querySelectorAll(".tile")].filter((link) => link.checkVisibility());
    const now = links.indexOf(document.activeElement);
    if (now < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === " ") {
      event.preventDefault();
      this.#pick(placeOf(links[now]), event.shiftKey);
      return;
    }
    const to = {
      ArrowLeft: () => links[now - 1],
      ArrowRight: () => links[now + 1],
      Home: () => links[0],
      End: () => links.at(-1),
      ArrowUp: () => nearest(links.slice(0, now).reverse(), links[now]),
      ArrowDown: () => nearest(links.slice(now + 1), links[now]),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const next = to();
    if (!next) return;
    if (event.shiftKey) {
      if (!this.#selection.size) this.#anchor = placeOf(links[now]);
      this.#pick(placeOf(next), true);
    }
    links[now].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

function placeOf(node) {
  const link = node?.closest?.("#matches li")?.querySelector(".tile");
  return link ? Number(link.dataset.place) : null;
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

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
