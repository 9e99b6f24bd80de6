// What can be done with the photos that are selected: a bar at the foot of the page.

import { write } from "./address.js";
import { announce, complain, copy, count, download, element, make, tell } from "./page.js";

export class Actions {
  #selection;

  /** `asked()` gives the search that is shown, or null; `dialog` asks for a label. */
  constructor(selection, asked, dialog) {
    this.#selection = selection;
    this.asked = asked;
    selection.addEventListener("change", () => this.draw());
    element("like-these").addEventListener("click", () => this.#search("like"));
    element("unlike-these").addEventListener("click", () => this.#search("unlike"));
    element("label-these").addEventListener("click", () => dialog.open(selection.photos, () => selection.clear()));
    element("archive").addEventListener("click", () => this.#archive());
    element("copy-paths").addEventListener("click", () => this.#paths(true));
    element("list").addEventListener("click", () => this.#paths(false));
    element("clear").addEventListener("click", () => selection.clear());
  }

  draw() {
    const { size } = this.#selection;
    element("selected").hidden = size === 0;
    document.body.classList.toggle("has-selected", size > 0);
    if (!size) return;
    element("selected-count").textContent = `${size.toLocaleString()} selected`;
    element("unlike-these").hidden = this.asked() === null;
    announce(`${count(size, "photo", "photos")} selected`);
  }

  #search(kind) {
    const { ids } = this.#selection;
    const asked = this.asked() ?? { like: [], unlike: [], upload: "", folder: "" };
    const other = kind === "like" ? "unlike" : "like";
    const now = {
      ...asked,
      view: "answers",
      [kind]: [...new Set([...asked[kind], ...ids])],
      [other]: asked[other].filter((id) => !ids.includes(id)),
    };
    if (!now.like.length && !now.upload) {
      complain("Something must be left that the answers are to be like.");
      return;
    }
    if (now.like.length > 50 || now.unlike.length > 50) {
      complain("A search can be for 50 photos, and against 50.");
      return;
    }
    this.#selection.clear();
    location.hash = write(now);
  }

  async #archive() {
    try {
      const { key } = await tell("api/archives", this.#selection.ids);
      download(`archive/${key}`);
      announce("The download has started");
    } catch (error) {
      complain(error.message);
    }
  }

  async #paths(isCopied) {
    try {
      const paths = await tell("api/paths", this.#selection.ids);
      const text = `${paths.join("\n")}\n`;
      if (isCopied) {
        announce((await copy(text)) ? `${count(paths.length, "path", "paths")} copied` : "The browser does not allow copying");
        flash(element("copy-paths"), "Copied");
      } else {
        const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
        download(address, "photos.txt");
        setTimeout(() => URL.revokeObjectURL(address), 10_000);
      }
    } catch (error) {
      complain(error.message);
    }
  }
}

/** Say something on a button for a moment. */
function flash(button, text) {
  const before = button.textContent;
  button.replaceChildren(make("span", { textContent: text }));
  setTimeout(() => {
    button.textContent = before;
  }, 1500);
}
