// What the page shows of the network's inside: its input image, its hidden outputs, its size and its speed.

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
    this.grids = network.hidden.map((layer, i) => this.addGrid(i + 1, layer));
    this.picture = /** @type {HTMLCanvasElement} */ (root.querySelector("[data-part=picture]"));
    this.write("pixels", `${network.inputs} pixels`);
    this.write("weights", `${network.weightBits.toLocaleString("en")} bits`);
    this.write("file", `${bytes.toLocaleString("en")} bytes`);
  }

  /** @param {number} number @param {PackedNetwork["hidden"][0]} layer */
  addGrid(number, { shape: [count, height, width], activation }) {
    const kind = activation === "sign" ? "bits" : "bytes";
    const figure = document.createElement("figure");
    figure.innerHTML = `<canvas class="draw-squares" role="img"></canvas>
      <figcaption><b>Layer ${number}</b> ${height ? `${count} × ${height} × ${width}` : count} ${kind}</figcaption>`;
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
      const { shape } = this.network.hidden[i];
      const values = prediction?.hidden[i] ?? new Uint8Array(sizeOf(shape));
      const largest = Math.max(...values, 1);
      const { squares, columns } = tiled(values.map((value) => (INK * value) / largest), shape);
      paintSquares(grid, squares, columns);
    });
  }

  /** For a screen reader. @param {Prediction | null} prediction */
  describe(prediction) {
    this.grids.forEach((grid, i) => {
      const { shape, activation } = this.network.hidden[i];
      const count = prediction?.hidden[i].filter(Boolean).length;
      const what = activation === "sign" ? "bits are +1" : "bytes are above 0";
      const label = prediction ? `${count} of ${sizeOf(shape)} ${what}` : "nothing is drawn yet";
      grid.setAttribute("aria-label", `Layer ${i + 1}: ${label}`);
    });
  }

  /**
   * The time of one inference. The first rounds compile the code, so the median is that of compiled code.
   * @param {Uint8Array} pixels
   */
  async measure(pixels) {
    const times = [];
    while (times.length < ROUNDS) {
      await new Promise(requestAnimationFrame); // so that the page stays responsive
      times.push(microseconds(() => this.network.predict(pixels)));
    }
    times.sort((a, b) => a - b);
    this.write("time", `${Math.round(times[(ROUNDS - 1) / 2]).toLocaleString("en")} µs`);
  }
}

/** @param {number[]} shape */
function sizeOf(shape) {
  return shape.reduce((product, size) => product * size);
}

/**
 * The maps of a convolution side by side, with gaps; the single values of a dense layer without gaps.
 * @param {Uint8Array} values the channels last
 * @param {number[]} shape
 */
function tiled(values, [count, height = 1, width = 1]) {
  const gap = Number(height > 1);
  const across = columnsFor(count);
  const columns = across * (width + gap) - gap;
  const squares = new Uint8Array(columns * (Math.ceil(count / across) * (height + gap) - gap));
  values.forEach((value, at) => {
    const [map, place] = [at % count, Math.floor(at / count)];
    const x = (map % across) * (width + gap) + (place % width);
    const y = Math.floor(map / across) * (height + gap) + Math.floor(place / width);
    squares[y * columns + x] = value;
  });
  return { squares, columns };
}

/**
 * The time of one run, averaged over a few milliseconds, since a browser's clock is coarse.
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
