// Where the photos of a grid lie: rows of equal tiles, under the headings of their sections.
//
// A line is a heading or a row of tiles. Lines have numbers, so that any of a million photos is
// found without looking at the others.

export const GAP = 4; // CSS pixels between tiles
export const HEADING = 52; // CSS pixels that a heading is tall

export class Layout {
  #sections; // {heading, first, photos, line, top}

  /** `sections` are {heading, photos}; there is no line for a heading that is undefined. */
  constructor(sections, columns, side) {
    this.columns = columns;
    this.pitch = side + GAP;
    this.lines = 0;
    this.height = 0;
    this.photos = 0;
    this.#sections = sections.map(({ heading, photos }) => {
      const section = { heading, photos, first: this.photos, line: this.lines, top: this.height };
      const headings = heading === undefined ? 0 : 1;
      const rows = Math.ceil(photos / columns);
      this.photos += photos;
      this.lines += headings + rows;
      this.height += headings * HEADING + rows * this.pitch;
      return section;
    });
  }

  get sections() {
    return this.#sections;
  }

  /** Describe a line: {heading, top} or {first, photos, top}. */
  line(number) {
    const section = this.#find("line", number);
    let row = number - section.line;
    let top = section.top;
    if (section.heading !== undefined) {
      if (row === 0) return { heading: section.heading, section, top };
      row -= 1;
      top += HEADING;
    }
    const before = row * this.columns;
    return { first: section.first + before, photos: Math.min(this.columns, section.photos - before), top: top + row * this.pitch };
  }

  /** Give the number of the line that a photo is in. */
  lineOf(place) {
    const section = this.#find("first", place);
    return section.line + (section.heading === undefined ? 0 : 1) + Math.floor((place - section.first) / this.columns);
  }

  /** Give the number of the line at a distance from the top. */
  lineAt(distance) {
    if (!this.lines) return -1;
    const section = this.#find("top", Math.max(0, distance));
    let past = distance - section.top;
    let line = section.line;
    if (section.heading !== undefined) {
      if (past < HEADING) return line;
      past -= HEADING;
      line += 1;
    }
    return Math.max(0, Math.min(this.lines - 1, line + Math.floor(past / this.pitch)));
  }

  sectionAt(distance) {
    return this.#find("top", Math.max(0, distance));
  }

  /** Give the photo that lies so many rows below (above, where negative) in the same column. */
  below(place, rows) {
    const step = Math.sign(rows);
    let line = this.lineOf(place);
    const column = place - this.line(line).first;
    let found = this.line(line);
    for (let left = Math.abs(rows); left > 0; ) {
      line += step;
      if (line < 0 || line >= this.lines) break;
      const next = this.line(line);
      if (next.heading !== undefined || next.first === undefined) continue;
      found = next;
      left -= 1;
    }
    return found.first + Math.min(column, found.photos - 1);
  }

  /** Find the last section whose `key` is not over `value`. */
  #find(key, value) {
    let [low, high] = [0, this.#sections.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#sections[middle][key] <= value) low = middle;
      else high = middle - 1;
    }
    return this.#sections[low];
  }
}
