// Inference with whole numbers: what bnn_tutorial/packed computes, to the last bit. A layer adds up levels times
// inputs. Where both are signs, +1 is bit 1 and -1 is bit 0, and two rows of K signs that differ in c places have the
// dot product K - 2c: an XOR, then a popcount, which counts the ones, by words of 32 bits.

import { affine, clip } from "./fixed.js";

/**
 * @typedef {import("./fixed.js").FixedPoint} FixedPoint
 *
 * @typedef {object} Product
 * @property {number[]} shape outputs and inputs; of a convolution outputs, channels, and twice the side of its kernels
 * @property {number} bits of a weight, see levels.js
 * @property {Int16Array} levels the weights, a row for each output
 * @property {boolean} ofBytes whether the inputs are 0 to 255; else they are signs
 * @property {number} stride
 * @property {number} padding
 * @property {boolean} pooled whether of each 2x2 square of sums only the largest counts, or, if `inverted`, the smallest
 * @property {Uint8Array<ArrayBuffer> | null} inverted
 *
 * @typedef {Product & {activation: "sign", threshold: Int32Array<ArrayBuffer>}} SignLayer +1 from the threshold on
 * @typedef {Product & FixedPoint & {activation: "codes", top: number}} CodeLayer codes from 0 to `top`
 * @typedef {{scale: Float64Array<ArrayBuffer>, shift: Float64Array<ArrayBuffer>}} Logits scale * sum + shift
 * @typedef {Product & FixedPoint & Logits & {activation: "logits"}} OutputLayer its class goes by fixed point
 * @typedef {SignLayer | CodeLayer | OutputLayer} Layer
 *
 * @typedef {object} Prediction
 * @property {Uint8Array[]} hidden the bits or codes of each hidden layer, the channels last
 * @property {Float64Array} logits
 * @property {number} digit the class with the largest logit
 */

const WORD = 32; // bits

/** A trained network that is ready to classify images. */
export class PackedNetwork {
  /**
   * @param {number[]} shape of an image: pixels, or channels, height and width
   * @param {number | null} pixelThreshold pixels from this value on are +1, the others -1; null: it takes all 8 bits
   * @param {Layer[]} layers
   */
  constructor(shape, pixelThreshold, layers) {
    this.shape = shape;
    this.pixelThreshold = pixelThreshold;
    /** @type {Step[]} */
    this.steps = [];
    for (const layer of layers) this.steps.push(new Step(layer, this.steps.at(-1)?.outputShape ?? shape));
    this.inputs = shape.reduce((product, size) => product * size);
    this.output = /** @type {OutputLayer} */ (layers[layers.length - 1]);
  }

  /** The outputs of each hidden layer: their shape, and whether they are signs or codes. */
  get hidden() {
    return this.steps.slice(0, -1).map(({ layer: { activation }, outputShape: shape }) => ({ shape, activation }));
  }

  get classes() {
    return this.output.shape[0];
  }

  /** How many bits its weights take. */
  get weightBits() {
    return this.steps.reduce((sum, { layer: { levels, bits } }) => sum + levels.length * bits, 0);
  }

  /**
   * @param {Uint8Array} pixels
   * @returns {Prediction}
   */
  predict(pixels) {
    if (pixels.length !== this.inputs) throw new RangeError(`expected ${this.inputs} pixels, got ${pixels.length}`);
    const { pixelThreshold: threshold, output } = this;
    const inputs = threshold === null ? pixels : pixels.map((ink) => Number(ink >= threshold));
    let x = channelsLast(inputs, this.inputs, this.shape);
    const hidden = this.steps.slice(0, -1).map((step) => (x = step.outputs(x)));
    const sums = this.steps[this.steps.length - 1].sums(x);
    const logits = Float64Array.from(sums, (sum, i) => output.scale[i] * sum + output.shift[i]);
    const fixed = sums.map((sum, i) => affine(output, i, sum));
    return { hidden, logits, digit: fixed.indexOf(Math.max(...fixed)) };
  }
}

/** A layer prepared for images of a given shape. All inputs and outputs have their channels last. */
class Step {
  /** @param {Layer} layer @param {number[]} shape of what it gets */
  constructor(layer, shape) {
    const [count, , side] = layer.shape;
    this.layer = layer;
    this.count = count; // of its outputs, or channels
    this.inputs = layer.levels.length / count; // of one of them
    this.shape = shape;
    this.side = side ?? 0; // of a kernel
    this.places = placesOf(layer, shape);
    this.outputShape = outputShape(layer, shape);
    const rows = channelsLast(layer.levels, this.inputs, shape);
    this.words = layer.bits === 1 && !layer.ofBytes && !side ? packRows(rows, this.inputs) : null;
    this.columns = rows.map((_, at) => rows[(at % count) * this.inputs + Math.floor(at / count)]);
  }

  /** @param {Uint8Array} x bytes, or bits of signs @returns {Uint8Array} codes, or bits of signs */
  outputs(x) {
    const { layer, count } = this;
    const sums = layer.pooled ? this.pool(this.sums(x)) : this.sums(x);
    if (layer.activation === "sign") {
      return Uint8Array.from(sums, (sum, at) => Number(sum >= layer.threshold[at % count]));
    }
    const codes = /** @type {CodeLayer} */ (layer);
    return Uint8Array.from(sums, (sum, at) =>
      clip(Math.floor(affine(codes, at % count, sum) / 2 ** codes.point), 0, codes.top));
  }

