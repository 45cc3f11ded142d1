// How a binary network learns. A layer keeps real numbers, its latent weights W, and computes with their signs:
//
//   forward    w = sign(W)    a = w x    y = a + b, or batch norm of a    z = sign(y)
//   backward   ∂y = ∂z slope(y)    ∂a from ∂y    ∂W = ∂w = Σ ∂a xᵀ    ∂x = wᵀ ∂a
//
// ∂v stands for the derivative of the loss with respect to v, and the sum is over the rows x of a batch. The derivative
// of sign is 0, so learning would stop at ∂y. The backward pass uses the slope of another function instead: a
// straight-through estimator. For the weights' own sign it is the slope of the identity, 1: hence ∂W = ∂w. Then the
// optimiser moves W a little, and where W crosses zero, the weight flips.
//
// Everything matches PyTorch and bnn_tutorial, up to the last digits of float64, or of float32.

import { rounded } from "./fixed.js";
import { BatchNorm, Bias } from "./norm.js";
import { Parameter } from "./parameter.js";
import { multiply, multiplyOuter, multiplyTransposed } from "./products.js";

/**
 * @typedef {Float32Array | Float64Array} Floats
 * @typedef {Float32ArrayConstructor | Float64ArrayConstructor} FloatsConstructor
 * @typedef {(x: number, clip: number) => number} Slope
 * @typedef {{value: (y: number) => number, slope: (y: number) => number}} Activation
 * @typedef {{uniform: () => number}} Random numbers in [0, 1)
 *
 * @typedef {object} Options
 * @property {number[]} widths inputs, hidden units, classes: [2, 4, 2] or [784, 300, 100, 10]
 * @property {boolean} binaryWeights whether the layers compute with sign(W), or with W
 * @property {"sign" | "tanh" | "codes"} activation of the hidden layers
 * @property {keyof typeof ESTIMATORS} estimator of the hidden layers' sign; with "none" the weights' sign has none, too
 * @property {number} clip half the width of the window of "clipped"
 * @property {boolean} batchNorm whether each layer normalises its products, the last one too; then it has no bias
 * @property {boolean} clamp whether binary layers clamp W to [-1, 1] after each step
 * @property {"adam" | "sgd"} optimiser
 * @property {number} [scale] of the initial W, as a multiple of Glorot's; default 1
 */

const STEEPNESS = 5; // β of SignSwish
export const [TOP, LIMIT] = [255, 6]; // of the quantised ReLU: its largest code, and what that stands for
const STEP = LIMIT / TOP;

/** What the backward pass uses as the derivative of sign(x). @satisfies {Record<string, Slope>} */
export const ESTIMATORS = {
  none: () => 0, // `sign` in bnn_tutorial
  identity: () => 1, // `sign_ste`
  clipped: (x, clip) => (Math.abs(x) <= clip ? 1 : 0), // `clipped_sign_ste`
  tanh: (x) => 1 - Math.tanh(x) ** 2, // `tanh_sign`
  triangle: (x) => Math.max(2 - 2 * Math.abs(x), 0), // `approx_sign`
  swish: (x) => { // `swish_sign`
    const u = Math.min(Math.max(STEEPNESS * x, -700), 700); // beyond that it is 0, and infinity / infinity would be NaN
    return (STEEPNESS * (2 - u * Math.tanh(u / 2))) / (1 + Math.cosh(u));
  },
};

/** The sign, with sign(±0) = +1; NaN stays NaN. @param {number} x */
export function sign(x) {
  return x >= 0 ? 1 : x < 0 ? -1 : NaN;
}

/** A dense layer, for batches of rows x. */
class Layer {
  /**
   * @param {number} inputs
   * @param {number} outputs
   * @param {Activation} activation
   * @param {Options} options
   * @param {FloatsConstructor} Floats
   * @param {Random} random
   */
  constructor(inputs, outputs, activation, options, Floats, random) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.activation = activation;
    this.options = options;
    this.Floats = Floats;
    const bound = (options.scale ?? 1) * Math.sqrt(6 / (inputs + outputs)); // Glorot's start, as `xavier_uniform_`
    this.weight = new Floats(inputs * outputs).map(() => bound * (2 * random.uniform() - 1)); // W, one row per output
    this.w = options.binaryWeights ? new Floats(inputs * outputs) : this.weight;
    this.normOrBias = options.batchNorm ? new BatchNorm(outputs, Floats) : new Bias(outputs, Floats);
    this.W = new Parameter(this.weight);
    /** @type {Floats} of the last batch, as are the following */
    this.x = new Floats(0);
    this.y = this.z = new Floats(0); // y holds a before
    this.d = new Floats(0); // ∂z, then ∂y, then ∂a
  }

  /** b, in a layer without batch norm. */
  get bias() {
    return this.normOrBias instanceof Bias ? this.normOrBias.bias : null;
  }

  get norm() {
    return this.normOrBias instanceof BatchNorm ? this.normOrBias : null;
  }

  /** @param {Floats} x @param {number} count of its rows @param {boolean} training @returns {Floats} z */
  forward(x, count, training) {
    this.reserve(count * this.outputs);
    const { weight, w, y, z, normOrBias, activation } = this;
    this.x = x;
    if (w !== weight) for (let i = 0; i < w.length; i++) w[i] = sign(weight[i]);
    multiply(this, w, x, y, count); // now y holds a
    normOrBias.forward(y, count, training);
    for (let i = 0; i < count * this.outputs; i++) z[i] = activation.value(y[i]);
    return z;
  }

  /** From ∂z, which `d` holds, to all that is learned. @param {number} count @param {Floats} [dx] where ∂x is wanted */
  backward(count, dx) {
    const { W, w, x, y, d, normOrBias, activation, options } = this;
    for (let i = 0; i < count * this.outputs; i++) d[i] *= activation.slope(y[i]); // now d holds ∂y
    normOrBias.backward(d, count); // and now ∂a
    const isStopped = options.binaryWeights && options.estimator === "none"; // then ∂W stays 0
    if (!isStopped) multiplyOuter(this, d, x, W.gradient, count);
    if (dx) multiplyTransposed(this, w, d, dx, count);
  }

  /** One step of the optimiser. @param {number} rate @param {number} t which one, from 1 @returns {number} flips */
  update(rate, t) {
    const { W, w, weight, normOrBias, options } = this;
    for (const parameter of [W, ...normOrBias.parameters]) parameter[options.optimiser](rate, t);
    if (!options.binaryWeights) return 0;
    let flips = 0;
    for (let i = 0; i < w.length; i++) {
      if (options.clamp) weight[i] = Math.min(Math.max(weight[i], -1), 1);
      if (sign(weight[i]) !== w[i]) flips++;
    }
    return flips;
  }

  /** Room for a batch. @param {number} length of y */
  reserve(length) {
    if (length <= this.y.length) return;
    [this.y, this.z, this.d] = [0, 0, 0].map(() => new this.Floats(length));
  }
}

