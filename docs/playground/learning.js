// How a binary network learns. A layer keeps real numbers, its latent weights W, and computes with their signs:
//
//   forward    w = sign(W)    a = w x + b    y = γ (a - μ) / σ + β    z = sign(y)
//   backward   ∂y = ∂z slope(y)    ∂a: see BatchNorm    ∂W = ∂w = Σ ∂a xᵀ    ∂b = Σ ∂a    ∂x = wᵀ ∂a
//
// ∂v stands for the derivative of the loss with respect to v, and the sums are over a batch. The derivative of sign is 0,
// which would stop everything. So the backward pass takes another function's slope in its place, which is called a
// straight-through estimator; that of the weights' own sign is the identity: ∂W = ∂w. Then the optimiser moves W a little,
// and where W crosses zero, the weight flips. All is as in PyTorch and bnn_tutorial, in float64 or in float32.

/**
 * @typedef {Float32Array | Float64Array} Floats
 * @typedef {Float32ArrayConstructor | Float64ArrayConstructor} FloatsConstructor
 * @typedef {(x: number, clip: number) => number} Slope
 * @typedef {{value: (y: number) => number, slope: Slope}} Activation
 * @typedef {{uniform: () => number}} Random numbers in [0, 1)
 *
 * @typedef {object} Options
 * @property {number[]} widths inputs, hidden units, classes: [2, 4, 2] or [784, 300, 100, 10]
 * @property {boolean} binaryWeights whether the layers compute with sign(W), or with W
 * @property {"sign" | "tanh"} activation of the hidden layers
 * @property {keyof typeof ESTIMATORS} estimator of the hidden layers' sign; with "none" the weights' sign has none, too
 * @property {number} clip half the width of the window of "clipped"
 * @property {boolean} batchNorm whether each layer normalises its products, the last one too; then it has no bias
 * @property {boolean} clamp whether binary layers clamp W to [-1, 1] after each step
 * @property {"adam" | "sgd"} optimiser
 * @property {number} [scale] of the initial W, as a multiple of Glorot's; default 1
 */

// The defaults of PyTorch: batch norm's, then Adam's.
const [NORM_EPSILON, MOMENTUM] = [1e-5, 0.1];
const [ADAM_EPSILON, BETA1, BETA2] = [1e-8, 0.9, 0.999];

const STEEPNESS = 5; // β of SignSwish

/** What the backward pass takes for the derivative of sign(x). @satisfies {Record<string, Slope>} */
export const ESTIMATORS = {
  none: () => 0, // `sign` in bnn_tutorial
  identity: () => 1, // `sign_ste`
  clipped: (x, clip) => (Math.abs(x) <= clip ? 1 : 0), // `clipped_sign_ste`
  tanh: (x) => 1 - Math.tanh(x) ** 2, // `tanh_sign`
  triangle: (x) => Math.max(2 - 2 * Math.abs(x), 0), // `approx_sign`
  swish: (x) => { // `swish_sign`
    const u = Math.min(Math.max(STEEPNESS * x, -700), 700); // further out it is 0, but infinity / infinity is NaN
    return (STEEPNESS * (2 - u * Math.tanh(u / 2))) / (1 + Math.cosh(u));
  },
};

/** The sign, with sign(±0) = +1; NaN stays NaN. @param {number} x */
export function sign(x) {
  return x >= 0 ? 1 : x < 0 ? -1 : NaN;
}

/** Numbers that are learned, and what the optimiser keeps of each. */
class Parameter {
  /** @param {Floats} value */
  constructor(value) {
    this.value = value;
    this.gradient = value.map(() => 0);
    this.m = value.map(() => 0); // Adam's moving average of the gradient
    this.v = value.map(() => 0); // and of its square
  }
}

