// A small plot that grows: a line of continuous measurements, or a bar per epoch.

const SIZE = 100; // of the plot, in its own coordinates
const SHOWN = 0.95; // the share of the height that the largest value takes

export class Curve {
  /**
   * @param {HTMLElement} figure
   * @param {(value: number) => string} format
   * @param {"line" | "bars"} kind
   * @param {number} [least] the height of the plot at least
   */
  constructor(figure, format, kind, least = 0) {
    this.figure = figure;
    this.format = format;
    this.kind = kind;
    this.least = least;
    this.epochs = 1;
    /** @type {Array<[epoch: number, value: number]>} */
    this.points = [];
  }

  /** Empty, for so many epochs. @param {number} epochs */
  start(epochs) {
    this.epochs = epochs;
    this.points = [];
    this.show("–", "nothing yet");
  }

  /** @param {number} epoch @param {number} value */
  add(epoch, value) {
    this.points.push([epoch, value]);
    const [first] = this.points;
    this.show(this.format(value), `from ${this.format(first[1])} to ${this.format(value)}`);
  }

  /** @param {string} now @param {string} label */
  show(now, label) {
    const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (this.figure.querySelector(selector));
    find("output").textContent = now;
    find("svg").setAttribute("aria-label", label);
    find("path").setAttribute("d", this.path());
  }

  path() {
    const largest = Math.max(this.least, ...this.points.map(([, value]) => value)) / SHOWN;
    const at = this.points.map(([epoch, value]) => [(epoch / this.epochs) * SIZE, SIZE * (1 - value / largest)]);
    if (this.kind === "line") return at.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    const half = SIZE / this.epochs / 2; // a bar stands in the middle of its epoch
    return at.map(([x, y]) => `M${(x - half).toFixed(1)} ${SIZE}V${y.toFixed(1)}`).join("");
  }
}
