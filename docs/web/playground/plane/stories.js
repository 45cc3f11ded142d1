// The stories: settings, and what there is to see. What a sentence says is tested in tests/test_playground.py.

import { initialState } from "./state.js";

/** @typedef {import("./state.js").State} State */

/** @type {{[name: string]: {settings: Partial<State>, watch: string}}} their names are addresses on the page */
const STORIES = {
  "story-sign": {
    settings: { estimator: "none" },
    watch: `Learning goes by slopes, and the slope of a step is 0. Sign is such a step, over each hidden unit's sum and
      over each latent weight, the real number behind a ±1: so none of these ever moves, and no weight flips. Only the
      two biases of the outputs, behind no sign, learn, and the accuracy stays near one half.`,
  },
  "story-window": {
    settings: { estimator: "identity", beside: "window" },
    watch: `With the identity as the slope of sign, it makes no difference how far a point lies from a unit's boundary:
      weights flip by the hundred, and the accuracy stays near one half. The second network has a window: a unit learns
      only from points near its boundary, and from the same start they close around the disks.`,
  },
  "story-spread": {
    settings: { clip: 2, beside: "norm" },
    watch: `The window is ±2, and all the sums of which the units take the sign lie inside: a window that leaves nothing
      out is the identity, and the accuracy stays near one half. The second network has batch norm, whose learned
      scale spreads the sums wider: now the same window leaves some of them out, and the circle is found.`,
  },
  "story-inertia": {
    settings: { units: 16, norm: true, clamp: false, scale: 10, stop: 20, speed: "10", beside: "small" },
    watch: `Both networks begin with the same signs, hence the same map, but in the first each latent weight lies ten
      times as far from zero: watch how seldom a line lights up; compare the flips. It finds the circle all the
      same: the scale and the shift that batch norm learns have no such inertia.`,
  },
  "story-twin": {
    settings: { data: "moons", beside: "float" },
    watch: `The float twin has the same points and start, but real weights, and tanh instead of sign: its boundary bends
      around both moons. Units with weights of ±1 cut along the two diagonals only, and eight of them leave about a
      fifth of the points on the wrong side.`,
  },
};

/**
 * @param {string} name with or without a #
 * @returns {{name: string, state: State, watch: string} | null}
 */
export function storyOf(name) {
  const plain = name.replace(/^#/, "");
  if (!Object.hasOwn(STORIES, plain)) return null;
  const { settings, watch } = STORIES[plain];
  return { name: plain, state: { ...initialState(), ...settings }, watch };
}
