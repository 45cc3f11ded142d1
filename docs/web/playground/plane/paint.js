// Canvases at the screen's resolution, and the page's colours for them.

/**
 * @typedef {object} Sheet
 * @property {CanvasRenderingContext2D} context in CSS pixels
 * @property {number} width
 * @property {number} height
 *
 * @typedef {[red: number, green: number, blue: number]} Rgb
 * @typedef {Record<(typeof NAMES)[number], string>} Colours
 */

const NAMES = /** @type {const} */ ([
  "ink", "quiet", "rule", "paper", "plus", "minus", "plus-area", "minus-area", "flash", "gradient", "band", "bar",
]);
const FINEST = 3; // pixels of a canvas for one of CSS; more would not be visible

/**
 * A canvas that is empty and as fine as the screen. Null where it is not shown.
 * @param {HTMLCanvasElement} canvas
 * @returns {Sheet | null}
 */
export function emptied(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return null;
  const ratio = Math.min(devicePixelRatio || 1, FINEST);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const size = [width, height].map((length) => Math.round(length * ratio));
  if (canvas.width !== size[0]) canvas.width = size[0];
  if (canvas.height !== size[1]) canvas.height = size[1];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, size[0], size[1]);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = "11px system-ui, sans-serif";
  return { context, width, height };
}

/** @param {HTMLElement} root @param {string} name */
export function partOf(root, name) {
  return /** @type {HTMLElement} */ (root.querySelector(`[data-part=${name}]`));
}

/**
 * The colours of the scheme that is on: custom properties such as --play-ink, in hexadecimal.
 * @param {HTMLElement} root
 * @returns {Colours}
 */
export function coloursOf(root) {
  const style = getComputedStyle(root);
  const entries = NAMES.map((name) => [name, style.getPropertyValue(`--play-${name}`).trim()]);
  return /** @type {Colours} */ (Object.fromEntries(entries));
}

/**
 * 256 colours from one to the other, as pixels of an image.
 * @param {string} low
 * @param {string} high
 */
export function paletteOf(low, high) {
  const [from, to] = [low, high].map(rgb);
  const pixels = new Uint8ClampedArray(4 * 256);
  for (let i = 0; i < 256; i++) {
    for (const part of [0, 1, 2]) pixels[4 * i + part] = from[part] + ((to[part] - from[part]) * i) / 255;
    pixels[4 * i + 3] = 255;
  }
  return new Uint32Array(pixels.buffer);
}

/** @param {string} colour such as #0072b2 @returns {Rgb} */
function rgb(colour) {
  const number = parseInt(colour.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/**
 * The mark of a class: a filled disk for +, a hollow diamond for −, so that nobody has to rely on the colour.
 * @param {CanvasRenderingContext2D} context
 * @param {Colours} colours
 * @param {number} label
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
export function drawMark(context, colours, label, x, y, size) {
  context.beginPath();
  if (label) context.arc(x, y, size, 0, 2 * Math.PI);
  else for (const [dx, dy] of [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]]) context.lineTo(x + size * dx, y + size * dy);
  context.closePath();
  context.fillStyle = label ? colours.plus : colours.paper;
  context.strokeStyle = label ? colours.paper : colours.minus;
  context.lineWidth = label ? 1 : 1.8;
  context.fill();
  context.stroke();
}
