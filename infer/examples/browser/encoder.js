// A photo becomes pixels, and pixels become a unit vector, by the ONNX encoder of imgsim-edge.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more would take a server that isolates the page from other origins

const SIDE = 224; // pixels
const LOBES = 3; // of the Lanczos kernel

export class Encoder {
  /** Load an encoder from the address of its `.onnx` file. */
  static async load(address) {
    return new Encoder(await ort.InferenceSession.create(address));
  }

  constructor(session) {
    this.session = session;
  }

  /**
   * Embed one photo.
   *
   * @param {Uint8Array} pixels SIDE × SIDE × 3 values, upright sRGB, row by row.
   * @returns {Promise<Float32Array>} of unit length.
   */
  async embed(pixels) {
    const images = new ort.Tensor("uint8", pixels, [1, SIDE, SIDE, 3]);
    const { embeddings } = await this.session.run({ images }, ["embeddings"]);
    return embeddings.data;
  }
}

/**
 * Read a photo as imgsim-edge does: upright, in sRGB, on white, squashed to a square by Lanczos.
 *
 * @param {Blob} file of any format that the browser reads.
 * @returns {Promise<Uint8Array>} SIDE × SIDE × 3 values.
 */
export async function pixelsOf(file) {
  const image = await createImageBitmap(file, { imageOrientation: "from-image" });
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, image.width, image.height);
  context.drawImage(image, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, image.width, image.height);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  const narrow = resized(rgb, height, width, 3, SIDE); // each row
  return resized(narrow, 1, height, SIDE * 3, SIDE); // the rows, as one column
}

/**
 * Resize an axis of an array by Lanczos, widened when it shrinks, as Pillow does.
 *
 * @param {Uint8Array} values shape = (outer, length, inner).
 * @returns {Uint8Array} shape = (outer, wanted, inner).
 */
export function resized(values, outer, length, inner, wanted) {
  const scale = length / wanted;
  const widening = Math.max(scale, 1);
  const reach = LOBES * widening;
  const result = new Uint8Array(outer * wanted * inner);
  for (let to = 0; to < wanted; to++) {
    const centre = (to + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const stop = Math.min(Math.trunc(centre + reach + 0.5), length);
    const weights = [];
    for (let from = first; from < stop; from++) {
      weights.push(lanczos((from + 0.5 - centre) / widening));
    }
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let row = 0; row < outer; row++) {
      for (let part = 0; part < inner; part++) {
        let sum = 0;
        for (let n = 0; n < weights.length; n++) {
          sum += weights[n] * values[(row * length + first + n) * inner + part];
        }
        const value = Math.round(sum / total);
        result[(row * wanted + to) * inner + part] = Math.min(Math.max(value, 0), 255);
      }
    }
  }
  return result;
}

function lanczos(x) {
  if (x === 0) return 1;
  if (Math.abs(x) >= LOBES) return 0;
  const angle = Math.PI * x;
  return (LOBES * Math.sin(angle) * Math.sin(angle / LOBES)) / (angle * angle);
}
