// The page: what is drawn goes through the network, and all that it computes is shown. The home page has only a part.

import { Inside } from "./inside.js";
import { readNetwork } from "./packed.js";
import { FileError, readSafetensors } from "./safetensors.js";
import { Sketch } from "./sketch.js";
import { Bars, paintSquares, softmax } from "./views.js";

/**
 * @typedef {import("./network.js").Prediction} Prediction
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
    this.inside = this.find("layers") && new Inside(root, network, bytes);
    this.sketch = new Sketch(/** @type {HTMLCanvasElement} */ (this.part("paper")), () => this.changed());
    /** @type {Prediction | null} */
    this.prediction = null; // of an empty paper
    this.frame = this.timer = 0; // the next ones that are asked for
    /** @type {Array<() => void>} */
    this.repaints = []; // of the examples
    this.find("undo")?.addEventListener("click", () => this.sketch.undo());
    this.find("clear")?.addEventListener("click", () => this.sketch.clear());
    this.listen();
    this.refresh();
    this.inside?.describe(this.prediction);
  }

  /** @param {string} name @returns {HTMLElement | null} */
  find(name) {
    return this.root.querySelector(`[data-part=${name}]`);
  }

  /** One that both pages have. @param {string} name */
  part(name) {
    return /** @type {HTMLElement} */ (this.find(name));
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
    const pixels = this.sketch.prepared();
    this.prediction = this.sketch.isEmpty ? null : this.network.predict(pixels);
    if (this.prediction) this.bars.show(this.prediction.logits, this.prediction.digit);
    else this.bars.clear();
    this.part("verdict").textContent = this.prediction ? verdict(this.prediction) : "Draw one, or choose one";
    this.inside?.show(pixels, this.prediction);
    this.find("undo")?.setAttribute("aria-disabled", String(!this.sketch.history.length));
    this.find("clear")?.setAttribute("aria-disabled", String(this.sketch.isEmpty));
  }

  settle() {
    this.part("spoken").textContent = this.prediction ? verdict(this.prediction) : "The paper is empty";
    this.inside?.describe(this.prediction);
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
    if (!this.find("clear")) this.begin(images.subarray(0, SIDE * SIDE));
  }
}

/**
 * @param {Prediction} prediction
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
    const page = new Page(root, network.content, network.bytes);
    page.offer(images, labels);
    page.inside?.measure(images.subarray(0, SIDE * SIDE));
    root.dataset.state = "ready";
  } catch (error) {
    const fault = /** @type {HTMLElement} */ (root.querySelector("[data-part=fault]"));
    fault.textContent = `This page cannot read digits now: ${error instanceof Error ? error.message : error}.`;
    root.dataset.state = "failed";
  }
}

for (const root of document.querySelectorAll(".draw")) start(/** @type {HTMLElement} */ (root));
