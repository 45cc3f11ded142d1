// A paper, and a network that classifies what is drawn on it, with all its results. A page may have only some of the parts.

import { DIGITS, PIXELS, SIDE } from "../engine/digit.js";
import { Inside } from "./inside.js";
import { Sketch } from "./sketch.js";
import { Bars, paintSquares, softmax } from "./views.js";

/**
 * @typedef {import("../engine/packed.js").Prediction} Prediction
 * @typedef {import("../engine/packed.js").PackedNetwork} PackedNetwork
 */

const SETTLED = 400; // milliseconds without a change, after which a screen reader announces the answer
const DOUBT = 0.1; // the least share at which the second best digit is named

export class Reader {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {PackedNetwork | null} */
    this.network = null; // before `use`
    /** @type {Inside | null} */
    this.inside = null; // which only the page "Draw a digit" shows
    this.bars = new Bars(this.part("bars"), DIGITS);
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
  }

  /**
   * Use another network.
   * @param {PackedNetwork} network
   * @param {number} bytes of its file
   */
  use(network, bytes) {
    this.network = network;
    this.inside = this.find("layers") && new Inside(this.root, network, bytes);
    this.refresh();
    this.inside?.describe(this.prediction);
  }

  /** @param {string} name @returns {HTMLElement | null} */
  find(name) {
    return this.root.querySelector(`[data-part=${name}]`);
  }

  /** One that all pages have. @param {string} name */
  part(name) {
    return /** @type {HTMLElement} */ (this.find(name));
  }

  listen() {
    addEventListener("keydown", (event) => {
      const isUndo = letterOf(event) === "z" && !event.shiftKey && (event.ctrlKey || event.metaKey);
      const isTyped = /** @type {Element} */ (event.target).matches("input:not([type=radio])"); // the search has its own
      if (!isUndo || isTyped) return;
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

  /** However many events a frame has, the network runs once. */
  changed() {
    this.frame ||= requestAnimationFrame(() => this.refresh());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLED);
  }

  refresh() {
    this.frame = 0;
    const pixels = this.sketch.prepared();
    this.prediction = this.sketch.isEmpty || !this.network ? null : this.network.predict(pixels);
    if (this.prediction) this.bars.show(this.prediction.logits, this.prediction.digit);
    else this.bars.clear();
    this.part("verdict").textContent = this.answer(this.root.dataset.invitation ?? "Draw a digit, or choose one");
    this.inside?.show(pixels, this.prediction);
    this.find("undo")?.setAttribute("aria-disabled", String(!this.sketch.history.length));
    this.find("clear")?.setAttribute("aria-disabled", String(this.sketch.isEmpty));
  }

  /** The text of the answer. @param {string} invitation for an empty paper */
  answer(invitation) {
    if (this.prediction) return verdict(this.prediction);
    return this.sketch.isEmpty ? invitation : "There is no network yet";
  }

  settle() {
    this.part("spoken").textContent = this.answer("The paper is empty");
    this.inside?.describe(this.prediction);
  }

  /** Where drawing is not possible, the paper starts with an example. @param {Uint8Array} example */
  begin(example) {
    this.sketch.drawing = { example, strokes: [] };
    this.sketch.paint();
    this.refresh();
  }

  /**
   * Add a button for each example, which puts it on the paper.
   * @param {Uint8Array} images one after the other
   * @param {Uint8Array} labels
   */
  offer(images, labels) {
    const most = Number(this.part("examples").dataset.most ?? labels.length);
    labels.slice(0, most).forEach((label, i) => {
      const image = images.subarray(i * PIXELS, (i + 1) * PIXELS);
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `A ${label} from ${this.part("examples").dataset.origin ?? "the test set"}`);
      button.innerHTML = `<canvas class="draw-squares"></canvas>`;
      button.addEventListener("click", () => this.sketch.show(image));
      this.part("examples").append(button);
      this.repaints.push(() => paintSquares(/** @type {HTMLCanvasElement} */ (button.firstChild), image, SIDE));
    });
    this.repaints.forEach((paint) => paint());
    if (!this.find("clear")) this.begin(images.subarray(0, PIXELS));
  }
}

/**
 * The letter, regardless of Caps Lock. On a layout without Latin letters, the Latin letter at the same place.
 * @param {KeyboardEvent} event
 */
function letterOf({ key, code }) {
  return (/^[a-z]$/i.test(key) ? key : code.replace("Key", "")).toLowerCase();
}

/**
 * @param {Prediction} prediction
 * @returns {string} the best digit, and the second best if it is close
 */
function verdict({ logits, digit }) {
  const shares = softmax(logits);
  const rivals = shares.map((share, i) => (i === digit ? -1 : share));
  const rival = rivals.indexOf(Math.max(...rivals));
  return `Looks like ${nameOf(digit)}${shares[rival] >= DOUBT ? `, or perhaps ${nameOf(rival)}` : ""}`;
}

/** With its article, as it is spoken. @param {number} digit */
function nameOf(digit) {
  return `${digit === 8 ? "an" : "a"} ${digit}`;
}
