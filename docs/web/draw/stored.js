// The reader's own network, kept by the browser between visits, for all pages of this site.

const KEY = "bnn_tutorial.network";

/**
 * @param {Uint8Array} file
 * @throws {DOMException} if the browser stores nothing
 */
export function keep(file) {
  localStorage.setItem(KEY, btoa(Array.from(file, (byte) => String.fromCharCode(byte)).join("")));
}

/**
 * @returns {Uint8Array | null} what was stored, which may be damaged; null if nothing was
 * @throws {DOMException} if it is not bytes at all
 */
export function kept() {
  const text = read();
  return text === null ? null : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function forget() {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // nothing was stored
  }
}

/** If the browser may not store anything, nothing was stored. */
function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
