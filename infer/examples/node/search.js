// Finds the nearest photos: all are compared by their embeddings, the best put in order by details.

const CANDIDATES = 200; // that are put in order for up to half as many answers
const AVERAGED = 5; // nearest others among the candidates
const POWER = 2; // of the cosine, as a weight

function dot(a, b) {
  let sum = 0;
  for (let n = 0; n < a.length; n++) sum += a[n] * b[n];
  return sum;
}

/** A score without its last digits, which depend on the order of additions. */
function score(a, b) {
  return Math.min(1, Math.max(-1, Math.round(dot(a, b) * 1e9) / 1e9));
}

/** Bring a vector to unit length; one of zeros stays. */
function unit(vector) {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return Float64Array.from(vector, (value) => value / length);
}

/** Take the collection's mean off and bring to unit length; a vector of zeros says nothing. */
function centred(vector, mean) {
  if (!vector.some((value) => value)) return new Float64Array(vector.length);
  return unit(vector.map((value, n) => value - mean[n]));
}

/** Codes are of any length, since only their direction counts; the query is rounded like them. */
function rounded(details) {
  const largest = details.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  return details.map((value) => Math.round((value * 127) / largest));
}

/** Each scores what it or its average with its nearest among all scores, whichever is more. */
function orderScores(query, rows) {
  return rows.map((row, own) => {
    const like = rows
      .map((other, n) => ({ other, n, score: score(row, other) }))
      .filter(({ n }) => n !== own)
      .sort((a, b) => b.score - a.score || a.n - b.n)
      .slice(0, AVERAGED);
    const sum = Float64Array.from(row);
    for (const { other, score: cosine } of like) {
      const weight = Math.max(0, cosine) ** POWER;
      for (let n = 0; n < sum.length; n++) sum[n] += weight * other[n];
    }
    return Math.max(score(query, row), score(query, unit(sum)));
  });
}

/** The order of answers: by score, equal ones by path. */
function byScore(a, b) {
  return b.score - a.score || Buffer.compare(a.path, b.path);
}

/**
 * Find the photos most similar to a query.
 *
 * @param {import("./catalogue.js").Catalogue} catalogue the index.
 * @param {{embedding: Float32Array, details?: Float32Array}} query as the encoder gives it.
 * @param {number} k how many at most.
 * @returns the best first: `{rank, score, id, path, width, height}`.
 */
export function similar(catalogue, query, k = 10) {
  const means = catalogue.means();
  const asked = centred(Float64Array.from(query.embedding), means.embedding);
  const every = [];
  for (const { id, vector } of catalogue.vectors()) {
    const moved = centred(Float64Array.from(vector), means.embedding);
    every.push({ id, vector, score: score(moved, asked) });
  }
  every.sort((a, b) => b.score - a.score || a.id - b.id);
  const found = every
    .slice(0, Math.max(CANDIDATES, 2 * k))
    .map(({ id, vector, score: cosine }) => ({ score: cosine, ...catalogue.photo(id, vector) }));
  const details = query.details ? catalogue.details(found.map(({ id }) => id)) : [];
  if (details.length && details.every((codes) => codes.some((value) => value))) {
    const fine = (values) => centred(unit(Float64Array.from(values)), means.details);
    const scores = orderScores(fine(rounded(query.details)), details.map(fine));
    scores.forEach((better, n) => (found[n].score = better));
  }
  found.sort(byScore);
  return found.slice(0, k).map((photo, place) => ({ rank: place + 1, ...photo }));
}
