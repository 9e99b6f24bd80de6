// What every part of the page uses: elements, questions to the server, messages to the user.

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

/** Ask the server; the answer is what its JSON says. Throws an Error with one line for the user. */
export async function ask(path, settings = {}) {
  let response;
  try {
    response = await fetch(path, settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Start `imgsim-edge browse` again and open the new address.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `The server answered with status ${response.status}.`);
  return answer;
}

export const thumbnail = (photo) => `thumbnail/${photo.id}/${photo.version}`;
export const view = (photo) => `view/${photo.id}/${photo.version}`;
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
