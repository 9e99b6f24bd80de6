// Which photos are shown, by when and with what they were taken, and by label: a dialog.

import { FILTERS } from "./address.js";
import { ask, complain, element, make } from "./page.js";

const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" });

export class Filter {
  #dialog = element("filter-dialog");
  #labels;
  #cameras = [];
  #now = {};

  /** `choose({since, until, camera, label})` is called for what is wanted; no filter is "". */
  constructor(labels, choose) {
    this.#labels = labels;
    element("close-filter").addEventListener("click", () => this.#dialog.close());
    element("no-filter").addEventListener("click", () => this.#end(choose, { since: "", until: "", camera: "", label: "" }));
    element("filter-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#end(choose, Object.fromEntries(FILTERS.map((name) => [name, element(`filter-${name}`).value])));
    });
    for (const id of ["filter-button", "found-filter"]) element(id).addEventListener("click", () => this.#open());
  }

  /** Learn what the photos are narrowed by, and say it on the buttons. */
  tell(now) {
    this.#now = now;
    const { since, until, camera, label } = now;
    const from = since && written(firstDay(since));
    const to = until && written(lastDay(until));
    const when = since && until ? (from === to ? from : `${from} – ${to}`) : since ? `since ${from}` : until ? `until ${to}` : "";
    const isOfLabel = now.view === "collection"; // then its name stands over them
    const words = [when, camera, isOfLabel ? "" : label].filter(Boolean).join(" · ");
    for (const id of ["filter-button", "found-filter"]) element(id).lastElementChild.textContent = words || "Filter";
  }

  async #open() {
    const { since, until, camera, label } = this.#now;
    try {
      this.#cameras = await ask("api/cameras");
    } catch (error) {
      complain(error.message);
    }
    offer("filter-camera", "Any camera", this.#cameras.map(({ name, shown }) => [name, shown]), camera);
    offer("filter-label", "Any", this.#labels.known.map(({ name }) => [name, name]), label);
    element("filter-since").value = since && firstDay(since);
    element("filter-until").value = until && lastDay(until);
    this.#dialog.showModal();
  }

  #end(choose, wanted) {
    this.#dialog.close();
    choose(wanted);
  }
}

/** Fill a choice; what is chosen is there even if it is unknown. */
function offer(id, any, choices, chosen) {
  const known = choices.some(([value]) => value === chosen) || !chosen ? choices : [...choices, [chosen, chosen]];
  element(id).replaceChildren(
    make("option", { value: "", textContent: any }),
    ...known.map(([value, textContent]) => make("option", { value, textContent })),
  );
  element(id).value = chosen ?? "";
  element(id).parentElement.hidden = known.length === 0;
}

/** Write a day for people; what is none stays as it is, the server tells. */
function written(day) {
  const date = new Date(day);
  return Number.isNaN(date.getTime()) ? day : DAY.format(date);
}

/** The first day of a year, a month or a day: 2023 → 2023-01-01. */
const firstDay = (date) => `${date}${"-01-01".slice(date.length - 4)}`.slice(0, 10);

/** The last day: 2023 → 2023-12-31, 2024-02 → 2024-02-29. */
function lastDay(date) {
  if (date.length >= 10) return date.slice(0, 10);
  const [year, month = 12] = date.split("-").map(Number);
  const last = new Date(Date.UTC(year, month, 0));
  return Number.isNaN(last.getTime()) ? date : last.toISOString().slice(0, 10);
}
