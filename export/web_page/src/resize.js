// @ts-check
/**
 * Resizes frames to RGB exactly as FFmpeg's swscale does with bilinear filters, which made the
 * frames of the training data: the filter is a triangle as wide as the shrinking, sums are in fixed
 * point, and two neighbouring pixels share their colour difference if the file has fewer of them.
 */

const HORIZONTAL_ONE = 1 << 14;
const VERTICAL_ONE = 1 << 12;
const CUTOFF = 0.002; // of the sum of a filter; coefficients that small at its ends are dropped
const FIXED = 1 << 16;
const CENTRE = 128; // of a sample, in 1/256
const LEFT = 64; // half a sample of luma left of the centre

/** Red of V, blue of U, green of U, green of V, times 2^16, by the matrix of the colours. */
const MATRICES = {
  bt709: [117489, 138438, 13975, 34925],
  bt601: [104597, 132201, 25675, 53279],
  fcc: [104448, 132798, 24759, 53109],
  smpte240m: [117579, 136230, 16907, 35559],
  "bt2020-ncl": [110013, 140363, 12277, 42626],
};

/**
 * A plane of samples of 8 `bits` or more.
 * @typedef {{data: Uint8Array | Uint16Array, bits: number, offset: number, stride: number,
 *   step: number, width: number, height: number}} Plane `step` is the distance of two samples of a
 *   row
 */

/**
 * Which parts of the source each output sample is made of.
 * @typedef {{size: number, starts: Int32Array, weights: Int32Array}} Filter
 */

/**
 * Filter of swscale for one direction.
 * @param {number} source number of samples
 * @param {number} target number of samples
 * @param {number} one sum of the weights
 * @param {number} sourcePlace place of the first source sample, in 1/256 of a sample
 * @returns {Filter}
 */
function makeFilter(source, target, one, sourcePlace) {
  const increment = Math.floor((source * FIXED + (target >> 1)) / target);
  const widened = increment > FIXED;
  let size = widened ? 1 + Math.floor((2 * source + target - 1) / target) : 3;
  size = Math.max(Math.min(size, source - 2), 1);
  let place = Math.floor((CENTRE * increment) / 128) - Math.floor((sourcePlace * FIXED) / 128);
  /** @type {{start: number, weights: number[]}[]} */
  const rows = [];
  for (let i = 0; i < target; i++, place += 2 * increment) {
    const start = Math.trunc((place - (size - 2) * FIXED) / (2 * FIXED));
    const weights = [];
    for (let j = 0; j < size; j++) {
      let distance = Math.abs((start + j) * 2 * FIXED - place) / (2 * FIXED);
      if (widened) distance = (distance * target) / source;
      weights.push(Math.max(1 - distance, 0));
    }
    rows.push({ start, weights });
  }
  return normalized(rows.map(trim), source, one);
}

/**
 * Drops small weights at both ends.
 * @param {{start: number, weights: number[]}} row
 */
function trim({ start, weights }) {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  let first = 0;
  let last = weights.length;
  for (let cut = 0; last - first > 1; first++) {
    cut += /** @type {number} */ (weights[first]);
    if (cut > CUTOFF * sum) break;
  }
  for (let cut = 0; last - first > 1; last--) {
    cut += /** @type {number} */ (weights[last - 1]);
    if (cut > CUTOFF * sum) break;
  }
  return { start: start + first, weights: weights.slice(first, last) };
}

/**
 * Moves weights beyond the edges to the edges, and makes them integers with the sum `one`.
 * @param {{start: number, weights: number[]}[]} rows
 * @param {number} source
 * @param {number} one
 * @returns {Filter}
 */
function normalized(rows, source, one) {
  const size = Math.min(Math.max(...rows.map((row) => row.weights.length)), source);
  const starts = new Int32Array(rows.length);
  const all = new Int32Array(rows.length * size);
  rows.forEach(({ start, weights }, i) => {
    const first = Math.min(Math.max(start, 0), source - size);
    starts[i] = first;
    const inside = new Float64Array(size);
    weights.forEach((weight, j) => {
      const place = Math.min(Math.max(start + j, 0), source - 1) - first;
      inside[place] = /** @type {number} */ (inside[place]) + weight;
    });
    const sum = inside.reduce((total, weight) => total + weight, 0);
    let error = 0; // of rounding, passed on to the next weight
    inside.forEach((weight, j) => {
      const wanted = (weight * one) / sum + error;
      const rounded = Math.round(wanted);
      all[i * size + j] = rounded;
      error = wanted - rounded;
    });
  });
  return { size, starts, weights: all };
}

