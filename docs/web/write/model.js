// A packed language model, from the same file and with the same sums as Python's `packed/language.py`: products of whole
// numbers, with floats between them for norm, softmax and the step of each character.

import { digestOf } from "../engine/read.js";
import { isTable, readSafetensors, readTable, require } from "../engine/safetensors.js";

/**
 * @typedef {object} Matrix of whole numbers
 * @property {number} rows
 * @property {number} columns
 * @property {Int16Array} levels rows first
 * @property {Float64Array} scale one for each row, or one for all
 *
 * @typedef {{attend: Matrix, project: Matrix, expand: Matrix, contract: Matrix}} Block
 * @typedef {{key: Float64Array, value: Float64Array}} Seen
 */

const FORMAT = "bnn_tutorial language model, version 1";
const LARGEST = 127; // of a feature in 8 bits
const POWERS = [1, 3, 9, 27, 81]; // of the five ternary weights in a byte

export class LanguageModel {
  /** @param {string} alphabet @param {number} heads @param {number} context @param {Map<string, Matrix>} matrices */
  constructor(alphabet, heads, context, matrices) {
    const matrix = (/** @type {string} */ name) => {
      const found = matrices.get(name);
      require(found !== undefined, `no matrix ${name}`);
      return found;
    };
    this.alphabet = alphabet;
    this.heads = heads;
    this.context = context;
    this.embed = matrix("embed");
    this.head = matrix("head");
    const names = /** @type {Array<keyof Block>} */ (["attend", "project", "expand", "contract"]);
    this.blocks = Array.from({ length: (matrices.size - 2) / names.length }, (_, i) =>
      /** @type {Block} */ (Object.fromEntries(names.map((name) => [name, matrix(`blocks.${i}.${name}`)]))));
    this.reach = this.blocks.length * (context - 1) + 1; // characters that the logits depend on
    this.weights = [...matrices.values()].reduce((sum, { levels }) => sum + levels.length, 0);
    /** @type {Seen[][]} */
    this.seen = [];
    this.forget();
  }

  /** Start a new text. */
  forget() {
    this.seen = this.blocks.map(() => []);
  }

  /**
   * Read one more character.
   * @param {number} character its place in the alphabet
   * @returns {Float64Array} the logits of the next one
   */
  read(character) {
    const { rows, columns, levels, scale } = this.embed;
    let x = Float64Array.from({ length: rows }, (_, row) => scale[row % scale.length] * levels[row * columns + character]);
    this.blocks.forEach((block, i) => {
      x = sum(x, product(block.project, this.attention(product(block.attend, x), this.seen[i])));
      x = sum(x, product(block.contract, product(block.expand, x).map((a) => Math.max(a, 0) ** 2)));
    });
    return scaled(this.head, normalised(x), 1);
  }

  /** @param {Float64Array} parts query, key and value of a character @param {Seen[]} seen */
  attention(parts, seen) {
    const width = parts.length / 3;
    const [query, key, value] = [0, 1, 2].map((i) => parts.subarray(i * width, (i + 1) * width));
    seen.push({ key, value });
    if (seen.length > this.context) seen.shift();
    const out = new Float64Array(width);
    const size = width / this.heads;
    for (let head = 0; head < this.heads; head++) {
      const slope = 2 ** ((-8 * (head + 1)) / this.heads);
      const from = head * size;
      const scores = Float64Array.from(seen, ({ key }, t) => {
        let dot = 0;
        for (let k = from; k < from + size; k++) dot += query[k] * key[k];
        return dot / Math.sqrt(size) - slope * (seen.length - 1 - t);
      });
      softmax(scores).forEach((share, t) => {
        for (let k = from; k < from + size; k++) out[k] += share * seen[t].value[k];
      });
    }
    return out;
  }
}

/**
 * @param {Matrix} matrix
 * @param {Float64Array} x is normalised and brought to 8 bits, with a step of its own
 */
function product(matrix, x) {
  const normal = normalised(x);
  const step = Math.max(normal.reduce((most, a) => Math.max(most, Math.abs(a)), 0), 1e-5) / LARGEST;
  return scaled(matrix, Int32Array.from(normal, (a) => roundHalfToEven(a / step)), step);
}

