// The result of a training: the packed network, and what can be done with it.

import { PIXELS } from "../../engine/digit.js";
import { readNetwork } from "../../engine/read.js";
import { fold } from "../../engine/fold.js";
import { writeNetwork } from "../../engine/write.js";

/**
 * @typedef {import("../../engine/packed.js").PackedNetwork} PackedNetwork
 * @typedef {import("./images.js").Images} Images
 * @typedef {import("./images.js").OwnDigit} OwnDigit
 * @typedef {import("../../engine/packed.js").Layer} Layer
 * @typedef {import("../../engine/fold.js").TrainedLayer} TrainedLayer
 *
 * @typedef {object} Result
 * @property {Layer[]} layers
 * @property {Record<string, string>} provenance
 * @property {Uint8Array<ArrayBuffer>} file
 * @property {PackedNetwork} network read from the file, as any other
 * @property {number} accuracy on the held-out images
 */

const ACTIVATIONS = { sign: "clipped_sign_ste", codes: "quantised_relu" };
const SETTINGS = "learning_rate=0.003; batch_size=64; clamp='step'; schedule=CosineAnnealingLR";

/**
 * @param {TrainedLayer[]} trained
 * @param {"sign" | "codes"} activation
 * @param {Images} heldOut
 * @param {{data: string, epochs: string, seed: string}} about
 * @returns {Promise<Result>}
 */
export async function pack(trained, activation, heldOut, about) {
  const layers = fold(trained, activation);
  const right = countRight(await readNetwork(await writeNetwork(layers, {})), heldOut);
  const accuracy = right / heldOut.labels.length;
  const scored = `${accuracy.toFixed(4)} of ${heldOut.labels.length} held-out training images`;
  const settings = `784-300-100-10, batch norm, ${ACTIVATIONS[activation]}; ${SETTINGS}`;
  const provenance = { trained: "in a browser, in the tutorial's Playground", ...about, settings, accuracy: scored };
  const file = await writeNetwork(layers, provenance);
  return { layers, provenance, file, network: await readNetwork(file), accuracy };
}

/** @param {PackedNetwork} network @param {Images} set */
export function countRight(network, { images, labels }) {
  return labels.reduce((right, label, i) =>
    right + Number(network.predict(images.subarray(i * PIXELS, (i + 1) * PIXELS)).digit === label), 0);
}

/** @param {BlobPart} content @param {string} name */
export function download(content, name) {
  const address = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // browsers take a while to start
}