/**
 * Scales the rows of a plane to `[height, target]`, 15 bits.
 * @param {Plane} plane
 * @param {Filter} filter
 */
function scaleRows({ data, bits, offset, stride, step, height }, { size, starts, weights }) {
  const target = starts.length;
  const scaled = new Int32Array(height * target);
  for (let y = 0, out = 0; y < height; y++) {
    const row = offset + y * stride;
    for (let x = 0; x < target; x++, out++) {
      let place = row + /** @type {number} */ (starts[x]) * step;
      let sum = 0;
      for (let j = x * size, end = j + size; j < end; j++, place += step) {
        sum += /** @type {number} */ (data[place]) * /** @type {number} */ (weights[j]);
      }
      scaled[out] = Math.min(sum >> (bits - 1), 32767);
    }
  }
  return scaled;
}

/**
 * Scales columns of `[height, width]` to `[target, width]`.
 * @param {Int32Array} rows
 * @param {number} width
 * @param {Filter} filter
 * @param {number} digits binary digits that are dropped: 19 leave 8 bits, which may overflow
 * @param {boolean} rounds
 */
function scaleColumns(rows, width, { size, starts, weights }, digits, rounds) {
  const target = starts.length;
  const scaled = new Int32Array(target * width);
  for (let y = 0; y < target; y++) {
    const first = /** @type {number} */ (starts[y]) * width;
    for (let x = 0; x < width; x++) {
      let sum = rounds ? 1 << (digits - 1) : 0;
      for (let j = 0, place = first + x; j < size; j++, place += width) {
        sum += /** @type {number} */ (rows[place]) * /** @type {number} */ (weights[y * size + j]);
      }
      scaled[y * width + x] = sum >> digits;
    }
  }
  return scaled;
}

const clip8 = (/** @type {number} */ value) => (value < 0 ? 0 : value > 255 ? 255 : value);

/** Resizes frames of one size and one kind of colours to RGB of `size * size`. */
export class Resizer {
  /**
   * @param {number} size
   * @param {{matrix?: string | null, fullRange?: boolean | null}} colors what the file says; if
   *   it does not, colours are BT.601 of limited range, as for FFmpeg
   * @param {boolean} leftSited whether the colour differences of two samples of luma belong to
   *   the left one instead of to their centre
   */
  constructor(size, colors, leftSited) {
    this.size = size;
    this.place = leftSited ? LEFT : CENTRE;
    /** @type {Map<string, Filter>} */
    this.filters = new Map();
    const known = /** @type {Record<string, number[]>} */ (MATRICES);
    const [vr, ub, ug, vg] = /** @type {[number, number, number, number]} */ (
      known[colors.matrix ?? "bt601"] ?? MATRICES.bt601
    );
    const full = Boolean(colors.fullRange);
    const luma = full ? FIXED : Math.trunc((FIXED * 255) / 219);
    const scaled = (/** @type {number} */ factor) => {
      const ranged = full ? Math.trunc((factor * 224) / 255) : factor;
      return Math.trunc((ranged * FIXED + 0x8000) / luma);
    };
    this.luma = luma;
    // Table of swscale: luma l has the tone l * this.luma + this.black, in 1/2^16.
    this.black = full ? 0 : 326 * luma - (384 + 16) * FIXED;
    this.redOfV = scaled(vr);
    this.blueOfU = scaled(ub);
    this.greenOfU = scaled(-ug);
    this.greenOfV = scaled(-vg);
    const exact = (/** @type {number} */ factor) =>
      Math.floor((factor * (1 << 13) + 0x8000) / FIXED);
    const ranged = (/** @type {number} */ factor) =>
      exact(full ? Math.trunc((factor * 224) / 255) : factor);
    // For colours of each pixel, in 1/2^13.
    this.exact = {
      luma: exact(luma),
      black: full ? 0 : 16 << 9,
      redOfV: ranged(vr),
      blueOfU: ranged(ub),
      greenOfU: ranged(-ug),
      greenOfV: ranged(-vg),
    };
  }

