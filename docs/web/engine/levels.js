// Weights in a file: with no spare bits, in a row of whole bytes per neuron. A weight of b bits has a level, one of the
// odd numbers from -(2^b - 1) to 2^b - 1. A weight of 1.6 bits is -1, 0 or 1, and a byte holds five.

export const TERNARY = 1.6; // bits
const POWERS = [1, 3, 9, 27, 81];

/** @param {number} bits */
export function largestLevel(bits) {
  return bits === TERNARY ? 1 : 2 ** bits - 1;
}

/** Bytes of a row. @param {number} columns @param {number} bits */
export function bytesOf(columns, bits) {
  return bits === TERNARY ? Math.ceil(columns / POWERS.length) : Math.ceil((columns * bits) / 8);
}

/**
 * @param {Int16Array} levels
 * @param {number} columns
 * @param {number} bits
 */
export function packLevels(levels, columns, bits) {
  const row = bytesOf(columns, bits);
  const bytes = new Uint8Array((row * levels.length) / columns);
  levels.forEach((level, at) => {
    const [start, k] = [row * Math.floor(at / columns), at % columns];
    if (bits === TERNARY) bytes[start + Math.floor(k / 5)] += (level + 1) * POWERS[k % 5];
    else {
      const places = ((level + 2 ** bits - 1) / 2) << ((k * bits) & 7); // in two bytes
      bytes[start + ((k * bits) >> 3)] |= places;
      if (places > 255) bytes[start + ((k * bits) >> 3) + 1] |= places >> 8;
    }
  });
  return bytes;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} columns
 * @param {number} bits
 * @returns {Int16Array} what `packLevels` was given
 */
export function unpackLevels(bytes, columns, bits) {
  const row = bytesOf(columns, bits);
  return Int16Array.from({ length: (bytes.length / row) * columns }, (_, at) => {
    const [start, k] = [row * Math.floor(at / columns), at % columns];
    if (bits === TERNARY) return (Math.floor(bytes[start + Math.floor(k / 5)] / POWERS[k % 5]) % 3) - 1;
    const first = start + ((k * bits) >> 3);
    const places = (bytes[first] | (bytes[first + 1] << 8)) >> ((k * bits) & 7);
    return 2 * (places & (2 ** bits - 1)) - (2 ** bits - 1);
  });
}
