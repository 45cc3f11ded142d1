// The page "Draw a digit", and its part on the home page, with a shipped network or one that the reader has trained.

import { PIXELS } from "../engine/digit.js";
import { readNetwork } from "../engine/read.js";
import { FileError, readSafetensors } from "../engine/safetensors.js";
import { Networks } from "./networks.js";
import { Reader } from "./reader.js";

const EXAMPLES = "examples.safetensors";

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

/** @param {string} name */
const loadNetwork = (name) => load(`${name}.safetensors`, readNetwork);

/** @param {HTMLElement} root */
async function start(root) {
  try {
    const { content: { tensors } } = await load(EXAMPLES, readSafetensors);
    const [images, labels] = ["images", "labels"].map((name) => /** @type {Uint8Array} */ (tensors.get(name)?.values));
    const reader = new Reader(root);
    reader.offer(images, labels);
    const use = (/** @type {import("./networks.js").Loaded} */ { content, bytes }) => {
      reader.use(content, bytes);
      reader.inside?.measure(images.subarray(0, PIXELS));
    };
    if (reader.find("networks")) await new Networks(root, loadNetwork, use).start();
    else use(await loadNetwork(root.dataset.network ?? ""));
    root.dataset.state = "ready";
  } catch (error) {
    const fault = /** @type {HTMLElement} */ (root.querySelector("[data-part=fault]"));
    fault.textContent = `This page cannot read digits now: ${error instanceof Error ? error.message : error}.`;
    root.dataset.state = "failed";
  }
}

for (const root of document.querySelectorAll(".draw")) start(/** @type {HTMLElement} */ (root));
