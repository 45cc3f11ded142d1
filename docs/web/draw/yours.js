// On the page "Draw a digit": the network that the reader trained in the Playground, in place of the shipped one.

import { DIGITS, PIXELS } from "../engine/digit.js";
import { readNetwork, readProvenance } from "../engine/read.js";
import { require } from "../engine/safetensors.js";
import { forget, keep, kept } from "./stored.js";

/** @typedef {{content: import("../engine/packed.js").PackedNetwork, bytes: number}} Loaded */

/**
 * Use the reader's network if there is one, and offer the way back; else the shipped one.
 * @param {HTMLElement} slot where the page says so
 * @param {(yours: Loaded | null) => void} use null: the shipped one
 */
export async function offerYours(slot, use) {
  try {
    const file = kept();
    if (!file) return use(null);
    const yours = { content: await readNetwork(file), bytes: file.length };
    const { inputs, output: { outputs } } = yours.content;
    require(inputs === PIXELS && outputs === DIGITS, `a network of ${inputs} pixels and ${outputs} classes`);
    addSwitch(slot, file, (isYours) => use(isYours ? yours : null));
  } catch (error) {
    forget();
    slot.textContent = `Your own network, which this browser had kept, is damaged and now removed (${
      error instanceof Error ? error.message : error}). The shipped network reads.`;
    use(null);
  }
}

/**
 * Says whose network reads, with a button to change that. The browser keeps the reader's own as long as it is chosen.
 * @param {HTMLElement} slot
 * @param {Uint8Array} file
 * @param {(isYours: boolean) => void} use
 */
function addSwitch(slot, file, use) {
  const { data = "digits" } = readProvenance(file);
  const text = document.createElement("span");
  const button = Object.assign(document.createElement("button"), { type: "button", className: "md-button" });
  let isYours = true;
  const show = () => {
    text.textContent = isYours ? `Your network reads, trained on ${data}.` : "The shipped network reads.";
    button.textContent = isYours ? "Go back to the shipped one" : "Take mine again";
    use(isYours);
  };
  button.addEventListener("click", () => {
    isYours = !isYours;
    if (isYours) keep(file);
    else forget();
    show();
  });
  slot.replaceChildren(text, button);
  show();
}
