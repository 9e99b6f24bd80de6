// What every part of the page uses: elements, questions to the server, messages to the user.

const SVG = "http://www.w3.org/2000/svg";

export const element = (id) => document.getElementById(id);

/** Make an element. `settings` are properties, but attributes where the name has a dash or is role. */
export function make(tag, settings = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Make one of the icons that are drawn in the page. */
export function icon(name) {
  const drawn = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  drawn.setAttribute("aria-hidden", "true");
  drawn.setAttribute("class", "icon");
  drawn.append(use);
  return drawn;
}

/**
 * Ask the server; the answer is what its JSON says.
 *
 * Throws an Error with one line for the user; its `status` is 0 where the server does not answer.
 */
export async function ask(path, settings = {}) {
  let response;
  try {
    response = await fetch(path, settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error("The server does not answer. Trying again …"), { status: 0 });
  }
  if (response.ok) return response.json();
  const answer = await response.json().catch(() => ({}));
  let message = answer.error ?? `The server answered with status ${response.status}.`;
  if (response.status === 403 && !answer.error) {
    message = "The server was started anew: open the link that it has printed.";
  }
  throw Object.assign(new Error(message), { status: response.status });
}

/** Tell the server something as JSON. */
export const tell = (path, content) => ask(path, { method: "POST", body: JSON.stringify(content) });

export const thumbnail = (photo) => `thumbnail/${photo.id}/${photo.version}`;
export const view = (photo, side) => `view/${photo.id}/${photo.version}?side=${side}`;
export const original = (photo) => `original/${photo.id}/${photo.version}`;
export const count = (number, one, many) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

export function bytes(number) {
  if (number < 1000) return `${number} B`;
  if (number < 1e6) return `${(number / 1e3).toFixed(1)} kB`;
  return number < 1e9 ? `${(number / 1e6).toFixed(1)} MB` : `${(number / 1e9).toFixed(1)} GB`;
}

/** Show a problem until the next one or until something works again. */
export function complain(message) {
  const notice = element("notice");
  notice.hidden = !message;
  notice.textContent = message ?? "";
}

/** Tell a screen reader what has happened. */
export function announce(message) {
  element("status").textContent = message;
}

/** Copy text; tells whether the browser allows it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The clipboard is only for https and this machine; the old way works on a LAN as well.
    const area = make("textarea", { value: text, readOnly: true, className: "unseen", "aria-label": "Text to copy" });
    const focused = document.activeElement;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return isCopied;
  }
}

/** Start a download. */
export function download(address, name = "") {
  make("a", { href: address, download: name }).click();
}

/** Fill a choice of folders and keep what was chosen. */
export function offerFolders(select, folders) {
  const chosen = select.value;
  select.replaceChildren(
    make("option", { value: "", textContent: "All folders" }),
    ...folders.map(({ key, name, depth, photos }) =>
      make("option", {
        value: key,
        // Non-breaking spaces: an option shows no others at its start.
        textContent: `${"\u00a0\u00a0\u00a0".repeat(depth)}${name} (${photos.toLocaleString()})`,
      }),
    ),
  );
  select.value = folders.some(({ key }) => key === chosen) ? chosen : "";
}
