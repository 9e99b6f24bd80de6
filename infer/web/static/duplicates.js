// Groups of duplicates side by side: which photo stays, which may go, which are none.
//
// Nothing here changes a photo. What is decided is kept by the server, which writes it as a plan.

import { announce, ask, bytes, complain, count, element, make, tell, thumbnail } from "./page.js";
import { Review } from "./review.js";

const PART = 30; // groups that are asked for at once
const PROGRESS = 500; // milliseconds between two looks at how far the search is
const NEAR = "1500px"; // that the end of the list is from being in sight when more is asked for

export class Duplicates {
  #state = { search: 0, groups: 0, is_running: false };
  #shown = 0; // groups that are on the page
  #isAsking = false;
  #timer = 0;
  #review = new Review((number, what, decision) => this.#settle(number, what, decision));

  constructor() {
    element("compare").addEventListener("click", () => this.#review.open(0, this.#state.groups));
    element("find").addEventListener("click", () => this.#find());
    element("write").addEventListener("click", () => this.#write());
    // A list that grows when its end comes near.
    new IntersectionObserver(([end]) => end.isIntersecting && this.#more(), { rootMargin: NEAR }).observe(element("planning"));
  }

  /** Show how far the search is, and what it has found. */
  async show() {
    clearTimeout(this.#timer);
    let now;
    try {
      now = await ask("api/duplicates");
    } catch (error) {
      complain(error.message);
      return;
    }
    const isOther = now.search !== this.#state.search || now.is_running !== this.#state.is_running;
    this.#state = now;
    if (isOther) {
      this.#shown = 0;
      element("planned").replaceChildren();
      element("groups").replaceChildren();
      if (!now.is_running && now.search) announce(this.#summary());
    }
    this.#tell();
    if (now.is_running) this.#timer = setTimeout(() => this.show(), PROGRESS);
    else await this.#more();
  }

  hide() {
    clearTimeout(this.#timer);
  }

  #summary() {
    return this.#state.groups ? count(this.#state.groups, "group", "groups") : "No duplicates here.";
  }

  #tell() {
    const { search, is_running, done, total, error, groups, files, bytes: size, passed_over } = this.#state;
    element("find").disabled = is_running;
    element("finding").hidden = !is_running;
    const bar = element("progress");
    if (total) {
      bar.max = total;
      bar.value = done;
    } else {
      bar.removeAttribute("value");
    }
    element("found-so-far").textContent = total ? `Comparing photos: ${Math.floor((100 * done) / total)} %` : "Looking for candidates …";
    const missed = passed_over ? `, ${count(passed_over, "photo", "photos")} could not be looked at` : "";
    element("group-count").textContent = search && !is_running ? `${groups.toLocaleString()}${missed}` : "";
    element("no-groups").hidden = is_running || groups > 0;
    element("no-groups").textContent = search ? this.#summary() : "Find photos that are there more than once: exact copies, smaller or re-saved versions, crops. No file is touched: you get a plan.";
    element("planning").hidden = is_running || !groups;
    element("compare").hidden = is_running || !groups;
    element("freed").textContent = `${count(files, "photo", "photos")} may go, ${bytes(size)}`;
    element("write").disabled = !files;
    if (error) complain(error);
  }

  async #find() {
    const wishes = new URLSearchParams({
      folder: element("duplicates-folder").value,
      turned: element("turned").checked ? "yes" : "no",
    });
    try {
      await ask(`api/duplicates?${wishes}`, { method: "POST" });
      complain(null);
    } catch (error) {
      complain(error.message);
    }
    await this.show();
  }

  async #more() {
    if (this.#isAsking || this.#shown >= this.#state.groups || this.#state.is_running) return;
    this.#isAsking = true;
    const { search } = this.#state;
    try {
      const groups = await ask(`api/duplicates/groups?first=${this.#shown}&count=${PART}`);
      if (search !== this.#state.search) return;
      element("groups").append(...groups.map((group, n) => this.#card(this.#shown + n, group)));
      this.#shown += groups.length;
    } catch (error) {
      complain(error.message);
    } finally {
      this.#isAsking = false;
    }
    // The end may still be near.
    if (element("planning").getBoundingClientRect().top < 2 * innerHeight) this.#more();
  }

  #card(number, group) {
    const place = `${number + 1} of ${this.#state.groups.toLocaleString()}`;
    const stays = group.photos.filter((photo) => photo.stays).length;
    const areNone = group.not_duplicates;
    const compare = make("button", { type: "button", className: "button quiet small", textContent: "Compare" });
    compare.dataset.does = "compare";
    compare.addEventListener("click", () => this.#review.open(number, this.#state.groups));
    const tellApart = make("button", {
      type: "button",
      className: "button quiet small",
      textContent: areNone ? "They are duplicates after all" : "Not duplicates",
    });
    tellApart.dataset.does = "not-duplicates";
    tellApart.addEventListener("click", () => this.#decide(number, "not-duplicates", !areNone));
    const isDoubtful = group.photos.some(({ certain }) => certain === false);
    const alike = `${group.photos.length} ${isDoubtful ? "photos to be looked at" : "copies of one photo"}`;
    const title = areNone ? "Not duplicates" : alike;
    const card = make(
      "li",
      { className: areNone ? "group not-duplicates" : "group", "aria-label": `Group ${place}` },
      make(
        "div",
        { className: "head" },
        make("h2", { textContent: title }, make("small", { textContent: place })),
        make("div", { className: "modes" }, compare, tellApart),
      ),
      make(
        "div",
        { className: "copies" },
        ...group.photos.map((photo) => this.#photo(number, group, photo, stays)),
      ),
    );
    card.dataset.number = number;
    return card;
  }

  #photo(number, group, photo, stays) {
    const image = make("img", { src: thumbnail(photo), alt: photo.name, loading: "lazy", draggable: false });
    const link = make("a", { href: `#/photo/${photo.id}`, title: photo.name }, image);
    image.onerror = () => link.classList.add("gone");
    const keep = make("button", {
      type: "button",
      className: "keep",
      textContent: photo.stays ? "Stays" : "May go",
      "aria-pressed": String(photo.stays),
      "aria-label": `Keep ${photo.name}`,
      title: photo.stays && stays === 1 ? "One photo of a group has to stay" : "",
      disabled: group.not_duplicates || (photo.stays && stays === 1),
    });
    keep.dataset.does = photo.id;
    keep.addEventListener("click", () => {
      const ids = group.photos.filter((other) => (other === photo ? !photo.stays : other.stays)).map(({ id }) => id);
      this.#decide(number, "stay", ids);
    });
    let likeness = "Proposed to stay";
    if (photo.reason) likeness = `${photo.certain ? "" : "Look: "}${photo.reason} (${photo.score.toFixed(2)})`;
    return make(
      "figure",
      { className: "copy" },
      link,
      make(
        "figcaption",
        {},
        make("strong", { textContent: photo.name }),
        make("span", { textContent: `${photo.width.toLocaleString()} × ${photo.height.toLocaleString()}, ${bytes(photo.bytes)}` }),
        make("span", { className: "likeness", textContent: likeness }),
        make("span", { className: "path", textContent: photo.folder }),
      ),
      keep,
    );
  }

  async #decide(number, what, decision) {
    const focused = document.activeElement?.dataset.does;
    try {
      await this.#settle(number, what, decision);
      complain(null);
      this.#shownCard(number)?.querySelector(`[data-does="${focused}"]`)?.focus();
    } catch (error) {
      complain(error.message);
    }
  }

  /** Tell the server what was decided about a group, and give the group as it is then. */
  async #settle(number, what, decision) {
    element("planned").replaceChildren(); // what was written is no longer what is decided
    const group = await tell(`api/duplicates/${this.#state.search}/${number}/${what}`, decision);
    this.#shownCard(number)?.replaceWith(this.#card(number, group));
    this.#state = await ask("api/duplicates");
    this.#tell();
    return group;
  }

  /** The card of a group, unless the list does not reach as far yet. */
  #shownCard(number) {
    return element("groups").querySelector(`[data-number="${number}"]`);
  }

  async #write() {
    try {
      const { path } = await ask("api/plan", { method: "POST" });
      complain(null);
      element("planned").replaceChildren(
        `– the plan is in ${path}. Carry it out with `,
        make("code", { textContent: `imgsim-edge apply ${quoted(path)} --trash` }),
      );
      announce(element("planned").textContent);
    } catch (error) {
      complain(error.message);
    }
  }
}

/** Quote a path for a POSIX shell where it needs that. */
function quoted(path) {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'"'"'`)}'`;
}