/** A dense layer. The page reads its sizes, `weight` (W, a row for each output), `bias` and `norm`. */
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
    const bound = (options.scale ?? 1) * Math.sqrt(6 / (inputs + outputs)); // Glorot's: `xavier_uniform_`
    this.weight = new Floats(inputs * outputs).map(() => bound * (2 * random.uniform() - 1));
    this.bias = options.batchNorm ? null : new Floats(outputs); // batch norm brings its own shift
    this.norm = options.batchNorm ? new BatchNorm(outputs, Floats) : null;
    this.W = new Parameter(this.weight);
    this.b = this.bias && new Parameter(this.bias);
    this.w = options.binaryWeights ? new Floats(inputs * outputs) : this.weight;
    this.places = new Uint16Array(inputs); // of the inputs that are not 0
    /** @type {Floats} */
    this.x = new Floats(0);
    this.y = this.z = this.d = new Floats(0);
  }

  /** @returns {Parameter[]} */
  get parameters() {
    return [this.W, ...(this.norm ? [this.norm.gamma, this.norm.beta] : this.b ? [this.b] : [])];
  }

  /** Room for batches. @param {number} count */
  reserve(count) {
    this.y = new this.Floats(count * this.outputs); // first a, then y
    this.z = new this.Floats(count * this.outputs);
    this.d = new this.Floats(count * this.outputs); // first ∂z, then ∂y, then ∂a
    this.norm?.reserve(count);
  }

  /**
   * @param {Floats} x
   * @param {number} count of its rows
   * @param {boolean} training
   * @returns {Floats} z
   */
  forward(x, count, training) {
    const { weight, w, y, z, activation } = this;
    this.x = x;
    if (w !== weight) for (let i = 0; i < w.length; i++) w[i] = sign(weight[i]);
    this.multiply(count); // y <- a
    this.norm?.forward(y, count, training); // y <- norm(a)
    for (let i = 0; i < count * this.outputs; i++) z[i] = activation.value(y[i]);
    return z;
  }

  /**
   * From ∂z, which is in `d`.
   * @param {number} count
   * @param {Floats} [dx] to where ∂x goes
   */
  backward(count, dx) {
    const { y, d, options, activation } = this;
    for (let i = 0; i < count * this.outputs; i++) d[i] *= activation.slope(y[i], options.clip); // d <- ∂y
    this.norm?.backward(d, count); // d <- ∂a
    if (!options.binaryWeights || options.estimator !== "none") this.addOuterProducts(count);
    if (this.b) this.addRows(this.b.gradient, count);
    if (dx) this.multiplyBack(dx, count);
  }

  /** a = w x + b. @param {number} count */
  multiply(count) {
    const { inputs, outputs, w, bias, x, y, places } = this;
    for (let n = 0; n < count; n++) {
      const found = this.findInputs(n);
      for (let i = 0; i < outputs; i++) {
        let sum = bias ? bias[i] : 0;
        for (let j = 0; j < found; j++) sum += w[i * inputs + places[j]] * x[n * inputs + places[j]];
        y[n * outputs + i] = sum;
      }
    }
  }

  /** ∂W = Σ ∂a xᵀ. @param {number} count */
  addOuterProducts(count) {
    const { inputs, outputs, x, d, places, W: { gradient } } = this;
    gradient.fill(0);
    for (let n = 0; n < count; n++) {
      const found = this.findInputs(n);
      for (let i = 0; i < outputs; i++) {
        const da = d[n * outputs + i];
        for (let j = 0; j < found; j++) gradient[i * inputs + places[j]] += da * x[n * inputs + places[j]];
      }
    }
  }

  /** ∂x = wᵀ ∂a. @param {Floats} dx @param {number} count */
  multiplyBack(dx, count) {
    const { inputs, outputs, w, d } = this;
    dx.fill(0, 0, count * inputs);
    for (let n = 0; n < count; n++) {
      for (let i = 0; i < outputs; i++) {
        const da = d[n * outputs + i];
        for (let k = 0; k < inputs; k++) dx[n * inputs + k] += w[i * inputs + k] * da;
      }
    }
  }

  /** ∂b = Σ ∂a. @param {Floats} gradient @param {number} count */
  addRows(gradient, count) {
    gradient.fill(0);
    for (let i = 0; i < count * this.outputs; i++) gradient[i % this.outputs] += this.d[i];
  }

  /** Most pixels of an image are 0, and add nothing to a product. @param {number} n row */
  findInputs(n) {
    const { inputs, x, places } = this;
    let found = 0;
    for (let k = 0; k < inputs; k++) if (x[n * inputs + k] !== 0) places[found++] = k;
    return found;
  }

  /**
   * @param {number} rate
   * @param {number} t number of the step, from 1
   * @returns {number} how many binary weights flip
   */
  update(rate, t) {
    const { weight, w, options } = this;
    for (const parameter of this.parameters) options.optimiser === "adam" ? adam(parameter, rate, t) : sgd(parameter, rate);
    if (!options.binaryWeights) return 0;
    let flips = 0;
    for (let i = 0; i < w.length; i++) {
      if (options.clamp) weight[i] = Math.min(Math.max(weight[i], -1), 1);
      if (sign(weight[i]) !== w[i]) flips++;
    }
    return flips;
  }
}

