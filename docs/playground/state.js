// All that the reader can set, and its way into the address and back. What an address has wrong becomes the default.

/**
 * @typedef {[x: number, y: number, label: number]} Point within [-1, 1]; the label is 1 for +, 0 for −
 *
 * @typedef {object} State
 * @property {string} data
 * @property {Point[]} points the reader's own
 * @property {number} units of the first hidden layer
 * @property {number} second units of the second one, 0: there is none
 * @property {string} weights
 * @property {string} activation
 * @property {string} estimator
 * @property {number} clip half the width of the clipped estimator's window
 * @property {boolean} norm
 * @property {boolean} clamp
 * @property {string} optimiser
 * @property {number} rate
 * @property {number} batch
 * @property {number} scale of the latent weights at the start
 * @property {number} seed
 * @property {number} stop after so many epochs, 0: never
 * @property {string} speed
 * @property {string} beside what is trained beside it
 */

/**
 * @template T
 * @typedef {object} Setting
 * @property {T} initial
 * @property {(text: string) => T | undefined} read undefined: that is no value of it
 * @property {(value: T) => string} write
 */

export const MOST_POINTS = 400;
const FINE = 100; // steps of a coordinate from 0 to 1, as written in the address
const BASE = 36;

/** @type {{[K in keyof State]: Setting<State[K]>}} */
export const SETTINGS = {
  data: choice("circle", "xor", "moons", "spiral", "own"),
  points: { initial: [], read: readPoints, write: writePoints },
  units: number(8, (n) => Number.isInteger(n) && n >= 2 && n <= 16),
  second: number(0, (n) => n === 0 || (Number.isInteger(n) && n >= 2 && n <= 16)),
  weights: choice("binary", "float"),
  activation: choice("sign", "tanh"),
  estimator: choice("clipped", "none", "identity", "tanh", "triangle", "swish"),
  clip: number(1, (x) => x >= 0.01 && x <= 100),
  norm: flag(true),
  clamp: flag(true),
  optimiser: choice("adam", "sgd"),
  rate: number(0.01, (x) => x > 0 && x <= 1e9),
  batch: number(20, (n) => Number.isInteger(n) && n >= 1 && n <= MOST_POINTS),
  scale: number(1, (x) => x > 0 && x <= 1000),
  seed: number(1, (n) => Number.isInteger(n) && n >= 0 && n < 1e6),
  stop: number(100, (n) => Number.isInteger(n) && n >= 0 && n <= 1e6),
  speed: choice("30", "5", "200", "fastest"),
  beside: choice("nothing", "float", "window", "norm", "small"),
};

const NAMES = /** @type {Array<keyof State>} */ (Object.keys(SETTINGS));

/** @returns {State} */
export function initialState() {
  return readState("");
}

/**
 * @param {string} hash of an address, with or without its #
 * @returns {State}
 */
export function readState(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Array<[string, unknown]>} */
  const entries = NAMES.map((name) => {
    const [text, { initial, read }] = [given.get(name), SETTINGS[name]];
    return [name, (text === null ? undefined : read(text)) ?? initial];
  });
  return /** @type {State} */ (Object.fromEntries(entries));
}

/**
 * What differs from the defaults: an address that people can read.
 * @param {State} state
 * @returns {string} without its #
 */
export function writeState(state) {
  const given = new URLSearchParams();
  for (const name of NAMES) {
    const { initial, write } = /** @type {Setting<any>} */ (SETTINGS[name]);
    if (write(state[name]) !== write(initial)) given.set(name, write(state[name]));
  }
  return given.toString();
}

/** Whether an address holds settings, and not the name of a heading. @param {string} hash */
export function holdsState(hash) {
  return NAMES.some((name) => new URLSearchParams(hash.replace(/^#/, "")).has(name));
}

/** To the nearest place that an address can hold. @param {number} x */
export function snapped(x) {
  return Math.round(Math.min(Math.max(x, -1), 1) * FINE) / FINE;
}

/**
 * @param {string} initial
 * @param {...string} others
 * @returns {Setting<string>}
 */
function choice(initial, ...others) {
  const values = [initial, ...others];
  return { initial, read: (text) => values.find((value) => value === text), write: (value) => value };
}

/**
 * @param {number} initial
 * @param {(value: number) => boolean} fits
 * @returns {Setting<number>}
 */
function number(initial, fits) {
  const read = (/** @type {string} */ text) => (text.trim() && fits(Number(text)) ? Number(text) : undefined);
  return { initial, read, write: String };
}

/** @param {boolean} initial @returns {Setting<boolean>} */
function flag(initial) {
  return { initial, read: (text) => ({ 0: false, 1: true })[text], write: (value) => (value ? "1" : "0") };
}

/** A letter for the class and two digits for each coordinate. @param {Point[]} points */
function writePoints(points) {
  const digits = (/** @type {number} */ x) => Math.round((x + 1) * FINE).toString(BASE).padStart(2, "0");
  return points.map(([x, y, label]) => (label ? "p" : "m") + digits(x) + digits(y)).join("");
}

/** @param {string} text @returns {Point[] | undefined} */
function readPoints(text) {
  if (!/^([pm][0-9a-z]{4})*$/.test(text) || text.length > 5 * MOST_POINTS) return undefined;
  const number = (/** @type {string} */ digits) => parseInt(digits, BASE) / FINE - 1;
  const points = (text.match(/.{5}/g) ?? []).map((entry) => /** @type {Point} */ (
    [number(entry.slice(1, 3)), number(entry.slice(3)), entry[0] === "p" ? 1 : 0]));
  return points.every(([x, y]) => x <= 1 && y <= 1) ? points : undefined;
}
