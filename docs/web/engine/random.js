// Random numbers from a seed, so that a link shows everyone the same run.

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, enough for a page. */
export class Random {
  /** @param {number} seed a whole number; of larger ones than 2^32 the rest counts */
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** @returns {number} in [0, 1), each number as likely as another */
  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let bits = this.state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  /** @returns {number} normally distributed, mean 0 and standard deviation 1 (Box and Muller) */
  normal() {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform())); // 1 - u is never 0
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /**
   * In place; every order is equally likely (Fisher and Yates).
   * @template {{length: number, [at: number]: any}} List
   * @param {List} list
   * @returns {List}
   */
  shuffle(list) {
    for (let last = list.length - 1; last > 0; last--) {
      const other = Math.floor(this.uniform() * (last + 1));
      [list[last], list[other]] = [list[other], list[last]];
    }
    return list;
  }
}
