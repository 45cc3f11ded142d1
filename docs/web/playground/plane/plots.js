// The small pictures beside the network: curves over the steps, the latent weights, and the sign with its slope.

import { emptied } from "./paint.js";

/**
 * @typedef {import("./paint.js").Colours} Colours
 * @typedef {import("./paint.js").Sheet} Sheet
 * @typedef {{values: ArrayLike<number>, end: number, isBeside?: boolean}} Series end: the step of the last value
 * @typedef {(x: number) => number} Scale
 */

const MARGIN = { left: 30, right: 6, top: 6, bottom: 16 };
const BARS = 25; // an odd number: only the middle bar lies on both sides of zero

/**
 * Lines over the steps; the second network's is dashed.
 * @param {HTMLCanvasElement} canvas
 * @param {Colours} colours
 * @param {Series[]} series
 * @param {number} high the least at which the picture ends
 * @param {(x: number) => string} [format]
 */
export function drawCourses(canvas, colours, series, high, format = String) {
  const sheet = emptied(canvas);
  if (!sheet) return;
  const { context } = sheet;
  const top = niceAbove(series.reduce((most, { values }) => largest(values, most), high));
  const last = Math.max(...series.map(({ end }) => end), 1);
  const [x, y] = scales(sheet, [0, last], [0, top]);
  drawFrame(sheet, colours, [[0, format(0)], [top, format(top)]], y);
  drawTicks(sheet, colours, ["0", `step ${last.toLocaleString("en")}`]);
  for (const { values, end, isBeside } of series) {
    context.strokeStyle = isBeside ? colours.ink : colours.plus;
    context.lineWidth = isBeside ? 1.2 : 1.8;
    context.setLineDash(isBeside ? [4, 3] : []);
    context.beginPath();
    for (let i = 0; i < values.length; i++) {
      context.lineTo(x((end * i) / Math.max(values.length - 1, 1)), y(Math.min(values[i], top)));
    }
    context.stroke();
  }
  context.setLineDash([]);
}

/**
 * A weight's life: its latent value over the steps, with the band where the clamp keeps it.
 * @param {HTMLCanvasElement} canvas
 * @param {Colours} colours
 * @param {Series} series
 * @param {boolean} hasBand
 */
export function drawLife(canvas, colours, { values, end }, hasBand) {
  const sheet = emptied(canvas);
  if (!sheet) return;
  const { context } = sheet;
  const most = niceAbove(1.1 * largest(Array.from(values, Math.abs), hasBand ? 1 : 0.1));
  const [x, y] = scales(sheet, [0, Math.max(end, 1)], [-most, most]);
  context.fillStyle = colours.band;
  if (hasBand) context.fillRect(x(0), y(1), x(Math.max(end, 1)) - x(0), y(-1) - y(1));
  drawFrame(sheet, colours, [[-most, signed(-most)], [0, "0"], [most, signed(most)]], y);
  drawTicks(sheet, colours, ["0", `step ${end.toLocaleString("en")}`]);
  context.lineWidth = 1.8;
  for (const isPlus of [true, false]) { // in the colour and the dashes of the sign
    context.strokeStyle = isPlus ? colours.plus : colours.minus;
    context.setLineDash(isPlus ? [] : [3, 2]);
    context.beginPath();
    Array.from(values).forEach((value, i) => {
      const place = /** @type {const} */ ([x((end * i) / Math.max(values.length - 1, 1)), y(value)]);
      if (value >= 0 === isPlus) context.lineTo(...place);
      else context.moveTo(...place);
    });
    context.stroke();
  }
  context.setLineDash([]);
}

/**
 * A histogram of the latent weights.
 * @param {HTMLCanvasElement} canvas
 * @param {Colours} colours
 * @param {number[]} weights
 * @param {boolean} hasClamp
 */
export function drawHistogram(canvas, colours, weights, hasClamp) {
  const sheet = emptied(canvas);
  if (!sheet) return;
  const most = niceAbove(largest(weights.map(Math.abs), hasClamp ? 1 : 0.1) * 1.0001);
  const { counts, top } = counted(weights, most);
  const [x, y] = scales(sheet, [-most, most], [0, top]);
  drawBars(sheet, counts, most, x, y, (from) => (from < -1e-9 ? colours.minus : colours.plus));
  drawFrame(sheet, colours, [[0, "0"], [top, String(top)]], y);
  drawTicks(sheet, colours, [signed(-most), "0", signed(most)]);
}

/**
 * The step of the forward pass, the slope of the backward pass, and behind them a histogram of the numbers that the
 * step is applied to.
 * @param {HTMLCanvasElement} canvas
 * @param {Colours} colours
 * @param {{value: Scale, slope: Scale}} activation
 * @param {number[]} sums
 * @param {number} reach of the picture, to both sides
 */
