// The stories: settings, and what there is to see. What a sentence says is tested in tests/test_playground.py.

import { initialState } from "./state.js";

/** @typedef {import("./state.js").State} State */

/** @type {{[name: string]: {settings: Partial<State>, watch: string}}} their names are addresses on the page */
const STORIES = {
  "story-sign": {
    settings: { estimator: "none" },
    watch: `Forward, sign makes each unit's answer ±1; backward its slope is 0, so no latent weight ever moves, and
      not one weight flips. Only the two biases of the output learn, and the accuracy stays near one half, where
      guessing is.`,
  },
  "story-window": {
    settings: { estimator: "identity", beside: "window" },
    watch: `With the identity as its slope weights flip by the hundred, but each point has the same say wherever a
      unit's boundary lies, and the accuracy stays near one half. Beside it only points near the boundary have a
      say, those in the window: from the same start its boundaries move out and close around the disks.`,
  },
  "story-spread": {
    settings: { clip: 2, beside: "norm" },
    watch: `The window is ±2, and all the sums that sign gets lie inside: 100 % get a slope, and a window that leaves
      nobody out is the identity, near one half again. Beside it batch norm, with the scale that it learns,
      spreads the sums wider than that, the same window leaves some of them out, and the circle is found.`,
  },
  "story-inertia": {
    settings: { units: 16, norm: true, clamp: false, scale: 10, stop: 20, speed: "10", beside: "small" },
    watch: `Both networks begin with the same signs, hence with the same map, but here each latent weight lies ten
      times as far from zero: watch how seldom a line flashes, and compare the flips. It finds the circle all
      the same, since the numbers of batch norm have no such inertia.`,
  },
  "story-twin": {
    settings: { data: "moons", beside: "float" },
    watch: `The float twin has the same points and the same start, but real weights and tanh, and bends its boundary
      around both moons. Units with weights of ±1 cut along the two diagonals only, and eight of them leave
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
