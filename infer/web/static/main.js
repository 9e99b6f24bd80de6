// The page: which view is shown, what the collection is, photos that are dropped on it.

import { Actions } from "./actions.js";
import { FILTERS, read, write } from "./address.js";
import { Answers } from "./answers.js";
import { Duplicates } from "./duplicates.js";
import { Filter } from "./filter.js";
import { Grid } from "./grid.js";
import { LabelDialog, LabelList, Labels } from "./labels.js";
import { Lightbox } from "./lightbox.js";
import { announce, ask, bytes, complain, count, element, make, offerFolders } from "./page.js";
import { Overview } from "./overview.js";
import { Scrubber } from "./scrubber.js";
import { Selection } from "./selection.js";
import { Suggestions } from "./suggestions.js";
import { Tree } from "./tree.js";

const POLL = 2000; // milliseconds between two looks at whether the index has changed
const STRANGE = 15; // times rarer where the server does not know this browser any more
const MONTH = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" });
const UNDATED = "No date";
const FEW = 8; // photos of a month, on average, below which the headings are years

const LABELS = 5; // polls, after which the labels are asked for: they change while the index does not

const selection = new Selection();
const labels = new Labels();
const labelDialog = new LabelDialog(labels);
const duplicates = new Duplicates();
const overview = new Overview(({ id }) => {
  location.hash = `#/photo/${id}`;
});
const answers = new Answers(openPhoto, selection);
const grid = new Grid(
  element("grid"),
  (first, most) => ask(`api/photos?${new URLSearchParams({ ...wishes, first, count: most })}`),
  openPhoto,
  selection,
);
const scrubber = new Scrubber(element("scrubber"), grid);
const lightbox = new Lightbox(selection, labels, labelDialog, moved, closed);
const suggestions = new Suggestions(labels, selection, openPhoto);
const filter = new Filter(labels, (chosen) => {
  location.hash = write({ ...address, ...chosen, photo: NaN });
});
new Actions(selection, () => (shown === "answers" ? address : null), labelDialog);
const labelLists = ["labels", "label-choice"].map((id) => new LabelList(element(id), labels));
const beside = new Tree(element("folders"), "Folders", chooseFolder);
const above = new Tree(element("folder-choice"), "Choose a folder", (key) => {
  element("folder-dialog").close();
  chooseFolder(key);
});

let state = { generation: -1, photos: 0, upload_bytes: 0, away: [], unreadable: 0 };
let canEmbed = true; // the server has the model, as far as is known
let polls = 0;
let folders = [];
let wishes = wanted({}); // what of the collection is shown
let address = { view: "" }; // what is shown
let shown = ""; // the view
const left = {}; // where views were scrolled to when they were left
let hasOpened = false; // the photo that is shown was opened here, so that going back closes it

// --- views ---------------------------------------------------------------------------------------

async function route() {
  const wanted = read();
  if (!wanted.view) wanted.view = shown || "collection"; // a photo over what is shown
  const isOver = location.hash.startsWith("#/photo/");
  const before = address;
  const isFirst = !shown;
  const isOther = write({ ...wanted, photo: NaN }) !== write({ ...before, photo: NaN });
  if (!isOver || isFirst) {
    address = { ...wanted, photo: NaN };
    if (isOther || isFirst) await show();
  }
  if (Number.isNaN(wanted.photo)) lightbox.close();
  else if (!lightbox.isOpen) await openById(wanted.photo, isOver, isFirst);
}