  /**
   * @param {number} source
   * @param {number} target
   * @param {number} one
   * @param {number} place
   */
  #filter(source, target, one, place) {
    const key = `${source} ${target} ${one} ${place}`;
    const filter = this.filters.get(key) ?? makeFilter(source, target, one, place);
    this.filters.set(key, filter);
    return filter;
  }

  /**
   * @param {Plane[]} planes
   * @param {number[]} widths
   * @param {number[]} places of the first samples of their rows
   * @param {number} digits see `scaleColumns`
   */
  #scaled(planes, widths, places, digits = 19) {
    const columns = planes.map((plane) => this.#filter(plane.height, this.size, VERTICAL_ONE, 128));
    // swscale does not round if all columns are sums of two samples.
    const rounds = !columns.every((filter) => filter.size === 2);
    return planes.map((plane, i) => {
      const width = /** @type {number} */ (widths[i]);
      const place = /** @type {number} */ (places[i]);
      const rows = scaleRows(plane, this.#filter(plane.width, width, HORIZONTAL_ONE, place));
      return scaleColumns(rows, width, /** @type {Filter} */ (columns[i]), digits, rounds);
    });
  }

  /**
   * Resizes a frame of planes Y, U and V.
   * @param {[Plane, Plane, Plane]} planes
   * @returns {Uint8Array} RGB `[size, size, 3]`
   */
  fromPlanes([luma, u, v]) {
    if (u.width === luma.width && u.height === luma.height) {
      return this.#fromWholePlanes(luma, u, v);
    }
    const { size } = this;
    const half = size >> 1;
    const place = u.width < luma.width ? this.place : CENTRE;
    const [Y, U, V] = /** @type {[Int32Array, Int32Array, Int32Array]} */ (
      this.#scaled([luma, u, v], [size, half, half], [CENTRE, place, place])
    );
    const rgb = new Uint8Array(size * size * 3);
    for (let y = 0, out = 0; y < size; y++) {
      for (let x = 0; x < size; x++, out += 3) {
        const chroma = y * half + (x >> 1);
        const value = /** @type {number} */ (Y[y * size + x]);
        const blueness = clip8(/** @type {number} */ (U[chroma]));
        const redness = clip8(/** @type {number} */ (V[chroma]));
        rgb[out] = this.#tone(value + toneOffset(redness, this.redOfV));
        rgb[out + 1] = this.#tone(
          value + toneOffset(blueness, this.greenOfU) + toneOffset(redness, this.greenOfV),
        );
        rgb[out + 2] = this.#tone(value + toneOffset(blueness, this.blueOfU));
      }
    }
    return rgb;
  }

  /**
   * Colours that are not subsampled are not halved either.
   * @param {Plane} luma
   * @param {Plane} u
   * @param {Plane} v
   */
  #fromWholePlanes(luma, u, v) {
    const { size, exact } = this;
    const sizes = [size, size, size];
    const [Y, U, V] = /** @type {[Int32Array, Int32Array, Int32Array]} */ (
      this.#scaled([luma, u, v], sizes, [CENTRE, CENTRE, CENTRE], 10)
    );
    const rgb = new Uint8Array(size * size * 3);
    const zero = 128 << 9;
    for (let place = 0; place < size * size; place++) {
      const value = /** @type {number} */ (Y[place]);
      const tone = (value - exact.black) * exact.luma + (1 << 21);
      const blueness = /** @type {number} */ (U[place]) - zero;
      const redness = /** @type {number} */ (V[place]) - zero;
      const colors = [
        redness * exact.redOfV,
        blueness * exact.greenOfU + redness * exact.greenOfV,
        blueness * exact.blueOfU,
      ];
      colors.forEach((color, channel) => {
        rgb[3 * place + channel] = clip8(Math.floor((tone + color) / (1 << 22)));
      });
    }
    return rgb;
  }

  /** @param {number} luma */
  #tone(luma) {
    return clip8((luma * this.luma + this.black + 0x8000) >> 16);
  }

  /**
   * Resizes a frame of which the browser converted the colours: back to planes, then as others.
   * @param {Uint8ClampedArray} rgba
   * @param {number} width
   * @param {number} height
   * @param {readonly [number, number, number]} shares of red, green and blue in the browser's luma
   */
  fromConverted(rgba, width, height, shares) {
    const [black, range, chroma] = this.black === 0 ? [0, 1, 255] : [16, 219 / 255, 224];
    const difference = (/** @type {number} */ channel) => {
      const factor = chroma / 510 / (1 - /** @type {number} */ (shares[channel]));
      const weights = shares.map((share, each) => factor * (Number(each === channel) - share));
      return mixed(rgba, width, height, 2, weights, 128);
    };
    const weights = shares.map((share) => range * share);
    const luma = mixed(rgba, width, height, 1, weights, black);
    return this.fromPlanes([luma, difference(2), difference(0)]);
  }

  /**
   * Resizes a frame of RGBA, as drawn by a canvas.
   * @param {Uint8Array | Uint8ClampedArray} data
   * @param {number} width
   * @param {number} height
   */
  fromRgba(data, width, height) {
    const { size } = this;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const rgb = new Uint8Array(size * size * 3);
    const planes = [0, 1, 2].map((channel) => ({
      ...{ data: bytes, bits: 8, offset: channel, stride: 4 * width, step: 4, width, height },
    }));
    const scaled = this.#scaled(planes, [size, size, size], [CENTRE, CENTRE, CENTRE]);
    scaled.forEach((values, channel) => {
      for (let place = 0; place < size * size; place++) {
        rgb[3 * place + channel] = clip8(/** @type {number} */ (values[place]));
      }
    });
    return rgb;
  }
}

