// The paper: strokes by mouse, pen or finger, or an example, and undo. The ink is stored in the canvas's alpha channel,
// so that it can have any colour, and the picture is read back from there.

import { SIDE } from "../engine/digit.js";
import { preparePicture, prepareStrokes } from "./drawing.js";
import { paintSquares } from "./views.js";

/**
 * @typedef {import("./drawing.js").Point} Point
 *
 * @typedef {object} Drawing
 * @property {Uint8Array | null} example 28x28 pixels beneath the strokes
 * @property {Point[][]} strokes
 */

export const PAPER = 280; // the side of the paper, in the coordinates of a stroke's points
const PEN = 16; // the width of its stroke, in the same coordinates

export class Sketch {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} changed is called after each change
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    /** @type {Drawing} */
    this.drawing = { example: null, strokes: [] };
    /** @type {Drawing[]} */
    this.history = [];
    /** @type {Point | null} */
    this.pen = null; // where it is, while it is down
    this.pointer = 0; // whose it is
    this.follow();
  }

  get isEmpty() {
    return !this.drawing.example && !this.drawing.strokes.length;
  }

  clear() {
    if (!this.isEmpty) this.replace({ example: null, strokes: [] });
  }

  /** @param {Uint8Array} example 28x28 pixels */
  show(example) {
    this.replace({ example, strokes: [] });
  }

  /** Take back the last stroke, example or clearing. */
  undo() {
    this.pen = null;
    this.drawing = this.history.pop() ?? this.drawing;
    this.update();
  }

  /** @param {Drawing} drawing @param {Point | null} [pen] */
  replace(drawing, pen = null) {
    this.pen = pen;
    this.history.push(this.drawing);
    this.drawing = drawing;
    this.update();
  }

  update() {
    this.paint();
    this.changed();
  }

  /** The network's input. Strokes alone are redrawn; an example is used as it lies on the paper. */
  prepared() {
    if (!this.drawing.example) return prepareStrokes(this.drawing.strokes);
    const { width, height } = this.canvas;
    const rgba = this.context.getImageData(0, 0, width, height).data;
    const grey = new Uint8Array(width * height);
    for (let i = 0; i < grey.length; i++) grey[i] = rgba[4 * i + 3];
    return preparePicture(grey, width, height);
  }

  /** As many pixels as the screen has, and the ink in the colour of the page's text. */
  paint() {
    const { canvas, context } = this;
    const ratio = Math.min(Math.ceil(devicePixelRatio), 4);
    canvas.width = canvas.height = PAPER * ratio; // which also clears it
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const colour = getComputedStyle(canvas).color;
    context.strokeStyle = colour;
    Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", imageSmoothingEnabled: false });
    if (this.drawing.example) {
      const squares = paintSquares(document.createElement("canvas"), this.drawing.example, SIDE, colour);
      context.drawImage(squares, 0, 0, PAPER, PAPER);
    }
    for (const stroke of this.drawing.strokes) {
      const [x, y] = stroke[0];
      context.beginPath();
      context.moveTo(x + 0.01, y); // so that a dot has some length and is drawn
      stroke.forEach((point) => context.lineTo(...point));
      context.stroke();
    }
  }

  /** One pointer at a time. It is captured and followed outside the paper, too, but nothing is drawn there. */
  follow() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (this.pen || event.button !== 0 || !event.isPrimary) return;
      canvas.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      const point = this.pointOf(event);
      this.replace({ ...this.drawing, strokes: [...this.drawing.strokes, [point]] }, point);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.pen || event.pointerId !== this.pointer) return;
      const all = event.getCoalescedEvents?.() ?? [];
      for (const step of all.length ? all : [event]) this.extend(this.pen, (this.pen = this.pointOf(step)));
      this.update();
    });
    canvas.addEventListener("lostpointercapture", (event) => {
      if (event.pointerId === this.pointer) this.pen = null;
    });
  }

  /** @param {PointerEvent} event @returns {Point} */
  pointOf({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [((clientX - left) / width) * PAPER, ((clientY - top) / height) * PAPER];
  }

  /**
   * Draw on from one point to the next. Where the pen comes back to the paper, a new stroke begins.
   * @param {Point} from
   * @param {Point} to
   */
  extend(from, to) {
    const piece = clipped(from, to);
    if (!piece) return;
    const [start, end] = piece;
    const stroke = this.drawing.strokes[this.drawing.strokes.length - 1];
    if (start === from) stroke.push(end);
    else this.drawing.strokes.push([start, end]);
  }
}

/**
 * The part of a segment that lies on the paper (Liang and Barsky 1984); null if there is none. An end on the paper
 * is returned unchanged.
 * @param {Point} from
 * @param {Point} to
 * @returns {[Point, Point] | null}
 */
function clipped(from, to) {
  let [enter, leave] = [0, 1];
  for (const axis of [0, 1]) {
    const change = to[axis] - from[axis];
    const [near, far] = change < 0 ? [PAPER, 0] : [0, PAPER];
    if (change === 0 && (from[axis] < 0 || from[axis] > PAPER)) return null;
    if (change === 0) continue;
    enter = Math.max(enter, (near - from[axis]) / change);
    leave = Math.min(leave, (far - from[axis]) / change);
  }
  if (enter > leave) return null;
  /** @type {(share: number) => Point} */
  const at = (share) => [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])];
  return [enter > 0 ? at(enter) : from, leave < 1 ? at(leave) : to];
}
