// The page "Write": the language model continues a text, one character at a time, beside a table of 4-grams.

import { Random } from "../engine/random.js";
import { FileError } from "../engine/safetensors.js";
import { readModel, softmax } from "./model.js";
import { readNGrams } from "./ngrams.js";

const [MODEL, NGRAMS] = ["model.safetensors", "ngrams.safetensors.gz"];
const LIKELIEST = 10;
const FRAME = 12; // milliseconds of writing between two frames
const LONGEST = 4000; // characters after which it stops
const ROUNDS = 64; // characters whose times count
const NAMES = new Map([["\n", "new line"], [" ", "space"]]);

class Page {
  /** @param {HTMLElement} root @param {import("./model.js").LanguageModel} model @param {import("./ngrams.js").NGrams} ngrams @param {number} bytes */
  constructor(root, model, ngrams, bytes) {
    this.root = root;
    this.model = model;
    this.ngrams = ngrams;
    this.isRunning = false;
    this.loops = 0;
    /** @type {number[]} */
    this.times = [];
    /** @type {number[]} */
    this.unread = []; // the last of the characters
    /** @type {number[]} */
    this.characters = []; // the prompt's, and what was written
    this.given = 0; // how many of them are the prompt's
    this.text = /** @type {HTMLElement} */ (part(root, "text"));
    this.prompt = /** @type {HTMLTextAreaElement} */ (part(root, "prompt"));
    this.temperature = /** @type {HTMLInputElement} */ (part(root, "temperature"));
    this.seed = /** @type {HTMLInputElement} */ (part(root, "seed"));
    part(root, "weights").textContent = model.weights.toLocaleString("en");
    part(root, "file").textContent = `${bytes.toLocaleString("en")} bytes`;
    part(root, "run").addEventListener("click", () => (this.isRunning ? this.stop() : this.run()));
    part(root, "one").addEventListener("click", () => this.one());
    part(root, "anew").addEventListener("click", () => this.begin());
    this.prompt.addEventListener("input", () => this.begin());
    this.seed.addEventListener("input", () => this.begin());
    this.temperature.addEventListener("input", () => this.show());
    this.begin();
  }

  /** Read the prompt, or only what was typed at its end. What lies further back than the model sees is left out. */
  begin() {
    this.isRunning = false;
    this.random = new Random(Number(this.seed.value));
    const [wanted, old, hasWritten] = [[...this.prompt.value], this.characters, this.characters.length > this.given];
    this.characters = wanted.map((character) => this.model.alphabet.indexOf(character)).filter((at) => at >= 0);
    const missing = new Set(wanted.filter((character) => !this.model.alphabet.includes(character)));
    part(this.root, "status").textContent = missing.size ? `The model has never seen ${[...missing].join(" ")} and skips it.` : "";
    if (!this.characters.length) this.characters.push(this.model.alphabet.indexOf("\n"));
    this.given = this.characters.length;
    const isLonger = !hasWritten && old.length > 0 && old.every((character, at) => character === this.characters[at]);
    if (!isLonger) this.model.forget();
    this.unread = isLonger ? [...this.unread, ...this.characters.slice(old.length)] : this.characters.slice(-this.model.reach);
    this.go();
  }

  /** The next unread one. */
  read() {
    const start = performance.now();
    this.logits = this.model.read(/** @type {number} */ (this.unread.shift()));
    this.times = [performance.now() - start, ...this.times].slice(0, ROUNDS);
  }

  /** Draw the next character, and read it. */
  write() {
    const temperature = Number(this.temperature.value);
    const logits = /** @type {Float64Array} */ (this.logits);
    let drawn = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
    if (temperature > 0) {
      let left = /** @type {Random} */ (this.random).uniform();
      const shares = softmax(logits.map((logit) => logit / temperature));
      drawn = shares.findIndex((share) => (left -= share) < 0);
      if (drawn < 0) drawn = shares.length - 1; // the shares sum to 1, apart from rounding
    }
    this.characters.push(drawn);
    this.unread.push(drawn);
    this.read();
  }

