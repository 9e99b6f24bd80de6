// A photo in a grid or among answers: a link with its picture, and a button to select it.

import { make, thumbnail } from "./page.js";

/** Make a tile; :func:`fill` gives it its photo. */
export function makeTile() {
  const link = make("a", { className: "tile", tabIndex: -1 }, make("img", { alt: "", draggable: false }));
  const pick = make("button", { type: "button", className: "pick", tabIndex: -1 });
  return { link, pick };
}

/** Show a photo in a tile, or (null) that it has left. Its picture comes after `pause` ms. */
export function fillTile(link, pick, photo, pause = 0) {
  const address = photo ? thumbnail(photo) : "";
  if (link.dataset.address === address) return;
  const image = link.firstChild;
  link.dataset.address = address;
  link.classList.toggle("gone", !photo);
  image.removeAttribute("src");
  pick.hidden = !photo;
  if (!photo) {
    link.removeAttribute("href");
    return;
  }
  link.href = `#/photo/${photo.id}`;
  link.title = photo.name;
  image.alt = photo.name;
  pick.setAttribute("aria-label", `Select ${photo.name}`);
  image.onload = () => link.classList.remove("gone");
  image.onerror = () => link.classList.add("gone");
  const start = () => {
    if (link.dataset.address === address) image.src = address;
  };
  if (pause) setTimeout(() => link.isConnected && start(), pause);
  else start();
}

/** Show whether a photo is selected. */
export function markTile(cell, pick, isSelected) {
  cell.classList.toggle("selected", isSelected);
  pick.setAttribute("aria-pressed", String(isSelected));
}
