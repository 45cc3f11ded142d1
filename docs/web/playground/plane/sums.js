// The inputs of the activation: their spread, and how many of them get a slope.

import { activationOf } from "../../engine/learning.js";
import { optionsOf } from "./run.js";

/**
 * @typedef {import("./run.js").Run} Run
 *
 * @typedef {object} Sums
 * @property {number[]} sums of all hidden layers
 * @property {number[]} spreads of each: the root of their mean square
 * @property {number} withSlope the share of them that gets a slope
 */

const NOTABLE = 0.1; // the least slope that counts

/**
 * Over all points, for each hidden layer, from the last evaluation.
 * @param {Run} run
 * @returns {Sums}
 */
export function sumsOf({ network, data, state }) {
  const { slope } = activationOf(optionsOf(state));
  const layers = network.layers.slice(0, -1).map(({ y, outputs }) => y.subarray(0, data.count * outputs));
  const sums = layers.flatMap((layer) => Array.from(layer));
  return {
    sums,
    spreads: layers.map((layer) => {
      const squares = Array.from(layer).reduce((sum, y) => sum + y * y, 0);
      return Math.sqrt(squares / Math.max(layer.length, 1));
    }),
    withSlope: sums.filter((y) => Math.abs(slope(y)) >= NOTABLE).length / Math.max(sums.length, 1),
  };
}