/** @param {Matrix} matrix @param {Int32Array | Float64Array} x @param {number} step of x */
function scaled({ rows, columns, levels, scale }, x, step) {
  const out = new Float64Array(rows);
  for (let row = 0, at = 0; row < rows; row++) {
    let total = 0;
    for (let k = 0; k < columns; k++, at++) total += levels[at] * x[k];
    out[row] = total * scale[row % scale.length] * step;
  }
  return out;
}

/** As Python rounds. @param {number} x */
function roundHalfToEven(x) {
  const nearest = Math.round(x);
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

/** @param {Float64Array} a @param {Float64Array} b */
function sum(a, b) {
  return a.map((x, i) => x + b[i]);
}

/** Mean 0 and variance 1. @param {Float64Array} x */
function normalised(x) {
  const mean = x.reduce((a, b) => a + b) / x.length;
  const variance = x.reduce((total, a) => total + (a - mean) ** 2, 0) / x.length;
  return x.map((a) => (a - mean) / Math.sqrt(variance + 1e-5));
}

/** @param {Float64Array} x */
export function softmax(x) {
  const most = x.reduce((a, b) => Math.max(a, b));
  const powers = x.map((a) => Math.exp(a - most));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / total);
}

/**
 * @param {Uint8Array} file
 * @returns {Promise<LanguageModel>}
 * @throws {import("../engine/safetensors.js").FileError} if the file is damaged or something else
 */
export async function readModel(file) {
  const { metadata, tensors } = readSafetensors(file);
  require(metadata.get("format") === FORMAT, `the format ${JSON.stringify(metadata.get("format"))}`);
  const texts = ["network", "provenance"].map((name) => metadata.get(name) ?? "");
  const values = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, tensor]) => tensor.values);
  const digest = await digestOf([...texts, ...values]);
  require(digest === null || digest === metadata.get("sha256"), "content that does not match its SHA-256 digest");
  const { alphabet, heads, context, matrices } = readTable(texts[0], "description");
  require(typeof alphabet === "string" && Number(heads) > 0 && Number(context) > 0, "an incomplete description");
  require(isTable(matrices), "a description without matrices");
  const read = Object.entries(matrices).map(([name, shape]) => /** @type {[string, Matrix]} */ ([name, readMatrix(tensors, name, shape)]));
  return new LanguageModel(alphabet, Number(heads), Number(context), new Map(read));
}

/**
 * @param {Map<string, import("../engine/safetensors.js").Tensor>} tensors
 * @param {string} name
 * @param {unknown} shape [rows, columns, bits], the bits "8", "8/5" or "1"
 * @returns {Matrix}
 */
function readMatrix(tensors, name, shape) {
  require(Array.isArray(shape) && shape.length === 3, `${name} without a shape`);
  const [rows, columns, bits] = shape;
  const [weight, scale] = ["weight", "scale"].map((part) => tensors.get(`${name}.${part}`)?.values);
  require(weight instanceof Uint8Array && scale instanceof Float64Array, `no numbers of ${name}`);
  const perByte = { "8": 1, "8/5": 5, "1": 8 }[String(bits)];
  require(perByte !== undefined, `${name} of ${bits} bits`);
  const width = Math.ceil(columns / perByte);
  require(weight.length === rows * width && [1, rows].includes(scale.length), `${name} of shape ${JSON.stringify(shape)}`);
  const levels = new Int16Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < columns; k++) {
      const byte = weight[row * width + Math.floor(k / perByte)];
      levels[row * columns + k] = level(byte, perByte, k % perByte);
    }
  }
  return { rows, columns, levels, scale };
}

/** The whole number at a place of a byte. @param {number} byte @param {number} perByte @param {number} place */
function level(byte, perByte, place) {
  if (perByte === 1) return 2 * byte - 255;
  return perByte === 5 ? (Math.floor(byte / POWERS[place]) % 3) - 1 : 2 * ((byte >> place) & 1) - 1;
}
