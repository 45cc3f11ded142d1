// What follows the product of a layer: a bias, or batch norm, which has its own shift. Both work in place.

import { Parameter } from "./parameter.js";

/**
 * @typedef {import("./learning.js").Floats} Floats
 * @typedef {import("./learning.js").FloatsConstructor} FloatsConstructor
 */

export const EPSILON = 1e-5; // as in `torch.nn.BatchNorm1d`, and so is
const MOMENTUM = 0.1;

/** y = a + b */
export class Bias {
  /** @param {number} units @param {FloatsConstructor} Floats */
  constructor(units, Floats) {
    this.bias = new Floats(units); // b
    this.parameters = [new Parameter(this.bias)];
  }

  /** @param {Floats} y it holds a; y comes in its place @param {number} count of rows */
  forward(y, count) {
    const { bias } = this;
    for (let n = 0; n < count; n++) for (let i = 0; i < bias.length; i++) y[n * bias.length + i] += bias[i];
  }

  /** ∂b = Σ ∂y, ∂a = ∂y @param {Floats} d it holds ∂y, and so ∂a @param {number} count */
  backward(d, count) {
    const { parameters: [{ gradient }] } = this;
    gradient.fill(0);
    for (let n = 0; n < count; n++) for (let i = 0; i < gradient.length; i++) gradient[i] += d[n * gradient.length + i];
  }
}

/**
 * y = γ â + β with â = (a - μ) / σ, for each neuron separately. In training, μ and σ² are the mean and
 * variance over the batch; in evaluation, their running averages. A tiny number is added to σ² so that it is never 0.
 */
export class BatchNorm {
  /** @param {number} units @param {FloatsConstructor} Floats */
  constructor(units, Floats) {
    this.units = units;
    this.weight = new Floats(units).fill(1); // γ
    this.bias = new Floats(units); // β
    this.mean = new Floats(units); // the running one, like the next
    this.variance = new Floats(units).fill(1);
    this.parameters = [new Parameter(this.weight), new Parameter(this.bias)];
    this.sigma = new Floats(units); // σ of the last batch
    this.hat = new Floats(0); // â of the last batch
  }

  /**
   * @param {Floats} y it holds a; y comes in its place
   * @param {number} count of rows
   * @param {boolean} training
   */
  forward(y, count, training) {
    const { units, weight, bias, sigma } = this;
    if (this.hat.length < y.length) this.hat = y.slice(); // room
    for (let i = 0; i < units; i++) {
      const [mean, variance] = training ? this.measure(y, i, count) : [this.mean[i], this.variance[i]];
      sigma[i] = Math.sqrt(variance + EPSILON);
      for (let at = i; at < count * units; at += units) {
        this.hat[at] = (y[at] - mean) / sigma[i];
        y[at] = weight[i] * this.hat[at] + bias[i];
      }
    }
  }

  /**
   * ∂γ = Σ ∂y â, ∂β = Σ ∂y, ∂a = γ / σ (∂y - mean(∂y) - â mean(∂y â)), since μ and σ depend on a, too.
   * @param {Floats} d it holds ∂y; ∂a comes in its place
   * @param {number} count
   */
  backward(d, count) {
    const { units, weight, sigma, hat, parameters: [gamma, beta] } = this;
    for (let i = 0; i < units; i++) {
      let [product, sum] = [0, 0];
      for (let at = i; at < count * units; at += units) {
        product += d[at] * hat[at];
        sum += d[at];
      }
      gamma.gradient[i] = product;
      beta.gradient[i] = sum;
      for (let at = i; at < count * units; at += units) {
        d[at] = (weight[i] / sigma[i]) * (d[at] - sum / count - (hat[at] * product) / count);
      }
    }
  }

  /**
   * Mean and variance of one neuron over the batch. The running variance averages the unbiased one, where it exists.
   * @param {Floats} a
   * @param {number} i
   * @param {number} count
   * @returns {[mean: number, variance: number]}
   */
  measure(a, i, count) {
    const { units, mean, variance } = this;
    let [sum, squares] = [0, 0];
    for (let at = i; at < count * units; at += units) sum += a[at];
    for (let at = i; at < count * units; at += units) squares += (a[at] - sum / count) ** 2;
    mean[i] += MOMENTUM * (sum / count - mean[i]);
    variance[i] += MOMENTUM * (squares / Math.max(count - 1, 1) - variance[i]);
    return [sum / count, squares / count];
  }
}
