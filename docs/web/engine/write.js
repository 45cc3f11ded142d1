// The file of a packed network, in the safetensors format, as Python's `PackedNetwork.save` writes it. Only the order
// of the four metadata may differ; in Python it changes from run to run.

import { bytesOf, packLevels } from "./levels.js";
import { FORMAT, digestOf } from "./read.js";

/**
 * @typedef {import("./packed.js").Layer} Layer
 * @typedef {Uint8Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer>} Values
 *
 * @typedef {object} Tensor
 * @property {string} name
 * @property {string} dtype
 * @property {number[]} shape
 * @property {Values} values
 */

const DTYPES = ["F64", "I32", "U8"]; // in the order of the file: the widest numbers first, so that all are aligned
const ALIGNED = 8; // bytes

/**
 * @param {Layer[]} layers
 * @param {Record<string, string>} provenance what is said of the network, in ASCII
 * @returns {Promise<Uint8Array<ArrayBuffer>>} without a digest where the browser cannot compute one, see `digestOf`
 */
export async function writeNetwork(layers, provenance) {
  const tensors = layers.flatMap(tensorsOf).sort((a, b) => (a.name < b.name ? -1 : 1));
  const texts = { network: asPython(description(layers)), provenance: asPython(provenance) };
  const sha256 = await digestOf([texts.network, texts.provenance, ...tensors.map(({ values }) => values)]);
  const stored = DTYPES.flatMap((dtype) => tensors.filter((tensor) => tensor.dtype === dtype));
  const header = encodeHeader({ format: FORMAT, ...texts, sha256: sha256 ?? "" }, stored);
  const length = new BigUint64Array([BigInt(header.length)]); // browsers only run on little-endian machines
  return new Uint8Array(await new Blob([length, header, ...stored.map(({ values }) => values)]).arrayBuffer());
}

/** @param {Layer} layer @param {number} i @returns {Tensor[]} */
function tensorsOf(layer, i) {
  const { shape: [outputs, inputs], bits, levels } = layer;
  const weight = packLevels(levels, inputs, bits);
  const numbers = Object.entries(numbersOf(layer)).map(([name, values]) => (
    { name: `${i}.${name}`, dtype: values instanceof Int32Array ? "I32" : "F64", shape: [outputs], values }));
  return [{ name: `${i}.weight`, dtype: "U8", shape: [outputs, bytesOf(inputs, bits)], values: weight }, ...numbers];
}

/** What a file keeps of each activation. @param {Layer} layer @returns {Record<string, Values>} */
function numbersOf(layer) {
  if (layer.activation === "sign") return { threshold: layer.threshold };
  if (layer.activation === "codes") return { multiplier: layer.multiplier, offset: layer.offset };
  return { scale: layer.scale, shift: layer.shift };
}

/** @param {Layer[]} layers dense ones */
function description(layers) {
  const entries = layers.map((layer) => {
    const { shape, bits, activation, stride, padding, pooled } = layer;
    const entry = { shape, bits, activation, stride, padding, pooled };
    return layer.activation === "codes" ? { ...entry, point: layer.point, top: layer.top } : entry;
  });
  return { shape: [layers[0].shape[1]], pixel_threshold: null, layers: entries };
}

/** JSON with Python's blanks after commas and colons. @param {unknown} value @returns {string} */
function asPython(value) {
  if (Array.isArray(value)) return `[${value.map(asPython).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, it]) => `${JSON.stringify(name)}: ${asPython(it)}`).join(", ")}}`;
}

/** @param {Record<string, string>} metadata @param {Tensor[]} tensors */
function encodeHeader(metadata, tensors) {
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape, values }) => {
    const offsets = [end, (end += values.byteLength)];
    return [name, { dtype, shape, data_offsets: offsets }];
  });
  const text = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) });
  return new TextEncoder().encode(text.padEnd(ALIGNED * Math.ceil(text.length / ALIGNED)));
}
