// The training of a network on digits, batch by batch: the settings, and the loop's body.

import { DIGITS, PIXELS } from "./digit.js";
import { Network } from "./learning.js";
import { Random } from "./random.js";

/**
 * @typedef {{images: Float32Array, labels: Uint8Array}} Digits images: 784 pixels each, in [0, 1]
 * @typedef {{loss: number, flipRatio: number}} Means flipRatio: the share of all weights that flip in a step
 */

const BATCH = 64; // at most so many digits
const RATE = 0.003; // at the start

/** @type {import("./learning.js").Options} as in notebook 03 */
export const OPTIONS = {
  widths: [PIXELS, 300, 100, DIGITS],
  binaryWeights: true,
  activation: "sign",
  estimator: "clipped",
  clip: 1,
  batchNorm: true,
  clamp: true,
  optimiser: "adam",
};

export class Trainer {
  /**
   * @param {Digits} digits
   * @param {number} epochs
   * @param {number} seed of the start and the order of the digits
   * @param {"sign" | "codes"} [activation] of one bit or of 8
   */
  constructor({ images, labels }, epochs, seed, activation = "sign") {
    this.images = images;
    this.labels = labels;
    this.random = new Random(seed);
    this.network = new Network({ ...OPTIONS, activation }, Float32Array, this.random);
    this.weights = this.network.layers.reduce((sum, { weight }) => sum + weight.length, 0);
    this.order = Uint32Array.from(labels.keys());
    this.batches = Math.ceil(labels.length / BATCH); // in an epoch
    this.steps = epochs * this.batches; // in all
    this.x = new Float32Array(BATCH * PIXELS);
    this.y = new Uint8Array(BATCH);
  }

  /** How many epochs are done: 1.5 in the middle of the second. */
  get epoch() {
    return this.network.steps / this.batches;
  }

  get isDone() {
    return this.network.steps === this.steps;
  }

  /** The rate of the next step: half a wave of a cosine, down to 0 after the last step. */
  get rate() {
    return (RATE * (1 + Math.cos((Math.PI * this.network.steps) / this.steps))) / 2;
  }

  /** Learn from the next batch. @returns {Means} */
  step() {
    const { network, x, y, rate } = this;
    const { loss, flips } = network.step(x, y, this.fill(), rate);
    if (Number.isFinite(loss)) return { loss, flipRatio: flips / this.weights };
    throw new Error(`the loss became ${loss} in step ${network.steps}: expected pixels that are numbers from 0 to 1`);
  }

  /** Put the next batch into x and y. Those of an epoch have the same size, or nearly so. @returns {number} its size */
  fill() {
    const { images, labels, order, batches, x, y } = this;
    const batch = this.network.steps % batches;
    if (batch === 0) this.random.shuffle(order);
    const [start, end] = [batch, batch + 1].map((part) => Math.floor((part * order.length) / batches));
    order.subarray(start, end).forEach((digit, n) => {
      x.set(images.subarray(digit * PIXELS, (digit + 1) * PIXELS), n * PIXELS);
      y[n] = labels[digit];
    });
    return end - start;
  }

  /** The share of digits that are read right, in evaluation mode. @param {Digits} digits */
  accuracy({ images, labels }) {
    const right = labels.filter((label, n) => {
      const logits = this.network.forward(images.subarray(n * PIXELS, (n + 1) * PIXELS), 1);
      return logits.indexOf(Math.max(...logits)) === label;
    });
    return right.length / labels.length;
  }
}

/** @param {Digits} digits @param {string} name */
export function checkDigits({ images, labels }, name) {
  const largest = labels.reduce((a, b) => Math.max(a, b), 0);
  if (labels.length && images.length === PIXELS * labels.length && largest < DIGITS) return;
  const got = `${labels.length} labels up to ${largest} and ${images.length} pixels`;
  throw new Error(`expected ${name} with labels below ${DIGITS} and ${PIXELS} pixels for each, got ${got}`);
}
