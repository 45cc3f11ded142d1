// The page: what is drawn goes through the network, and all that it computes is shown. The home page has only a part.

import { Inside } from "./inside.js";
import { readNetwork } from "./packed.js";
import { FileError, readSafetensors } from "./safetensors.js";
import { Sketch } from "./sketch.js";
import { Bars, paintSquares, softmax } from "./views.js";

/**
 * @typedef {import("./network.js").Answer} Answer
 * @typedef {import("./network.js").Network} Network
 */

const [MODEL, EXAMPLES] = ["model.safetensors", "examples.safetensors"];
const SETTLED = 400; // milliseconds without a change, after which a screen reader hears the answer
const DOUBT = 0.1; // the share from which the second best digit is named
const SIDE = 28; // of an example

class Page {
  /**
   * @param {HTMLElement} root
   * @param {Network} network
   * @param {number} bytes of the network's file
   */
  constructor(root, network, bytes) {
    /** @type {HTMLElement} */
    this.root = root;
    this.network = network;
    this.bars = new Bars(this.part("bars"), network.output.outputs);
    this.inside = this.has("layers") ? new Inside(root, network, bytes) : null;
    this.sketch = new Sketch(/** @type {HTMLCanvasElement} */ (this.part("paper")), () => this.changed());
    this.pixels = this.sketch.prepared();
    /** @type {Answer | null} */
    this.answer = null; // of an empty paper
    this.frame = this.timer = 0; // the next ones that are asked for
    /** @type {Array<() => void>} */
    this.repaints = []; // of the examples
    if (this.has("undo")) this.part("undo").addEventListener("click", () => this.sketch.undo());
    if (this.has("clear")) this.part("clear").addEventListener("click", () => this.sketch.clear());
    this.listen();
    this.refresh();
    this.inside?.settle(this.pixels, this.answer);
  }

  /** @param {string} name */
  has(name) {
    return this.root.querySelector(`[data-part=${name}]`) !== null;
  }

  /** @param {string} name @returns {HTMLElement} */
  part(name) {
    const part = this.root.querySelector(`[data-part=${name}]`);
    if (!(part instanceof HTMLElement)) throw new Error(`the page has no part ${name}`);
    return part;
  }

  listen() {
    addEventListener("keydown", (event) => {
      const isUndo = event.key === "z" && !event.shiftKey && (event.ctrlKey || event.metaKey);
      if (!isUndo || event.target instanceof HTMLInputElement) return; // the search has its own
      event.preventDefault();
      this.sketch.undo();
    });
    const repaint = () => {
      this.sketch.paint();
      this.refresh();
      this.repaints.forEach((paint) => paint());
    };
    addEventListener("resize", repaint); // the screen's resolution may be another
    new MutationObserver(repaint).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  }

  /** However many events a frame has, the network reads once. */
  changed() {
    this.frame ||= requestAnimationFrame(() => this.refresh());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLED);
  }

  refresh() {
    this.frame = 0;
    this.pixels = this.sketch.prepared();
    this.answer = this.sketch.isEmpty ? null : this.network.read(this.pixels);
    if (this.answer) this.bars.show(this.answer.logits, this.answer.digit);
    else this.bars.clear();
    this.part("verdict").textContent = this.answer ? verdict(this.answer) : "Draw one, or choose one";
    this.inside?.show(this.pixels, this.answer);
    if (this.has("undo")) this.part("undo").setAttribute("aria-disabled", String(!this.sketch.history.length));
    if (this.has("clear")) this.part("clear").setAttribute("aria-disabled", String(this.sketch.isEmpty));
  }

  settle() {
    this.part("spoken").textContent = this.answer ? verdict(this.answer) : "The paper is empty";
    this.inside?.settle(this.pixels, this.answer);
  }

  /** Where one cannot draw, an example lies on the paper from the beginning. @param {Uint8Array} example */
  begin(example) {
    this.sketch.drawing = { example, strokes: [] };
    this.sketch.paint();
    this.refresh();
  }

  /**
   * A button for each example, which puts it on the paper.
   * @param {Uint8Array} images one after the other
   * @param {Uint8Array} labels
   */
  offer(images, labels) {
    const most = Number(this.part("examples").dataset.most ?? labels.length);
    labels.slice(0, most).forEach((label, i) => {
      const image = images.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE);
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `A ${label} from the test set`);
      button.innerHTML = `<canvas class="draw-squares"></canvas>`;
      button.addEventListener("click", () => this.sketch.show(image));
      this.part("examples").append(button);
      this.repaints.push(() => paintSquares(/** @type {HTMLCanvasElement} */ (button.firstChild), image, SIDE));
    });
    this.repaints.forEach((paint) => paint());
    if (!this.has("clear")) this.begin(images.subarray(0, SIDE * SIDE));
  }
}

/**
 * @param {Answer} answer
 * @returns {string} the best digit, and the second best where it is near
 */
function verdict({ logits, digit }) {
  const shares = softmax(logits);
  const rivals = shares.map((share, i) => (i === digit ? -1 : share));
  const rival = rivals.indexOf(Math.max(...rivals));
  return `It reads a ${digit}${shares[rival] >= DOUBT ? `, or perhaps a ${rival}` : ""}`;
}

/**
 * @template T
 * @param {string} name of a file beside this one
 * @param {(bytes: Uint8Array) => T} read
 */
async function load(name, read) {
  try {
    const response = await fetch(new URL(name, import.meta.url));
    if (!response.ok) throw new FileError(`the server answered ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { bytes: bytes.length, content: read(bytes) };
  } catch (error) {
    throw new FileError(`${name} is missing or damaged (${error instanceof Error ? error.message : error})`);
  }
}

/** @param {HTMLElement} root */
async function start(root) {
  try {
    const [network, digits] = await Promise.all([load(MODEL, readNetwork), load(EXAMPLES, readSafetensors)]);
    const [images, labels] = ["images", "labels"].map((name) => digits.content.tensors.get(name)?.bytes);
    const page = new Page(root, network.content, network.bytes);
    page.offer(images ?? new Uint8Array(), labels ?? new Uint8Array());
    root.dataset.state = "ready";
  } catch (error) {
    const fault = /** @type {HTMLElement} */ (root.querySelector("[data-part=fault]"));
    fault.textContent = `This page cannot read digits now: ${error instanceof Error ? error.message : error}.`;
    root.dataset.state = "failed";
  }
}

for (const root of document.querySelectorAll(".draw")) start(/** @type {HTMLElement} */ (root));
