// The page: a photo that is dropped or chosen is looked for among the exported vectors.

import { Encoder, pixelsOf } from "./encoder.js";
import { nearest, readVectors } from "./vectors.js";

const ANSWERS = 10;

const state = document.querySelector("#state");
const list = document.querySelector("#answers");

async function fetched(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} is not here (${answer.status}): see the README`);
  return answer;
}

const loaded = (async () => {
  const [encoder, npy, paths] = await Promise.all([
    fetched("encoder.onnx").then((answer) => Encoder.load(answer.url)),
    fetched("vectors.npy").then((answer) => answer.arrayBuffer()),
    fetched("vectors.paths.json").then((answer) => answer.json()),
  ]);
  const vectors = readVectors(npy, paths);
  state.textContent = `${paths.length} photos to search.`;
  return { encoder, vectors };
})();

async function search(file) {
  const { encoder, vectors } = await loaded;
  state.textContent = `Looking for photos like ${file.name} …`;
  const embedding = await encoder.embed(await pixelsOf(file));
  const answers = nearest(vectors, embedding, ANSWERS);
  list.replaceChildren(
    ...answers.map(({ path, score }) => {
      const line = document.createElement("li");
      line.textContent = `${score.toFixed(4)} ${path}`;
      return line;
    }),
  );
  state.textContent = `Photos like ${file.name}:`;
}

function tell(error) {
  state.textContent = `That did not work: ${error.message}`;
}

document.querySelector("input").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) search(file).catch(tell);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) search(file).catch(tell);
});
loaded.catch(tell);