  one() {
    this.isRunning = false;
    while (this.unread.length) this.read();
    this.write();
    this.show();
    this.say(nameOf(this.model.alphabet[/** @type {number} */ (this.characters.at(-1))]));
  }

  run() {
    this.isRunning = true;
    this.go();
  }

  /** Frame by frame: read what is unread, then write as long as it runs. */
  go() {
    const [from, number] = [this.characters.length, ++this.loops];
    const frame = () => {
      if (this.loops !== number) return; // another loop has begun
      const end = performance.now() + FRAME;
      while ((this.unread.length || this.isRunning) && performance.now() < end) {
        if (this.unread.length) this.read();
        else this.write();
        if (this.characters.length - from >= LONGEST) this.isRunning = false;
      }
      this.show();
      if (this.unread.length || this.isRunning) requestAnimationFrame(frame);
      else if (this.characters.length > from) this.say(this.textOf(this.characters.slice(from)));
    };
    frame();
  }

  stop() {
    this.isRunning = false; // the next frame ends the run
  }

  /** To a screen reader. @param {string} words */
  say(words) {
    part(this.root, "spoken").textContent = words;
  }

  /** @param {number[]} characters */
  textOf(characters) {
    return characters.map((at) => this.model.alphabet[at]).join("");
  }

  show() {
    const written = document.createElement("mark");
    written.textContent = this.textOf(this.characters.slice(this.given));
    this.text.replaceChildren(this.textOf(this.characters.slice(0, this.given)), written);
    this.text.scrollTop = this.text.scrollHeight;
    part(this.root, "degrees").textContent = Number(this.temperature.value).toFixed(1);
    part(this.root, "run").textContent = this.isRunning ? "Stop" : "Write";
    this.root.dataset.state = this.isRunning ? "running" : this.unread.length ? "reading" : "ready";
    if (this.unread.length) return;
    const both = [softmax(/** @type {Float64Array} */ (this.logits)), this.ngrams.guess(this.characters)];
    const ranked = both.map((shares) => [...shares.keys()].sort((a, b) => shares[b] - shares[a]));
    part(this.root, "next").replaceChildren(...Array.from({ length: LIKELIEST }, (_, rank) => {
      const row = document.createElement("tr");
      both.forEach((shares, i) => row.append(...this.cells(ranked[i][rank], shares[ranked[i][rank]])));
      return row;
    }));
    part(this.root, "time").textContent = `${median(this.times).toFixed(1)} ms`;
  }

  /** A character and its share, as a number over a bar. @param {number} character @param {number} share */
  cells(character, share) {
    const [name, number] = ["td", "td"].map((tag) => document.createElement(tag));
    name.textContent = nameOf(this.model.alphabet[character]);
    number.textContent = `${(100 * share).toFixed(1)} %`;
    number.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
    return [name, number];
  }
}

/** @param {HTMLElement} root @param {string} name */
function part(root, name) {
  return /** @type {HTMLElement} */ (root.querySelector(`[data-part=${name}]`));
}

/** @param {string} character */
function nameOf(character) {
  return NAMES.get(character) ?? character;
}

/** @param {number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** @param {string} name of a file beside this one */
async function load(name) {
  const response = await fetch(new URL(name, import.meta.url)).catch(() => null);
  if (!response) throw new FileError("the host cannot be reached");
  if (!response.ok) throw new FileError(`the server answered ${response.status} for ${name}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** @param {HTMLElement} root */
async function start(root) {
  part(root, "status").textContent = "Loading …";
  root.dataset.state = "loading";
  try {
    const [file, table] = await Promise.all([load(MODEL), load(NGRAMS)]);
    const model = await readModel(file);
    new Page(root, model, await readNGrams(table, model.alphabet.length), file.length);
    part(root, "prompt").focus();
  } catch (error) {
    part(root, "fault").textContent = `This page cannot write now: ${error instanceof Error ? error.message : error}.`;
    root.dataset.state = "failed";
  }
}

for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".write"))) {
  root.dataset.state = "idle";
  part(root, "load").addEventListener("click", () => start(root), { once: true });
}
