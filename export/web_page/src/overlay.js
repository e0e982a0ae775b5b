// @ts-check
/** Drawing on frames. */

/** @typedef {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context */

/**
 * Draws a box with a dark edge, visible on any picture.
 * @param {Context} context
 * @param {[number, number, number, number]} box
 * @param {string} color
 * @param {number} width of the line
 */
export function drawBox(context, [x1, y1, x2, y2], color, width) {
  context.lineJoin = "round";
  for (const [style, line] of /** @type {[string, number][]} */ ([
    ["rgb(0 0 0 / 65%)", width * 1.9],
    [color, width],
  ])) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
}

/**
 * Draws a heatmap over the whole frame, from transparent to the given colour.
 * @param {Context} context
 * @param {Float32Array} heat `[size, size]`, 0 to 1
 * @param {number} size
 * @param {number} width of the frame
 * @param {number} height of the frame
 */
export function drawHeat(context, heat, size, width, height) {
  const small = new OffscreenCanvas(size, size);
  const pixels = new ImageData(size, size);
  const most = heat.reduce((a, b) => Math.max(a, b), 1e-6);
  heat.forEach((value, place) => {
    const share = value / most;
    pixels.data.set([255, 255 * (1 - share), 0, 220 * share ** 1.2], 4 * place);
  });
  small.getContext("2d")?.putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, width, height);
}
