// Folding: a trained layer becomes whole numbers. The twin of bnn_tutorial/packed/folding.py, with the same steps in
// float64, each in the same order.

import { INK } from "./digit.js";
import { codesInFixedPoint, fixedPoint } from "./fixed.js";
import { LIMIT, TOP } from "./learning.js";
import { EPSILON } from "./norm.js";

/**
 * @typedef {import("./learning.js").Floats} Floats
 * @typedef {import("./packed.js").Layer} Layer
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
 */

/**
 * @param {TrainedLayer[]} layers of which the first takes pixels
 * @param {"sign" | "codes"} activation of the hidden ones
 * @returns {Layer[]}
 */
export function fold(layers, activation) {
  const unit = activation === "codes" ? TOP / LIMIT : 1; // the output of a hidden layer that stands for 1.0
  return layers.map((layer, i) => {
    const isLast = i === layers.length - 1;
    return foldLayer(layer, i ? unit : INK, !i || activation === "codes", isLast ? "logits" : activation);
  });
}

/**
 * @param {TrainedLayer} layer
 * @param {number} unit of its inputs
 * @param {boolean} ofBytes
 * @param {Layer["activation"]} activation
 * @returns {Layer}
 */
function foldLayer({ inputs, outputs, weight, norm }, unit, ofBytes, activation) {
  if (!norm) throw new Error("expected batch norm after each layer, got a layer without: turn it on and train again");
  checkNumbers([weight, ...Object.values(norm)]);
  const { weight: gamma, bias: beta, mean } = norm;
  const sigma = Float64Array.from(norm.variance, (variance) => Math.sqrt(variance + EPSILON));
  const slope = sigma.map((s, i) => gamma[i] / (s * unit));
  const shift = sigma.map((s, i) => beta[i] - mean[i] * (gamma[i] / s));
  const isFlipped = (/** @type {number} */ output) => activation === "sign" && gamma[output] < 0;
  const largest = inputs * (ofBytes ? INK : 1);
  const levels = Int16Array.from(weight, (w, at) => ((w >= 0) !== isFlipped(Math.floor(at / inputs)) ? 1 : -1));
  const shape = [outputs, inputs];
  const layer = { shape, bits: 1, levels, ofBytes, stride: 1, padding: 0, pooled: false, inverted: null };
  if (activation === "sign") {
    const threshold = Int32Array.from(sigma, (s, i) => foldSign(mean[i], s, gamma[i], beta[i], unit, largest));
    return { ...layer, activation, threshold };
  }
  if (activation === "logits") {
    return { ...layer, activation, scale: slope, shift, ...fixedPoint(slope, shift, shift.map(() => 0), largest) };
  }
  const [steep, high] = [slope.map((a) => a * (TOP / LIMIT)), shift.map((a) => a * (TOP / LIMIT) + 0.5)];
  return { ...layer, activation, ...codesInFixedPoint(steep, high, TOP, largest), top: TOP };
}

/** @param {Floats[]} arrays */
function checkNumbers(arrays) {
  if (arrays.every((array) => array.every(Number.isFinite))) return;
  throw new Error("the network has parameters that are not finite: train again");
}

/**
 * γ (S / unit - μ) / σ + β >= 0 as a comparison of the sum S with one whole number. A neuron with γ < 0 is stored with
 * all its weights flipped, which makes its sum -S. For γ = 0 the sign of β decides, and sign(0) = +1.
 * @param {number} mean μ
 * @param {number} sigma
 * @param {number} gamma
 * @param {number} beta
 * @param {number} unit
 * @param {number} largest of the sums
 * @returns {number} the least sum that gives +1; one more than the largest sum is never
 */
function foldSign(mean, sigma, gamma, beta, unit, largest) {
  const never = gamma === 0 && !(beta >= 0);
  const least = gamma === 0 ? (never ? Infinity : -Infinity)
    : Math.sign(gamma) * unit * (mean - (beta * sigma) / gamma);
  return Math.min(Math.max(Math.ceil(least), -largest), largest + 1);
}
