// A classic script within the page, since it speaks where the browser loads no others.

/** @param {string} selector of the places that wait for a script @param {string} why */
function reportFault(selector, why) {
  for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(selector))) {
    const fault = /** @type {HTMLElement} */ (root.querySelector("[data-part=fault]"));
    fault.textContent = `This page cannot ${root.dataset.cannot ?? "read digits"} now: ${why}.`;
    root.dataset.state = "failed";
  }
}

/** Why a module, or one that it imports, was not loaded. @param {string} address */
async function whyUnloaded(address) {
  if (location.protocol === "file:") return "browsers load no scripts from files. Serve it by python -m http.server";
  const response = await fetch(address).catch(() => null);
  const type = response?.headers.get("Content-Type") ?? "nothing";
  if (response?.ok && !type.includes("javascript")) return `the server sends its scripts as ${type}, no JavaScript`;
  return "its scripts are missing; reload the page, and see whether the host can be reached";
}

// A browser that does not understand a script, or stops in the midst of it, has nothing more to say.
addEventListener("error", ({ message, filename }) => {
  const why = `this browser cannot run its scripts (${message})`;
  if (filename.includes("/web/")) reportFault("[data-state=loading]", why);
});
