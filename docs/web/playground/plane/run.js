// A network in training: epochs, batches, steps, and their record.

import { Course } from "./course.js";
import { Network } from "../../engine/learning.js";
import { Random } from "../../engine/random.js";

/**
 * @typedef {import("./datasets.js").Dataset} Dataset
 * @typedef {import("../../engine/learning.js").Options} Options
 * @typedef {import("./state.js").State} State
 */

/** Columns of a run's record; from WEIGHTS on, a column for each latent weight. */
export const [LOSS, ACCURACY, FLIPS, WEIGHTS] = [0, 1, 2, 3];

/**
 * The second networks: the same settings and seed, except for this.
 * @type {{[name: string]: Partial<State>}}
 */
const BESIDE = {
  float: { weights: "float", activation: "tanh" },
  window: { estimator: "clipped", clip: 1 },
  norm: { norm: true },
  small: { scale: 1 },
};

/** @param {State} state @returns {State | null} the settings of the second network */
export function besideOf(state) {
  return state.beside in BESIDE ? { ...state, ...BESIDE[state.beside] } : null;
}

export class Run {
  /**
   * @param {State} state
   * @param {Dataset} data
   */
  constructor(state, data) {
    this.state = state;
    this.data = data;
    this.network = new Network(optionsOf(state), Float64Array, new Random(state.seed + 1e6));
    this.random = new Random(state.seed + 2e6); // of the order
    this.order = Uint16Array.from({ length: data.count }, (_, i) => i);
    this.batches = Math.ceil(data.count / state.batch); // in an epoch
    this.steps = this.flips = 0;
    this.binaryWeights = state.weights === "binary" ? this.weights() : 0;
    this.course = new Course(WEIGHTS + this.weights());
    const most = Math.ceil(data.count / Math.max(this.batches, 1));
    this.inputs = new Float64Array(2 * most);
    this.labels = new Uint8Array(most);
    this.loss = this.accuracy = NaN;
    this.isSound = true; // false once a number is not finite: a run cannot recover from that
    this.record();
  }

  weights() {
    return this.network.layers.reduce((sum, { weight }) => sum + weight.length, 0);
  }

  get epoch() {
    return this.batches ? this.steps / this.batches : 0;
  }

  /** One step of the optimiser on the next batch; the batches of an epoch have nearly equal sizes. */
  step() {
    const { data, order, batches } = this;
    const at = this.steps % batches;
    if (at === 0) this.random.shuffle(order);
    const [start, end] = [at, at + 1].map((part) => Math.round((part * data.count) / batches));
    for (let i = start; i < end; i++) {
      this.inputs.set(data.inputs.subarray(2 * order[i], 2 * order[i] + 2), 2 * (i - start));
      this.labels[i - start] = data.labels[order[i]];
    }
    const { loss, flips } = this.network.step(this.inputs, this.labels, end - start, this.state.rate);
    this.steps++;
    this.flips += flips;
    if (this.course.wants(this.steps)) this.record();
    this.isSound &&= Number.isFinite(loss);
  }

  /** A row of the record. */
  record() {
    this.evaluate();
    const row = this.course.next();
    row[LOSS] = this.loss;
    row[ACCURACY] = this.accuracy;
    row[FLIPS] = this.flips;
    let at = WEIGHTS;
    for (const { weight } of this.network.layers) {
      row.set(weight, at);
      at += weight.length;
    }
  }

  /** Loss, in nats, and accuracy over all points, in evaluation mode. */
  evaluate() {
    const { data } = this;
    if (!data.count) return;
    const logits = this.network.forward(data.inputs, data.count);
    let [loss, correct] = [0, 0];
    for (let i = 0; i < data.count; i++) {
      const lead = (logits[2 * i + 1] - logits[2 * i]) * (data.labels[i] ? 1 : -1); // of the right class
      loss += lead > 0 ? Math.log1p(Math.exp(-lead)) : Math.log1p(Math.exp(lead)) - lead;
      correct += lead > 0 || (lead === 0 && !data.labels[i]) ? 1 : 0; // if both logits are equal, the first counts
    }
    this.loss = loss / data.count;
    this.accuracy = correct / data.count;
    this.isSound &&= Number.isFinite(loss) && this.network.layers.every(({ weight }) => weight.every(Number.isFinite));
  }

  /** The share of the binary weights that flip in a step, from each row of the record to the next. */
  flipRatios() {
    const steps = this.course.stride * Math.max(this.binaryWeights, 1);
    return this.course.column(FLIPS).map((flips, row, all) => (row ? flips - all[row - 1] : 0) / steps).subarray(1);
  }

  /** The step of the record's last row. */
  get recorded() {
    return (this.course.length - 1) * this.course.stride;
  }
}

/** @param {State} state @returns {Options} */
export function optionsOf(state) {
  const hidden = state.second ? [state.units, state.second] : [state.units];
  return /** @type {Options} */ ({
    widths: [2, ...hidden, 2],
    binaryWeights: state.weights === "binary",
    activation: state.activation,
    estimator: state.estimator,
    clip: state.clip,
    batchNorm: state.norm,
    clamp: state.clamp,
    optimiser: state.optimiser,
    scale: state.scale,
  });
}
