// Addresses of the page: what is shown is written behind the #, so that it survives a reload.
//
//     #/                                     the collection; ?folder=KEY&order=path
//     #/label/NAME                           the photos of a label; likewise
//     #/suggest/NAME                         photos that may show what a label says
//     #/similar/12,15?unlike=3&folder=KEY    photos like 12 and 15, not like 3; order=date
//     #/upload/KEY?like=12                   photos like one that was uploaded
//     #/photo/12                             one photo, over whatever is shown
//     #/overview                             all photos, arranged by likeness
//     #/duplicates                           duplicates
//
// Photos, of the collection or found, are narrowed by folder=KEY, since=2023-05-01,
// until=2023-08-31, camera=NAME and label=NAME. `photo=12` behind any address opens that photo.

const VIEWS = {
  similar: "answers",
  upload: "answers",
  suggest: "suggestions",
  overview: "overview",
  duplicates: "duplicates",
  photo: "",
};
const NARROWED = ["collection", "answers"]; // views of which filters are

export const FILTERS = ["since", "until", "camera", "label"];

const numbers = (text) => (text ?? "").split(",").filter((word) => /^\d+$/.test(word)).map(Number);

/** Read an address: {view, like, unlike, upload, folder, since, until, camera, label, order, photo}. */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name = "", rest = ""] = path.split("/");
  const wishes = new URLSearchParams(query);
  const isOfLabel = name === "label" || name === "suggest";
  return {
    view: VIEWS[name] ?? "collection",
    like: name === "similar" ? numbers(rest) : numbers(wishes.get("like")),
    unlike: numbers(wishes.get("unlike")),
    upload: name === "upload" ? rest : "",
    folder: wishes.get("folder") ?? "",
    since: wishes.get("since") ?? "",
    until: wishes.get("until") ?? "",
    camera: wishes.get("camera") ?? "",
    label: isOfLabel ? decoded(rest) : (wishes.get("label") ?? ""),
    order: wishes.get("order") ?? "",
    photo: name === "photo" ? Number(rest) : Number(wishes.get("photo") ?? NaN),
  };
}

/** Write an address. */
export function write({ view, like = [], unlike = [], upload = "", label = "", photo = NaN, ...wanted }) {
  const wishes = new URLSearchParams();
  if (upload && like.length) wishes.set("like", like.join());
  if (unlike.length) wishes.set("unlike", unlike.join());
  if (wanted.folder) wishes.set("folder", wanted.folder);
  if (NARROWED.includes(view)) {
    for (const name of ["since", "until", "camera", "order"]) if (wanted[name]) wishes.set(name, wanted[name]);
    if (label && view === "answers") wishes.set("label", label);
  }
  if (!Number.isNaN(photo)) wishes.set("photo", photo);
  const path = {
    answers: () => (upload ? `upload/${upload}` : `similar/${like.join()}`),
    collection: () => (label ? `label/${encodeURIComponent(label)}` : ""),
    suggestions: () => `suggest/${encodeURIComponent(label)}`,
  }[view]?.() ?? view;
  const query = wishes.toString().replaceAll("%2C", ",");
  return `#/${path}${query && `?${query}`}`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // as somebody typed it
  }
}
