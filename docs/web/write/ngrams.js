// The rival: how often each character followed the three before it. Interpolated Kneser-Ney, as in `study/language.py`.

import { unzip } from "../engine/gzip.js";
import { readSafetensors, require } from "../engine/safetensors.js";

const ORDERS = 4;

/**
 * A tree: level 0 has single characters, and the followers of each are together in the next level.
 * @typedef {object} Level
 * @property {Uint8Array} character
 * @property {Int32Array} count
 * @property {number[]} discounts of the counts 0, 1, 2 and all larger ones
 * @property {Uint32Array} first where what follows begins in the next level, and at last the end
 */

export class NGrams {
  /** @param {Level[]} levels @param {number} characters in the alphabet */
  constructor(levels, characters) {
    this.levels = levels;
    this.characters = characters;
  }

  /**
   * @param {number[]} history the characters before
   * @returns {Float64Array} the share of each character as the next one
   */
  guess(history) {
    let shares = new Float64Array(this.characters).fill(1 / this.characters);
    for (let order = 0; order < this.levels.length && order <= history.length; order++) {
      const [from, to] = this.following(history.slice(history.length - order));
      if (from === to) break; // then no longer history was seen either
      const { character, count, discounts } = this.levels[order];
      const taken = Array.from(count.subarray(from, to), (n) => discounts[Math.min(n, 3)]);
      const total = count.subarray(from, to).reduce((a, b) => a + b, 0);
      const free = taken.reduce((a, b) => a + b, 0);
      if (total === 0) continue;
      shares = shares.map((share) => (share * free) / total);
      taken.forEach((discount, i) => (shares[character[from + i]] += (count[from + i] - discount) / total));
    }
    return shares;
  }

  /** Where the characters lie that followed these. @param {number[]} history */
  following(history) {
    let [from, to] = [0, this.levels[0].character.length];
    for (const [depth, wanted] of history.entries()) {
      const found = this.levels[depth].character.subarray(from, to).indexOf(wanted);
      if (found < 0) return [0, 0];
      const { first } = this.levels[depth];
      [from, to] = [first[from + found], first[from + found + 1]];
    }
    return [from, to];
  }
}

/** @param {Uint8Array<ArrayBuffer>} file @param {number} characters in the alphabet */
export async function readNGrams(file, characters) {
  const { tensors } = readSafetensors(await unzip(file));
  const levels = Array.from({ length: ORDERS }, (_, i) => {
    const [character, count, kinds] = ["character", "count", "kinds"].map((name) => tensors.get(`${i}.${name}`)?.values);
    require(character instanceof Uint8Array && count instanceof Int32Array, `no numbers of order ${i}`);
    const first = new Uint32Array(character.length + 1);
    if (kinds) kinds.forEach((n, at) => (first[at + 1] = first[at] + n));
    return { character, count, first, discounts: discountsOf(count) };
  });
  return new NGrams(levels, characters);
}

/** @param {Int32Array} counts */
function discountsOf(counts) {
  const have = [0, 0, 0, 0, 0, 0];
  for (const count of counts) have[Math.min(count, 5)]++;
  const share = have[1] / Math.max(have[1] + 2 * have[2], 1);
  const found = [1, 2, 3].map((k) => k - ((k + 1) * share * have[k + 1]) / Math.max(have[k], 1));
  return [0, ...found.map((discount, i) => Math.min(Math.max(discount, 0.1), i + 1))];
}
