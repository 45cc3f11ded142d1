// The file of a packed network, as `PackedNetwork.save` writes it in Python -> a `PackedNetwork` of this engine.
// It is checked as Python checks it: format, description, every name, type, shape and range, and the digest.

import { INK } from "./digit.js";
import { PackedNetwork, wordsFor } from "./packed.js";
import { isTable, isWholeNumbers, readSafetensors, readTable, require } from "./safetensors.js";

/**
 * @typedef {import("./safetensors.js").SafetensorsFile} SafetensorsFile
 * @typedef {import("./safetensors.js").Tensor} Tensor
 * @typedef {Map<string, Tensor>} Tensors
 * @typedef {{inputs: number, outputs: number}} Size of a layer
 */

export const FORMAT = "bnn_tutorial packed network, version 2";

/**
 * @param {Uint8Array} file
 * @returns {Promise<PackedNetwork>}
 * @throws {import("./safetensors.js").FileError} if the file is damaged or something else
 */
export async function readNetwork(file) {
  const { metadata, tensors } = readSafetensors(file);
  const format = metadata.get("format");
  require(format === FORMAT, `the format ${JSON.stringify(format)}`);
  const { pixelThreshold, sizes } = readDescription(metadata.get("network") ?? "");
  checkTensors(tensors, sizes);
  await checkDigest({ metadata, tensors });
  const layers = sizes.map((size, i) => ({ ...size, weight: readWeight(tensors, `${i}.weight`, size) }));
  const hidden = layers.slice(0, -1).map((layer, i) => {
    const largest = layer.inputs * (i === 0 && pixelThreshold === null ? INK : 1); // of its sums
    return { ...layer, threshold: readThreshold(tensors, `${i}.threshold`, largest) };
  });
  const last = hidden.length;
  const [scale, shift] = ["scale", "shift"].map((name) => readNumbers(tensors, `${last}.${name}`));
  return new PackedNetwork(pixelThreshold, hidden, { ...layers[last], scale, shift });
}

/**
 * What its author says of a network, names and texts.
 * @param {Uint8Array} file
 * @returns {Record<string, string>}
 */
export function readProvenance(file) {
  const provenance = readTable(readSafetensors(file).metadata.get("provenance") ?? "", "provenance");
  require(Object.values(provenance).every((text) => typeof text === "string"), "a provenance that is not text");
  return /** @type {Record<string, string>} */ (provenance);
}

/**
 * @param {string} text
 * @returns {{pixelThreshold: number | null, sizes: Size[]}}
 */
function readDescription(text) {
  const { shape, pixel_threshold: pixelThreshold, layers } = readTable(text, "description");
  const found = `images of shape ${JSON.stringify(shape)}: this page has rows of pixels only`;
  require(isWholeNumbers(shape) && shape.length === 1, found);
  const fits = pixelThreshold === null || (isWholeNumbers([pixelThreshold]) && Number(pixelThreshold) <= INK + 1);
  require(fits, `a pixel threshold of ${JSON.stringify(pixelThreshold)}`);
  require(Array.isArray(layers) && layers.length > 0, "no layers");
  const sizes = layers.map((layer, i) => readSize(layer, i, i ? layers[i - 1].shape[0] : shape[0]));
  return { pixelThreshold: /** @type {number | null} */ (pixelThreshold), sizes };
}

/**
 * @param {unknown} layer
 * @param {number} i
 * @param {number} inputs
 * @returns {Size}
 */
function readSize(layer, i, inputs) {
  require(isTable(layer) && isWholeNumbers(layer.shape), `layer ${i} without a shape`);
  const { shape: [outputs, ...rest], pooled } = layer;
  const name = `layer ${i} of shape ${layer.shape}`;
  require(rest.length === 1 && pooled === false, `${name}: this page has dense layers only`);
  require(rest[0] === inputs && inputs > 0 && outputs > 0, `${name}, which gets ${inputs} inputs`);
  return { inputs, outputs };
}

/**
 * Exactly the tensors that such layers have, each of its type and shape.
 * @param {Tensors} tensors
 * @param {Size[]} sizes
 */
function checkTensors(tensors, sizes) {
  const expected = sizes.flatMap(({ inputs, outputs }, i) => {
    const numbers = i < sizes.length - 1 ? ["threshold: I32"] : ["scale: F64", "shift: F64"];
    const weight = `${i}.weight: U8 of ${outputs},${Math.ceil(inputs / 8)}`;
    return [weight, ...numbers.map((it) => `${i}.${it} of ${outputs}`)];
  });
  const found = [...tensors].map(([name, { dtype, shape }]) => `${name}: ${dtype} of ${shape}`);
  const wrong = found.filter((it) => !expected.includes(it));
  const missing = expected.filter((it) => !found.includes(it));
  require(!wrong.length && !missing.length, `tensors [${wrong.join("; ")}] instead of [${missing.join("; ")}]`);
}

/** SHA-256 of the description, the provenance and the tensors by name. @param {SafetensorsFile} file */
async function checkDigest({ metadata, tensors }) {
  const texts = ["network", "provenance"].map((name) => metadata.get(name) ?? "");
  const values = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, tensor]) => tensor.values);
  const digest = await digestOf([...texts, ...values]);
  require(digest === null || digest === metadata.get("sha256"), "a content without the digest that it names");
}

/**
 * SHA-256 in hexadecimal. On a page that comes over plain http from another machine, browsers have no `crypto.subtle`:
 * there it is null, and of a file all but the digest is checked.
 * @param {BlobPart[]} content
 */
export async function digestOf(content) {
  if (!crypto.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(content).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Tensors} tensors
 * @param {string} name
 * @param {Size} size
 * @returns {Uint32Array} the rows of bytes, filled up with zeros to rows of words
 */
function readWeight(tensors, name, { inputs, outputs }) {
  const bytes = /** @type {Uint8Array} */ (tensors.get(name)?.values);
  const [row, words] = [Math.ceil(inputs / 8), wordsFor(inputs)];
  const fits = bytes.every((byte, at) => byte < 2 ** (inputs - 8 * (at % row)));
  require(fits, `${name} with bits beyond its ${inputs} columns`);
  const weight = new Uint8Array(4 * words * outputs);
  for (let i = 0; i < outputs; i++) weight.set(bytes.subarray(i * row, (i + 1) * row), 4 * words * i);
  return new Uint32Array(weight.buffer);
}

/**
 * @param {Tensors} tensors
 * @param {string} name
 * @param {number} largest of the sums that are compared with it; the next whole number is a threshold for never
 */
function readThreshold(tensors, name, largest) {
  const threshold = /** @type {Int32Array} */ (tensors.get(name)?.values);
  require(threshold.every((n) => n >= -largest && n <= largest + 1), `${name} out of range`);
  return threshold;
}

/**
 * @param {Tensors} tensors
 * @param {string} name
 */
function readNumbers(tensors, name) {
  const numbers = /** @type {Float64Array} */ (tensors.get(name)?.values);
  require(numbers.every(Number.isFinite), `${name} with numbers that are not finite`);
  return numbers;
}
