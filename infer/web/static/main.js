// The page: which view is shown, what the collection is, photos that are dropped on it.

import { Answers } from "./answers.js";
import { Duplicates } from "./duplicates.js";
import { Grid } from "./grid.js";
import { announce, ask, complain, count, element, offerFolders } from "./page.js";

const POLL = 2000; // milliseconds between two looks at whether the index has changed

const answers = new Answers();
const duplicates = new Duplicates();
const grid = new Grid(
  element("grid"),
  (first, count) => ask(`api/photos?${new URLSearchParams({ ...wishes(), first, count })}`),
  (photo) => `#/photo/${photo.id}`,
);
let state = { generation: -1, photos: 0, upload_bytes: 0 };
let shown = null; // the view
let left = 0; // where the collection was scrolled to when it was left
let leftDuplicates = 0; // and the duplicates
let dropped = null; // the file that was dropped last

const wishes = () => ({ folder: element("folder").value, order: element("order").value });

// --- views ---------------------------------------------------------------------------------------

async function route() {
  const [, name = "", id = ""] = location.hash.split("/");
  const returns = shown !== null;
  if (shown === "collection") left = scrollY;
  if (shown === "duplicates") leftDuplicates = scrollY;
  complain(null);
  duplicates.hide();
  if (name === "photo" && id) {
    show("answers");
    await answers.showPhoto(encodeURIComponent(id));
  } else if (name === "search" && dropped) {
    show("answers");
    await answers.showFile(dropped, state.upload_bytes);
  } else if (name === "duplicates") {
    show("duplicates");
    await duplicates.show();
    scrollTo(0, leftDuplicates);
  } else {
    show("collection");
    scrollTo(0, left);
    if (returns) grid.focus();
  }
}

function show(name) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.id === `to-${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown = name;
  document.title = name === "duplicates" ? "Duplicates – imgsim-edge" : "imgsim-edge";
  if (name === "collection") {
    grid.draw();
  } else {
    scrollTo(0, 0);
    element(`${name}-title`).focus({ preventScroll: true });
  }
}

// --- the collection ------------------------------------------------------------------------------

async function showCollection(isOther) {
  const { total } = await ask(`api/photos?${new URLSearchParams({ ...wishes(), first: 0, count: 0 })}`);
  element("count").textContent = total.toLocaleString();
  element("empty").hidden = total > 0;
  element("empty").textContent = "No photos here yet. Add some with: imgsim-edge index FOLDER";
  if (isOther) grid.show(total);
  else grid.refresh(total);
}

async function poll() {
  try {
    const now = await ask("api/state");
    if (now.generation !== state.generation) {
      const isFirst = state.generation < 0;
      const folders = await ask("api/folders");
      for (const id of ["folder", "found-folder", "duplicates-folder"]) offerFolders(element(id), folders);
      await showCollection(isFirst);
      state = now;
      if (!isFirst) {
        announce(`The index has changed: ${count(now.photos, "photo", "photos")}`);
        if (shown === "answers") answers.refresh();
      }
    }
    if (element("notice").dataset.lost) {
      delete element("notice").dataset.lost;
      complain(null);
    }
  } catch (error) {
    element("notice").dataset.lost = "yes";
    complain(error.message);
  }
}

for (const id of ["folder", "order"]) {
  element(id).addEventListener("change", () => {
    scrollTo(0, 0);
    showCollection(true).catch((error) => complain(error.message));
  });
}

// --- searching by a photo from outside -----------------------------------------------------------

function search(file) {
  if (!file) return;
  dropped = file;
  if (location.hash === "#/search") route();
  else location.hash = "#/search";
}

const pictureOf = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));

element("file").addEventListener("change", ({ target }) => {
  search(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
addEventListener("paste", ({ clipboardData }) => search(pictureOf(clipboardData)));
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
  const file = pictureOf(event.dataTransfer);
  if (file) search(file);
  else complain("This is no photo that the page can search by: drop an image file.");
});

// --- the keyboard --------------------------------------------------------------------------------

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && shown !== "collection") location.hash = "#/";
});
element("skip").addEventListener("click", () => {
  if (shown === "collection") grid.focus();
  else element(`${shown}-title`).focus();
});

// --- beginning -----------------------------------------------------------------------------------

history.scrollRestoration = "manual";
addEventListener("hashchange", route);
await poll();
await route();
setInterval(() => {
  if (!document.hidden) poll();
}, POLL);
addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
