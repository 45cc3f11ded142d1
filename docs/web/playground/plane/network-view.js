// The network: each unit with its own map, each weight as a line. The line's colour and dashes tell the weight's sign,
// its strength the size of the latent weight, and it flashes when the sign flips.

import { drawMark, emptied } from "./paint.js";

/**
 * @typedef {import("../../engine/learning.js").Network} Network
 * @typedef {import("./maps.js").Maps} Maps
 * @typedef {import("./paint.js").Colours} Colours
 * @typedef {import("./paint.js").Sheet} Sheet
 * @typedef {{x: number, y: number, side: number}} Node
 * @typedef {{path: Path2D, layer: number, unit: number, input: number}} Line in the order of the weights
 */

const HEADING = 18; // pixels above the columns
const [LARGEST, GAP] = [46, 4]; // pixels: a unit's side, and between units
const FLASH = 450; // milliseconds; no line flashes three times in a second
const REACH = [3, 7, 13]; // pixels within which a click finds a line, the nearest first

export class NetworkView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Maps} maps
   */
  constructor(canvas, maps) {
    this.canvas = canvas;
    this.maps = maps;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    /** @type {Line[]} */
    this.lines = [];
    this.signs = new Int8Array(0); // as last drawn
    this.flipped = new Float64Array(0); // when
  }

  /** Forget the flips, for a new network. */
  restart() {
    this.signs = new Int8Array(0);
  }

  /**
   * The maps must have evaluated the network.
   * @param {Network} network
   * @param {Colours} colours
   * @param {number} chosen a weight's number
   * @param {number} now in milliseconds
   */
  draw(network, colours, chosen, now) {
    const sheet = emptied(this.canvas);
    if (!sheet) return;
    const columns = layOut(sheet, network);
    this.lines = linesBetween(columns);
    const weights = network.layers.flatMap(({ weight }) => Array.from(weight));
    this.noteFlips(weights, now);
    const largest = network.layers.map(({ weight }) => Math.max(...Array.from(weight, Math.abs), 1e-9));
    this.lines.forEach((line, i) => {
      const strength = Math.abs(weights[i]) / largest[line.layer];
      this.drawFlash(sheet.context, colours, line.path, now - this.flipped[i]);
      drawLine(sheet.context, colours, line.path, weights[i] >= 0, strength, i === chosen);
    });
    this.drawUnits(sheet, columns, colours);
  }

  /** @param {number[]} weights @param {number} now */
  noteFlips(weights, now) {
    const signs = Int8Array.from(weights, (w) => (w >= 0 ? 1 : -1));
    if (this.signs.length !== signs.length) this.flipped = new Float64Array(signs.length).fill(-Infinity);
    else signs.forEach((sign, i) => {
      if (sign !== this.signs[i] && now - this.flipped[i] > FLASH) this.flipped[i] = now;
    });
    this.signs = signs;
  }

  /** Whether a flash is still to fade. @param {number} now */
  isFlashing(now) {
    return !this.still.matches && this.flipped.some((when) => now - when < FLASH);
  }

  /**
   * A light behind the line.
   * @param {CanvasRenderingContext2D} context
   * @param {Colours} colours
   * @param {Path2D} path
   * @param {number} age in milliseconds
   */
  drawFlash(context, colours, path, age) {
    if (this.still.matches || age > FLASH) return;
    context.globalAlpha = 1 - age / FLASH;
    context.strokeStyle = colours.flash;
    context.lineWidth = 8;
    context.stroke(path);
    context.globalAlpha = 1;
  }

  /**
   * @param {Sheet} sheet
   * @param {Node[][]} columns
   * @param {Colours} colours
   */
  drawUnits({ context, width }, columns, colours) {
    const put = (/** @type {HTMLCanvasElement} */ map, /** @type {Node} */ { x, y, side }) => {
      context.drawImage(map, x - side / 2, y - side / 2, side, side);
      context.strokeStyle = colours.quiet;
      context.lineWidth = 1;
      context.strokeRect(x - side / 2, y - side / 2, side, side);
    };
    columns[0].forEach((node, input) => {
      put(this.maps.paintInput(input), node);
      label(context, colours.ink, `x${"₁₂"[input]}`, node.x, node.y + node.side / 2 + 13);
    });
    columns.slice(1, -1).forEach((nodes, layer) =>
      nodes.forEach((node, unit) => put(this.maps.paintUnit(layer, unit), node)));
    const last = columns[columns.length - 1];
    last.forEach(({ x, y, side }, unit) => {
      context.strokeStyle = colours.quiet;
      context.lineWidth = 1;
      context.strokeRect(x - side / 2, y - side / 2, side, side);
      drawMark(context, colours, unit, x, y, side / 5);
      label(context, colours.ink, unit ? "+" : "−", x, y + side / 2 + 13);
    });
    columns.forEach((nodes, i) => {
      const text = nodes !== last ? (i ? `${nodes.length} units` : "inputs") : "classes";
      label(context, colours.quiet, text, Math.min(Math.max(nodes[0].x, 20), width - 24), 11);
    });
  }

  /**
   * The weight whose line is nearest.
   * @param {number} x in CSS pixels from the canvas's left edge
   * @param {number} y
   * @returns {number} -1 where there is none
   */
  weightAt(x, y) {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const ratio = this.canvas.width / this.canvas.clientWidth; // the canvas finds points in its own pixels
    context.setLineDash([]);
    for (const reach of REACH) {
      context.lineWidth = 2 * reach;
      const found = this.lines.findIndex(({ path }) => context.isPointInStroke(path, x * ratio, y * ratio));
      if (found >= 0) return found;
    }
    return -1;
  }
}

