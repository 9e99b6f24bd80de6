// Labels: which there are, what was said of photos, and the lists that lead to their photos.

import { write } from "./address.js";
import { announce, ask, complain, count, element, icon, make, tell } from "./page.js";

const MOST = 1000; // photos that one request says something of

/** The labels of the collection. Sends "change". */
export class Labels extends EventTarget {
  #known = []; // {name, yes, no}
  #expected = new Map(); // name and what was said of it → how many more photos are thought to show it
  #counting = null; // what ends the question that is being asked for that
  #changing = 0; // labels that are getting another name or none: nothing is asked of them
  #generation = -1;

  get known() {
    return this.#known;
  }

  /** Ask which labels there are, of the collection in the state `generation`. */
  async refresh(generation = this.#generation) {
    this.#generation = generation;
    try {
      this.#learn(await ask("api/labels"));
    } catch {
      // The page says by itself when the server does not answer.
    }
  }

  /** Say what photos show: {yes, no, undo} are lists of ids. */
  async say(name, { yes = [], no = [], undo = [] }) {
    const all = [...yes.map((id) => ["yes", id]), ...no.map((id) => ["no", id]), ...undo.map((id) => ["undo", id])];
    for (let first = 0; first < all.length; first += MOST) {
      const said = { yes: [], no: [], undo: [] };
      for (const [kind, id] of all.slice(first, first + MOST)) said[kind].push(id);
      this.#learn(await tell(`${place(name)}/examples`, said));
    }
  }

  async rename(name, to) {
    this.#learn(await this.#undisturbed(() => tell(`${place(name)}/rename?${new URLSearchParams({ to })}`)));
  }

  async forget(name) {
    await this.#undisturbed(async () => {
      await ask(place(name), { method: "DELETE" });
      await this.refresh();
    });
  }

  /** Ask what was said of a photo: {yes, no}, names of labels. */
  async of(photo) {
    return ask(`api/photos/${photo.id}/labels`);
  }

  /** Ask which photos may show what a label says: {suggestions, questions, expected}. */
  async suggestions(name, most) {
    const found = await ask(`${place(name)}/suggestions?k=${most}`);
    const label = this.#known.find((one) => one.name === name);
    if (label) this.#count(label, found);
    return found;
  }

  /** Tell how many more photos are thought to show what a label says; undefined while unknown. */
  expected(label) {
    return this.#expected.get(this.#key(label));
  }

  /** Ask for that of all labels, one after the other; each answer is a "change". */
  async countExpected() {
    if (this.#counting || this.#changing) return;
    this.#counting = new AbortController();
    const { signal } = this.#counting;
    let next;
    try {
      while ((next = this.#known.find((label) => label.yes && this.expected(label) === undefined))) {
        this.#expected.set(this.#key(next), null); // asked for once, also where it fails
        this.#count(next, await ask(`${place(next.name)}/suggestions?k=1`, { signal }));
      }
    } catch {
      // A number less, but one that was only interrupted is asked for again.
      if (signal.aborted) this.#expected.delete(this.#key(next));
    } finally {
      this.#counting = null;
    }
  }

  /** Change a label while nothing is asked of it. */
  async #undisturbed(change) {
    this.#changing += 1;
    this.#counting?.abort();
    try {
      return await change();
    } finally {
      this.#changing -= 1;
    }
  }

  #count(label, found) {
    this.#expected.set(this.#key(label), Math.max(0, found.expected - label.yes));
    this.dispatchEvent(new Event("change"));
  }

  #learn({ labels }) {
    this.#known = labels;
    this.dispatchEvent(new Event("change"));
  }

  #key({ name, yes, no }) {
    return JSON.stringify([this.#generation, name, yes, no]);
  }
}

/** A list of the labels, each leading to its photos and to what may show it, too. */
export class LabelList {
  #element;
  #labels;
  #chosen = "";

