// The page "Draw a digit", and its part on the home page: the shipped network reads, or one that the reader has trained.

import { PIXELS } from "../engine/digit.js";
import { readNetwork } from "../engine/read.js";
import { Reader } from "./reader.js";
import { FileError, readSafetensors } from "../engine/safetensors.js";
import { offerYours } from "./yours.js";

/** @typedef {import("./yours.js").Loaded} Loaded */

const [MODEL, EXAMPLES] = ["model.safetensors", "examples.safetensors"];

/**
 * @template T
 * @param {string} name of a file beside this one
 * @param {(bytes: Uint8Array) => T | Promise<T>} read
 */
async function load(name, read) {
  try {
    const response = await fetch(new URL(name, import.meta.url));
    if (!response.ok) throw new FileError(`the server answered ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { bytes: bytes.length, content: await read(bytes) };
  } catch (error) {
    throw new FileError(`${name} is missing or damaged (${error instanceof Error ? error.message : error})`);
  }
}

/** @param {HTMLElement} root */
async function start(root) {
  try {
    const [network, digits] = await Promise.all([load(MODEL, readNetwork), load(EXAMPLES, readSafetensors)]);
    const { tensors } = digits.content;
    const [images, labels] = ["images", "labels"].map((name) => /** @type {Uint8Array} */ (tensors.get(name)?.values));
    const reader = new Reader(root);
    const use = (/** @type {Loaded} */ { content, bytes }) => {
      reader.use(content, bytes);
      reader.inside?.measure(images.subarray(0, PIXELS));
    };
    reader.offer(images, labels);
    const slot = reader.find("yours");
    if (slot) await offerYours(slot, (yours) => use(yours ?? network));
    else use(network);
    root.dataset.state = "ready";
  } catch (error) {
    const fault = /** @type {HTMLElement} */ (root.querySelector("[data-part=fault]"));
    fault.textContent = `This page cannot read digits now: ${error instanceof Error ? error.message : error}.`;
    root.dataset.state = "failed";
  }
}

for (const root of document.querySelectorAll(".draw")) start(/** @type {HTMLElement} */ (root));
