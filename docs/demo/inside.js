// What the page shows of the network's inside: the picture that it gets, its hidden bits, its size and its pace.

import { columnsFor, paintSquares } from "./views.js";

/**
 * @typedef {import("./network.js").Answer} Answer
 * @typedef {import("./network.js").Network} Network
 */

const SIDE = 28; // of a picture
const FULL = 255; // opaque

export class Inside {
  /**
   * @param {HTMLElement} root
   * @param {Network} network
   * @param {number} bytes of the network's file
   */
  constructor(root, network, bytes) {
    this.root = root;
    this.network = network;
    this.grids = network.hidden.map((layer, i) => this.addGrid(i + 1, layer.outputs));
    this.picture = /** @type {HTMLCanvasElement} */ (root.querySelector("[data-part=picture]"));
    this.tell("pixels", `${network.inputs} pixels`);
    this.tell("weights", `${network.weights.toLocaleString("en")} bits`);
    this.tell("file", `${bytes.toLocaleString("en")} bytes`);
  }

  /** @param {number} number @param {number} units */
  addGrid(number, units) {
    const figure = document.createElement("figure");
    figure.innerHTML = `<canvas class="draw-squares" role="img"></canvas>
      <figcaption><b>Layer ${number}</b> ${units} bits</figcaption>`;
    this.root.querySelector("[data-part=layers]")?.append(figure);
    return /** @type {HTMLCanvasElement} */ (figure.querySelector("canvas"));
  }

  /** @param {string} name @param {string} text */
  tell(name, text) {
    const part = this.root.querySelector(`[data-part=${name}]`);
    if (part) part.textContent = text;
  }

  /** @param {Uint8Array} pixels @param {Answer | null} answer none of an empty paper */
  show(pixels, answer) {
    paintSquares(this.picture, pixels, SIDE);
    this.grids.forEach((grid, i) => {
      const { outputs } = this.network.hidden[i];
      const bits = answer?.hidden[i] ?? new Uint8Array(outputs);
      paintSquares(grid, bits.map((bit) => FULL * bit), columnsFor(outputs));
    });
  }

  /**
   * What need not be said or measured anew while one draws.
   * @param {Uint8Array} pixels
   * @param {Answer | null} answer
   */
  settle(pixels, answer) {
    const run = () => this.network.read(pixels);
    microseconds(run); // until the browser has compiled it
    this.tell("time", `${Math.round(microseconds(run))} µs`);
    this.grids.forEach((grid, i) => {
      const { outputs } = this.network.hidden[i];
      const ones = answer?.hidden[i].filter(Boolean).length;
      const label = answer ? `${ones} of ${outputs} bits are +1` : "nothing is drawn yet";
      grid.setAttribute("aria-label", `Layer ${i + 1}: ${label}`);
    });
  }
}

/**
 * What one run takes: as many as fill a while, since a browser's clock has coarse ticks.
 * @param {() => void} run
 * @param {number} [budget] milliseconds
 */
function microseconds(run, budget = 10) {
  const start = performance.now();
  let [runs, spent] = [0, 0];
  for (; spent < budget; runs++) {
    run();
    spent = performance.now() - start;
  }
  return (1000 * spent) / runs;
}
