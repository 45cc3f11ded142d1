// Prepares drawings like the makers of MNIST: the twin of docs/web/make/prepare.py, with the same whole numbers.
// So it uses only + - * / sqrt and floor, each in the order written there, and sums of whole numbers only.

import { INK, PIXELS, SIDE } from "../engine/digit.js";

/** @typedef {[x: number, y: number]} Point y points downwards */

const LONGEST = 20; // pixels: the longest side of what is on an image
const MIDDLE = 14; // the pixel, counted from 0, to which the centre of mass comes
const WIDTH = 2.6; // of a stroke, in pixels
const REACH = 0.5 + WIDTH / 2; // from the middle of a stroke to where its soft edge ends

/**
 * Redraw strokes at a constant width, so that large and small writing look alike.
 * @param {Point[][]} strokes
 * @param {number} [smallest] the longest side, in the strokes' coordinates, below which a drawing is not enlarged
 * @returns {Uint8Array} 784 pixels, 255 is full ink; without any point all 0
 */
export function prepareStrokes(strokes, smallest = 28) {
  const points = strokes.flat();
  if (!points.length) return new Uint8Array(PIXELS);
  const [left, width] = span(points.map(([x]) => x));
  const [top, height] = span(points.map(([, y]) => y));
  const longest = Math.max(width, height, smallest);
  const [x, y] = [left + width / 2, top + height / 2];
  const shrink = (/** @type {number} */ length) => (length / longest) * (LONGEST - WIDTH);
  /** @type {(point: Point) => Point} */
  const moved = (point) => [shrink(point[0] - x), shrink(point[1] - y)]; // in pixels from the middle of the box
  const lines = strokes.map((line) => line.map(moved));
  const centre = centreOfMass(draw(lines, SIDE / 2, SIDE / 2), SIDE);
  return draw(lines, SIDE / 2 + (MIDDLE - centre[0]), SIDE / 2 + (MIDDLE - centre[1]));
}

/**
 * Shrink the ink of a picture and move it by whole pixels. An MNIST image comes back unchanged.
 * @param {Uint8Array | Uint8ClampedArray} grey 255 is full ink
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array} 784 pixels; without ink all 0
 */
export function preparePicture(grey, width, height) {
  const rows = inked(height, (y) => grey.subarray(y * width, (y + 1) * width).some(Boolean));
  if (!rows.length) return new Uint8Array(PIXELS);
  const columns = inked(width, (x) => rows.some((y) => grey[y * width + x] > 0));
  const [top, left] = [rows[0], columns[0]];
  const [tall, wide] = [rows[rows.length - 1] + 1 - top, columns[columns.length - 1] + 1 - left];
  const small = shrunk((x, y) => grey[(top + y) * width + left + x], wide, tall);
  return small.pixels.some(Boolean) ? centred(small.pixels, small.columns) : new Uint8Array(PIXELS);
}

/** @param {number[]} values @returns {[low: number, extent: number]} */
function span(values) {
  const low = values.reduce((a, b) => Math.min(a, b));
  return [low, values.reduce((a, b) => Math.max(a, b)) - low];
}

/** @param {number} length @param {(at: number) => boolean} test */
function inked(length, test) {
  return Array.from({ length }, (_, at) => at).filter(test);
}

/**
 * Ink where a pixel's centre is nearer to a line than half its width, half a pixel of it soft.
 * @param {Point[][]} lines
 * @param {number} right
 * @param {number} down
 */
function draw(lines, right, down) {
  const nearest = new Float64Array(PIXELS).fill(Infinity); // squared
  for (const line of lines) {
    const points = line.map(([x, y]) => /** @type {Point} */ ([x + right, y + down]));
    for (let i = 0; i < Math.max(points.length - 1, 1) && points.length; i++) {
      drawSegment(nearest, points[i], points[Math.min(i + 1, points.length - 1)]);
    }
  }
  return Uint8Array.from(nearest, (squared) => {
    const ink = Math.min(Math.max(REACH - Math.sqrt(squared), 0), 1);
    return Math.floor(INK * ink + 0.5);
  });
}

