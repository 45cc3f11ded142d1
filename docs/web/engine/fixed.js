// Fixed point: affine functions of whole numbers, in 32-bit whole numbers, as in bnn_tutorial/packed/folding.py.
//
//   y = ((multiplier * sum) >> 16) + offset        code = clip(y >> point, 0, top)        logit = y / 2^point

export const FRACTION = 16; // bits of a product that are cut off
export const MOST_SHIFTED = 31; // bits that C cuts off an int32
const ROOM = 2 ** 30; // for the rest of the product, and for the offset

/** @typedef {{multiplier: Int32Array<ArrayBuffer>, offset: Int32Array<ArrayBuffer>, point: number}} FixedPoint */

/**
 * y of neuron i. A product has less than 47 bits, which a float64 holds.
 * @param {FixedPoint} layer
 * @param {number} i
 * @param {number} sum
 */
export function affine({ multiplier, offset }, i, sum) {
  return Math.floor((multiplier[i] * sum) / 2 ** FRACTION) + offset[i];
}

/**
 * clip(floor(slope * sum + shift), 0, top), closest to the real value in the middle of the sums that are not clipped.
 * @param {Float64Array} slope
 * @param {Float64Array} shift
 * @param {number} top
 * @param {number} largest of the sums
 */
export function codesInFixedPoint(slope, shift, top, largest) {
  const middle = slope.map((a, i) => rounded(clip(a ? (top / 2 - shift[i]) / a : 0, -largest, largest)));
  const steepest = Math.min(top + 3, ROOM / 2 / largest);
  const value = slope.map((a, i) => clip(a * middle[i] + shift[i], -1, top + 2));
  return fixedPoint(slope.map((a) => clip(a, -steepest, steepest)), value, middle, largest, MOST_SHIFTED);
}

/**
 * The lines with these slopes and these values at `middle`, with as many bits behind the point as there is room for.
 * @param {Float64Array} slope
 * @param {Float64Array} value
 * @param {Float64Array} middle
 * @param {number} largest of the sums
 * @param {number} point the most bits
 * @returns {FixedPoint}
 */
export function fixedPoint(slope, value, middle, largest, point = 60) {
  const most = (/** @type {Float64Array} */ values) => Math.max(...values.map(Math.abs));
  const [steepest, highest] = [most(slope), most(value)];
  const isTooLarge = () => (steepest * largest + highest) * 2 ** point >= ROOM ||
    steepest * 2 ** (point + FRACTION) >= 2 ** 31 - 1;
  while (isTooLarge()) point--;
  const multiplier = Int32Array.from(slope, (a) => Math.floor(a * 2 ** (point + FRACTION) + 0.5));
  const offset = Int32Array.from(value, (y, i) =>
    Math.floor(y * 2 ** point + 0.5) - Math.floor((multiplier[i] * middle[i]) / 2 ** FRACTION));
  return { multiplier, offset, point };
}

/** @param {number} x @param {number} low @param {number} high */
export function clip(x, low, high) {
  return Math.min(Math.max(x, low), high);
}

/** To the next whole number, from the middle to the even one. @param {number} x */
export function rounded(x) {
  const low = Math.floor(x);
  const isUp = x - low === 0.5 ? low % 2 !== 0 : x - low > 0.5;
  return isUp ? low + 1 : low;
}
