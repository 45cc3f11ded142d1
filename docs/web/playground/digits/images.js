// The images to train on: MNIST's, loaded on request, and the reader's own among them.

import { INK, PIXELS } from "../../engine/digit.js";
import { unzip } from "../../engine/gzip.js";
import { readSafetensors, require } from "../../engine/safetensors.js";

/**
 * @typedef {object} Images
 * @property {Uint8Array} images one after the other, 784 pixels each, 255 is full ink
 * @property {Uint8Array} labels
 *
 * @typedef {{train: Images, heldOut: Images}} Digits
 * @typedef {{image: Uint8Array, label: number}} OwnDigit
 */

const FILE = "digits.safetensors.gz";
const TIMES = 40; // at most so many copies of a reader's digit, since one among thousands has no weight
const RATIO = 4; // at least so many MNIST images for each of the reader's

/** @returns {Promise<Digits>} */
export async function loadDigits() {
  const response = await fetch(new URL(FILE, import.meta.url)).catch(() => null);
  if (!response) throw new Error("the server cannot be reached");
  if (!response.ok) throw new Error(`the server answered ${response.status} for ${FILE}`);
  const { tensors } = readSafetensors(await unzip(new Uint8Array(await response.arrayBuffer())));
  const [train, heldOut] = ["train", "held_out"].map((part) => {
    const [images, labels] = ["images", "labels"].map((name) => tensors.get(`${part}.${name}`)?.values);
    require(images instanceof Uint8Array && labels instanceof Uint8Array, `no images ${part} in ${FILE}`);
    require(labels.length > 0 && images.length === PIXELS * labels.length, `${labels.length} labels of ${part}`);
    return { images, labels };
  });
  return { train, heldOut };
}

/**
 * How many copies of each of the reader's digits are in the training set: enough to matter, but all together at most a
 * fifth of it.
 * @param {number} digits of MNIST
 * @param {number} own
 */
export function timesFor(digits, own) {
  return Math.max(1, Math.min(TIMES, Math.floor(digits / RATIO / Math.max(own, 1))));
}

/**
 * @param {Images} digits
 * @param {OwnDigit[]} own
 * @returns {Images}
 */
export function mixed(digits, own) {
  const times = timesFor(digits.labels.length, own.length);
  const count = digits.labels.length + times * own.length;
  const [images, labels] = [new Uint8Array(PIXELS * count), new Uint8Array(count)];
  images.set(digits.images);
  labels.set(digits.labels);
  const repeated = Array.from({ length: times }, () => own).flat();
  repeated.forEach(({ image, label }, i) => {
    images.set(image, digits.images.length + PIXELS * i);
    labels[digits.labels.length + i] = label;
  });
  return { images, labels };
}

/** As the trainer takes them: pixels from 0 to 1. @param {Images} set */
export function scaled({ images, labels }) {
  return { images: Float32Array.from(images, (pixel) => pixel / INK), labels };
}
