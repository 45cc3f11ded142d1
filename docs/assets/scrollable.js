// What is wider than the window scrolls on its own. Keyboard users must be able to focus and scroll it.
/** @returns {NodeListOf<HTMLElement>} */
const wideOnes = () => document.querySelectorAll(".table, .figure, .formula, .md-typeset__scrollwrap:not(.table *)");

/** @param {HTMLElement} element */
function makeReachable(element) {
  const isScrolled = getComputedStyle(element).overflowX !== "visible"; // else what is around it scrolls
  if (isScrolled && element.scrollWidth > element.clientWidth) element.tabIndex = 0;
  else element.removeAttribute("tabindex");
}

// The body's size changes with the window's, and when a fold opens; not always when the theme wraps the tables.
const mark = () => wideOnes().forEach(makeReachable);
new ResizeObserver(mark).observe(document.body);
addEventListener("load", mark);
