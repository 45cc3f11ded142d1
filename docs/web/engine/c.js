// A packed network as one C file: what bnn_tutorial/export/c.py writes for dense layers with one-bit weights. The C
// code is in that folder's `parts`, which are published beside this file.

import { SIDE } from "./digit.js";

/**
 * @typedef {import("./packed.js").Layer} Layer
 * @typedef {{form: "bytes" | "bits", group: number, inputs: number, size: number, name: string, calls: string[]}} Input
 */

const WORD = 32; // signs in a word
const TWELVE = 12; // neurons that look up together
const LINE = 120; // characters
const SHARED = /** @type {const} */ (["outputs", "count", "tables", "signs", "codes"]); // in the order of the file
const OTHERS = /** @type {const} */ (["head", "table_layer", "main"]);
const TYPES = { bits: "uint32_t", bytes: "uint8_t" };

/**
 * @param {Layer[]} layers
 * @param {string} name with which all names in the file begin
 * @param {Record<string, string>} provenance
 */
export async function toC(layers, name, provenance) {
  const parts = await loadParts();
  const inputs = layers.map(inputOf);
  const used = new Set(["outputs"]);
  const texts = [];
  const calls = [...inputs[0].calls];
  for (const [i, layer] of layers.entries()) {
    const [x, out, count] = [inputs[i], inputs[i + 1], layer.shape[0]];
    const isCounted = x.form === "bits";
    used.add(isCounted ? "count" : "tables");
    if (isCounted) {
      texts.push(array("uint32_t", `net_weights_${i}`, words(layer)));
      const sizes = `${layer.shape[1]}, ${Math.floor(x.size / 3)}, ${x.size % 3}`;
      calls.push(`net_count(${x.name}, ${sizes}, net_weights_${i}, ${count}, s);`);
    } else {
      texts.push(tables(parts.table_layer, i, layer, x.group));
      calls.push(`net_layer_${i}(${x.name}, s);`);
    }
    if (layer.activation === "sign") {
      used.add("signs");
      texts.push(array("int32_t", `net_threshold_${i}`, [layer.threshold]));
      calls.push(`net_signs(s, ${count}, net_threshold_${i}, ${out.name});`, ...out.calls);
      continue;
    }
    const numbers = [array("int32_t", `net_multiplier_${i}`, [layer.multiplier]),
      array("int32_t", `net_offset_${i}`, [layer.offset])];
    if (layer.activation === "logits") {
      texts.push(...numbers);
      continue;
    }
    used.add("codes");
    texts.push(numbers.join("\n"));
    const listed = `net_multiplier_${i}, net_offset_${i}, ${layer.point}, ${layer.top}`;
    calls.push(`net_codes(s, ${count}, ${listed}, ${out.name});`, ...out.calls);
  }
  const shared = SHARED.filter((part) => used.has(part)).map((part) => parts[part]);
  const text = [parts.head, ...shared, ...texts, classify(layers, inputs, calls), parts.main, "#endif\n"].join("\n");
  const shapes = [layers[0].shape[1], ...layers.map(({ shape }) => shape[0])];
  return text
    .replaceAll("INPUTS", String(shapes[0]))
    .replaceAll("CLASSES", String(shapes[shapes.length - 1]))
    .replaceAll(/\b(net|NET)_/g, `${name}_`)
    .replaceAll("SHAPES", shapes.join("-"))
    .replaceAll("PROVENANCE", () => provenanceLines(provenance));
}

/** @returns {Promise<Record<typeof SHARED[number] | typeof OTHERS[number], string>>} */
async function loadParts() {
  const entries = [...SHARED, ...OTHERS].map(async (name) => {
    const response = await fetch(new URL(`parts/${name}.c`, import.meta.url));
    if (!response.ok) throw new Error(`the server answered ${response.status} for ${name}.c`);
    return [name, await response.text()];
  });
  return Object.fromEntries(await Promise.all(entries));
}

/**
 * A layer's input: its form, its name, and how many words or bytes it has, including the rest of a group.
 * @param {Layer} layer
 * @param {number} i
 * @returns {Input}
 */
function inputOf(layer, i) {
  const { shape: [, columns], ofBytes } = layer;
  const group = ofBytes ? groupOf(layer) : 1;
  const inputs = ofBytes ? columns : Math.ceil(columns / WORD);
  const size = group * Math.ceil(inputs / group);
  const name = i || size > inputs ? `x${i}` : "pixels";
  const copy = i || size === inputs ? [] : [`for (int k = 0; k < ${inputs}; k++)`, `    ${name}[k] = pixels[k];`];
  const rest = size > inputs ? [`for (int k = ${inputs}; k < ${size}; k++)`, `    ${name}[k] = 0;`] : [];
  return { form: ofBytes ? "bytes" : "bits", group, inputs, size, name, calls: [...copy, ...rest] };
}

