// What is wider than the window scrolls on its own. Keyboard users must be able to focus and scroll it.
/** @returns {NodeListOf<HTMLElement>} */
const wideOnes = () => document.querySelectorAll(".table, .formula, .md-typeset__scrollwrap:not(.table *)");

/** @param {HTMLElement} element */
function makeReachable(element) {
  const isScrolled = getComputedStyle(element).overflowX !== "visible"; // else what is around it scrolls
  if (isScrolled && element.scrollWidth > element.clientWidth) element.tabIndex = 0;
  else element.removeAttribute("tabindex");
}

// The body's size changes with the window's, when a fold opens, and when the theme has wrapped the tables.
new ResizeObserver(() => wideOnes().forEach(makeReachable)).observe(document.body);
