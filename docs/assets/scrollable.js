// What is wider than the window scrolls by itself; whoever uses the keyboard must be able to get there and scroll it.
const wide = ".table, .formula, .md-typeset__scrollwrap";

function makeReachable(element) {
  if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
  else element.removeAttribute("tabindex");
}

const observer = new ResizeObserver((entries) => entries.forEach((entry) => makeReachable(entry.target)));
document.querySelectorAll(wide).forEach((element) => observer.observe(element));
