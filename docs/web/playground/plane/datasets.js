// Points in the plane, of two classes that the network has to tell apart. All lie within [-1, 1], or nearly.

import { Random } from "../../engine/random.js";

/**
 * @typedef {import("./state.js").Point} Point
 *
 * @typedef {object} Dataset
 * @property {Float64Array} inputs two for each point
 * @property {Uint8Array} labels 1 for +, 0 for −
 * @property {number} count of points
 */

const COUNT = 200; // half of them in each class
const GAP = 0.06; // half the width of the empty cross of "xor"
const TURNS = 1.25; // of a spiral's arm

/**
 * A point of the class `label`; `share` runs from 0 to 1 over the class.
 * @type {{[name: string]: (random: Random, label: number, share: number) => [number, number]}}
 */
const MAKERS = {
  // Between disk and ring there is room for a diamond, whose corners lie 1.41 times as far out as its sides.
  circle(random, label) {
    const radius = label ? 0.5 * Math.sqrt(random.uniform()) : 0.78 + 0.22 * random.uniform();
    return polar(radius, 2 * Math.PI * random.uniform());
  },
  xor(random, label) {
    const x = (GAP + (1 - GAP) * random.uniform()) * (random.uniform() < 0.5 ? -1 : 1);
    const y = (GAP + (1 - GAP) * random.uniform()) * Math.sign(x);
    return [x, label ? y : -y];
  },
  moons(random, label, share) {
    const [x, y] = polar(0.55, Math.PI * share);
    const noise = () => 0.06 * random.normal();
    return label ? [x - 0.27 + noise(), y - 0.15 + noise()] : [0.27 - x + noise(), 0.15 - y + noise()];
  },
  spiral(random, label, share) {
    const [x, y] = polar(0.12 + 0.85 * share, 2 * Math.PI * TURNS * share + (label ? 0 : Math.PI));
    return [x + 0.02 * random.normal(), y + 0.02 * random.normal()];
  },
};

/**
 * @param {string} name one of those of the state's `data`
 * @param {Point[]} own the reader's points
 * @param {number} seed
 * @returns {Dataset}
 */
export function makeDataset(name, own, seed) {
  return toDataset(name === "own" ? own : makePoints(name, seed));
}

/** @param {string} name @param {number} seed @returns {Point[]} */
function makePoints(name, seed) {
  const random = new Random(seed);
  return Array.from({ length: COUNT }, (_, i) => {
    const label = i % 2;
    return [...MAKERS[name](random, label, (i - label) / (COUNT - 2)), label];
  });
}

/** @param {Point[]} points @returns {Dataset} */
function toDataset(points) {
  return {
    inputs: Float64Array.from(points.flatMap(([x, y]) => [x, y])),
    labels: Uint8Array.from(points, ([, , label]) => label),
    count: points.length,
  };
}

/** @param {Dataset} data @returns {Point[]} */
export function pointsOf({ inputs, labels }) {
  return Array.from(labels, (label, i) => [inputs[2 * i], inputs[2 * i + 1], label]);
}

/** @param {number} radius @param {number} angle @returns {[number, number]} */
function polar(radius, angle) {
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}
