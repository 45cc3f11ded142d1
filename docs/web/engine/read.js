// The file of a packed network, as Python's `PackedNetwork.save` writes it -> a `PackedNetwork` of this engine.
// The checks are the same as in Python: format, description, every name, type, shape and range, and the digest.

import { INK } from "./digit.js";
import { FRACTION, MOST_SHIFTED, fixedPoint } from "./fixed.js";
import { TERNARY, bytesOf, largestLevel, packLevels, unpackLevels } from "./levels.js";
import { PackedNetwork, outputShape } from "./packed.js";
import { isWholeNumbers, readSafetensors, readTable, require } from "./safetensors.js";

/**
 * @typedef {import("./packed.js").Layer} Layer
 * @typedef {import("./safetensors.js").SafetensorsFile} SafetensorsFile
 * @typedef {Map<string, import("./safetensors.js").Tensor>} Tensors
 *
 * @typedef {object} Entry what a file says of a layer
 * @property {number[]} shape
 * @property {number} bits
 * @property {Layer["activation"]} activation
 * @property {number} stride
 * @property {number} padding
 * @property {boolean} pooled
 * @property {number} [point]
 * @property {number} [top]
 *
 * @typedef {{shape: number[], pixelThreshold: number | null, entries: Entry[]}} Description
 */

export const FORMAT = "bnn_tutorial packed network, version 3";
const FORMAT_2 = "bnn_tutorial packed network, version 2"; // signs alone, and logits of scale * (sum / unit) + shift
const NUMBERS = { // of each activation, in the order of their names
  sign: ["threshold: I32"],
  codes: ["multiplier: I32", "offset: I32"],
  logits: ["scale: F64", "shift: F64"],
};

/**
 * @param {Uint8Array} file
 * @returns {Promise<PackedNetwork>}
 * @throws {import("./safetensors.js").FileError} if the file is damaged or something else
 */
export async function readNetwork(file) {
  const { metadata, tensors } = readSafetensors(file);
  const format = metadata.get("format");
  require(format === FORMAT || format === FORMAT_2, `the format ${JSON.stringify(format)}`);
  const { shape, pixelThreshold, entries } = readDescription(metadata.get("network") ?? "", format === FORMAT_2);
  checkTensors(tensors, entries);
  await checkDigest({ metadata, tensors });
  let ofBytes = pixelThreshold === null;
  const layers = entries.map((entry, i) => {
    const layer = readLayer(tensors, i, entry, ofBytes, format === FORMAT_2);
    ofBytes = entry.activation === "codes";
    return layer;
  });
  return new PackedNetwork(shape, pixelThreshold, layers);
}

/**
 * Where a network comes from, as names and texts.
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
 * @param {boolean} isOld of version 2
 * @returns {Description}
 */
function readDescription(text, isOld) {
  const { shape, pixel_threshold: pixelThreshold, layers } = readTable(text, "description");
  require(isSizes(shape) && [1, 3].includes(shape.length), `images of shape ${JSON.stringify(shape)}`);
  const fits = pixelThreshold === null || (isWholeNumbers([pixelThreshold]) && Number(pixelThreshold) <= INK + 1);
  require(fits, `a pixel threshold of ${JSON.stringify(pixelThreshold)}`);
  require(Array.isArray(layers) && layers.length > 0, "no layers");
  let [input, ofBytes] = [shape, pixelThreshold === null];
  const entries = layers.map((layer, i) => {
    const isLast = i === layers.length - 1;
    const keys = Object.keys(layer ?? {}).sort().join();
    require(!isOld || keys === "pooled,shape,stride", `a layer of version 2 with ${keys}`); // the digest leaves it out
    const old = isOld && { bits: 1, padding: 0, activation: isLast ? "logits" : "sign" };
    const entry = readEntry({ ...old, ...layer }, i, isLast);
    require(ofBytes || !entry.padding, `layer ${i} with zeros around signs`);
    checkInput(entry, i, input);
    input = outputShape(entry, input);
    ofBytes = entry.activation === "codes";
    return entry;
  });
  return { shape, pixelThreshold: /** @type {number | null} */ (pixelThreshold), entries };
}

/**
 * @param {Record<string, unknown>} entry
 * @param {number} i
 * @param {boolean} isLast
 */
function readEntry(entry, i, isLast) {
  const { shape, bits, activation, stride, padding, pooled, point = 0, top = 1 } = entry;
  require(isSizes(shape), `layer ${i} without a shape`);
  const isConvolution = shape.length === 4 && shape[2] === shape[3] && !isLast;
  const isDense = shape.length === 2 && pooled === false && padding === 0;
  require(isConvolution || isDense, `layer ${i} of shape ${shape}`);
  const isWhole = isWholeNumbers([bits]) && Number(bits) > 0 && Number(bits) <= 8;
  require(isWhole || bits === TERNARY, `layer ${i} of ${bits} bits`);
  const isKnown = typeof activation === "string" && Object.hasOwn(NUMBERS, activation);
  require(isKnown && (activation === "logits") === isLast, `layer ${i} with ${JSON.stringify(activation)}`);
  require(activation !== "codes" || ("point" in entry && "top" in entry), `layer ${i} of codes without point and top`);
  const numbers = [stride, padding, point, top];
  const areSmall = isWholeNumbers(numbers) && numbers.every((n) => n <= INK) && numbers[2] <= MOST_SHIFTED;
  const fits = areSmall && numbers[0] > 0 && numbers[3] > 0;
  require(fits && typeof pooled === "boolean", `layer ${i} with the numbers ${JSON.stringify(numbers)}`);
  return /** @type {Entry} */ (/** @type {unknown} */ (entry));
}