/**
 * @param {number} chroma
 * @param {number} factor
 */
function toneOffset(chroma, factor) {
  return ((chroma * factor) >> 16) - (factor >> 9);
}

/**
 * Weighted sums of red, green and blue, as a plane.
 * @param {Uint8ClampedArray} rgba
 * @param {number} width
 * @param {number} height
 * @param {number} step each sample is the mean of `step * step` pixels
 * @param {number[]} weights
 * @param {number} base is added
 * @returns {Plane}
 */
function mixed(rgba, width, height, step, [red = 0, green = 0, blue = 0], base) {
  const at = (/** @type {number} */ place) => /** @type {number} */ (rgba[place]);
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const data = new Uint8ClampedArray(columns * rows); // it rounds
  for (let sample = 0; sample < data.length; sample++) {
    let sum = 0;
    for (let part = 0; part < step * step; part++) {
      const x = step * (sample % columns) + (part % step);
      const y = step * Math.floor(sample / columns) + Math.floor(part / step);
      const place = 4 * (Math.min(y, height - 1) * width + Math.min(x, width - 1));
      sum += red * at(place) + green * at(place + 1) + blue * at(place + 2);
    }
    data[sample] = base + sum / (step * step);
  }
  const layout = { bits: 8, offset: 0, stride: columns, step: 1, width: columns, height: rows };
  return { data: new Uint8Array(data.buffer), ...layout };
}

/**
 * Turns RGB `[size, size, 3]` upright.
 * @param {Uint8Array} rgb
 * @param {number} size
 * @param {{rotation: number, flip: boolean}} turn clockwise degrees, then a horizontal flip
 */
export function turnUpright(rgb, size, { rotation, flip }) {
  if (!rotation && !flip) return rgb;
  const turned = new Uint8Array(rgb.length);
  const last = size - 1;
  for (let y = 0, out = 0; y < size; y++) {
    for (let column = 0; column < size; column++, out += 3) {
      const x = flip ? last - column : column;
      const [fromX, fromY] = /** @type {[number, number]} */ (
        rotation === 90
          ? [y, last - x]
          : rotation === 180
            ? [last - x, last - y]
            : rotation === 270
              ? [last - y, x]
              : [x, y]
      );
      const from = 3 * (fromY * size + fromX);
      turned.set(rgb.subarray(from, from + 3), out);
    }
  }
  return turned;
}
