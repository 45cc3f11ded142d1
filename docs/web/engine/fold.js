// Folding: a trained layer becomes bits and whole numbers. The twin of bnn_tutorial/packed/folding.py, with the same
// steps in float64, each in the order written there.

import { INK } from "./digit.js";
import { EPSILON } from "./norm.js";

/**
 * @typedef {import("./learning.js").Floats} Floats
 *
 * @typedef {object} Norm batch norm in evaluation mode: weight * (x - mean) / sqrt(variance + EPSILON) + bias
 * @property {Floats} weight γ
 * @property {Floats} bias β
 * @property {Floats} mean μ, the running one
 * @property {Floats} variance the running one
 *
 * @typedef {object} TrainedLayer
 * @property {number} inputs
 * @property {number} outputs
 * @property {Floats} weight the latent ones, a row for each output
 * @property {Norm | null} norm
 *
 * @typedef {object} FoldedLayer
 * @property {number} inputs
 * @property {number} outputs
 * @property {Uint8Array<ArrayBuffer>} weight a row of whole bytes for each output, bit 1 for +1, the lowest bit first
 * @property {Int32Array<ArrayBuffer>} [threshold] of a hidden layer: a neuron gives +1 where its sum is at least that
 * @property {Float64Array<ArrayBuffer>} [scale] of the last layer: logit = scale * sum + shift
 * @property {Float64Array<ArrayBuffer>} [shift]
 */

/**
 * @param {TrainedLayer[]} layers of which the first takes pixels
 * @returns {FoldedLayer[]}
 */
export function fold(layers) {
  return layers.map((layer, i) => foldLayer(layer, i ? 1 : INK, i === layers.length - 1));
}

/** @param {TrainedLayer} layer @param {number} unit of its inputs: 255 for pixels, 1 for signs @param {boolean} isLast */
function foldLayer({ inputs, outputs, weight, norm }, unit, isLast) {
  if (!norm) throw new Error("expected batch norm after each layer, got a layer without: turn it on and train anew");
  checkNumbers([weight, ...Object.values(norm)]);
  const { weight: gamma, bias: beta, mean } = norm;
  const sigma = Float64Array.from(norm.variance, (variance) => Math.sqrt(variance + EPSILON));
  if (isLast) {
    const scale = sigma.map((s, i) => gamma[i] / s);
    const shift = scale.map((factor, i) => beta[i] - mean[i] * factor);
    return { inputs, outputs, weight: packSigns(weight, inputs, outputs), scale, shift };
  }
  const threshold = Int32Array.from(sigma, (s, i) => foldSign(mean[i], s, gamma[i], beta[i], unit, inputs));
  return { inputs, outputs, weight: packSigns(weight, inputs, outputs, (i) => gamma[i] < 0), threshold };
}

/** @param {Floats[]} arrays */
function checkNumbers(arrays) {
  if (arrays.every((array) => array.every(Number.isFinite))) return;
  throw new Error("the network has parameters that are not finite: train anew");
}

/**
 * γ (S / unit - μ) / σ + β >= 0 as a comparison of the sum S with one whole number. A neuron with γ < 0 is kept with
 * all its weights flipped, which makes its sum -S. For γ = 0 the sign of β decides, and sign(0) = +1.
 * @param {number} mean μ
 * @param {number} sigma
 * @param {number} gamma
 * @param {number} beta
 * @param {number} unit
 * @param {number} inputs
 * @returns {number} the least sum that gives +1; one more than the largest sum is never
 */
function foldSign(mean, sigma, gamma, beta, unit, inputs) {
  const never = gamma === 0 && !(beta >= 0);
  const least = gamma === 0 ? (never ? Infinity : -Infinity)
    : Math.sign(gamma) * unit * (mean - (beta * sigma) / gamma);
  return Math.min(Math.max(Math.ceil(least), -unit * inputs), unit * inputs + 1);
}

/**
 * @param {Floats} weight
 * @param {number} inputs
 * @param {number} outputs
 * @param {(output: number) => boolean} [isFlipped]
 */
function packSigns(weight, inputs, outputs, isFlipped = () => false) {
  const row = Math.ceil(inputs / 8); // bytes
  const packed = new Uint8Array(row * outputs);
  for (let i = 0; i < outputs; i++) {
    const flipped = isFlipped(i);
    for (let k = 0; k < inputs; k++) {
      if ((weight[i * inputs + k] >= 0) !== flipped) packed[i * row + (k >> 3)] |= 1 << (k & 7);
    }
  }
  return packed;
}
