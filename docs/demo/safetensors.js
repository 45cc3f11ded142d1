// A reader of safetensors files: the length of a header in 8 bytes, the header in JSON, then the tensors' bytes.
// Nothing is believed before it is checked; what is wrong is said in words that a page can show.

/**
 * @typedef {object} Tensor
 * @property {string} dtype such as "U8"
 * @property {number[]} shape
 * @property {Uint8Array} bytes little-endian, rows first
 *
 * @typedef {object} SafetensorsFile
 * @property {Map<string, string>} metadata
 * @property {Map<string, Tensor>} tensors
 */

/** Bytes of a number of each type that a packed network has. */
const SIZES = new Map([["U8", 1], ["I32", 4], ["F64", 8]]);

/** What is wrong with a file. */
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
  const { __metadata__: metadata = {}, ...entries } = readHeader(file.subarray(8, 8 + length));
  const data = file.subarray(8 + length);
  const tensors = new Map(Object.entries(entries).map(([name, entry]) => [name, readTensor(name, entry, data)]));
  checkThatAllIsUsed([...tensors.values()], data);
  return { metadata: new Map(Object.entries(readTexts(metadata))), tensors };
}

/**
 * @param {Uint8Array} bytes
 * @returns {Record<string, unknown>}
 */
function readHeader(bytes) {
  try {
    const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isTable(header)) return header;
  } catch {
    // the same message: whoever reads it needs no more
  }
  throw new FileError("found a header that cannot be read");
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
  const size = SIZES.get(String(dtype));
  require(size !== undefined, `${name} of type ${dtype}`);
  require(isWholeNumbers(shape), `${name} of shape ${JSON.stringify(shape)}`);
  require(isWholeNumbers(offsets) && offsets.length === 2, `${name} at ${JSON.stringify(offsets)}`);
  const [start, end] = offsets;
  const length = shape.reduce((product, n) => product * n, size);
  require(end - start === length && end <= data.length, `${name} of shape ${shape} in bytes ${start} to ${end}`);
  return { dtype: String(dtype), shape, bytes: data.subarray(start, end) };
}

/**
 * Neither a gap nor an overlap: the tensors lie one after the other, and there is nothing else.
 * @param {Tensor[]} tensors
 * @param {Uint8Array} data
 */
function checkThatAllIsUsed(tensors, data) {
  let end = data.byteOffset;
  for (const { bytes } of tensors.sort((a, b) => a.bytes.byteOffset - b.bytes.byteOffset)) {
    require(bytes.byteOffset === end, "tensors with gaps between them, or one over the other");
    end += bytes.length;
  }
  require(end === data.byteOffset + data.length, "bytes that belong to no tensor");
}

/**
 * @param {unknown} metadata
 * @returns {Record<string, string>}
 */
function readTexts(metadata) {
  const fits = isTable(metadata) && Object.values(metadata).every((value) => typeof value === "string");
  require(fits, "metadata that is not text");
  return /** @type {Record<string, string>} */ (metadata);
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
