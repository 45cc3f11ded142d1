// "Train your own digits": load, draw and label, train in a worker, try the result, and download it.

import { DIGITS, PIXELS } from "../../engine/digit.js";
import { Reader } from "../../draw/reader.js";
import { keep } from "../../draw/stored.js";
import { Curve } from "./curve.js";
import { loadDigits, mixed, scaled, timesFor } from "./images.js";
import { OwnDigits } from "./own.js";
import { toC } from "../../engine/c.js";
import { countRight, download, pack } from "./result.js";

/**
 * @typedef {import("./images.js").Digits} Digits
 * @typedef {import("./result.js").Result} Result
 *
 * @typedef {import("./worker.js").Progress} Progress
 * @typedef {import("./worker.js").Epoch} Epoch
 * @typedef {import("./worker.js").Done} Done
 * @typedef {import("./worker.js").Failed} Failed
 *
 * @typedef {{epochs: number, activation: "sign" | "codes", data: string, short: string}} Plan what is trained now
 * @typedef {Result & {short: string, epochs: string, bits: number, row: HTMLTableRowElement}} Run
 */

const SEED = 0; // always, so that two runs differ only in their digits
const NAME = "my_digits";

class Page {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.reader = new Reader(root);
    this.own = new OwnDigits(this.part("own"), () => this.count());
    /** @type {Digits | null} */
    this.digits = null;
    /** @type {Worker | null} */
    this.worker = null; // while it trains
    /** @type {Run[]} */
    this.runs = [];
    const percent = (/** @type {number} */ value) => `${(100 * value).toFixed(1)} %`;
    this.curves = {
      loss: new Curve(this.figure("loss"), (value) => value.toFixed(2), "line"),
      flips: new Curve(this.figure("flips"), (value) => `${(100 * value).toFixed(2)} %`, "line"),
      accuracy: new Curve(this.figure("accuracy"), percent, "bars", 1),
    };
    this.addLabels();
    this.listen();
    root.dataset.state = "idle";
  }

  /** @param {string} name @returns {HTMLElement} */
  part(name) {
    return this.reader.part(name);
  }

  /** @param {string} name @returns {HTMLElement} */
  figure(name) {
    return /** @type {HTMLElement} */ (this.root.querySelector(`[data-curve=${name}]`));
  }

  listen() {
    /** @type {Array<[name: string, action: () => void]>} */
    const actions = [
      ["load", () => this.load()],
      ["train", () => this.train()],
      ["stop", () => this.worker?.postMessage({ type: "stop" })],
      ["use", () => this.keep()],
      ["download", () => this.download()],
      ["download-c", () => this.downloadC()],
    ];
    for (const [name, action] of actions) this.part(name).addEventListener("click", action);
    addEventListener("keydown", (event) => this.labelByKey(event));
    new MutationObserver(() => this.own.paint()).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  }

  // The reader's digits

  addLabels() {
    for (let label = 0; label < DIGITS; label++) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
      button.addEventListener("click", () => this.label(label));
      this.part("labels").append(button);
    }
  }

  /** A digit's key, unless it is typed into something. @param {KeyboardEvent} event */
  labelByKey({ key, code, shiftKey, target, ctrlKey, metaKey, altKey }) {
    const [digit] = key.match(/^[0-9]$/) ?? (shiftKey ? "" : code).match(/(?<=^Digit)[0-9]/) ?? []; // or by its place
    if (!digit || ctrlKey || metaKey || altKey || !(target instanceof Element)) return;
    const isHere = target === document.body || this.root.contains(target);
    if (isHere && !target.matches("input, select, textarea") && !this.reader.sketch.isEmpty) this.label(Number(digit));
  }

  /** Add what is on the paper to the reader's digits. @param {number} label */
  label(label) {
    const { sketch } = this.reader;
    if (sketch.isEmpty) return this.announce("The paper is empty. Draw a digit first");
    if (sketch.drawing.example) {
      return this.announce("That digit is held out for measuring. Clear the paper and draw one yourself");
    }
    if (this.own.isFull) return this.announce("Your set is full. Remove some digits first");
    this.own.add({ image: sketch.prepared(), label });
    sketch.clear();
  }

  count() {
    const { digits } = this.own;
    const text = digits.length ? `Your digits: ${digits.length}. Click on one to remove it` : "Your digits: none yet";
    this.part("count").textContent = text;
    this.announce(text, false);
    this.score();
  }

  // Training

  async load() {
    if (this.root.dataset.state !== "idle") return;
    this.root.dataset.state = "loading";
    this.announce("Loading the digits");
    try {
      this.digits = await loadDigits();
      const { train, heldOut } = this.digits;
      this.reader.offer(...firstOfEach(heldOut));
      this.root.dataset.state = "ready";
      this.part("train").focus();
      this.announce(`${train.labels.length.toLocaleString("en")} digits to train on, and ${
        heldOut.labels.length.toLocaleString("en")} held out for measuring. Draw some digits of your own, or train right away.`);
    } catch (error) {
      this.root.dataset.state = "idle";
      this.announce(`The digits cannot be loaded: ${reason(error)}.`);
    }
  }

  train() {
    if (!this.digits || this.worker) return;
    const [epochs, activation] = ["epochs", "activation"].map((name) =>
      /** @type {HTMLSelectElement} */ (this.part(name)).value);
    const plan = this.plan(Number(epochs), /** @type {Plan["activation"]} */ (activation));
    for (const curve of Object.values(this.curves)) curve.start(plan.epochs);
    this.setTraining(true);
    this.announce(`Training on ${plan.data}`);
    try {
      this.start(plan, scaled(mixed(this.digits.train, this.own.digits)), scaled(this.digits.heldOut));
    } catch (error) { // a browser may have no workers, or allow none
      this.fail(reason(error));
    }
  }

  /**
   * @param {Plan} plan
   * @param {import("../../engine/trainer.js").Digits} digits
   * @param {import("../../engine/trainer.js").Digits} heldOut
   */
  start(plan, digits, heldOut) {
    const script = new URL("worker.js", import.meta.url);
    this.worker = new Worker(script, { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.receive(data, plan));
    this.worker.addEventListener("error", async ({ message }) =>
      this.fail(message || (await whyUnloaded(script.href))));
    const start = { type: "start", ...digits, heldOut, epochs: plan.epochs, activation: plan.activation, seed: SEED };
    this.worker.postMessage(start, [digits.images.buffer, heldOut.images.buffer]);
  }

  /** @param {number} epochs @param {Plan["activation"]} activation @returns {Plan} */
  plan(epochs, activation) {
    const [count, own] = [this.digits?.train.labels.length ?? 0, this.own.digits.length];
    const times = timesFor(count, own);
    const all = count.toLocaleString("en");
    if (!own) return { epochs, activation, data: `${all} digits of MNIST`, short: all };
    const data = `${all} digits of MNIST and ${own} of yours, ${times} times each`;
    return { epochs, activation, data, short: `${all} + ${own} × ${times}` };
  }

  /** @param {Progress | Epoch | Done | Failed} message @param {Plan} plan */
  receive(message, plan) {
    if (message.type === "progress") this.showProgress(message, plan.epochs);
    else if (message.type === "epoch") this.showEpoch(message, plan.epochs);
    else if (message.type === "done") this.finish(message, plan);
    else this.fail(message.message);
  }

  /** @param {Progress} progress @param {number} epochs */
  showProgress({ epoch, loss, flipRatio, secondsLeft }, epochs) {
    this.curves.loss.add(epoch, loss);
    this.curves.flips.add(epoch, flipRatio);
    /** @type {HTMLProgressElement} */ (this.part("progress")).value = epoch / epochs;
    this.part("status").textContent = `Epoch ${epoch.toFixed(1)} of ${epochs}, ${Math.ceil(secondsLeft)} seconds left`;
  }

  /** @param {Epoch} result @param {number} epochs */
  showEpoch({ epoch, accuracy, loss, flipRatio }, epochs) {
    if (!this.curves.loss.points.length) { // so short an epoch that there was no progress to report
      this.curves.loss.add(epoch, loss);
      this.curves.flips.add(epoch, flipRatio);
    }
    this.curves.accuracy.add(epoch, accuracy);
    this.announce(`Epoch ${epoch} of ${epochs}: ${(100 * accuracy).toFixed(1)} % of the held-out digits are correct`);
  }

  /** @param {Done} done @param {Plan} plan */
  async finish({ layers, epoch }, { epochs, activation, data, short }) {
    this.setTraining(false);
    try {
      const isWhole = epoch >= epochs;
      const trained = isWhole ? String(epochs) : `${epoch.toFixed(1)} of ${epochs}`;
      const { heldOut } = /** @type {Digits} */ (this.digits);
      const result = await pack(layers, activation, heldOut, { data, epochs: trained, seed: String(SEED) });
      this.reader.use(result.network, result.file.length);
      this.addRun({ ...result, short, epochs: trained, bits: activation === "sign" ? 1 : 8 });
      this.announce(`${isWhole ? "Done" : `Stopped after ${epoch.toFixed(1)} epochs`}: your network gets ${
        (100 * result.accuracy).toFixed(1)} % of the held-out digits right. It is now used for what you draw.`);
      this.root.dataset.result = "there";
    } catch (error) {
      this.fail(reason(error));
    }
  }

  /** @param {string} message */
  fail(message) {
    this.setTraining(false);
    const kept = this.runs.length ? "; your last network is still there" : "";
    this.announce(`The training failed (${message}). Please train again${kept}.`);
  }

  /** @param {boolean} isTraining */
  setTraining(isTraining) {
    this.worker?.terminate();
    this.worker = null;
    this.root.dataset.state = isTraining ? "training" : "ready";
    this.part("train").setAttribute("aria-disabled", String(isTraining));
    this.part("stop").setAttribute("aria-disabled", String(!isTraining));
    /** @type {HTMLProgressElement} */ (this.part("progress")).value = isTraining ? 0 : 1;
  }

  // Results

  /** @param {Omit<Run, "row">} result */
  addRun(result) {
    const row = /** @type {HTMLTableSectionElement} */ (this.part("runs")).insertRow();
    this.runs.push({ ...result, row });
    const { short, bits, epochs, accuracy } = result;
    const texts = [this.runs.length, short, bits, epochs, `${(100 * accuracy).toFixed(1)} %`, "–"];
    for (const text of texts) row.insertCell().textContent = String(text);
    this.score();
  }

  /** How many of the reader's digits each network so far gets right. */
  score() {
    const { digits } = this.own;
    const images = new Uint8Array(PIXELS * digits.length);
    digits.forEach(({ image }, i) => images.set(image, PIXELS * i));
    const set = { images, labels: Uint8Array.from(digits, ({ label }) => label) };
    for (const { network, row } of this.runs) {
      const text = digits.length ? `${countRight(network, set)} of ${digits.length}` : "–";
      row.cells[row.cells.length - 1].textContent = text;
    }
  }

  get last() {
    return this.runs[this.runs.length - 1];
  }

  keep() {
    try {
      keep(this.last.file);
      const link = Object.assign(document.createElement("a"), { href: "../draw/", textContent: "Draw a digit" });
      this.part("said").replaceChildren("Your network is now used on the page ", link, ", where you can also switch back.");
    } catch (error) {
      this.say(`This browser does not store data for this site (${reason(error)}). Download the network instead.`);
    }
  }

  download() {
    if (!crypto.subtle) {
      return this.say("The file needs a SHA-256 checksum, which browsers do not compute on pages loaded over plain http " +
        "from another machine. Open this page over https, or serve it from your own machine.");
    }
    download(this.last.file, `${NAME}.safetensors`);
    this.say(`${NAME}.safetensors, ${this.last.file.length.toLocaleString("en")} bytes, is being downloaded.`);
  }

  async downloadC() {
    try {
      const { layers, provenance } = this.last;
      download(await toC(layers, NAME, provenance), `${NAME}.c`);
      this.say(`${NAME}.c is being downloaded.`);
    } catch (error) {
      this.say(`The C file cannot be written: ${reason(error)}.`);
    }
  }

  /** @param {string} text */
  say(text) {
    this.part("said").textContent = text;
  }

  /** For a screen reader, and for everyone else unless told otherwise. @param {string} text @param {boolean} [isShown] */
  announce(text, isShown = true) {
    this.part("heard").textContent = text;
    if (isShown) this.part("status").textContent = text;
  }
}

/** The first of each digit, in order. @param {import("./images.js").Images} set @returns {[Uint8Array, Uint8Array]} */
function firstOfEach({ images, labels }) {
  const found = Array.from({ length: DIGITS }, (_, digit) => labels.indexOf(digit)).filter((at) => at >= 0);
  const chosen = new Uint8Array(PIXELS * found.length);
  found.forEach((at, i) => chosen.set(images.subarray(at * PIXELS, (at + 1) * PIXELS), PIXELS * i));
  return [chosen, Uint8Array.from(found, (at) => labels[at])];
}

/** @param {unknown} error */
function reason(error) {
  return error instanceof Error ? error.message : String(error);
}

for (const root of document.querySelectorAll(".train")) new Page(/** @type {HTMLElement} */ (root));
