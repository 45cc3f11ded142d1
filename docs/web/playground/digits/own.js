// The digits that the reader drew and labelled: a list of thumbnails, each of which is a button that removes it.

import { SIDE } from "../../engine/digit.js";
import { paintSquares } from "../../draw/views.js";

/** @typedef {import("./images.js").OwnDigit} OwnDigit */

const MOST = 100;

export class OwnDigits {
  /**
   * @param {HTMLElement} list
   * @param {() => void} changed is called after each change
   */
  constructor(list, changed) {
    this.list = list;
    this.changed = changed;
    /** @type {OwnDigit[]} */
    this.digits = [];
  }

  get isFull() {
    return this.digits.length >= MOST;
  }

  /** @param {OwnDigit} digit */
  add(digit) {
    this.digits.push(digit);
    const item = document.createElement("li");
    item.innerHTML = `<button type="button"><canvas class="draw-squares"></canvas><b></b></button>`;
    const button = /** @type {HTMLElement} */ (item.firstChild);
    button.setAttribute("aria-label", `Remove this ${digit.label}`);
    button.title = "Remove";
    /** @type {HTMLElement} */ (button.lastChild).textContent = String(digit.label);
    button.addEventListener("click", () => this.remove(digit, item));
    this.list.append(item);
    this.paint();
    this.changed();
  }

  /** After a removal by keyboard, the next digit gets the focus, or the list. @param {OwnDigit} digit @param {HTMLElement} item */
  remove(digit, item) {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    this.digits.splice(this.digits.indexOf(digit), 1);
    item.remove();
    /** @type {HTMLElement} */ (next?.firstElementChild ?? this.list).focus();
    this.changed();
  }

  /** In the page's current colour. */
  paint() {
    this.list.querySelectorAll("canvas").forEach((canvas, i) => paintSquares(canvas, this.digits[i].image, SIDE));
  }
}