export function drawSurrogate(canvas, colours, { value, slope }, sums, reach) {
  const sheet = emptied(canvas);
  if (!sheet) return;
  const { context } = sheet;
  const xs = Array.from({ length: 401 }, (_, i) => (i / 200 - 1) * reach);
  const steepest = Math.max(niceAbove(largest(xs.map(slope), 0)), 1);
  const { counts, top } = counted(sums, reach);
  const [x, bars] = scales(sheet, [-reach, reach], [0, 1.15 * top]);
  const y = scales(sheet, [-reach, reach], [-1.15, 1.15])[1];
  drawBars(sheet, counts, reach, x, bars, () => colours.bar);
  drawFrame(sheet, colours, [[-1, "−1"], [0, "0"], [1, steepest === 1 ? "+1" : `+1, ${steepest}`]], y);
  drawTicks(sheet, colours, [signed(-reach), "0", signed(reach)]);
  const line = (/** @type {Scale} */ f, /** @type {string} */ colour, /** @type {number[]} */ dashes) => {
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.setLineDash(dashes);
    context.beginPath();
    xs.forEach((at) => context.lineTo(x(at), y(f(at))));
    context.stroke();
    context.setLineDash([]);
  };
  line(value, colours.plus, []);
  line((at) => slope(at) / steepest, colours.gradient, [4, 3]);
}

/**
 * @param {number[]} values
 * @param {number} reach the bars go from -reach to +reach; what lies outside is counted in the outermost
 */
function counted(values, reach) {
  const counts = new Uint32Array(BARS);
  for (const value of values) {
    const bar = Math.floor(((value / reach + 1) / 2) * BARS);
    if (Number.isFinite(value)) counts[Math.min(Math.max(bar, 0), BARS - 1)]++;
  }
  return { counts, top: Math.max(...counts, 1) };
}

/**
 * @param {Sheet} sheet
 * @param {Uint32Array} counts
 * @param {number} reach
 * @param {Scale} x
 * @param {Scale} y
 * @param {(middle: number) => string} colour
 */
function drawBars({ context }, counts, reach, x, y, colour) {
  const wide = (2 * reach) / counts.length;
  counts.forEach((count, i) => {
    const from = -reach + i * wide;
    context.fillStyle = colour(from + wide / 2);
    context.fillRect(x(from) + 0.5, y(count), x(from + wide) - x(from) - 1, y(0) - y(count));
  });
}

/**
 * Lines across, with their labels at the left.
 * @param {Sheet} sheet
 * @param {Colours} colours
 * @param {Array<[value: number, label: string]>} ticks
 * @param {Scale} y
 */
function drawFrame({ context, width }, colours, ticks, y) {
  context.textAlign = "right";
  context.fillStyle = colours.quiet;
  context.strokeStyle = colours.rule;
  context.lineWidth = 1;
  for (const [value, label] of ticks) {
    context.beginPath();
    context.moveTo(MARGIN.left, y(value));
    context.lineTo(width - MARGIN.right, y(value));
    context.stroke();
    context.fillText(label, MARGIN.left - 4, y(value) + 4);
  }
}

/**
 * Labels below, from the left end to the right one.
 * @param {Sheet} sheet
 * @param {Colours} colours
 * @param {string[]} labels
 */
function drawTicks({ context, width, height }, colours, labels) {
  context.fillStyle = colours.quiet;
  labels.forEach((label, i) => {
    const share = i / (labels.length - 1);
    context.textAlign = /** @type {const} */ (["left", "center", "right"])[2 * share];
    context.fillText(label, MARGIN.left + share * (width - MARGIN.left - MARGIN.right), height - 3);
  });
}

/**
 * @param {Sheet} sheet
 * @param {[number, number]} xs
 * @param {[number, number]} ys
 * @returns {[Scale, Scale]}
 */
function scales({ width, height }, [left, right], [bottom, top]) {
  const [wide, high] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
  return [
    (x) => MARGIN.left + ((x - left) / (right - left)) * wide,
    (y) => MARGIN.top + ((top - y) / (top - bottom)) * high,
  ];
}

/** @param {ArrayLike<number>} values @param {number} least */
function largest(values, least) {
  let most = least;
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) most = Math.max(most, values[i]);
  return most;
}

/** The next of 1, 1.5, 2, 3, 5, 7.5, 10, times a power of ten. @param {number} x */
export function niceAbove(x) {
  if (!(x > 0) || !Number.isFinite(x)) return 1;
  const power = 10 ** Math.floor(Math.log10(x));
  const step = [1, 1.5, 2, 3, 5, 7.5, 10].find((step) => step * power >= x * (1 - 1e-9)) ?? 10;
  return Number((step * power).toPrecision(2));
}

/** With a minus that is as wide as a digit. @param {number} x */
function signed(x) {
  return (x > 0 ? "+" : "") + String(x).replace("-", "−");
}
