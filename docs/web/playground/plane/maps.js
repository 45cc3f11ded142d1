// Maps: what the network, and each of its units, answers at every place in the plane.

import { drawMark, emptied, paletteOf } from "./paint.js";

/**
 * @typedef {import("./datasets.js").Dataset} Dataset
 * @typedef {import("../../engine/learning.js").Network} Network
 * @typedef {import("./paint.js").Colours} Colours
 */

export const EDGE = 1.12; // the map shows [-EDGE, EDGE] in both directions
const ROW = 56; // places

/** The places of a map, from its upper left corner on. */
const PLACES = Float64Array.from({ length: 2 * ROW * ROW }, (_, i) => {
  const at = i >> 1;
  const share = ((i % 2 ? Math.floor(at / ROW) : at % ROW) + 0.5) / ROW;
  return (i % 2 ? 1 - 2 * share : 2 * share - 1) * EDGE;
});

/** Paints maps of one network, one after the other. */
export class Maps {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = ROW;
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.image = this.context.createImageData(ROW, ROW);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.palette = new Uint32Array(256);
    /** @type {Network["layers"]} */
    this.layers = [];
  }

  /** @param {Colours} colours */
  useColours(colours) {
    this.palette = paletteOf(colours["minus-area"], colours["plus-area"]);
  }

  /** @param {(at: number) => number} value of place `at`, in [-1, 1] */
  paint(value) {
    for (let at = 0; at < this.pixels.length; at++) this.pixels[at] = this.palette[Math.round(127.5 * (value(at) + 1))];
    this.context.putImageData(this.image, 0, 0);
    return this.canvas;
  }

  /**
   * Evaluate the network at every place. What its layers then hold is painted.
   * @param {Network} network
   */
  evaluate(network) {
    network.forward(PLACES, ROW * ROW);
    this.layers = network.layers;
  }

  /** How certain the network is, from − (-1) to + (+1). */
  paintDecision() {
    const { z } = this.layers[this.layers.length - 1];
    return this.paint((at) => Math.tanh((z[2 * at + 1] - z[2 * at]) / 2)); // 2 softmax - 1
  }

  /** @param {number} layer @param {number} unit */
  paintUnit(layer, unit) {
    const { z, outputs } = this.layers[layer];
    return this.paint((at) => z[at * outputs + unit]);
  }

  /** What an input says: its coordinate. @param {number} input */
  paintInput(input) {
    return this.paint((at) => PLACES[2 * at + input] / EDGE);
  }
}

/**
 * The decision map with the points, and the keyboard's cross where there is one.
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLCanvasElement} map
 * @param {Dataset} data
 * @param {Colours} colours
 * @param {[number, number] | null} cross
 */
export function drawMap(canvas, map, data, colours, cross) {
  const sheet = emptied(canvas);
  if (!sheet) return;
  const { context, width, height } = sheet;
  context.drawImage(map, 0, 0, width, height);
  const place = (/** @type {number} */ x, /** @type {number} */ y) => /** @type {[number, number]} */ (
    [((x / EDGE + 1) / 2) * width, ((1 - y / EDGE) / 2) * height]);
  for (let i = 0; i < data.count; i++) {
    const [x, y] = place(data.inputs[2 * i], data.inputs[2 * i + 1]);
    drawMark(context, colours, data.labels[i], x, y, Math.max(width / 90, 2.4));
  }
  if (!cross) return;
  const [x, y] = place(...cross);
  context.fillStyle = colours.ink;
  context.fillRect(x - 10, y - 1, 20, 2);
  context.fillRect(x - 1, y - 10, 2, 20);
}
