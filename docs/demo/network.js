// Inference with whole numbers. +1 is bit 1 and -1 is bit 0, so two rows of K signs that differ in c places have the
// dot product K - 2c: an XOR, and a count of ones. bnn_tutorial/kernels.py does the same 64 bits at a time; here a word
// has 32, as many as JavaScript's whole numbers.

/**
 * @typedef {object} Layer
 * @property {number} inputs
 * @property {number} outputs
 * @property {Uint32Array} weight a row of `wordsFor(inputs)` words for each output; the bits beyond `inputs` are 0
 *
 * @typedef {Layer & {limit: Int32Array}} HiddenLayer its neuron fires where it differs in at most `limit` places
 * @typedef {Layer & {scale: Float64Array, shift: Float64Array}} OutputLayer logit = scale * sum + shift
 *
 * @typedef {object} Answer
 * @property {Uint8Array[]} hidden the bits of each hidden layer, a byte each
 * @property {Float64Array} sums of the last layer, whole numbers
 * @property {Float64Array} logits
 * @property {number} digit the class with the largest logit
 */

const WORD = 32; // bits
const FULL = 255; // a pixel of full ink, 1.0 for the model
const PLANES = 8; // bits of a pixel

/** A trained network that is ready to read images. */
export class Network {
  /**
   * @param {number | null} cut pixels from this value on are +1, the others -1; null: the network takes all 8 bits
   * @param {HiddenLayer[]} hidden
   * @param {OutputLayer} output
   */
  constructor(cut, hidden, output) {
    this.cut = cut;
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
   * @returns {Answer}
   */
  read(pixels) {
    if (pixels.length !== this.inputs) throw new RangeError(`expected ${this.inputs} pixels, got ${pixels.length}`);
    let planes = this.cut === null ? bitPlanes(pixels) : packBits(pixels, this.cut);
    const hidden = this.hidden.map((layer) => {
      const bits = fire(planes, layer);
      planes = packBits(bits, 1);
      return bits;
    });
    const sums = this.sums(planes);
    const logits = sums.map((sum, i) => sum * this.output.scale[i] + this.output.shift[i]);
    return { hidden, sums, logits, digit: logits.indexOf(Math.max(...logits)) };
  }

  /**
   * What the last layer adds up; of pixels p, whose differences are weighted, 255 * sum = 255 P - differences, where P
   * is the number of the neuron's +1.
   * @param {Uint32Array} planes
   */
  sums(planes) {
    const { inputs, outputs, weight } = this.output;
    const words = wordsFor(inputs);
    const pixels = planes.length > words;
    const sums = new Float64Array(outputs);
    for (let i = 0; i < outputs; i++) {
      const differences = countDifferences(planes, weight, i * words, words);
      sums[i] = pixels ? (FULL * countOnes(weight, i * words, words) - differences) / FULL : inputs - 2 * differences;
    }
    return sums;
  }
}

/**
 * The ones in a word, summed in pairs, in fours, in bytes, and over the four bytes by a product.
 * @param {number} word
 */
export function popcount(word) {
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
 * @param {number} cut values from it on are 1
 * @returns {Uint32Array} bit k % 32 of word k / 32 is value k
 */
function packBits(values, cut) {
  const words = new Uint32Array(wordsFor(values.length));
  for (let k = 0; k < values.length; k++) if (values[k] >= cut) words[k >>> 5] |= 1 << (k & 31);
  return words;
}

/**
 * @param {Uint8Array} pixels
 * @returns {Uint32Array} eight rows of words, the pixels' lowest bits first
 */
function bitPlanes(pixels) {
  const words = wordsFor(pixels.length);
  const planes = new Uint32Array(PLANES * words);
  for (let k = 0; k < pixels.length; k++) {
    for (let plane = 0; plane < PLANES; plane++) {
      planes[plane * words + (k >>> 5)] |= ((pixels[k] >>> plane) & 1) << (k & 31);
    }
  }
  return planes;
}

/**
 * In how many places a row of bits and a neuron differ. Of several rows, the planes of pixels, row b counts 2^b.
 * @param {Uint32Array} planes
 * @param {Uint32Array} weight
 * @param {number} start of the neuron in `weight`
 * @param {number} words of a row
 */
function countDifferences(planes, weight, start, words) {
  let weighted = 0;
  for (let at = 0, value = 1; at < planes.length; at += words, value *= 2) {
    let count = 0;
    for (let i = 0; i < words; i++) count += popcount(planes[at + i] ^ weight[start + i]);
    weighted += value * count;
  }
  return weighted;
}

/**
 * @param {Uint32Array} weight
 * @param {number} start
 * @param {number} words
 */
function countOnes(weight, start, words) {
  return weight.subarray(start, start + words).reduce((sum, word) => sum + popcount(word), 0);
}

/**
 * @param {Uint32Array} planes
 * @param {HiddenLayer} layer
 * @returns {Uint8Array} 1 where a neuron fires
 */
function fire(planes, { inputs, outputs, weight, limit }) {
  const words = wordsFor(inputs);
  const bits = new Uint8Array(outputs);
  for (let i = 0; i < outputs; i++) {
    bits[i] = countDifferences(planes, weight, i * words, words) <= limit[i] ? 1 : 0;
  }
  return bits;
}
