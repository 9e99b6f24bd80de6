// Addresses of the page: what is shown is written behind the #, so that it survives a reload.
//
//     #/                                     the collection; ?folder=KEY&order=path
//     #/similar/12,15?unlike=3&folder=KEY    photos like 12 and 15, not like 3, in a folder
//     #/upload/KEY?like=12                   photos like one that was uploaded
//     #/photo/12                             one photo, over whatever is shown
//     #/overview                             all photos, arranged by likeness
//     #/duplicates                           duplicates
//
// `photo=12` behind any of them opens that photo.

const numbers = (text) => (text ?? "").split(",").filter((word) => /^\d+$/.test(word)).map(Number);

/** Read an address: {view, like, unlike, upload, folder, order, photo}. */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name = "", rest = ""] = path.split("/");
  const wishes = new URLSearchParams(query);
  return {
    view: { similar: "answers", upload: "answers", overview: "overview", duplicates: "duplicates", photo: "" }[name] ?? "collection",
    like: name === "similar" ? numbers(rest) : numbers(wishes.get("like")),
    unlike: numbers(wishes.get("unlike")),
    upload: name === "upload" ? rest : "",
    folder: wishes.get("folder") ?? "",
    order: wishes.get("order") ?? "",
    photo: name === "photo" ? Number(rest) : Number(wishes.get("photo") ?? NaN),
  };
}

/** Write an address. */
export function write({ view, like = [], unlike = [], upload = "", folder = "", order = "", photo = NaN }) {
  const wishes = new URLSearchParams();
  if (upload && like.length) wishes.set("like", like.join());
  if (unlike.length) wishes.set("unlike", unlike.join());
  if (folder) wishes.set("folder", folder);
  if (order && view === "collection") wishes.set("order", order);
  if (!Number.isNaN(photo)) wishes.set("photo", photo);
  const path = view === "answers" ? (upload ? `upload/${upload}` : `similar/${like.join()}`) : view === "collection" ? "" : view;
  const query = wishes.toString().replaceAll("%2C", ",");
  return `#/${path}${query && `?${query}`}`;
}