  constructor(element, labels) {
    this.#element = element;
    this.#labels = labels;
    labels.addEventListener("change", () => this.#draw());
  }

  /** Mark a label as the one whose photos are shown. */
  mark(name) {
    this.#chosen = name;
    this.#draw();
  }

  #draw() {
    const { known } = this.#labels;
    this.#element.hidden = !known.length;
    const focused = this.#element.contains(document.activeElement) ? document.activeElement.hash : null;
    this.#element.replaceChildren(
      make("h2", { textContent: "Labels" }),
      make("ul", { className: "label-list", role: "list" }, ...known.map((label) => this.#item(label))),
    );
    if (focused) [...this.#element.querySelectorAll("a")].find(({ hash }) => hash === focused)?.focus();
  }

  #item(label) {
    const { name, yes } = label;
    const link = make(
      "a",
      { href: write({ view: "collection", label: name }), title: name, "aria-label": `${name}, ${yes.toLocaleString()}` },
      make("span", { className: "name", textContent: name }),
      make("span", { className: "number", textContent: yes.toLocaleString() }),
    );
    if (name === this.#chosen) link.setAttribute("aria-current", "page");
    const more = this.#labels.expected(label);
    const item = make("li", {}, link);
    if (yes) {
      item.append(
        make("a", {
          className: "may",
          href: write({ view: "suggestions", label: name }),
          textContent: more ? `+${more.toLocaleString()}` : "?",
          title: `Which others show ${name}?`,
          "aria-label": more ? `${name}: some ${more.toLocaleString()} more are suggested` : `Suggestions for ${name}`,
        }),
      );
    }
    return item;
  }
}

/** Asks for a label, and says that photos show it or not. */
export class LabelDialog {
  #dialog = element("label-dialog");
  #labels;
  #photos = [];
  #done = () => {};

  constructor(labels) {
    this.#labels = labels;
    labels.addEventListener("change", () => this.#offer());
    element("close-label").addEventListener("click", () => this.#dialog.close());
    element("label-name").addEventListener("input", () => this.#offer());
    element("label-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say(event.submitter?.value === "no" ? "no" : "yes");
    });
  }

  /** Ask about photos; `done()` is called once something was said. */
  open(photos, done = () => {}) {
    this.#photos = photos;
    this.#done = done;
    element("label-title").textContent = photos.length === 1 ? `Label ${photos[0].name}` : `Label ${count(photos.length, "photo", "photos")}`;
    element("label-name").value = "";
    this.#offer();
    this.#labels.refresh();
    this.#dialog.showModal();
    element("label-name").focus();
  }

  /** Offer the labels that there are, by what has been typed of their names. */
  #offer() {
    const typed = element("label-name").value.trim().toLowerCase();
    const offered = this.#labels.known.filter(({ name }) => name.toLowerCase().includes(typed));
    element("label-names").replaceChildren(
      ...offered.map(({ name }) => {
        const button = make("button", { type: "button", className: "button quiet small", textContent: name });
        button.addEventListener("click", () => {
          element("label-name").value = name;
          element("label-name").focus();
        });
        return button;
      }),
    );
  }

  async #say(kind) {
    const name = element("label-name").value.trim();
    if (!name) return;
    try {
      await this.#labels.say(name, { [kind]: this.#photos.map(({ id }) => id) });
    } catch (error) {
      complain(error.message);
      return;
    } finally {
      this.#dialog.close();
    }
    const photos = count(this.#photos.length, "photo", "photos");
    announce(kind === "yes" ? `${photos} labelled ${name}` : `${photos} labelled as not ${name}`);
    this.#done();
  }
}

/** Show what was said of a photo, in an element; each word of it can be taken back. */
export async function showLabels(parent, photo, labels, dialog) {
  const said = await labels.of(photo);
  const again = () => showLabels(parent, photo, labels, dialog).catch(() => {});
  const chip = (name, isYes) => {
    const text = isYes ? name : `not ${name}`;
    const away = make("button", { type: "button", className: "round", "aria-label": `Take back: ${text}` }, icon("close"));
    away.addEventListener("click", async () => {
      try {
        await labels.say(name, { undo: [photo.id] });
        announce(`Taken back: ${text}`);
        await again();
      } catch (error) {
        complain(error.message);
      }
    });
    const link = make("a", { href: write({ view: "collection", label: name }), textContent: text });
    return make("li", { className: isYes ? "chip" : "chip not" }, link, away);
  };
  const add = make("button", { type: "button", id: "label-this", className: "button quiet small", textContent: "Label …" });
  add.addEventListener("click", () => dialog.open([photo], again));
  parent.replaceChildren(
    ...[...said.yes.map((name) => chip(name, true)), ...said.no.map((name) => chip(name, false))],
    make("li", {}, add),
  );
}

const place = (name) => `api/labels/${encodeURIComponent(name)}`;