/**
 * Python looks at all pixels; those out of reach get no ink from this segment, so they are left out here.
 * @param {Float64Array} nearest
 * @param {Point} from
 * @param {Point} to
 */
function drawSegment(nearest, [x, y], [toX, toY]) {
  const [dx, dy] = [toX - x, toY - y];
  const squared = dx * dx + dy * dy;
  for (let row = firstPixel(y, toY); row <= lastPixel(y, toY); row++) {
    for (let column = firstPixel(x, toX); column <= lastPixel(x, toX); column++) {
      const [right, below] = [column + 0.5 - x, row + 0.5 - y];
      const share = squared > 0 ? Math.min(Math.max((right * dx + below * dy) / squared, 0), 1) : 0;
      const [across, along] = [right - share * dx, below - share * dy];
      const at = row * SIDE + column;
      nearest[at] = Math.min(nearest[at], across * across + along * along);
    }
  }
}

/** @param {number} a @param {number} b */
function firstPixel(a, b) {
  return Math.max(Math.floor(Math.min(a, b) - REACH - 0.5), 0);
}

/** @param {number} a @param {number} b */
function lastPixel(a, b) {
  return Math.min(Math.floor(Math.max(a, b) + REACH + 0.5), SIDE - 1);
}

/**
 * In pixels counted from 0: whole numbers up to the last step, a division.
 * @param {Uint8Array} pixels
 * @param {number} columns
 * @returns {Point}
 */
function centreOfMass(pixels, columns) {
  let [mass, x, y] = [0, 0, 0];
  pixels.forEach((ink, at) => {
    mass += ink;
    x += ink * (at % columns);
    y += ink * Math.floor(at / columns);
  });
  return [x / mass, y / mass];
}

/**
 * At most 20 rows and columns, moved by whole pixels; anything outside is lost.
 * @param {Uint8Array} small
 * @param {number} columns
 */
function centred(small, columns) {
  const [x, y] = centreOfMass(small, columns);
  const [left, top] = [MIDDLE - Math.floor(x + 0.5), MIDDLE - Math.floor(y + 0.5)];
  const image = new Uint8Array(PIXELS);
  small.forEach((ink, at) => {
    const [column, row] = [left + (at % columns), top + Math.floor(at / columns)];
    if (column >= 0 && column < SIDE && row >= 0 && row < SIDE) image[row * SIDE + column] = ink;
  });
  return image;
}

/**
 * The means of areas of `longest / 20` pixels a side, in whole numbers: a pixel counts 20, an area `longest`.
 * @param {(x: number, y: number) => number} ink
 * @param {number} width
 * @param {number} height
 */
function shrunk(ink, width, height) {
  const longest = Math.max(width, height, LONGEST);
  const across = overlaps(width, longest);
  const along = overlaps(height, longest);
  const pixels = new Uint8Array(along.length * across.length);
  along.forEach((rows, i) => across.forEach((columns, j) => {
    let sum = 0;
    for (const [y, high] of rows) for (const [x, wide] of columns) sum += high * wide * ink(x, y);
    pixels[i * across.length + j] = Math.floor((2 * sum + longest * longest) / (2 * longest * longest));
  }));
  return { pixels, columns: across.length };
}

/**
 * For each area the pixels that it covers, and by how much, in twentieths of a pixel.
 * @param {number} pixels
 * @param {number} longest
 * @returns {Array<Array<[pixel: number, share: number]>>}
 */
function overlaps(pixels, longest) {
  return Array.from({ length: Math.ceil((pixels * LONGEST) / longest) }, (_, area) => {
    const [start, end] = [area * longest, (area + 1) * longest];
    const first = Math.floor(start / LONGEST);
    const last = Math.min(Math.ceil(end / LONGEST), pixels);
    return Array.from({ length: Math.max(last - first, 0) }, (_, k) => {
      const at = (first + k) * LONGEST;
      return [first + k, Math.min(end, at + LONGEST) - Math.max(start, at)];
    });
  });
}
