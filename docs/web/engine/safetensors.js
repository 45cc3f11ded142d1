// A reader of safetensors files: the length of a header in 8 bytes, the header in JSON, then the tensors' bytes.
// Everything is checked before it is used, and errors are worded so that a page can show them.

/**
 * @typedef {Uint8Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer>} Values
 *
 * @typedef {object} Tensor
 * @property {string} dtype such as "U8"
 * @property {number[]} shape
 * @property {number} start of its bytes, counted from the header's end
 * @property {Values} values rows first
 *
 * @typedef {object} SafetensorsFile
 * @property {Map<string, string>} metadata
 * @property {Map<string, Tensor>} tensors
 */

/**
 * The number types of a packed network.
 * @type {Map<string, {BYTES_PER_ELEMENT: number, new (bytes: ArrayBuffer): Values}>}
 */
const TYPES = new Map(Object.entries({ U8: Uint8Array, I32: Int32Array, F64: Float64Array }));

/** Says what is wrong with a file. */
export class FileError extends Error {}

/**
 * @param {boolean} condition
 * @param {string} found completes "found ..."
 * @returns {asserts condition}
 */
export function require(condition, found) {
  if (!condition) throw new FileError(`found ${found}`);
}

/**
 * @param {Uint8Array} file
 * @returns {SafetensorsFile}
 * @throws {FileError} if anything in the file does not fit together
 */
export function readSafetensors(file) {
  require(file.length > 8, `${file.length} bytes, too few for a header`);
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  require(length <= file.length - 8, `a header of ${length} bytes in a file of ${file.length}`);
  const header = new TextDecoder().decode(file.subarray(8, 8 + length));
  const { __metadata__: texts = {}, ...entries } = readTable(header, "header");
  const areTexts = isTable(texts) && Object.values(texts).every((text) => typeof text === "string");
  require(areTexts, "metadata that is not text");
  const data = file.subarray(8 + length);
  const tensors = new Map(Object.entries(entries).map(([name, entry]) => [name, readTensor(name, entry, data)]));
  checkThatAllIsUsed([...tensors.values()], data.length);
  return { metadata: new Map(Object.entries(/** @type {Record<string, string>} */ (texts))), tensors };
}

/**
 * @param {string} name
 * @param {unknown} entry
 * @param {Uint8Array} data
 * @returns {Tensor}
 */
function readTensor(name, entry, data) {
  require(isTable(entry), `a tensor ${name} without a description`);
  const { dtype, shape, data_offsets: offsets } = entry;
  const Type = TYPES.get(String(dtype));
  require(Type !== undefined, `${name} of type ${dtype}`);
  require(isWholeNumbers(shape), `${name} of shape ${JSON.stringify(shape)}`);
  require(isWholeNumbers(offsets) && offsets.length === 2, `${name} at ${JSON.stringify(offsets)}`);
  const [start, end] = offsets;
  const length = shape.reduce((product, n) => product * n, Type.BYTES_PER_ELEMENT);
  require(end - start === length && end <= data.length, `${name} of shape ${shape} in bytes ${start} to ${end}`);
  // A copy, aligned for numbers of several bytes. Browsers only run on little-endian machines.
  return { dtype: String(dtype), shape, start, values: new Type(new Uint8Array(data.subarray(start, end)).buffer) };
}

/**
 * Require tensors without gaps or overlaps, and nothing else.
 * @param {Tensor[]} tensors
 * @param {number} length of all their bytes
 */
function checkThatAllIsUsed(tensors, length) {
  let end = 0;
  for (const { start, values } of tensors.sort((a, b) => a.start - b.start)) {
    require(start === end, "tensors with gaps between them, or that overlap");
    end += values.byteLength;
  }
  require(end === length, "bytes that belong to no tensor");
}

/**
 * @param {string} text
 * @param {string} name
 * @returns {Record<string, unknown>}
 */
export function readTable(text, name) {
  try {
    const table = JSON.parse(text);
    if (isTable(table)) return table;
  } catch {
    // the same message is enough
  }
  throw new FileError(`found a ${name} that cannot be read`);
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isTable(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @returns {value is number[]}
 */
export function isWholeNumbers(value) {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
