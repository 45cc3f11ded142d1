// Inference with whole numbers. +1 is bit 1 and -1 is bit 0, so two rows of K signs that differ in c places have the
// dot product K - 2c: an XOR, then a popcount, which counts the ones. Here it goes by words of 32 bits, as many as
// JavaScript's bitwise operators take.

import { INK } from "./digit.js";

/**
 * @typedef {object} Layer
 * @property {number} inputs
 * @property {number} outputs
 * @property {Uint32Array} weight a row of `wordsFor(inputs)` words for each output; the bits beyond `inputs` are 0
 *
 * @typedef {Layer & {threshold: Int32Array}} HiddenLayer an output is +1 where its sum is at least its threshold
 * @typedef {Layer & {scale: Float64Array, shift: Float64Array}} OutputLayer logit = scale * sum + shift
 *
 * @typedef {object} Prediction
 * @property {Uint8Array[]} hidden the bits of each hidden layer, a byte each
 * @property {Float64Array} logits
 * @property {number} digit the class with the largest logit
 */

const WORD = 32; // bits
const PIXEL_BITS = 8;

/** A trained network that is ready to read images. */
export class PackedNetwork {
  /**
   * @param {number | null} pixelThreshold pixels from this value on are +1, the others -1; null: it takes all 8 bits
   * @param {HiddenLayer[]} hidden
   * @param {OutputLayer} output
   */
  constructor(pixelThreshold, hidden, output) {
    this.pixelThreshold = pixelThreshold;
    this.hidden = hidden;
    this.output = output;
    this.layers = [...hidden, output];
    this.inputs = this.layers[0].inputs;
  }

  /** How many weights it has, of one bit each. */
  get weights() {
    return this.layers.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
  }

  /**
   * @param {Uint8Array} pixels
   * @returns {Prediction}
   */
  predict(pixels) {
    if (pixels.length !== this.inputs) throw new RangeError(`expected ${this.inputs} pixels, got ${pixels.length}`);
    const { pixelThreshold, layers: [first] } = this;
    let sums = pixelThreshold === null
      ? sumsOfPixels(pixels, first)
      : sumsOfSigns(packBits(pixels, pixelThreshold), first);
    const hidden = this.hidden.map(({ threshold }, i) => {
      const bits = new Uint8Array(threshold.length).map((_, k) => (sums[k] >= threshold[k] ? 1 : 0));
      sums = sumsOfSigns(packBits(bits, 1), this.layers[i + 1]);
      return bits;
    });
    const unit = hidden.length || pixelThreshold !== null ? 1 : INK; // of what the last layer sums up
    const { scale, shift } = this.output;
    const logits = Float64Array.from(sums, (sum, i) => (sum / unit) * scale[i] + shift[i]);
    return { hidden, logits, digit: logits.indexOf(Math.max(...logits)) };
  }
}

/**
 * The ones in a word, summed in pairs, in fours, in bytes, and over the four bytes by a product.
 * @param {number} word
 */
function popcount(word) {
  word = (word - ((word >>> 1) & 0x55555555)) | 0;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * Words for a row of bits.
 * @param {number} bits
 */
export function wordsFor(bits) {
  return Math.ceil(bits / WORD);
}

/**
 * @param {Uint8Array} values
 * @param {number} threshold values from it on are 1
 * @param {number} [mask] the bits of a value that are looked at
 * @returns {Uint32Array} bit k % 32 of word k / 32 is value k
 */
function packBits(values, threshold, mask = INK) {
  const words = new Uint32Array(wordsFor(values.length));
  for (let k = 0; k < values.length; k++) if ((values[k] & mask) >= threshold) words[k >>> 5] |= 1 << (k & 31);
  return words;
}

/**
 * The dot products of a row of signs with the weights of each neuron.
 * @param {Uint32Array} signs
 * @param {Layer} layer
 */
function sumsOfSigns(signs, { inputs, outputs, weight }) {
  const sums = new Int32Array(outputs);
  for (let i = 0, at = 0; i < outputs; i++) {
    let differences = 0;
    for (let k = 0; k < signs.length; k++, at++) differences += popcount(signs[k] ^ weight[at]);
    sums[i] = inputs - 2 * differences;
  }
  return sums;
}

/**
 * The same for 8-bit pixels: twice the sum of those whose weight is +1, less the sum of all. Bit b of every pixel makes
 * a row of bits, a bit plane, whose popcount is worth 2^b.
 * @param {Uint8Array} pixels
 * @param {Layer} layer
 */
function sumsOfPixels(pixels, { outputs, weight }) {
  const sums = new Int32Array(outputs).fill(-pixels.reduce((sum, pixel) => sum + pixel, 0));
  for (let b = 0; b < PIXEL_BITS; b++) {
    const plane = packBits(pixels, 1, 1 << b);
    for (let i = 0, at = 0; i < outputs; i++) {
      let ones = 0;
      for (let k = 0; k < plane.length; k++, at++) ones += popcount(plane[k] & weight[at]);
      sums[i] += (2 * ones) << b;
    }
  }
  return sums;
}