/** Inputs of a table, 8 or 4. A pair of sums takes some four instructions, a look-up some five. @param {Layer} layer */
function groupOf({ shape: [count, inputs] }) {
  const [four, eight] = [4, 8].map((size) => (2 * 2 ** size + 5 * count) * Math.ceil(inputs / size));
  return four <= eight ? 4 : 8;
}

/** @param {Layer[]} layers @param {Input[]} inputs @param {string[]} calls */
function classify(layers, inputs, calls) {
  const last = layers.length - 1;
  const longest = Math.max(...layers.map(({ shape: [count] }) => TWELVE * Math.ceil(count / TWELVE)));
  const buffers = inputs.filter(({ name }) => name !== "pixels").map((x) => `${TYPES[x.form]} ${x.name}[${x.size}];`);
  const end = ["for (int n = 0; n < CLASSES; n++)", "    sums[n] = s[n];",
    `return net_largest(sums, CLASSES, net_multiplier_${last}, net_offset_${last});`];
  const body = [...buffers, `int32_t s[${longest}];`, ...calls, ...end].map((line) => `    ${line}`).join("\n");
  return `int net_classify(const uint8_t pixels[INPUTS], int32_t sums[CLASSES])\n{\n${body}\n}\n`;
}

/** The rows of signs as words of 32 bits. @param {Layer} layer */
function words({ shape: [count, inputs], levels }) {
  return Array.from({ length: count }, (_, n) => Array.from({ length: Math.ceil(inputs / WORD) }, (_, word) => {
    const row = levels.subarray(n * inputs + WORD * word, n * inputs + Math.min(WORD * (word + 1), inputs));
    const bits = row.reduce((sum, level, k) => sum + (level > 0 ? 2 ** k : 0), 0);
    return `0x${bits.toString(16).padStart(8, "0")}`;
  }));
}

/**
 * For each group of inputs, a byte of each neuron's weights there. In an image such a group is a block of 4x2 pixels.
 * @param {string} part
 * @param {number} i
 * @param {Layer} layer
 * @param {number} group
 */
function tables(part, i, { shape: [count, inputs], levels }, group) {
  const isImage = i === 0 && inputs === SIDE * SIDE && group === 8;
  const neurons = TWELVE * Math.ceil(count / TWELVE);
  const groups = Math.ceil(inputs / group);
  const across = SIDE / 4; // blocks
  const placeOf = (/** @type {number} */ at, /** @type {number} */ k) => isImage
    ? (2 * Math.floor(at / across) + (k >> 2)) * SIDE + 4 * (at % across) + (k & 3)
    : group * at + k;
  const isPlus = (/** @type {number} */ n, /** @type {number} */ k) =>
    n < count && k < inputs && levels[n * inputs + k] > 0;
  const signs = Array.from({ length: groups }, (_, at) => Array.from({ length: neurons }, (_, n) =>
    Array.from({ length: group }, (_, k) => Number(isPlus(n, placeOf(at, k))) << k).reduce((a, b) => a | b)));
  const lines = isImage ? SIDE / 2 : 1;
  /** @type {Record<string, number>} */
  const constants = { NEURONS: neurons, LINES: lines, GROUPS: groups / lines,
    ...(isImage ? { LINE: 2 * SIDE, STEP: 4, OTHER: SIDE } : { LINE: 0, STEP: group, OTHER: group - 4 }) };
  const code = part.replaceAll(/\b([A-Z_]+) = \d+/g, (_, it) => `${it} = ${constants[it]}`);
  return `${array("uint8_t", `net_signs_${i}`, signs)}\n${code.replaceAll(/_I\b/g, `_${i}`)}`;
}

/**
 * A constant array: as many numbers on a line as fit, and each row of a table on its own line.
 * @param {string} type
 * @param {string} name
 * @param {Array<ArrayLike<number | string>>} table
 */
function array(type, name, table) {
  const lines = table.flatMap((row) => {
    const texts = Array.from(row, String);
    const most = Math.floor(LINE / (Math.max(...texts.map((text) => text.length)) + 2));
    const starts = Array.from({ length: Math.ceil(texts.length / most) }, (_, i) => i * most);
    return starts.map((start) => texts.slice(start, start + most).join(", "));
  });
  const count = table.reduce((sum, row) => sum + row.length, 0);
  return `static const ${type} ${name}[${count}] = {\n    ${lines.join(",\n    ")}\n};\n`;
}

/** Lines of a comment that nothing in them can end or begin anew. @param {Record<string, string>} provenance */
function provenanceLines(provenance) {
  const lines = Object.entries(provenance).flatMap(([name, text]) => `${name}: ${text}`.split(/\r?\n|\r/));
  const text = lines.map((line) => ` * ${line}\n`).join("");
  return text.replaceAll("*/", "* /").replaceAll("/*", "/ *").replaceAll("??", "? ?");
}