  /** @param {Uint8Array} x */
  sums(x) {
    const { layer, words, inputs, count, side, shape: [channels, height, width], places: [tall, wide] } = this;
    if (words) return sumsOfSigns(packRows(x, inputs), words, inputs);
    const numbers = layer.ofBytes ? x : Int8Array.from(x, (bit) => 2 * bit - 1);
    if (!side) return this.add(numbers, new Int32Array(count));
    const sums = new Int32Array(count * tall * wide);
    const patch = new Int16Array(inputs);
    for (let place = 0; place < tall * wide; place++) {
      const [top, left] = [Math.floor(place / wide), place % wide].map((at) => at * layer.stride - layer.padding);
      for (let k = 0; k < side * side; k++) {
        const [row, column] = [top + Math.floor(k / side), left + (k % side)];
        const isInside = row >= 0 && row < height && column >= 0 && column < width;
        const at = (row * width + column) * channels;
        for (let c = 0; c < channels; c++) patch[k * channels + c] = isInside ? numbers[at + c] : 0;
      }
      this.add(patch, sums.subarray(place * count, (place + 1) * count));
    }
    return sums;
  }

  /** Levels times numbers, most of which are 0 in an image. @param {ArrayLike<number>} x @param {Int32Array} sums */
  add(x, sums) {
    const { columns, count } = this;
    for (let k = 0; k < x.length; k++) {
      const [number, start] = [x[k], k * count];
      if (number) for (let i = 0; i < count; i++) sums[i] += number * columns[start + i];
    }
    return sums;
  }

  /** Of each 2x2 square of places one. @param {Int32Array} sums */
  pool(sums) {
    const { count, layer: { inverted }, places: [, wide], outputShape: [, tall, half] } = this;
    return Int32Array.from({ length: count * tall * half }, (_, at) => {
      const [i, place] = [at % count, Math.floor(at / count)];
      const first = 2 * (Math.floor(place / half) * wide + (place % half));
      const four = [first, first + 1, first + wide, first + wide + 1].map((corner) => sums[corner * count + i]);
      return inverted?.[i] ? Math.min(...four) : Math.max(...four);
    });
  }
}

/**
 * The number of rows and columns of a convolution's output.
 * @param {Pick<Product, "shape" | "stride" | "padding">} layer
 * @param {number[]} shape of its input
 */
function placesOf({ shape: [, , side], stride, padding }, [, ...sizes]) {
  return side ? sizes.map((size) => Math.floor((size + 2 * padding - side) / stride) + 1) : [];
}

/**
 * @param {Pick<Product, "shape" | "stride" | "padding" | "pooled">} layer
 * @param {number[]} shape of its input
 */
export function outputShape(layer, shape) {
  return [layer.shape[0], ...placesOf(layer, shape).map((size) => (layer.pooled ? size >> 1 : size))];
}

/**
 * Each row of an array with the channels first, as in PyTorch, rearranged to have them last.
 * @template {Uint8Array | Int16Array} Numbers
 * @param {Numbers} numbers
 * @param {number} length of a row
 * @param {number[]} shape of the image that a row is multiplied with; without channels nothing changes
 * @returns {Numbers}
 */
function channelsLast(numbers, length, shape) {
  const channels = shape.length === 3 ? shape[0] : 1;
  if (channels === 1) return numbers;
  const places = length / channels;
  return /** @type {Numbers} */ (numbers.map((_, at) => {
    const k = at % length;
    return numbers[at - k + (k % channels) * places + Math.floor(k / channels)];
  }));
}

/**
 * The number of ones in a word, summed in pairs, in fours, in bytes, and over the four bytes by a product.
 * @param {number} word
 */
function popcount(word) {
  word = (word - ((word >>> 1) & 0x55555555)) | 0;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * Rows of signs, or of bits, as words: bit k % 32 of word k / 32 is number k.
 * @param {Uint8Array | Int16Array} numbers of which those above 0 are ones
 * @param {number} length of a row
 */
function packRows(numbers, length) {
  const row = Math.ceil(length / WORD);
  const words = new Uint32Array((row * numbers.length) / length);
  for (let at = 0; at < numbers.length; at++) {
    const k = at % length;
    if (numbers[at] > 0) words[row * ((at - k) / length) + (k >>> 5)] |= 1 << (k & 31);
  }
  return words;
}

/**
 * The dot products of a row of signs with the weights of each neuron.
 * @param {Uint32Array} signs
 * @param {Uint32Array} weights
 * @param {number} inputs
 */
function sumsOfSigns(signs, weights, inputs) {
  const sums = new Int32Array(weights.length / signs.length);
  for (let i = 0, at = 0; i < sums.length; i++) {
    let differences = 0;
    for (let k = 0; k < signs.length; k++, at++) differences += popcount(signs[k] ^ weights[at]);
    sums[i] = inputs - 2 * differences;
  }
  return sums;
}
