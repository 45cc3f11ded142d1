// The stories: settings, and what to watch. The claims are tested in tests/web/test_playground.py.

import { initialState } from "./state.js";

/** @typedef {import("./state.js").State} State */

/** @type {{[name: string]: {settings: Partial<State>, watch: string}}} their names are addresses on the page */
const STORIES = {
  "story-sign": {
    settings: { estimator: "none" },
    watch: `Learning needs slopes, and the slope of a step is 0. Sign is such a step. It is applied to each hidden unit's sum
      and to each latent weight, the real number behind a ±1. So none of these ever changes, and no weight flips. Only
      the two biases of the outputs have no sign after them. They do learn, and the accuracy stays near one half.`,
  },
  "story-window": {
    settings: { estimator: "identity", beside: "window" },
    watch: `With the identity as the slope of sign, it does not matter how far a point lies from a unit's boundary. Hundreds
      of weights flip, and the accuracy stays near one half. The second network has a window, so a unit learns only from
      points near its boundary. From the same start, its boundaries close around the disks.`,
  },
  "story-spread": {
    settings: { clip: 2, beside: "norm" },
    watch: `The window is ±2, and all sums whose sign the units take lie inside it. A window that leaves nothing out is the
      same as the identity, and the accuracy stays near one half. The second network has batch norm, whose learned scale
      spreads the sums wider. Now the same window leaves some of them out, and the network finds the circle.`,
  },
  "story-inertia": {
    settings: { units: 16, norm: true, clamp: false, scale: 10, stop: 20, speed: "10", beside: "small" },
    watch: `Both networks start with the same signs, and so with the same map. But in the first, each latent weight is ten
      times as far from zero. Watch how rarely a line lights up, and compare the flips. The network finds the circle
      anyway, because the scale and the shift that batch norm learns have no such inertia.`,
  },
  "story-twin": {
    settings: { data: "moons", beside: "float" },
    watch: `The float twin has the same points and the same start, but real weights, and tanh instead of sign. Its boundary
      bends around both moons. Units with weights of ±1 can only cut along the two diagonals, and eight of them leave
      about a fifth of the points on the wrong side.`,
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
