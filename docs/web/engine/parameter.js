// Learned numbers, and the two optimisers, which match `torch.optim.SGD` and `torch.optim.Adam` with default settings.

/** @typedef {import("./learning.js").Floats} Floats */

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

export class Parameter {
  /** @param {Floats} value changed in place */
  constructor(value) {
    this.value = value;
    this.gradient = value.map(() => 0);
    this.m = value.map(() => 0); // Adam's moving average of the gradient
    this.v = value.map(() => 0); // and of its square
  }

  /** @param {number} rate */
  sgd(rate) {
    const { value, gradient } = this;
    for (let i = 0; i < value.length; i++) value[i] -= rate * gradient[i];
  }

  /**
   * Algorithm 1 of Kingma and Ba 2015 (arXiv 1412.6980).
   * @param {number} rate
   * @param {number} t which step it is, from 1
   */
  adam(rate, t) {
    const { value, gradient, m, v } = this;
    const [size, share] = [rate / (1 - BETA1 ** t), 1 - BETA2 ** t]; // m and v start at 0, so they are small at first
    for (let i = 0; i < value.length; i++) {
      m[i] += (1 - BETA1) * (gradient[i] - m[i]);
      v[i] += (1 - BETA2) * (gradient[i] * gradient[i] - v[i]);
      value[i] -= (size * m[i]) / (Math.sqrt(v[i] / share) + EPSILON);
    }
  }
}
