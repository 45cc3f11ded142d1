// What the page shows of an inference: the image and the hidden outputs as squares, the logits as bars.

/**
 * Square k of a grid has the opacity `values[k] / 255`.
 * @param {HTMLCanvasElement} canvas gets a pixel for each square; its style makes them large
 * @param {Uint8Array} values
 * @param {number} columns
 * @param {string} [colour] the canvas's own, that of its text, unless told
 */
export function paintSquares(canvas, values, columns, colour = getComputedStyle(canvas).color) {
  canvas.width = columns;
  canvas.height = Math.ceil(values.length / columns);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(canvas.width, canvas.height);
  values.forEach((value, k) => (image.data[4 * k + 3] = value));
  context.putImageData(image, 0, 0);
  context.globalCompositeOperation = "source-in"; // the colour, with the opacity that is already there
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

/**
 * Columns of a grid for so many neurons: the fewest that fill the last row and make the grid no higher than wide.
 * @param {number} units
 */
export function columnsFor(units) {
  const least = Math.ceil(Math.sqrt(units));
  for (let columns = least; columns <= 2 * least; columns++) if (units % columns === 0) return columns;
  return least;
}

/**
 * The share of each class: e to the power of its logit, divided by the sum of these. The largest logit is subtracted
 * first, which does not change the shares but keeps the powers within range.
 * @param {Float64Array} logits
 */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** A bar for each class, its name and its logit. */
export class Bars {
  /**
   * @param {HTMLElement} list
   * @param {number} classes
   */
  constructor(list, classes) {
    this.items = Array.from({ length: classes }, (_, digit) => {
      const item = document.createElement("li");
      item.innerHTML = `<span class="draw-bar"><span></span></span><b>${digit}</b> <small></small>`;
      return item;
    });
    list.replaceChildren(...this.items);
    this.clear();
  }

  clear() {
    this.items.forEach((item) => this.fill(item, 0, "–", false));
  }

  /** @param {Float64Array} logits @param {number} digit the network's answer */
  show(logits, digit) {
    softmax(logits).forEach((share, i) => this.fill(this.items[i], share, signed(logits[i]), i === digit));
  }

  /** @param {HTMLElement} item @param {number} share @param {string} logit @param {boolean} isAnswer */
  fill(item, share, logit, isAnswer) {
    const bar = /** @type {HTMLElement} */ (item.querySelector(".draw-bar span"));
    bar.style.transform = `scaleY(${share.toFixed(3)})`;
    /** @type {HTMLElement} */ (item.querySelector("small")).textContent = logit;
    item.classList.toggle("is-answer", isAnswer);
  }
}

/**
 * With a minus sign as wide as a digit.
 * @param {number} value
 */
export function signed(value) {
  return value.toFixed(1).replace("-", "−");
}
