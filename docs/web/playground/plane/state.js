// All settings, and how they are written into the address and read back. Wrong values in an address become defaults.

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
 * @property {string} beside the second network
 */

/**
 * @template T
 * @typedef {object} Setting
 * @property {T} initial
 * @property {string} expected in words
 * @property {(text: string) => T | undefined} read undefined: that is no value of it
 * @property {(value: T) => string} write
 */

export const MOST_POINTS = 400;
const FINE = 100; // steps of a coordinate from 0 to 1, as written in the address
const BASE = 36;

/** @type {{[K in keyof State]: Setting<State[K]>}} */
export const SETTINGS = {
  data: choice("circle", "xor", "moons", "spiral", "own"),
  points: { initial: [], expected: `at most ${MOST_POINTS} points`, read: readPoints, write: writePoints },
  units: whole(8, 2, 16),
  second: whole(0, 0, 16, 1),
  weights: choice("binary", "float"),
  activation: choice("sign", "tanh"),
  estimator: choice("clipped", "none", "identity", "tanh", "triangle", "swish"),
  clip: real(1, 0.01, 100),
  norm: flag(false),
  clamp: flag(true),
  optimiser: choice("adam", "sgd"),
  rate: real(0.03, 1e-6, 1e300),
  batch: whole(20, 1, MOST_POINTS),
  scale: real(1, 0.01, 1000),
  seed: whole(2, 0, 999999),
  stop: whole(100, 0, 1e6),
  speed: choice("60", "10", "300", "fastest"),
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
 * The settings that differ from the defaults, as an address that people can read.
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
  const read = (/** @type {string} */ text) => values.find((value) => value === text);
  return { initial, expected: `one of ${values.join(", ")}`, read, write: (value) => value };
}

/**
 * @param {number} initial
 * @param {number} least
 * @param {number} most
 * @returns {Setting<number>}
 */
function real(initial, least, most) {
  const fits = (/** @type {number} */ x) => x >= least && x <= most;
  const read = (/** @type {string} */ text) => (text.trim() && fits(Number(text)) ? Number(text) : undefined);
  return { initial, expected: `a number from ${least} to ${most}`, read, write: String };
}

/**
 * @param {number} initial
 * @param {number} least
 * @param {number} most
 * @param {number} [never] a value in between that it cannot have
 * @returns {Setting<number>}
 */
function whole(initial, least, most, never) {
  const number = real(initial, least, most);
  const fits = (/** @type {number} */ x) => Number.isInteger(x) && x !== never;
  const read = (/** @type {string} */ text) => [number.read(text)].find((x) => x !== undefined && fits(x));
  return { ...number, expected: `a whole number from ${least} to ${most}`, read };
}

/** @param {boolean} initial @returns {Setting<boolean>} */
function flag(initial) {
  const read = (/** @type {string} */ text) => new Map([["0", false], ["1", true]]).get(text);
  return { initial, expected: "0 or 1", read, write: (value) => (value ? "1" : "0") };
}

/** A letter for the class and two digits for each coordinate. @param {Point[]} points */
function writePoints(points) {
  const digits = (/** @type {number} */ x) => Math.round((x + 1) * FINE).toString(BASE).padStart(2, "0");
  return points.map(([x, y, label]) => (label ? "p" : "m") + digits(x) + digits(y)).join("");
}

/** @param {string} text @returns {Point[] | undefined} */
function readPoints(text) {
  if (!/^([pm][0-9a-z]{4})*$/.test(text) || text.length > 5 * MOST_POINTS) return undefined;
  const number = (/** @type {string} */ digits) => (parseInt(digits, BASE) - FINE) / FINE;
  const points = (text.match(/.{5}/g) ?? []).map((entry) => /** @type {Point} */ (
    [number(entry.slice(1, 3)), number(entry.slice(3)), entry[0] === "p" ? 1 : 0]));
  return points.every(([x, y]) => x <= 1 && y <= 1) ? points : undefined;
}