/** y = γ â + β with â = (a - μ) / σ: each output over the batch; in evaluation with running μ and σ². In place. */
class BatchNorm {
  /** @param {number} outputs @param {FloatsConstructor} Floats */
  constructor(outputs, Floats) {
    this.outputs = outputs;
    this.Floats = Floats;
    this.weight = new Floats(outputs).fill(1); // γ
    this.bias = new Floats(outputs); // β
    this.mean = new Floats(outputs); // the running ones
    this.variance = new Floats(outputs).fill(1);
    this.gamma = new Parameter(this.weight);
    this.beta = new Parameter(this.bias);
    this.deviation = new Floats(outputs); // σ of the batch
    this.normal = new Floats(0); // â
  }

  /** @param {number} count */
  reserve(count) {
    this.normal = new this.Floats(count * this.outputs);
  }

  /**
   * @param {Floats} y it holds a
   * @param {number} count
   * @param {boolean} training
   */
  forward(y, count, training) {
    const { outputs, weight, bias, normal, deviation } = this;
    for (let i = 0; i < outputs; i++) {
      const [mean, variance] = training ? this.statistics(y, i, count) : [this.mean[i], this.variance[i]];
      deviation[i] = Math.sqrt(variance + NORM_EPSILON);
      for (let at = i; at < count * outputs; at += outputs) {
        normal[at] = (y[at] - mean) / deviation[i];
        y[at] = weight[i] * normal[at] + bias[i];
      }
    }
  }

  /**
   * ∂β = Σ ∂y, ∂γ = Σ ∂y â, ∂a = γ / σ (∂y - mean(∂y) - â mean(∂y â)): μ and σ depend on a, too.
   * @param {Floats} d it holds ∂y
   * @param {number} count
   */
  backward(d, count) {
    const { outputs, weight, normal, deviation, gamma, beta } = this;
    for (let i = 0; i < outputs; i++) {
      let [sum, product] = [0, 0];
      for (let at = i; at < count * outputs; at += outputs) {
        sum += d[at];
        product += d[at] * normal[at];
      }
      beta.gradient[i] = sum;
      gamma.gradient[i] = product;
      for (let at = i; at < count * outputs; at += outputs) {
        d[at] = (weight[i] / deviation[i]) * (d[at] - sum / count - normal[at] * (product / count));
      }
    }
  }

  /**
   * Mean and variance of an output over the batch, which the running ones follow.
   * @param {Floats} a
   * @param {number} i
   * @param {number} count
   */
  statistics(a, i, count) {
    let [mean, squares] = [0, 0];
    for (let at = i; at < count * this.outputs; at += this.outputs) mean += a[at] / count;
    for (let at = i; at < count * this.outputs; at += this.outputs) squares += (a[at] - mean) ** 2;
    this.mean[i] += MOMENTUM * (mean - this.mean[i]);
    this.variance[i] += MOMENTUM * (squares / Math.max(count - 1, 1) - this.variance[i]); // unbiased, but for one row
    return [mean, squares / count];
  }
}

/** @param {Parameter} parameter @param {number} rate */
function sgd({ value, gradient }, rate) {
  for (let i = 0; i < value.length; i++) value[i] -= rate * gradient[i];
}

