// Pixels become unit vectors, by the ONNX encoder that imgsim-edge ships or exports.

import ort from "onnxruntime-node";
import sharp from "sharp";

export class Encoder {
  /** Load an encoder from its `.onnx` file. */
  static async load(file) {
    return new Encoder(await ort.InferenceSession.create(file));
  }

  constructor(session) {
    this.session = session;
    this.side = session.inputMetadata?.[0]?.shape?.[1] ?? 224; // pixels
  }

  /**
   * Embed one photo.
   *
   * @param {Uint8Array} pixels side × side × 3 values, upright sRGB, row by row.
   * @returns {Promise<{embedding: Float32Array, details?: Float32Array}>} both of unit length; only
   *   some encoders give `details`.
   */
  async embed(pixels) {
    const shape = [1, this.side, this.side, 3];
    const answer = await this.session.run({ images: new ort.Tensor("uint8", pixels, shape) });
    return { embedding: answer.embeddings.data, details: answer.details?.data };
  }

  /**
   * Read a photo as imgsim-edge does: upright, in sRGB, on white, squashed to a square by Lanczos.
   *
   * sharp's Lanczos differs from Pillow's in the last bits, and so do the vectors: see the README.
   */
  async pixels(file) {
    return sharp(file)
      .rotate() // by its EXIF flag
      .toColourspace("srgb")
      .flatten({ background: "#ffffff" })
      .resize(this.side, this.side, { fit: "fill", kernel: "lanczos3" })
      .raw()
      .toBuffer();
  }
}