/**
 * A place for each unit, a column for each layer.
 * @param {Sheet} sheet
 * @param {Network} network
 * @returns {Node[][]}
 */
function layOut({ width, height }, { layers }) {
  const counts = [layers[0].inputs, ...layers.map(({ outputs }) => outputs)];
  const room = height - HEADING - 2;
  return counts.map((count, column) => {
    const isOuter = column === 0 || column === counts.length - 1;
    const pitch = Math.min(isOuter ? 92 : LARGEST + 3 * GAP, room / count);
    const side = isOuter ? 30 : Math.min(LARGEST, pitch - GAP);
    const x = LARGEST / 2 + 1 + (column / (counts.length - 1)) * (width - LARGEST - 2);
    const top = HEADING + (room - count * pitch) / 2;
    return Array.from({ length: count }, (_, i) => ({ x, y: top + (i + 0.5) * pitch, side }));
  });
}

/** @param {Node[][]} columns @returns {Line[]} */
function linesBetween(columns) {
  return columns.slice(1).flatMap((nodes, layer) => nodes.flatMap((to, unit) =>
    columns[layer].map((from, input) => ({ path: curve(from, to), layer, unit, input }))));
}

/** @param {Node} from @param {Node} to */
function curve(from, to) {
  const [start, end] = [from.x + from.side / 2, to.x - to.side / 2];
  const middle = (start + end) / 2;
  const path = new Path2D();
  path.moveTo(start, from.y);
  path.bezierCurveTo(middle, from.y, middle, to.y, end, to.y);
  return path;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Colours} colours
 * @param {Path2D} path
 * @param {boolean} isPlus
 * @param {number} strength from 0 to 1
 * @param {boolean} isChosen
 */
function drawLine(context, colours, path, isPlus, strength, isChosen) {
  context.setLineDash([]);
  for (const [colour, width] of isChosen ? /** @type {const} */ ([[colours.ink, 8], [colours.paper, 5.5]]) : []) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  }
  context.globalAlpha = isChosen ? 1 : 0.25 + 0.75 * strength;
  context.strokeStyle = isPlus ? colours.plus : colours.minus;
  context.lineWidth = 0.6 + 3 * strength;
  context.setLineDash(isPlus ? [] : [5, 4]);
  context.stroke(path);
  context.setLineDash([]);
  context.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour
 * @param {string} text
 * @param {number} x
 * @param {number} y
 */
function label(context, colour, text, x, y) {
  context.fillStyle = colour;
  context.textAlign = "center";
  context.fillText(text, x, y);
}