/** Kingma and Ba 2015 (arXiv 1412.6980), algorithm 1. @param {Parameter} parameter @param {number} rate @param {number} t */
function adam({ value, gradient, m, v }, rate, t) {
  const [first, second] = [1 - BETA1 ** t, 1 - BETA2 ** t]; // m and v begin at 0, and are too small for it
  for (let i = 0; i < value.length; i++) {
    m[i] += (1 - BETA1) * (gradient[i] - m[i]);
    v[i] = BETA2 * v[i] + (1 - BETA2) * gradient[i] * gradient[i];
    value[i] -= ((rate / first) * m[i]) / (Math.sqrt(v[i] / second) + ADAM_EPSILON);
  }
}

/**
 * The loss -log p(label) with p = softmax(z), its mean over the batch, and ∂z = (p - 1 at the label) / count.
 * @param {Floats} z logits
 * @param {ArrayLike<number>} labels
 * @param {number} count
 * @param {number} classes
 * @param {Floats} d to where ∂z goes
 */
function crossEntropy(z, labels, count, classes, d) {
  let [loss, correct] = [0, 0];
  for (let n = 0; n < count; n++) {
    const [row, label] = [n * classes, n * classes + labels[n]];
    let best = row;
    for (let at = row; at < row + classes; at++) if (z[at] > z[best]) best = at;
    let sum = 0;
    for (let at = row; at < row + classes; at++) sum += Math.exp(z[at] - z[best]); // the largest is 1: no overflow
    loss += (Math.log(sum) + z[best] - z[label]) / count;
    if (best === label) correct++;
    for (let at = row; at < row + classes; at++) d[at] = Math.exp(z[at] - z[best]) / sum / count;
    d[label] -= 1 / count;
  }
  return { loss, correct };
}

/** A binary network, or its float twin, with all that its training keeps. */
export class Network {
  /**
   * @param {Options} options
   * @param {FloatsConstructor} Floats
   * @param {Random} random for the start
   */
  constructor(options, Floats = Float64Array, random) {
    const { widths } = options;
    this.options = options;
    this.steps = 0; // that were taken
    this.room = 0; // for so many rows
    this.layers = widths.slice(1).map((outputs, i) => {
      const activation = i === widths.length - 2 ? LINEAR : activationOf(options);
      return new Layer(widths[i], outputs, activation, options, Floats, random);
    });
  }

  /** In evaluation mode. @param {Floats} x rows @param {number} count @returns {Floats} logits, valid until the next call */
  forward(x, count) {
    return this.propagate(x, count, false);
  }

  /** In evaluation mode. @param {Floats} x @param {number} count @returns {Floats[]} each hidden layer's outputs, likewise */
  units(x, count) {
    this.propagate(x, count, false);
    return this.layers.slice(0, -1).map(({ z, outputs }) => z.subarray(0, count * outputs));
  }

  /**
   * Learn from a batch.
   * @param {Floats} x rows
   * @param {ArrayLike<number>} labels
   * @param {number} count of rows, at least 1
   * @param {number} rate of the optimiser
   * @returns {{loss: number, correct: number, flips: number}} loss: mean over the batch; flips: of binary weights
   */
  step(x, labels, count, rate) {
    const logits = this.propagate(x, count, true);
    const { layers } = this;
    const last = layers[layers.length - 1];
    const { loss, correct } = crossEntropy(logits, labels, count, last.outputs, last.d);
    for (let l = layers.length - 1; l >= 0; l--) layers[l].backward(count, layers[l - 1]?.d);
    this.steps++;
    const flips = layers.reduce((sum, layer) => sum + layer.update(rate, this.steps), 0);
    return { loss, correct, flips };
  }

  /** @param {Floats} x @param {number} count @param {boolean} training @returns {Floats} logits */
  propagate(x, count, training) {
    if (count > this.room) this.layers.forEach((layer) => layer.reserve(count));
    this.room = Math.max(this.room, count);
    const z = this.layers.reduce((z, layer) => layer.forward(z, count, training), x);
    return z.subarray(0, count * this.options.widths[this.layers.length]);
  }
}

/** @type {Activation} of the last layer, whose z are the logits */
const LINEAR = { value: (y) => y, slope: ESTIMATORS.identity };

/** Of the hidden layers. @param {Options} options @returns {Activation} */
function activationOf({ activation, estimator }) {
  return activation === "tanh" ? { value: Math.tanh, slope: ESTIMATORS.tanh } : { value: sign, slope: ESTIMATORS[estimator] };
}
