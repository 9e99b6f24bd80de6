// Finds the nearest photos by comparing the query with every one.

function dot(a, b) {
  let sum = 0;
  for (let n = 0; n < a.length; n++) sum += a[n] * b[n];
  return sum;
}

/**
 * Find the photos most similar to a query.
 *
 * @param {import("./catalogue.js").Catalogue} catalogue the index.
 * @param {{embedding: Float32Array}} query as the encoder gives it.
 * @param {number} k how many at most.
 * @returns the best first: `{rank, score, id, path, width, height}`.
 */
export function similar(catalogue, query, k = 10) {
  const found = [];
  for (const { id, vector } of catalogue.vectors()) {
    found.push({ id, vector, score: dot(vector, query.embedding) });
  }
  found.sort((a, b) => b.score - a.score);
  return found.slice(0, k).map(({ id, vector, score }, place) => ({
    rank: place + 1,
    score: Math.min(1, Math.max(-1, score)),
    ...catalogue.photo(id, vector),
  }));
}
