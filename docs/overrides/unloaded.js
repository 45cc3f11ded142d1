// A classic script inside the page: it can still report a fault when the browser loads no other scripts.

/** @param {string} selector of the parts that wait for a script @param {string} why */
function reportFault(selector, why) {
  for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(selector))) {
    const fault = /** @type {HTMLElement} */ (root.querySelector("[data-part=fault]"));
    fault.textContent = `This page cannot ${root.dataset.cannot ?? "read digits"} now: ${why}.`;
    root.dataset.state = "failed";
  }
}

/** Why a module, or one that it imports, was not loaded. @param {string} address */
async function whyUnloaded(address) {
  if (location.protocol === "file:") return "browsers do not load scripts from local files. Serve the site with python -m http.server";
  const response = await fetch(address).catch(() => null);
  const type = response?.headers.get("Content-Type") ?? "nothing";
  if (response?.ok && !type.includes("javascript")) return `the server sends its scripts as ${type}, not as JavaScript`;
  return "its scripts are missing; reload the page, and check that the server can be reached";
}

// A browser that cannot parse a script, or stops in the middle of it, reports nothing else.
addEventListener("error", ({ message, filename }) => {
  const why = `this browser cannot run its scripts (${message})`;
  if (filename.includes("/web/")) reportFault("[data-state=loading]", why);
});