/** @param {Entry} entry @param {number} i @param {number[]} input */
function checkInput({ shape, padding }, i, [first, ...sizes]) {
  const all = sizes.reduce((product, size) => product * size, first);
  const [, inputs, side] = shape;
  const isImage = sizes.length === 2 && first === inputs && sizes.every((size) => size + 2 * padding >= side);
  require(side ? isImage : all === inputs, `layer ${i} of shape ${shape}, which gets ${side ? [first, ...sizes] : all} inputs`);
}

/**
 * Require exactly the tensors of such layers, with their types and shapes.
 * @param {Tensors} tensors
 * @param {Entry[]} entries
 */
function checkTensors(tensors, entries) {
  const expected = entries.flatMap(({ shape, bits, activation, pooled }, i) => {
    const [outputs] = shape;
    const weight = `${i}.weight: U8 of ${outputs},${bytesOf(columnsOf(shape), bits)}`;
    const inverted = pooled && activation === "sign" ? [`${i}.inverted: U8 of 1,${Math.ceil(outputs / 8)}`] : [];
    return [weight, ...NUMBERS[activation].map((it) => `${i}.${it} of ${outputs}`), ...inverted];
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
  require(digest === null || digest === metadata.get("sha256"), "content that does not match its SHA-256 digest");
}

/**
 * SHA-256 in hexadecimal. On a page loaded over plain http from another machine, browsers have no `crypto.subtle`.
 * Then it is null, and everything in a file but the digest is checked.
 * @param {BlobPart[]} content
 */
export async function digestOf(content) {
  if (!crypto.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(content).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Tensors} tensors
 * @param {number} i
 * @param {Entry} entry
 * @param {boolean} ofBytes
 * @param {boolean} isOld
 * @returns {Layer}
 */
function readLayer(tensors, i, entry, ofBytes, isOld) {
  const { shape, bits, activation } = entry;
  const find = (/** @type {string} */ name) => /** @type {any} */ (tensors.get(`${i}.${name}`)?.values);
  const columns = columnsOf(shape);
  const [stored, levels] = [find("weight"), unpackLevels(find("weight"), columns, bits)];
  const isThere = packLevels(levels, columns, bits).every((byte, at) => byte === stored[at]);
  require(isThere, `${i}.weight with more than its weights`);
  const largest = columns * largestLevel(bits) * (ofBytes ? INK : 1); // of the sums
  require(largest < 2 ** 31, `layer ${i} with sums up to ${largest}, beyond 32 bits`);
  const layer = { ...entry, levels, ofBytes, inverted: readInverted(find("inverted"), i, shape[0]) };
  if (activation === "logits") {
    const [scale, shift] = [find("scale"), find("shift")];
    const areFinite = [scale, shift].every((numbers) => numbers.every(Number.isFinite));
    require(areFinite, `${i}.scale or ${i}.shift that is not finite`);
    const each = isOld && ofBytes ? scale.map((/** @type {number} */ it) => it / INK) : scale;
    return { ...layer, activation, scale: each, shift, ...fixedPoint(each, shift, shift.map(() => 0), largest) };
  }
  if (activation === "codes") {
    const [multiplier, offset] = [find("multiplier"), find("offset")];
    const fits = multiplier.every((/** @type {number} */ it, /** @type {number} */ n) =>
      Math.floor((Math.abs(it) * largest) / 2 ** FRACTION) + Math.abs(offset[n]) < 2 ** 31 - 1);
    require(fits, `${i}.multiplier or ${i}.offset out of range`);
    return { ...layer, activation, multiplier, offset, point: entry.point ?? 0, top: entry.top ?? 1 };
  }
  const threshold = find("threshold");
  const isReached = (/** @type {number} */ n) => n >= -largest && n <= largest + 1; // that one is never
  require(threshold.every(isReached), `${i}.threshold out of range`);
  return { ...layer, activation, threshold };
}

/** @param {Uint8Array | undefined} bytes @param {number} i @param {number} columns */
function readInverted(bytes, i, columns) {
  if (!bytes) return null;
  const bits = Uint8Array.from({ length: 8 * bytes.length }, (_, at) => (bytes[at >> 3] >> (at & 7)) & 1);
  require(!bits.subarray(columns).some(Boolean), `${i}.inverted with bits beyond its ${columns} columns`);
  return bits.slice(0, columns);
}

/** Of the weights' rows. @param {number[]} shape */
function columnsOf(shape) {
  return shape.slice(1).reduce((product, size) => product * size);
}

/** @param {unknown} shape @returns {shape is number[]} */
function isSizes(shape) {
  return isWholeNumbers(shape) && shape.length > 0 && shape.every((size) => size > 0 && size < 2 ** 31);
}
