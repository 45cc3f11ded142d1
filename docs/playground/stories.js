// The stories: settings, and what there is to see. What a sentence says is tested in tests/test_playground.py.

import { initialState } from "./state.js";

/** @typedef {import("./state.js").State} State */

/** @type {{[name: string]: {settings: Partial<State>, watch: string}}} their names are parts of addresses */
const STORIES = {
  "story-sign": { settings: { estimator: "none" }, watch: "…" },
  "story-window": { settings: { estimator: "identity", beside: "window" }, watch: "…" },
  "story-spread": { settings: { norm: false, beside: "norm" }, watch: "…" },
  "story-inertia": { settings: { scale: 10, clamp: false, beside: "small" }, watch: "…" },
  "story-twin": { settings: { beside: "float" }, watch: "…" },
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
