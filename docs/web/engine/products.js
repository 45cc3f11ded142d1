// The three products of a dense layer, each for a batch: rows of inputs, rows of outputs, and w with a row for each
// output. Most pixels of an image are 0 and add nothing to the first two, so these skip them.

/**
 * @typedef {import("./learning.js").Floats} Floats
 * @typedef {{inputs: number, outputs: number}} Size of a layer
 */

const places = new Uint16Array(2 ** 16); // in a row of x, of the numbers that are not 0; no row here is longer

/**
 * a = w x
 * @param {Size} size
 * @param {Floats} w
 * @param {Floats} x
 * @param {Floats} a
 * @param {number} count of rows
 */
export function multiply({ inputs, outputs }, w, x, a, count) {
  for (let n = 0; n < count; n++) {
    const row = n * inputs;
    const found = findPlaces(x, row, inputs);
    for (let i = 0; i < outputs; i++) {
      const start = i * inputs;
      let sum = 0;
      for (let j = 0; j < found; j++) sum += w[start + places[j]] * x[row + places[j]];
      a[n * outputs + i] = sum;
    }
  }
}

/**
 * ∂w = Σ ∂a xᵀ, over the rows
 * @param {Size} size
 * @param {Floats} da
 * @param {Floats} x
 * @param {Floats} dw
 * @param {number} count
 */
export function multiplyOuter({ inputs, outputs }, da, x, dw, count) {
  dw.fill(0);
  for (let n = 0; n < count; n++) {
    const row = n * inputs;
    const found = findPlaces(x, row, inputs);
    for (let i = 0; i < outputs; i++) {
      const start = i * inputs;
      const d = da[n * outputs + i];
      for (let j = 0; j < found; j++) dw[start + places[j]] += d * x[row + places[j]];
    }
  }
}

/**
 * ∂x = wᵀ ∂a
 * @param {Size} size
 * @param {Floats} w
 * @param {Floats} da
 * @param {Floats} dx
 * @param {number} count
 */
export function multiplyTransposed({ inputs, outputs }, w, da, dx, count) {
  dx.fill(0, 0, count * inputs);
  for (let n = 0; n < count; n++) {
    const row = n * inputs;
    for (let i = 0; i < outputs; i++) {
      const start = i * inputs;
      const d = da[n * outputs + i];
      for (let k = 0; k < inputs; k++) dx[row + k] += w[start + k] * d;
    }
  }
}

/** @param {Floats} x @param {number} row where it starts @param {number} inputs @returns {number} how many there are */
function findPlaces(x, row, inputs) {
  let found = 0;
  for (let k = 0; k < inputs; k++) if (x[row + k] !== 0) places[found++] = k;
  return found;
}
