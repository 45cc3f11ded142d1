// Files that are stored packed.

const GZIP = [0x1f, 0x8b]; // the first bytes

/** A server may have unpacked it on the way. @param {Uint8Array<ArrayBuffer>} bytes */
export async function unzip(bytes) {
  if (!GZIP.every((byte, i) => bytes[i] === byte)) return bytes;
  if (!("DecompressionStream" in globalThis)) throw new Error("this browser cannot unpack files; those since 2023 can");
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
