// The reader's own points: a click into the map, or Enter at the keyboard's cross, adds or removes one.

import { EDGE } from "./maps.js";
import { MOST_POINTS, snapped } from "./state.js";

/** @typedef {import("./state.js").Point} Point */

const FULL = `There is room for ${MOST_POINTS} points. Click on one to remove it.`;
const REACH = 0.05; // within which a click removes a point
const [STRIDE, LEAP] = [0.05, 0.25]; // of the cross, without and with Shift

/** @type {{[key: string]: [number, number]}} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class PointsEditor {
  /**
   * @param {HTMLElement} canvas
   * @param {HTMLSelectElement} pen the class of new points
   * @param {object} stage
   * @param {() => Point[]} stage.points that there are
   * @param {(points: Point[]) => void} stage.changed
   * @param {(place: [number, number] | null) => void} stage.moved the cross
   * @param {(words: string) => void} stage.refused
   */
  constructor(canvas, pen, stage) {
    this.stage = stage;
    this.pen = pen;
    /** @type {[number, number] | null} */
    this.cross = null; // while the keyboard is here
    this.place = /** @type {[number, number]} */ ([0, 0]); // where it is, or was
    canvas.addEventListener("click", (event) => this.toggle(...placeOf(canvas, event)));
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("focus", () => this.show(canvas.matches(":focus-visible") ? this.place : null));
    canvas.addEventListener("blur", () => this.show(null));
  }

  /** @param {[number, number] | null} cross */
  show(cross) {
    this.cross = cross;
    this.stage.moved(cross);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== "Enter" && event.key !== " ") return;
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
    event.preventDefault();
    if (!arrow && event.repeat) return;
    if (!arrow) return this.toggle(...this.place);
    const stride = event.shiftKey ? LEAP : STRIDE;
    this.place = /** @type {[number, number]} */ (this.place.map((x, axis) => snapped(x + stride * arrow[axis])));
    this.show(this.place);
  }

  /** @param {number} x @param {number} y */
  toggle(x, y) {
    [x, y] = [snapped(x), snapped(y)];
    const points = this.stage.points();
    const distances = points.map((point) => Math.hypot(point[0] - x, point[1] - y));
    const nearest = distances.indexOf(Math.min(...distances));
    if (distances[nearest] <= REACH) return this.stage.changed(round(points.filter((_, i) => i !== nearest)));
    if (points.length >= MOST_POINTS) return this.stage.refused(FULL);
    this.stage.changed(round([...points, [x, y, Number(this.pen.value)]]));
  }
}

/** As the address can hold them. @param {Point[]} points @returns {Point[]} */
function round(points) {
  return points.map(([x, y, label]) => [snapped(x), snapped(y), label]);
}

/** @param {HTMLElement} canvas @param {MouseEvent} event @returns {[number, number]} */
function placeOf(canvas, { clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return [(2 * ((clientX - left) / width) - 1) * EDGE, (1 - 2 * ((clientY - top) / height)) * EDGE];
}
