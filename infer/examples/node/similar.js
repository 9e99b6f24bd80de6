// node similar.js INDEX ENCODER PHOTO…     the ten photos of an index most similar to each photo
//
// A file that ends in .rgb holds pixels as they are: side × side × 3 bytes. One JSON object a line.

import { readFile } from "node:fs/promises";
import { argv, exit, stderr } from "node:process";
import { Catalogue } from "./catalogue.js";
import { Encoder } from "./encoder.js";
import { similar } from "./search.js";

async function main([index, model, ...photos]) {
  if (!photos.length) throw new Error("usage: node similar.js INDEX ENCODER PHOTO…");
  const encoder = await Encoder.load(model);
  const catalogue = await Catalogue.open(index);
  try {
    for (const query of photos) {
      const pixels = query.endsWith(".rgb") ? await readFile(query) : await encoder.pixels(query);
      const vectors = await encoder.embed(pixels);
      const answers = similar(catalogue, vectors).map((answer) => ({
        ...answer,
        path: answer.path.toString(),
      }));
      console.log(JSON.stringify({ query, embedding: [...vectors.embedding], answers }));
    }
  } finally {
    catalogue.close();
  }
}

main(argv.slice(2)).catch((error) => {
  stderr.write(`error: ${error.message}\n`);
  exit(1);
});
