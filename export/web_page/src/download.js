// @ts-check
/** Downloads of the page's own files. */

const GZIP = [0x1f, 0x8b];

/**
 * Downloads a file and decompresses it, unless the server has told the browser to.
 * @param {URL} url
 * @param {(loaded: number, total: number) => void} [onBytes]
 */
export async function download(url, onBytes) {
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new Error(`Could not download ${url.pathname}. Is the network available?`);
  }
  if (!response.ok || !response.body) {
    throw new Error(`Could not download ${url.pathname}: the server answers ${response.status}.`);
  }
  const total = Number(response.headers.get("Content-Length"));
  const parts = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    onBytes?.(loaded, Math.max(total, loaded));
  }
  const blob = new Blob(/** @type {BlobPart[]} */ (parts));
  const start = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const zipped = start[0] === GZIP[0] && start[1] === GZIP[1];
  const stream = zipped ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob;
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
