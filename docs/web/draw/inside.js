// What the page shows of the network's inside: the picture that it gets, its hidden bits, its size and its speed.

import { INK, SIDE } from "../engine/digit.js";
import { columnsFor, paintSquares } from "./views.js";

/**
 * @typedef {import("../engine/packed.js").Prediction} Prediction
 * @typedef {import("../engine/packed.js").PackedNetwork} PackedNetwork
 */

const ROUNDS = 21; // an odd number, which has one in the middle
const ROUND = 4; // milliseconds

export class Inside {
  /**
   * @param {HTMLElement} root
   * @param {PackedNetwork} network
   * @param {number} bytes of the network's file
   */
  constructor(root, network, bytes) {
    this.root = root;
    this.network = network;
    for (const grid of root.querySelectorAll("[data-part=layers] figure + figure")) grid.remove(); // another network's
    this.grids = network.hidden.map((layer, i) => this.addGrid(i + 1, layer.outputs));
    this.picture = /** @type {HTMLCanvasElement} */ (root.querySelector("[data-part=picture]"));
    this.write("pixels", `${network.inputs} pixels`);
    this.write("weights", `${network.weights.toLocaleString("en")} bits`);
    this.write("file", `${bytes.toLocaleString("en")} bytes`);
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
  write(name, text) {
    const part = this.root.querySelector(`[data-part=${name}]`);
    if (part) part.textContent = text;
  }

  /** @param {Uint8Array} pixels @param {Prediction | null} prediction none of an empty paper */
  show(pixels, prediction) {
    paintSquares(this.picture, pixels, SIDE);
    this.grids.forEach((grid, i) => {
      const { outputs } = this.network.hidden[i];
      const bits = prediction?.hidden[i] ?? new Uint8Array(outputs);
      paintSquares(grid, bits.map((bit) => INK * bit), columnsFor(outputs));
    });
  }

  /** For a screen reader. @param {Prediction | null} prediction */
  describe(prediction) {
    this.grids.forEach((grid, i) => {
      const { outputs } = this.network.hidden[i];
      const ones = prediction?.hidden[i].filter(Boolean).length;
      const label = prediction ? `${ones} of ${outputs} bits are +1` : "nothing is drawn yet";
      grid.setAttribute("aria-label", `Layer ${i + 1}: ${label}`);
    });
  }

  /**
   * The time of one inference. The median is that of compiled code: the browser compiles it during the first rounds.
   * @param {Uint8Array} pixels
   */
  async measure(pixels) {
    const times = [];
    while (times.length < ROUNDS) {
      await new Promise(requestAnimationFrame); // so that the page can be used meanwhile
      times.push(microseconds(() => this.network.predict(pixels)));
    }
    times.sort((a, b) => a - b);
    this.write("time", `${Math.round(times[(ROUNDS - 1) / 2])} µs`);
  }
}

/**
 * What one run takes, as the mean of a few milliseconds: a browser's clock has coarse ticks.
 * @param {() => void} run
 */
function microseconds(run) {
  const start = performance.now();
  let [runs, spent] = [0, 0];
  for (; spent < ROUND; runs++) {
    run();
    spent = performance.now() - start;
  }
  return (1000 * spent) / runs;
}
