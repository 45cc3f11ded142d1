// A classic script, since it speaks where the browser loads no modules: from files, or when one is missing.

/**
 * The page's script, or one that it imports, was not loaded: say so in each place that waits for it.
 * @param {string} waiting a selector of these places
 */
function reportUnloaded(waiting) {
  const remedy = location.protocol === "file:"
    ? "browsers load none from files. Serve the site by python -m http.server"
    : "reload the page, and see whether the host can be reached";
  for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(waiting))) {
    const fault = /** @type {HTMLElement} */ (root.querySelector("[data-part=fault]"));
    fault.textContent = `This page cannot ${root.dataset.cannot ?? "read digits"} now: its scripts are missing; ${remedy}.`;
    root.dataset.state = "failed";
  }
}
