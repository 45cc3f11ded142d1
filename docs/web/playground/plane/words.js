// What happens, in words: for those who do not see the canvases, and below them for everybody.

/**
 * @typedef {import("./run.js").Run} Run
 * @typedef {import("./state.js").State} State
 */

/** @param {number} share @param {number} [digits] */
export function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** With about three significant digits, and a minus sign as wide as a digit. @param {number} x */
export function short(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  const isPlain = size === 0 || (size >= 0.001 && size < 1000);
  return (isPlain ? x.toFixed(size < 10 ? 2 : 0) : x.toExponential(1)).replaceAll("-", "−");
}

/** @param {Run} run */
export function clock({ steps, epoch }) {
  return `Step ${steps.toLocaleString("en")}, epoch ${epoch.toFixed(1)}`;
}

/** How many points are classified correctly. @param {Run} run */
export function verdict({ data, accuracy }) {
  if (!data.count) return "no points";
  return `${Math.round(accuracy * data.count)} of ${data.count} points correct`;
}

/** A sentence or two about a run. @param {Run} run */
export function summary(run) {
  if (!run.data.count) return "There are no points.";
  const ratios = run.flipRatios();
  const recent = ratios.subarray(-20);
  const mean = recent.reduce((sum, ratio) => sum + ratio, 0) / Math.max(recent.length, 1);
  const flips = run.binaryWeights ? `; recently ${percent(mean)} of the weights flipped per step` : "";
  return `${clock(run)}: ${verdict(run)}, loss ${short(run.loss)}${flips}.`;
}

/** @param {Run} run @param {number} number of a weight, from 0 */
export function weightName({ network }, number) {
  let at = number;
  const layer = network.layers.findIndex(({ weight }) => at < weight.length || ((at -= weight.length), false));
  const { inputs } = network.layers[layer];
  const [unit, input] = [Math.floor(at / inputs), at % inputs];
  const from = layer === 0 ? `x${"₁₂"[input]}` : `unit ${input + 1}`;
  const to = layer === network.layers.length - 1 ? `class ${unit ? "+" : "−"}` : `unit ${unit + 1}`;
  return `${layer > 0 && network.layers.length > 2 ? `layer ${layer}, ` : ""}${from} → ${to}`;
}

/** The network's answer at a place. @param {Run} run @param {[number, number]} place */
export function judgement({ network }, place) {
  const [minus, plus] = network.forward(Float64Array.from(place), 1);
  const share = 1 / (1 + Math.exp(-Math.abs(plus - minus)));
  const [x, y] = place.map(short);
  return `At ${x} and ${y} the network answers ${plus > minus ? "+" : "−"}, with ${percent(share, 0)}.`;
}
