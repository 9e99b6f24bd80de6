// Vectors that `imgsim-edge embed --out vectors.npy` wrote, and the nearest of them.

/**
 * Read float32 vectors from an `.npy` file and the paths beside it.
 *
 * Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 *
 * @param {ArrayBuffer} npy
 * @param {string[]} paths
 */
export function readVectors(npy, paths) {
  const bytes = new DataView(npy);
  const isNpy = bytes.byteLength > 12 && bytes.getUint32(0) === 0x934e554d; // "\x93NUM"
  const [start, length] =
    isNpy && bytes.getUint8(6) === 1
      ? [10, bytes.getUint16(8, true)]
      : [12, isNpy ? bytes.getUint32(8, true) : 0];
  const header = isNpy ? new TextDecoder().decode(new Uint8Array(npy, start, length)) : "";
  const shape = header.match(/'shape': \((\d+), (\d+)\)/);
  if (!shape || !header.includes("'<f4'") || !header.includes("'fortran_order': False")) {
    throw new Error("vectors.npy does not hold rows of float32");
  }
  const [count, dimension] = shape.slice(1).map(Number);
  if (paths.length !== count) {
    throw new Error(`${paths.length} paths for ${count} vectors: export them again`);
  }
  return { paths, dimension, values: new Float32Array(npy, start + length, count * dimension) };
}

/**
 * Compare a vector with all others.
 *
 * @returns {{path: string, score: number}[]} the `k` nearest by cosine similarity, the best first.
 */
export function nearest({ paths, dimension, values }, query, k) {
  if (query.length !== dimension) {
    throw new Error(`vectors of ${dimension} numbers, but the encoder gives ${query.length}`);
  }
  const answers = paths.map((path, row) => {
    let score = 0;
    for (let n = 0; n < dimension; n++) score += query[n] * values[row * dimension + n];
    return { path, score };
  });
  return answers.sort((a, b) => b.score - a.score).slice(0, k);
}
