// The folders as a tree, with a box to filter them by name.

import { icon, make } from "./page.js";

const MOST_FOUND = 200; // folders that a filter shows

const last = (path) => path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;

export class Tree {
  #list;
  #filter;
  #choose;
  #folders = []; // {key, name, depth, photos, parent, label}, the whole collection first
  #open = new Set([""]); // keys of folders whose folders are shown
  #chosen = "";

  /** `choose(key)` is called for a folder; the key of the whole collection is "". */
  constructor(element, name, choose) {
    this.#choose = choose;
    this.#filter = make("input", { type: "search", placeholder: "Find a folder", "aria-label": `${name}: find by name` });
    this.#list = make("ul", { role: "tree", className: "tree", "aria-label": name });
    element.append(this.#filter, this.#list);
    this.#filter.addEventListener("input", () => this.#draw());
    this.#filter.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        this.#list.firstChild?.focus();
      }
    });
    this.#list.addEventListener("click", ({ target }) => {
      const item = target.closest("[role=treeitem]");
      if (!item) return;
      if (target.closest(".twist")) this.#toggle(item.dataset.key);
      else this.#choose(item.dataset.key);
    });
    this.#list.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show folders as the server lists them: in the order of their paths, each with its depth. */
  show(folders, photos) {
    const above = [""];
    const labels = [""];
    this.#folders = [{ key: "", name: "All photos", depth: 0, photos, parent: null, label: "All photos" }];
    const roots = folders.filter(({ depth }) => depth === 0).map((folder) => last(folder.name));
    for (const { key, name: whole, depth, photos: within } of folders) {
      const isPlain = depth || roots.filter((other) => other === last(whole)).length > 1;
      const name = isPlain ? whole : last(whole);
      above[depth + 1] = key;
      labels[depth + 1] = depth ? `${labels[depth]}/${name}` : name;
      this.#folders.push({ key, name, depth: depth + 1, photos: within, parent: above[depth], label: labels[depth + 1] });
    }
    if (folders.filter(({ depth }) => depth === 0).length === 1) this.#open.add(folders[0].key);
    this.#draw();
  }

  /** Mark a folder as the chosen one; those above it are opened. */
  mark(key) {
    this.#chosen = key;
    for (let above = this.#find(key)?.parent; above; above = this.#find(above)?.parent) this.#open.add(above);
    this.#draw();
  }

  /** Give a folder's path from its root folder on. */
  label(key) {
    return this.#find(key)?.label ?? "";
  }

  focus() {
    this.#list.querySelector("[tabindex='0']")?.focus();
  }

  #find(key) {
    return this.#folders.find((folder) => folder.key === key);
  }

  #draw() {
    const words = this.#filter.value.trim().toLowerCase();
    const hasFocus = this.#list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const parents = new Set(this.#folders.map(({ parent }) => parent));
    const shown = new Set([""]);
    const visible = this.#folders.filter(({ key, parent, label }) => {
      if (words) return key && label.toLowerCase().includes(words);
      const isShown = parent === null || (shown.has(parent) && this.#open.has(parent));
      if (isShown) shown.add(key);
      return isShown;
    });
    const items = visible.slice(0, MOST_FOUND + (words ? 0 : visible.length)).map((folder) => {
      const hasMore = !words && parents.has(folder.key) && folder.key !== "";
      const isOpen = this.#open.has(folder.key);
      const twist = make("span", { className: hasMore ? "twist" : "twist none" }, ...(hasMore ? [icon("next")] : []));
      const item = make(
        "li",
        {
          role: "treeitem",
          tabIndex: -1,
          title: folder.label,
          "aria-level": words ? 1 : folder.depth + 1,
          "aria-selected": String(folder.key === this.#chosen),
          "aria-label": `${folder.name}, ${folder.photos.toLocaleString()}`,
        },
        twist,
        make("span", { className: "name", textContent: words ? folder.label : folder.name }),
        make("span", { className: "number", textContent: folder.photos.toLocaleString() }),
      );
      if (hasMore) item.setAttribute("aria-expanded", String(isOpen));
      item.dataset.key = folder.key;
      item.style.setProperty("--depth", words ? 0 : folder.depth);
      return item;
    });
    this.#list.replaceChildren(...items);
    const current = items.find(({ dataset }) => dataset.key === (hasFocus ?? this.#chosen)) ?? items[0];
    if (current) current.tabIndex = 0;
    if (hasFocus !== null) current?.focus();
  }

  #toggle(key, isOpen = !this.#open.has(key)) {
    if (isOpen) this.#open.add(key);
    else this.#open.delete(key);
    this.#draw();
  }

  #key(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
    const { key } = item.dataset;
    const expanded = item.getAttribute("aria-expanded");
    const go = (other) => {
      if (!other) return;
      item.tabIndex = -1;
      other.tabIndex = 0;
      other.focus();
    };
    const does = {
      ArrowDown: () => go(item.nextElementSibling),
      ArrowUp: () => go(item.previousElementSibling),
      Home: () => go(this.#list.firstChild),
      End: () => go(this.#list.lastChild),
      ArrowRight: () => (expanded === "false" ? this.#toggle(key, true) : expanded && go(item.nextElementSibling)),
      ArrowLeft: () =>
        expanded === "true" ? this.#toggle(key, false) : go(this.#list.querySelector(`[data-key="${this.#find(key)?.parent}"]`)),
      Enter: () => this.#choose(key),
      " ": () => this.#choose(key),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }
}