/** A network with everything that its training stores. */
export class Network {
  /**
   * @param {Options} options
   * @param {FloatsConstructor} Floats
   * @param {Random} random for the start
   */
  constructor(options, Floats, random) {
    this.options = options;
    this.steps = 0; // taken so far
    this.layers = options.widths.slice(1).map((outputs, l, all) => {
      const activation = l === all.length - 1 ? LINEAR : activationOf(options);
      return new Layer(options.widths[l], outputs, activation, options, Floats, random);
    });
  }

  /**
   * @param {Floats} x
   * @param {number} count of its rows
   * @param {boolean} [training] else it is evaluation
   * @returns {Floats} the logits, a row each; the next call of the network writes over them
   */
  forward(x, count, training = false) {
    const z = this.layers.reduce((rows, layer) => layer.forward(rows, count, training), x);
    return z.subarray(0, count * this.layers[this.layers.length - 1].outputs);
  }

  /**
   * Forward, backward, and a step of the optimiser. Numbers that are not finite are not caught; they show in the loss.
   * @param {Floats} x
   * @param {ArrayLike<number>} labels
   * @param {number} count of rows, the first ones, at least 1
   * @param {number} rate
   * @returns {{loss: number, correct: number, flips: number}} the batch's mean loss, right answers, weights that flip
   */
  step(x, labels, count, rate) {
    if (!(count >= 1)) throw new RangeError(`expected a batch of at least 1 row, got ${count}: leave the step out`);
    const { layers } = this;
    const last = layers[layers.length - 1];
    const { loss, correct } = crossEntropy(this.forward(x, count, true), labels, last.outputs, last.d);
    for (let l = layers.length - 1; l >= 0; l--) layers[l].backward(count, layers[l - 1]?.d);
    this.steps++;
    const flips = layers.reduce((sum, layer) => sum + layer.update(rate, this.steps), 0);
    return { loss, correct, flips };
  }
}

/** @type {Activation} */
const LINEAR = { value: (y) => y, slope: () => 1 };

/** `quantised_relu` in bnn_tutorial: 256 values from 0 to LIMIT, with the slope of the clipping. @type {Activation} */
const QUANTISED_RELU = {
  value: (y) => rounded(Math.min(Math.max(y, 0), LIMIT) / STEP) * STEP,
  slope: (y) => (y >= 0 && y <= LIMIT ? 1 : 0),
};

/**
 * Of the hidden layers, and the slope that the backward pass uses as its derivative.
 * @param {Pick<Options, "activation" | "estimator" | "clip">} options
 * @returns {Activation}
 */
export function activationOf({ activation, estimator, clip }) {
  if (activation === "tanh") return { value: Math.tanh, slope: ESTIMATORS.tanh }; // its true slope
  if (activation === "codes") return QUANTISED_RELU;
  /** @type {Slope} */
  const slope = ESTIMATORS[estimator];
  return { value: sign, slope: (y) => slope(y, clip) };
}

/**
 * The loss is the mean of -log p at the label with p = softmax(z). So ∂z is p, less 1 at the label, over the count.
 * @param {Floats} z logits
 * @param {ArrayLike<number>} labels
 * @param {number} classes
 * @param {Floats} d to where ∂z goes
 */
function crossEntropy(z, labels, classes, d) {
  const count = z.length / classes;
  let [loss, correct] = [0, 0];
  for (let n = 0; n < count; n++) {
    const [start, end, label] = [n * classes, (n + 1) * classes, n * classes + labels[n]];
    let [best, sum] = [start, 0];
    for (let at = start; at < end; at++) if (z[at] > z[best]) best = at;
    for (let at = start; at < end; at++) sum += Math.exp(z[at] - z[best]); // at most 1 each: nothing overflows
    for (let at = start; at < end; at++) d[at] = (Math.exp(z[at] - z[best]) / sum - Number(at === label)) / count;
    loss += (z[best] - z[label] + Math.log(sum)) / count;
    correct += Number(best === label);
  }
  return { loss, correct };
}
