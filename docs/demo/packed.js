// The file of a packed network, as `PackedNetwork.save` in bnn_tutorial/packed.py writes it -> a `Network`.
// It is checked as Python checks it: format, digest, description, and every name, shape, type and range.

import { Network, wordsFor } from "./network.js";
import { isTable, isWholeNumbers, readSafetensors, require } from "./safetensors.js";
import { sha256 } from "./sha256.js";

/**
 * @typedef {import("./network.js").Layer} Layer
 * @typedef {import("./safetensors.js").SafetensorsFile} SafetensorsFile
 * @typedef {import("./safetensors.js").Tensor} Tensor
 * @typedef {Map<string, Tensor>} Tensors
 */

const FORMAT = "bnn_tutorial packed network, version 1";
const FULL = 255; // an 8-bit pixel of full ink

/** How Python names the types in the text that the digest is taken of. */
const NUMPY = new Map([["U8", "|u1"], ["I32", "<i4"], ["F64", "<f8"]]);

/**
 * @param {Uint8Array} file
 * @returns {Network}
 * @throws {import("./safetensors.js").FileError} if the file is damaged or something else
 */
export function readNetwork(file) {
  const { metadata, tensors } = readSafetensors(file);
  const format = metadata.get("format");
  require(format === FORMAT, `the format ${JSON.stringify(format)}`);
  require(metadata.get("sha256") === digest({ metadata, tensors }), "a content without the digest that it names");
  const { cut, widths } = readDescription(metadata.get("network"));
  const layers = widths.slice(1).map((outputs, i) => readWeights(tensors, i, widths[i], outputs));
  const last = layers.length - 1;
  const hidden = layers.slice(0, last).map((layer, i) => ({ ...layer, limit: readLimits(tensors, i, layer) }));
  const [scale, shift] = ["scale", "shift"].map((name) => readNumbers(tensors, `${last}.${name}`, widths[last + 1]));
  require(tensors.size === 2 * layers.length + 1, `tensors named ${[...tensors.keys()]}`); // no others
  return new Network(cut, hidden, { ...layers[last], scale, shift });
}

/**
 * SHA-256 over everything that the file says, in a fixed order.
 * @param {SafetensorsFile} file
 */
function digest({ metadata, tensors }) {
  const encoder = new TextEncoder();
  const texts = sorted(metadata).filter(([name]) => name !== "sha256");
  /** @type {Uint8Array[]} */
  const parts = texts.map(([name, text]) => encoder.encode(`${name}=${[...text].length}:${text};`));
  for (const [name, { dtype, shape, bytes }] of sorted(tensors)) {
    const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
    parts.push(encoder.encode(`${name}:${NUMPY.get(dtype)}${tuple};`), bytes);
  }
  return sha256(joined(parts));
}

/**
 * @template T
 * @param {Map<string, T>} map
 */
function sorted(map) {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** @param {Uint8Array[]} parts */
function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

/**
 * @param {string | undefined} text
 * @returns {{cut: number | null, widths: number[]}}
 */
function readDescription(text) {
  const { shape, cut, layers } = parsed(text);
  const found = `images of shape ${JSON.stringify(shape)}: this page has rows of pixels only`;
  require(isWholeNumbers(shape) && shape.length === 1, found);
  require(cut === null || (isWholeNumbers([cut]) && Number(cut) <= FULL + 1), `a cut of ${JSON.stringify(cut)}`);
  require(Array.isArray(layers) && layers.length > 0, "no layers");
  const widths = [shape[0], ...layers.map((layer, i) => outputsOf(layer, i, i ? layers[i - 1].shape[0] : shape[0]))];
  require(widths.every((width) => width > 0), `layers of the widths ${widths}`);
  return { cut: cut === null ? null : Number(cut), widths };
}

/**
 * @param {string | undefined} text
 * @returns {Record<string, unknown>}
 */
function parsed(text) {
  try {
    const table = JSON.parse(text ?? "");
    if (isTable(table)) return table;
  } catch {
    // the same message
  }
  require(false, "a description that cannot be read");
}

/**
 * @param {unknown} layer
 * @param {number} i
 * @param {number} inputs
 */
function outputsOf(layer, i, inputs) {
  require(isTable(layer) && isWholeNumbers(layer.shape), `layer ${i} without a shape`);
  const { shape, pooled } = layer;
  require(shape.length === 2 && pooled === false, `layer ${i} of shape ${shape}: this page has dense layers only`);
  require(shape[1] === inputs, `layer ${i} of ${shape[1]} inputs, which gets ${inputs}`);
  return shape[0];
}

/**
 * @param {Tensors} tensors
 * @param {number} i
 * @param {number} inputs
 * @param {number} outputs
 * @returns {Layer}
 */
function readWeights(tensors, i, inputs, outputs) {
  const row = Math.ceil(inputs / 8);
  const bytes = take(tensors, `${i}.weight`, "U8", [outputs, row]);
  const words = wordsFor(inputs);
  const weight = new Uint32Array(outputs * words);
  bytes.forEach((byte, at) => {
    const [neuron, k] = [Math.floor(at / row), at % row];
    weight[neuron * words + (k >>> 2)] |= byte << (8 * (k & 3));
    require(byte < 2 ** (inputs - 8 * k), `${i}.weight with bits beyond its ${inputs} columns`);
  });
  return { inputs, outputs, weight };
}

/**
 * @param {Tensors} tensors
 * @param {number} i
 * @param {Layer} layer
 */
function readLimits(tensors, i, { inputs, outputs }) {
  const limit = new Int32Array(aligned(take(tensors, `${i}.limit`, "I32", [outputs])));
  require(limit.every((n) => n >= -1 && n <= FULL * inputs), `${i}.limit out of range`);
  return limit;
}

/**
 * @param {Tensors} tensors
 * @param {string} name
 * @param {number} outputs
 */
function readNumbers(tensors, name, outputs) {
  const numbers = new Float64Array(aligned(take(tensors, name, "F64", [outputs])));
  require(numbers.every(Number.isFinite), `${name} with numbers that are not finite`);
  return numbers;
}

/**
 * @param {Tensors} tensors
 * @param {string} name
 * @param {string} dtype
 * @param {number[]} expected
 */
function take(tensors, name, dtype, expected) {
  const tensor = tensors.get(name);
  const fits = tensor?.dtype === dtype && String(tensor.shape) === String(expected);
  require(fits, `${name} of ${tensor?.dtype} and shape ${tensor?.shape}, expected ${dtype} and ${expected}`);
  return /** @type {Tensor} */ (tensor).bytes;
}

/**
 * A copy that begins where numbers of several bytes may; browsers run on little-endian machines only.
 * @param {Uint8Array} bytes
 */
function aligned(bytes) {
  return new Uint8Array(bytes).buffer;
}
