// On the page "Draw a digit": the choice of the network, a shipped one or the one that the reader trained.

import { DIGITS, PIXELS } from "../engine/digit.js";
import { readNetwork, readProvenance } from "../engine/read.js";
import { require } from "../engine/safetensors.js";
import { forget, keep, kept } from "./stored.js";

/** @typedef {{content: import("../engine/packed.js").PackedNetwork, bytes: number}} Loaded */

const YOURS = "yours";

export class Networks {
  /**
   * @param {HTMLElement} root
   * @param {(name: string) => Promise<Loaded>} load a shipped network, by its name
   * @param {(network: Loaded) => void} use
   */
  constructor(root, load, use) {
    this.status = /** @type {HTMLElement} */ (root.querySelector("[data-part=network-status]"));
    this.choices = /** @type {HTMLFieldSetElement} */ (root.querySelector("[data-part=networks]"));
    this.load = load;
    this.use = use;
    this.chosen = this.wanted = "";
    this.choices.addEventListener("change", ({ target }) =>
      this.change(/** @type {HTMLInputElement} */ (target).value));
  }

  /** Use the reader's network if there is one, otherwise the first of the shipped ones. */
  async start() {
    this.file = await this.offerYours();
    const [first] = this.choices.querySelectorAll("input");
    await this.choose(this.file ? YOURS : first.value);
    this.choices.disabled = false;
  }

  /** If the other network cannot be loaded, the current one stays in use. @param {string} name */
  async change(name) {
    this.say("");
    try {
      await this.choose(name);
    } catch (error) {
      this.say(`${error instanceof Error ? error.message : error}.`);
      this.check(this.chosen);
    }
  }

  /** The browser keeps the reader's own network as long as it is chosen. @param {string} name */
  async choose(name) {
    const file = name === YOURS ? this.file : null;
    this.wanted = name;
    const network = file ? { content: await readNetwork(file), bytes: file.length } : await this.load(name);
    if (this.wanted !== name) return; // another one was chosen meanwhile
    if (file) keep(file);
    else if (this.file) forget(); // another tab may have kept one since
    this.chosen = name;
    this.check(name);
    this.use(network);
  }

  /** @param {string} name */
  check(name) {
    for (const input of this.choices.querySelectorAll("input")) input.checked = input.value === name;
  }

  /** @returns {Promise<Uint8Array | null>} its file */
  async offerYours() {
    try {
      const file = kept();
      if (!file) return null;
      const { inputs, classes } = await readNetwork(file);
      require(inputs === PIXELS && classes === DIGITS, `a network of ${inputs} pixels and ${classes} classes`);
      const { data = "digits" } = readProvenance(file);
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "network", value: YOURS });
      const label = document.createElement("label");
      label.append(input, ` your network, trained on ${data}`);
      this.choices.append(label);
      return file;
    } catch (error) {
      forget();
      this.say(`Your own network, which this browser had stored, is damaged and has been removed (${
        error instanceof Error ? error.message : error}).`);
      return null;
    }
  }

  /** @param {string} text */
  say(text) {
    this.status.textContent = text;
  }
}
