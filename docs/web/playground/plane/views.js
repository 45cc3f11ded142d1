// Everything that is shown of the runs: maps, network, plots, and their labels.

import { activationOf } from "../../engine/learning.js";
import { drawMap } from "./maps.js";
import { NetworkView } from "./network-view.js";
import { coloursOf, partOf } from "./paint.js";
import { drawCourses, drawHistogram, drawLife, drawSurrogate, niceAbove } from "./plots.js";
import { ACCURACY, LOSS, WEIGHTS, optionsOf } from "./run.js";
import { sumsOf } from "./sums.js";
import { clock, percent, short, verdict, weightName } from "./words.js";

/**
 * @typedef {import("./maps.js").Maps} Maps
 * @typedef {import("./paint.js").Colours} Colours
 * @typedef {import("./run.js").Run} Run
 */

const MOST_REACH = 40; // of the picture of the sign
const SMOOTH = 10; // rows to both sides

export class Views {
  /**
   * @param {HTMLElement} root
   * @param {Maps} maps
   */
  constructor(root, maps) {
    this.root = root;
    this.maps = maps;
    this.network = new NetworkView(this.canvas("network"), maps);
    this.weight = 0; // the chosen one
    this.chosen = () => {}; // called when another one is chosen
    const input = /** @type {HTMLInputElement} */ (this.part("chosen"));
    input.addEventListener("input", () => this.choose(Number(input.value) - 1));
    this.canvas("network").addEventListener("click", ({ offsetX, offsetY }) => {
      const weight = this.network.weightAt(offsetX, offsetY);
      if (weight >= 0) this.choose(weight);
    });
  }

  /** @param {string} name */
  part(name) {
    return partOf(this.root, name);
  }

  /** @param {string} name */
  canvas(name) {
    return /** @type {HTMLCanvasElement} */ (this.part(name));
  }

  /** @param {string} name @param {string} text */
  write(name, text) {
    const part = this.part(name);
    if (part.textContent !== text) part.textContent = text;
  }

  /** @param {number} weight */
  choose(weight) {
    if (Number.isInteger(weight)) this.weight = weight;
    this.chosen();
  }

  /**
   * @param {Run} main
   * @param {Run | null} beside
   * @param {[number, number] | null} cross the keyboard's place on the map
   * @param {number} now
   */
  draw(main, beside, cross, now) {
    const colours = coloursOf(this.root);
    this.maps.useColours(colours);
    const besideSums = this.drawBeside(beside, colours);
    this.write("beside-name", this.root.querySelector(`[name=beside] [value=${main.state.beside}]`)?.textContent ?? "");
    this.maps.evaluate(main.network);
    drawMap(this.canvas("map"), this.maps.paintDecision(), main.data, colours, cross);
    const units = Math.max(main.state.units, main.state.second);
    this.root.style.setProperty("--play-units", String(units));
    this.weight = Math.min(Math.max(this.weight, 0), main.weights() - 1);
    this.network.draw(main.network, colours, this.weight, now);
    this.drawPlots(main, beside, colours);
    this.drawSums(main, besideSums, colours);
    this.write("clock", clock(main));
    this.write("verdict", verdict(main));
  }

  /** @param {Run | null} beside @param {Colours} colours */
  drawBeside(beside, colours) {
    this.part("beside-figure").hidden = !beside;
    if (!beside) return null;
    beside.evaluate();
    const sums = sumsOf(beside);
    this.maps.evaluate(beside.network);
    drawMap(this.canvas("beside-map"), this.maps.paintDecision(), beside.data, colours, null);
    this.write("beside-verdict", verdict(beside));
    return sums;
  }

  /** @param {Run} main @param {Run | null} beside @param {Colours} colours */
  drawPlots(main, beside, colours) {
    const runs = beside ? [main, beside] : [main];
    const series = (/** @type {(run: Run) => Float64Array} */ values) => runs.map((run) => (
      { values: values(run), end: run.recorded, isBeside: run === beside }));
    drawCourses(this.canvas("loss"), colours, series((run) => run.course.column(LOSS)), 0);
    drawCourses(this.canvas("accuracy"), colours, series((run) => run.course.column(ACCURACY)), 1);
    const ratios = series((run) => smoothed(run.flipRatios()));
    drawCourses(this.canvas("flips"), colours, ratios, 0.01, (x) => percent(x, 0));
    const weights = main.network.layers.flatMap(({ weight }) => [...weight]);
    const hasClamp = main.state.clamp && main.binaryWeights > 0;
    drawHistogram(this.canvas("histogram"), colours, weights, hasClamp);
    const life = { values: main.course.column(WEIGHTS + this.weight), end: main.recorded };
    drawLife(this.canvas("life"), colours, life, hasClamp);
    this.writeValues(main, beside, weights);
  }

  /** @param {Run} main @param {Run | null} beside @param {number[]} weights */
  writeValues(main, beside, weights) {
    main.evaluate();
    const both = (/** @type {(run: Run) => string} */ text) => text(main) + (beside ? `; second ${text(beside)}` : "");
    this.write("loss-value", both((run) => short(run.loss)));
    this.write("accuracy-value", both((run) => short(run.accuracy)));
    this.write("flips-value", both((run) => (run.binaryWeights ? `${run.flips.toLocaleString("en")} flips` : "none")));
    const minus = weights.filter((w) => w < 0).length;
    this.write("histogram-value", `${minus} −, ${weights.length - minus} +`);
    this.write("chosen-name", `${weightName(main, this.weight)}: ${short(weights[this.weight])}`);
    const input = /** @type {HTMLInputElement} */ (this.part("chosen"));
    input.max = String(weights.length);
    if (document.activeElement !== input) input.value = String(this.weight + 1);
  }

  /**
   * @param {Run} main evaluated last on its points
   * @param {import("./sums.js").Sums | null} beside
   * @param {Colours} colours
   */
  drawSums(main, beside, colours) {
    const activation = activationOf(optionsOf(main.state));
    const { sums, spreads, withSlope } = sumsOf(main);
    const window = main.state.estimator === "clipped" ? 1.3 * main.state.clip : 0;
    const reach = niceAbove(Math.min(Math.max(2, window, ...spreads.map((spread) => 2.5 * spread)), MOST_REACH));
    drawSurrogate(this.canvas("surrogate"), colours, activation, sums, reach);
    const both = (/** @type {number[]} */ values) => values.map(short).join(" and ");
    const words = `reaches ${percent(withSlope, 0)}, spread ${both(spreads)}`;
    this.write("spread", words + (beside ? `; second ${percent(beside.withSlope, 0)}, ${both(beside.spreads)}` : ""));
  }
}

/** The means of each value and its neighbours: single flips would be a comb. @param {Float64Array} values */
function smoothed(values) {
  return values.map((_, i) => {
    const around = values.subarray(Math.max(i - SMOOTH, 0), i + SMOOTH + 1);
    return around.reduce((sum, value) => sum + value, 0) / around.length;
  });
}
