// Reads the catalogue of an index: photos, paths, vectors and details, each proven by its checksum.
// The format is described in infer/catalogue/FORMAT.md.

import { join } from "node:path";
import { crc32 } from "node:zlib";

const APPLICATION_ID = 0x494d4745; // "IMGE"
const FORMAT = 3;
const BLOCK_SLOTS = 256; // vectors in one block

/** Open SQLite by Node's own module where it has one, else by libsql, which is called alike. */
async function connect(file) {
  try {
    const { DatabaseSync } = await import("node:sqlite");
    return new DatabaseSync(file);
  } catch {
    const { default: Database } = await import("libsql");
    return new Database(file);
  }
}

/** A little-endian array in bytes that may begin anywhere. */
function floats(bytes) {
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

export class Catalogue {
  /** Open the index in a folder. Everything is read in one transaction: of one committed state. */
  static async open(folder) {
    const database = await connect(join(folder, "catalogue.sqlite"));
    const pragma = (name) => Object.values(database.prepare(`PRAGMA ${name}`).get())[0];
    if (pragma("application_id") !== APPLICATION_ID) throw new Error(`${folder} holds no index`);
    const format = pragma("user_version");
    if (format !== FORMAT) throw new Error(`${folder} is of format ${format}, not ${FORMAT}`);
    return new Catalogue(database);
  }

  constructor(database) {
    this.database = database;
    database.exec("BEGIN");
    this.header = Object.fromEntries(
      database.prepare("SELECT key, value FROM header").all().map((row) => [row.key, row.value]),
    );
  }

  close() {
    this.database.exec("COMMIT");
    this.database.close();
  }

  /** Go through all live vectors: `{id, vector}`. */
  *vectors() {
    const rows = this.database.prepare("SELECT block, generation, live, data, checksum FROM vectors");
    for (const row of rows.iterate()) {
      const [live, data] = [Buffer.from(row.live), Buffer.from(row.data)]; // libsql's are no arrays
      const start = crc32(live, crc32(`vectors\0${row.block}\0${row.generation}\0`));
      if (crc32(data, crc32("\0", start)) !== row.checksum) throw new Error(`vectors ${row.block}: damaged`);
      const numbers = floats(data);
      for (let slot = 0; slot < live.length * 8; slot++) {
        if (!((live[slot >> 3] << (slot & 7)) & 0x80)) continue; // the first is the highest bit
        const begin = slot * this.header.dimension;
        const vector = numbers.subarray(begin, begin + this.header.dimension);
        yield { id: row.block * BLOCK_SLOTS + slot, vector };
      }
    }
  }

  /** What is taken from vectors before they are compared; zeros while the collection is small. */
  means() {
    return {
      embedding: this.#note("mean", this.header.dimension),
      details: this.#note("details mean", this.header.details),
    };
  }

  #note(key, length) {
    const row = this.database.prepare("SELECT value, checksum FROM note WHERE key = ?").get(key);
    if (!row?.value?.length) return new Float32Array(length);
    const value = Buffer.from(row.value);
    if (crc32(value, crc32(`note\0${key}\0`)) !== row.checksum) throw new Error(`note ${key}: damaged`);
    return floats(value);
  }

  /** Read the details of photos: an Int8Array for each, of zeros where a photo has none. */
  details(ids) {
    const length = this.header.details;
    const select = this.database.prepare("SELECT generation, data, checksum FROM details WHERE block = ?");
    const blocks = new Map();
    return ids.map((id) => {
      const block = Math.floor(id / BLOCK_SLOTS);
      if (!blocks.has(block)) {
        const row = select.get(block);
        const data = Buffer.from(row?.data ?? []);
        const start = crc32(`details\0${block}\0${row?.generation}\0`);
        if (row && crc32(data, start) !== row.checksum) throw new Error(`details ${block}: damaged`);
        blocks.set(block, data.length ? new Int8Array(Uint8Array.from(data).buffer) : null);
      }
      const begin = (id % BLOCK_SLOTS) * length;
      return blocks.get(block)?.subarray(begin, begin + length) ?? new Int8Array(length);
    });
  }

  /** Look up a photo: its path as bytes (a file system's names need not be UTF-8) and its sides. */
  photo(id, vector) {
    const row = this.database
      .prepare(
        `SELECT photo.name, folder.path AS folder, root.path AS root, width, height, vector
         FROM photo JOIN folder ON folder.id = photo.folder JOIN root ON root.id = folder.root
         WHERE photo.id = ?`,
      )
      .get(id);
    if (!row || row.vector !== crc32(new Uint8Array(vector.slice().buffer))) {
      throw new Error(`photo ${id}: the vector is not its own`);
    }
    const parts = [row.root, row.folder, row.name].map((part) => Buffer.from(part));
    const path = parts.filter((part) => part.length).map((part) => part.toString("latin1")).join("/");
    return { id, path: Buffer.from(path, "latin1"), width: row.width, height: row.height };
  }
}