async function show() {
  if (shown) left[shown] = scrollY;
  const isNew = shown !== address.view;
  lightbox.close(true);
  complain(null);
  duplicates.hide();
  overview.hide();
  shown = address.view;
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.id === `to-${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const name = { duplicates: "Duplicates – ", overview: "Overview – ", suggestions: `${address.label} – ` }[shown] ?? (address.label ? `${address.label} – ` : "");
  document.title = `${name}imgsim-edge`;
  beside.mark(address.folder);
  above.mark(address.folder);
  labelLists.forEach((list) => list.mark(shown === "answers" ? "" : address.label));
  filter.tell(address);
  element("found-order").value = address.order === "date" ? "date" : "";
  for (const name of ["folder-button", "found-folder"]) {
    element(name).lastElementChild.textContent = address.folder ? above.label(address.folder) : "All photos";
  }
  if (shown === "collection") await showCollection(isNew);
  else {
    scrollTo(0, shown === "duplicates" ? (left.duplicates ?? 0) : 0);
    element(`${shown}-title`).focus({ preventScroll: true });
    if (shown === "answers") await answers.show(address);
    else if (shown === "overview") await overview.show();
    else if (shown === "suggestions") await showSuggestions();
    else await duplicates.show();
  }
}

function chooseFolder(folder) {
  location.hash = write({ ...address, folder, photo: NaN });
}

element("folder-dialog").addEventListener("click", ({ target }) => {
  if (target === element("folder-dialog")) target.close(); // beside it
  if (target.closest("#label-choice a")) element("folder-dialog").close();
});
element("close-folders").addEventListener("click", () => element("folder-dialog").close());
for (const id of ["folder-button", "found-folder"]) {
  element(id).addEventListener("click", () => {
    element("folder-dialog").showModal();
    above.focus();
  });
}
for (const id of ["order", "found-order"]) {
  element(id).addEventListener("change", ({ target }) => {
    location.hash = write({ ...address, order: target.value, photo: NaN });
  });
}

// --- the collection ------------------------------------------------------------------------------

/** Show the collection of the address; `isBack`: where it was left, if it is the same one. */
async function showCollection(isBack) {
  const asked = wanted(address);
  const isSame = isBack && grid.total && Object.keys(asked).every((name) => asked[name] === wishes[name] || (name === "order" && !asked.order));
  if (isSame) {
    grid.draw();
    scrollTo(0, left.collection ?? 0);
    grid.focus();
    await followLabel();
  } else {
    scrollTo(0, 0);
    await fillCollection(asked, (sections) => grid.show(sections));
  }
}

async function fillCollection(asked, fill) {
  let sections, order;
  try {
    ({ sections, order } = await ask(`api/sections?${new URLSearchParams(asked)}`));
  } catch (error) {
    if (error.status === 404) location.hash = write({ ...asked, view: "collection", folder: "" }); // it has gone
    else complain(error.message);
    return;
  }
  wishes = { ...asked, order };
  element("order").value = order;
  const isByMonth = order === "taken";
  const name = isByMonth ? month : sections.length > 1 ? above.label.bind(above) : () => undefined;
  const parts = isByMonth && isThin(sections) ? years(sections) : sections;
  fill(parts.map(({ heading, photos }) => ({ heading: name(heading), photos })));
  scrubber.show(isByMonth ? (heading) => heading.split(" ").at(-1).replace("date", UNDATED) : null);
  element("count").textContent = grid.total.toLocaleString();
  const isNarrowed = FILTERS.some((name) => asked[name]);
  element("empty").hidden = sections.length > 0 || isNarrowed;
  element("none-wanted").hidden = sections.length > 0 || !isNarrowed;
  element("collection-name").textContent = asked.label || "Photos";
  element("label-tools").hidden = !asked.label;
  element("to-suggestions").href = write({ view: "suggestions", label: asked.label });
}

/** What an address says of which photos are shown, and in which order. */
function wanted({ folder = "", order = "", since = "", until = "", camera = "", label = "" }) {
  return { folder, order, since, until, camera, label };
}

/** Name a month, or a year. */
function month(heading) {
  if (!heading) return UNDATED;
  return heading.includes("-") ? MONTH.format(new Date(`${heading}-01T00:00:00Z`)) : heading;
}

/** Tell whether so few photos are of a month that most of the page would be empty. */
function isThin(sections) {
  const dated = sections.filter(({ heading }) => heading !== null);
  return dated.reduce((sum, { photos }) => sum + photos, 0) < FEW * dated.length;
}

/** Put the months of each year together. */
function years(sections) {
  const together = new Map();
  for (const { heading, photos } of sections) {
    const year = heading?.split("-")[0];
    together.set(year, (together.get(year) ?? 0) + photos);
  }
  return [...together].map(([heading, photos]) => ({ heading, photos }));
}

// --- labels --------------------------------------------------------------------------------------

async function showSuggestions() {
  element("to-labelled").href = write({ view: "collection", label: address.label });
  await suggestions.show(address.label);
}

let labelled = ""; // the label whose photos are in the grid, and how many contents were said to show it

labels.addEventListener("change", async () => {
  if (shown !== "collection" || document.hidden) return;
  setTimeout(() => labels.countExpected()); // once nothing else is to be done
  await followLabel();
});

/** Show what has become of the photos of a label. */
async function followLabel() {
  const label = labels.known.find((one) => one.name === wishes.label);
  const now = JSON.stringify(label);
  if (!label || now === labelled) return;
  labelled = now;
  await fillCollection(wishes, (sections) => grid.refresh(sections));
}

element("rename-label").addEventListener("click", async () => {
  const to = prompt(`Another name for ${address.label}`, address.label)?.trim();
  if (!to || to === address.label) return;
  try {
    await labels.rename(address.label, to);
    location.hash = write({ ...address, label: to });
  } catch (error) {
    complain(error.message);
  }
});
element("forget-label").addEventListener("click", async () => {
  if (!confirm(`Forget the label ${address.label}, and of which photos it was said? No photo is touched.`)) return;
  try {
    await labels.forget(address.label);
    location.hash = "#/";
  } catch (error) {
    complain(error.message);
  }
});

grid.onscroll = () => scrubber.follow();

// --- one photo -----------------------------------------------------------------------------------

function openPhoto(place, photo) {
  hasOpened = true;
  history.pushState(null, "", write({ ...address, photo: photo.id }));
  lightbox.open({ answers, suggestions }[shown] ?? grid, place);
}

/** Open a photo by its id: in its place among those that are shown, or alone. */
async function openById(id, isOver, isFirst) {
  hasOpened = false;
  const source = { answers, suggestions }[shown];
  const place = source?.placeOf(id) ?? -1;
  if (place >= 0) {
    await lightbox.open(source, place);
    return;
  }
  let photo;
  try {
    photo = await ask(`api/photos/${id}?${new URLSearchParams(wishes)}`);
  } catch (error) {
    complain(error.message);
    return;
  }
  if (shown === "collection" && !isOver && photo.place !== null) await lightbox.open(grid, photo.place);
  else {
    hasOpened = isOver && !isFirst;
    await lightbox.open({ total: 1, at: async () => photo }, 0);
  }
}

function moved(photo) {
  if (!location.hash.startsWith("#/photo/")) history.replaceState(null, "", write({ ...address, photo: photo.id }));
}

function closed(place) {
  if (!Number.isNaN(read().photo)) {
    if (hasOpened && history.length > 1) history.back();
    else history.replaceState(null, "", write(address));
  }
  if (shown === "collection" && lightbox.source === grid) grid.focus(place);
  else if (shown === "answers" && lightbox.source === answers) answers.focus(place);
  else if (shown === "suggestions") suggestions.focus();
  else if (shown === "overview") element("map").focus();
}

// --- the index changes, the server comes and goes ------------------------------------------------

async function poll() {
  try {
    const now = await ask("api/state");
    const wasLost = !element("lost").hidden;
    element("lost").hidden = true;
    const isOther = now.generation !== state.generation;
    if (!isOther && wasLost && shown === "answers") answers.refresh();
    await Promise.all([
      isOther && follow(now),
      (polls++ % LABELS === 0 || isOther) && labels.refresh(now.generation),
    ]);
    state = now;
    tellState();
    if (wasLost) {
      grid.retry();
      learnModel();
      announce("The server is there again");
    }
    return POLL;
  } catch (error) {
    element("lost").hidden = false;
    element("lost-reason").textContent = error.message;
    return error.status === 0 ? POLL : POLL * STRANGE;
  }
}

/** Show what has become of the index. */
async function follow(now) {
  const isFirst = state.generation < 0;
  folders = await ask("api/folders");
  beside.show(folders, now.photos);
  above.show(folders, now.photos);
  offerFolders(element("duplicates-folder"), folders);
  if (isFirst) return;
  if (shown === "collection" || grid.total) await fillCollection(wishes, (sections) => grid.refresh(sections));
  announce(`The index has changed: ${count(now.photos, "photo", "photos")}`);
  if (shown === "answers") answers.refresh();
  if (shown === "overview") overview.show();
}

/** Ask whether photos from elsewhere can be searched by: it takes the server a while to tell. */
async function learnModel() {
  try {
    ({ can_embed: canEmbed } = await ask("api/model"));
    element("model").hidden = canEmbed;
  } catch {
    // The page says by itself when the server does not answer.
  }
}

function tellState() {
  const { photos, away, unreadable, read_only: isReadOnly } = state;
  document.body.classList.toggle("read-only", isReadOnly);
  document.body.classList.toggle("without-photos", photos === 0);
  element("away").hidden = away.length === 0;
  element("away").textContent = `Not there now: ${away.join(", ")}. Its photos show small until the drive is back.`;
  element("unreadable").hidden = unreadable === 0;
  element("unreadable").textContent = `${count(unreadable, "file", "files")} could not be read`;
}

element("unreadable").addEventListener("click", async () => {
  try {
    const problems = await ask("api/unreadable");
    element("problems").replaceChildren(
      ...problems.flatMap(({ path, reason }) => [make("dt", { textContent: path }), make("dd", { textContent: reason })]),
    );
    element("problem-dialog").showModal();
  } catch (error) {
    complain(error.message);
  }
});
element("close-problems").addEventListener("click", () => element("problem-dialog").close());

// --- searching by a photo from outside -----------------------------------------------------------

async function search(file) {
  if (!file) return;
  complain(null);
  if (!canEmbed) {
    complain(element("model").textContent);
    return;
  }
  const name = file.name || "the pasted photo";
  if (file.size > state.upload_bytes) {
    complain(`That file has ${bytes(file.size)}; the page takes up to ${bytes(state.upload_bytes)}.`);
    return;
  }
  announce("Looking for photos like it");
  document.body.classList.add("busy");
  try {
    const { key } = await ask(`api/uploads?${new URLSearchParams({ name })}`, { method: "POST", body: file });
    location.hash = write({ view: "answers", upload: key });
  } catch (error) {
    complain(error.message);
  } finally {
    document.body.classList.remove("busy");
  }
}

element("file").addEventListener("change", ({ target }) => {
  search(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
addEventListener("paste", ({ clipboardData }) => search([...(clipboardData?.files ?? [])][0]));
addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  element("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) element("drop").hidden = true;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  element("drop").hidden = true;
  search(event.dataTransfer.files[0]);
});

// --- the keyboard --------------------------------------------------------------------------------

addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  if (selection.size) selection.clear();
  else if (shown !== "collection") location.hash = write({ view: "collection", ...wishes });
});
element("skip").addEventListener("click", () => {
  if (shown === "collection") grid.focus();
  else element(`${shown}-title`).focus();
});

// --- beginning -----------------------------------------------------------------------------------

history.scrollRestoration = "manual";
await poll();
addEventListener("hashchange", route); // before the first view is there: a click may come sooner
await route();
learnModel();

let timer = 0;
async function keepLooking() {
  clearTimeout(timer);
  const pause = document.hidden ? POLL : await poll();
  timer = setTimeout(keepLooking, pause);
}
timer = setTimeout(keepLooking, POLL);
addEventListener("visibilitychange", () => {
  if (!document.hidden) keepLooking();
});
addEventListener("online", keepLooking);
