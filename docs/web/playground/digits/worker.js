// Trains in its own thread, so that the page stays responsive. Each worker trains once: `Start` starts it, and
// {type: "stop"} stops it early. The other messages are its answers.

import { Trainer, checkDigits } from "../../engine/trainer.js";

/**
 * @typedef {import("../../engine/fold.js").TrainedLayer} TrainedLayer
 * @typedef {import("../../engine/trainer.js").Digits} Digits
 * @typedef {import("../../engine/trainer.js").Means} Means
 *
 * @typedef {{heldOut: Digits, epochs: number, seed: number, activation: "sign" | "codes"}} Settings
 * @typedef {Digits & Settings & {type: "start"}} Start
 * @typedef {Means & {type: "progress", epoch: number, secondsLeft: number}} Progress the means since the last one
 * @typedef {Means & {type: "epoch", epoch: number, accuracy: number}} Epoch means over it; held-out accuracy
 * @typedef {{type: "done", epoch: number, layers: TrainedLayer[]}} Done also after "stop": then with a fraction
 * @typedef {{type: "failed", message: string}} Failed
 */

const INTERVAL = 200; // milliseconds from one report of progress to the next

let isStopped = false;

/** @param {Start} start */
async function train({ images, labels, heldOut, epochs, seed, activation }) {
  checkDigits({ images, labels }, "digits to train on");
  checkDigits(heldOut, "held-out digits");
  const trainer = new Trainer({ images, labels }, epochs, seed, activation);
  const [recent, whole] = [new Meter(), new Meter()];
  const began = performance.now();
  for (let reported = began; !trainer.isDone && !isStopped; ) {
    const means = trainer.step();
    const { epoch } = trainer;
    recent.add(means);
    whole.add(means);
    if (Number.isInteger(epoch)) send({ type: "epoch", epoch, accuracy: trainer.accuracy(heldOut), ...whole.take() });
    if (performance.now() - reported < INTERVAL) continue;
    reported = performance.now();
    const secondsLeft = ((reported - began) / 1000) * (epochs / epoch - 1);
    send({ type: "progress", epoch, secondsLeft, ...recent.take() });
    await new Promise((resume) => setTimeout(resume)); // to receive a "stop"
  }
  const layers = trainer.network.layers.map(plain);
  const arrays = layers.flatMap(({ weight, norm }) => [weight, ...Object.values(norm)]);
  send({ type: "done", epoch: trainer.epoch, layers }, arrays.map(({ buffer }) => buffer));
}

/** Means over the steps since they were last taken. */
class Meter {
  constructor() {
    this.steps = this.loss = this.flipRatio = 0;
  }

  /** @param {Means} step */
  add({ loss, flipRatio }) {
    this.steps++;
    this.loss += loss;
    this.flipRatio += flipRatio;
  }

  /** @returns {Means} */
  take() {
    const { steps, loss, flipRatio } = this;
    this.steps = this.loss = this.flipRatio = 0;
    return { loss: loss / steps, flipRatio: flipRatio / steps };
  }
}

/** What is worth keeping of a layer. @param {import("../../engine/learning.js").Network["layers"][0]} layer */
function plain({ inputs, outputs, weight, norm }) {
  const { weight: gamma, bias: beta, mean, variance } = /** @type {import("../../engine/norm.js").BatchNorm} */ (norm);
  return { inputs, outputs, weight, norm: { weight: gamma, bias: beta, mean, variance } };
}

/** @param {Progress | Epoch | Done | Failed} message @param {Transferable[]} [transfer] */
function send(message, transfer = []) {
  postMessage(message, { transfer });
}

addEventListener("message", ({ data }) => {
  if (data.type === "stop") isStopped = true;
  else train(data).catch(({ message }) => send({ type: "failed", message }));
});
