// The controls of the settings. Each has the name of its setting.

import { SETTINGS } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {HTMLInputElement | HTMLSelectElement} Control
 */

const SIZES = Array.from({ length: 15 }, (_, i) => String(i + 2)); // of a layer

/** Settings that have no effect, given the others. @type {{[name: string]: (state: State) => boolean}} */
const IDLE = {
  estimator: ({ activation, weights }) => activation === "tanh" && weights === "float",
  clip: ({ activation, estimator }) => activation === "tanh" || estimator !== "clipped",
  clamp: ({ weights }) => weights === "float",
};

export class Controls {
  /**
   * @param {HTMLElement} root
   * @param {(change: Partial<State>) => void} changed
   * @param {(words: string) => void} refused
   */
  constructor(root, changed, refused) {
    this.controls = /** @type {NodeListOf<Control>} */ (root.querySelectorAll("[name]"));
    for (const name of ["units", "second"]) {
      root.querySelector(`[name=${name}]`)?.append(...SIZES.map((size) => new Option(size, size)));
    }
    this.controls.forEach((control) => control.addEventListener("change", () => {
      const name = /** @type {keyof State} */ (control.name);
      const value = SETTINGS[name].read(textOf(control));
      if (value === undefined) refused(this.refusal(control, name));
      else changed({ [name]: value });
    }));
    root.querySelector("form")?.addEventListener("submit", (event) => event.preventDefault());
  }

  /** @param {State} state */
  show(state) {
    this.state = state;
    this.controls.forEach((control) => {
      const name = /** @type {keyof State} */ (control.name);
      const text = /** @type {import("./state.js").Setting<any>} */ (SETTINGS[name]).write(state[name]);
      if (isCheckbox(control)) control.checked = text === "1";
      else control.value = text;
      control.disabled = Boolean(IDLE[name]?.(state));
    });
  }

  /** @param {Control} control @param {keyof State} name */
  refusal(control, name) {
    const came = control.value || "none";
    if (this.state) this.show(this.state);
    const label = control.labels?.[0]?.textContent?.trim() ?? name;
    return `${label}: expected ${SETTINGS[name].expected}, got ${came}; it stays ${control.value}.`;
  }
}

/** @param {Control} control */
function textOf(control) {
  return isCheckbox(control) ? (control.checked ? "1" : "0") : control.value;
}

/** @param {Control} control @returns {control is HTMLInputElement} */
function isCheckbox(control) {
  return control.type === "checkbox";
}
