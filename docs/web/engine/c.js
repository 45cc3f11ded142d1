// The packed network as one C file, what `to_c` in bnn_tutorial/packed/c.py writes. For this one shape all but the
// constants is the same each time: template.c has it, written by Python, with a name such as @scale@ for what comes here.

import { SIDE } from "./digit.js";

/** @typedef {import("./fold.js").FoldedLayer} FoldedLayer */

const [HIGH, WIDE] = [2, 4]; // a group of pixels, whose partial sums are in a table
const COLUMNS = 120; // of a line

/**
 * @param {string} template
 * @param {FoldedLayer[]} layers 784-300-100-10
 * @param {Record<string, string>} provenance
 * @throws {Error} if whole numbers of 64 bits would change the order of two logits
 */
export function writeC(template, [first, second, last], provenance) {
  const { kind, scale, shift } = fixedPoint(last);
  const most = Array.from(second.threshold ?? [], (threshold) => Math.floor((second.inputs - threshold) / 2));
  /** @type {Record<string, string>} */
  const parts = {
    provenance: Object.entries(provenance).map(provenanceLine).join(""),
    signs_0: rows(groups(first)),
    threshold_0: rows([Array.from(first.threshold ?? [], String)]),
    weights_1: rows(words(second)),
    most_1: rows([most.map(String)]),
    weights_2: rows(words(last)),
    scale: rows([scale.map(String)]),
    shift: rows([shift.map(String)]),
    kind,
  };
  return template.replace(/@(\w+)@/g, (_, name) => parts[name]);
}

/** A line of the comment at the head, which it must not end. @param {[name: string, text: string]} entry */
function provenanceLine([name, text]) {
  return ` * ${name}: ${text}\n`.replaceAll("*/", "* /").replaceAll("@", "(at)");
}

/** As many numbers in a line as fit; each row of a table begins on a line of its own. @param {string[][]} table */
function rows(table) {
  const lines = table.flatMap((texts) => {
    const most = Math.floor(COLUMNS / (Math.max(...texts.map((text) => text.length)) + 2));
    return Array.from({ length: Math.ceil(texts.length / most) }, (_, i) => texts.slice(i * most, (i + 1) * most));
  });
  return lines.map((line) => line.join(", ")).join(",\n    ");
}

/** For each block of 4x2 pixels, a byte of each neuron's weights there. @param {FoldedLayer} layer */
function groups({ outputs, weight }) {
  const bit = (/** @type {number} */ n, /** @type {number} */ at) => (weight[n * 98 + (at >> 3)] >> (at & 7)) & 1;
  const corners = [];
  for (let y = 0; y < SIDE; y += HIGH) for (let x = 0; x < SIDE; x += WIDE) corners.push(y * SIDE + x);
  const block = Array.from({ length: HIGH * WIDE }, (_, k) => Math.floor(k / WIDE) * SIDE + (k % WIDE));
  return corners.map((corner) => Array.from({ length: outputs }, (_, n) =>
    String(block.reduce((byte, at, k) => byte | (bit(n, corner + at) << k), 0))));
}

/** The rows of bytes as words of 32 bits. @param {FoldedLayer} layer */
function words({ inputs, outputs, weight }) {
  const [row, count] = [Math.ceil(inputs / 8), Math.ceil(inputs / 32)];
  return Array.from({ length: outputs }, (_, n) => Array.from({ length: count }, (_, word) => {
    const bytes = weight.subarray(n * row + 4 * word, Math.min(n * row + 4 * word + 4, (n + 1) * row));
    return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).reverse().join("").padStart(8, "0")}`;
  }));
}

/**
 * Scale and shift times a power of two, rounded; of 64 bits only if 32 change the order of any two logits.
 * @param {FoldedLayer} layer
 */
function fixedPoint({ inputs, scale = new Float64Array(), shift = new Float64Array() }) {
  const sums = Array.from({ length: inputs + 1 }, (_, i) => 2 * i - inputs);
  const logits = sums.flatMap((sum) => Array.from(scale, (factor, i) => factor * sum + shift[i]));
  const order = logits.map((_, at) => at).sort((a, b) => logits[a] - logits[b]);
  const most = (/** @type {Float64Array} */ values) => Math.max(...values.map(Math.abs));
  const largest = Math.max(most(scale) * inputs + most(shift), 1e-300);
  for (const bits of [32, 64]) {
    const factor = 2 ** (bits - 2 - Math.ceil(Math.log2(largest)));
    const [a, b] = [scale, shift].map((values) => Array.from(values, (value) => BigInt(rounded(value * factor))));
    const whole = sums.flatMap((sum) => a.map((it, i) => it * BigInt(sum) + b[i]));
    const isKept = order.every((at, k) => !k || Math.sign(logits[at] - logits[order[k - 1]]) ===
      Math.sign(Number(whole[at] - whole[order[k - 1]])));
    if (isKept) return { kind: `int${bits}_t`, scale: a, shift: b };
  }
  throw new Error("two logits are so close to each other that whole numbers of 64 bits would change their order");
}

/** To the next whole number, from the middle to the even one. @param {number} value */
function rounded(value) {
  const low = Math.floor(value);
  if (value - low === 0.5) return low % 2 === 0 ? low : low + 1;
  return value - low < 0.5 ? low : low + 1;
}
