// @ts-check
/** Rounding of features to the storage type of training, and their distance from training data. */

/**
 * Statistics of the training data; see gkcmn_tf.training.statistics.
 * @typedef {object} Training
 * @property {{seconds: {min: number, max: number}}} clips
 * @property {{channel_mean: number[], channel_deviation: number[], distance: {p99: number}}} features
 */

const MAX_SECONDS_PER_STEP = 1;
const DISTANCE_TOLERANCE = 1.1;
const LENGTH_TOLERANCE = 1.5;
const LEVELS = 255;
const MAX_HALF = 65504;

const bits = new DataView(new ArrayBuffer(4));

/**
 * Rounds to a number of bits of the significand, ties to even.
 * @param {number} value of float32
 * @param {number} dropped number of bits to drop, of 23
 */
function rounded(value, dropped) {
  bits.setFloat32(0, value);
  const whole = bits.getUint32(0);
  const odd = (whole >>> dropped) & 1;
  const kept = (whole + (1 << (dropped - 1)) - 1 + odd) >>> dropped;
  bits.setUint32(0, (kept << dropped) >>> 0);
  return bits.getFloat32(0);
}

/**
 * Rounds to float16.
 * @param {number} value
 */
function toHalf(value) {
  const smallest = 2 ** -14;
  if (Math.abs(value) >= smallest) {
    const half = rounded(value, 13);
    return Math.abs(half) > MAX_HALF ? Infinity * Math.sign(value) : half;
  }
  const unit = 2 ** -24; // subnormal numbers are multiples of it
  const scaled = value / unit;
  const nearest = Math.round(scaled);
  const isTie = Math.abs(scaled - Math.trunc(scaled)) === 0.5;
  return (isTie && nearest % 2 !== 0 ? nearest - 1 : nearest) * unit;
}

/**
 * Rounds features to float16.
 * @param {Float32Array} values
 */
export function halved(values) {
  const half = values.map(toHalf);
  if (!half.every(Number.isFinite)) {
    throw new Error("The features of this video are not finite numbers.");
  }
  return half;
}

/**
 * Rounds the features of all windows of a video as those of training.
 * @param {Float32Array[]} windows of `[S, S, C]` each, in float16
 * @param {string} storage `float16`, `bfloat16` or `int8`
 * @param {number} channels `C`
 * @returns {Float32Array[]}
 */
export function asStored(windows, storage, channels) {
  if (storage === "bfloat16") return windows.map((values) => values.map(throughBfloat16));
  if (storage !== "int8") return windows;
  const low = new Float32Array(channels).fill(Infinity);
  const high = new Float32Array(channels).fill(-Infinity);
  const eachOf = (/** @type {(value: number, channel: number) => number | void} */ change) =>
    windows.map((values) => values.map((value, place) => change(value, place % channels) ?? value));
  eachOf((value, channel) => {
    low[channel] = Math.min(/** @type {number} */ (low[channel]), value);
    high[channel] = Math.max(/** @type {number} */ (high[channel]), value);
  });
  const scale = high.map((most, c) =>
    Math.fround(Math.fround(most - /** @type {number} */ (low[c])) / LEVELS),
  );
  return eachOf((value, channel) => {
    const least = /** @type {number} */ (low[channel]);
    const step = /** @type {number} */ (scale[channel]);
    const exact = Math.fround(Math.fround(value - least) / (step > 0 ? step : 1));
    const level = Math.round(exact) - (exact % 1 === 0.5 && Math.round(exact) % 2 ? 1 : 0);
    return toHalf(Math.fround(Math.fround(level * step) + least));
  });
}

/** @param {number} value */
function throughBfloat16(value) {
  return toHalf(rounded(value, 16));
}

/**
 * Describes how a clip differs from the training data; empty if it does not.
 * @param {Float32Array[]} windows features of the video
 * @param {{seconds: number, steps: number}} clip
 * @param {Training | null} training
 */
export function differencesFromTraining(windows, { seconds, steps }, training) {
  const found = [];
  const perStep = seconds / steps;
  if (perStep > MAX_SECONDS_PER_STEP) {
    found.push(`each of its ${steps} steps covers ${perStep.toFixed(1)} s`);
  }
  if (training === null) return found;
  const { min, max } = training.clips.seconds;
  if (seconds < min / LENGTH_TOLERANCE || seconds > max * LENGTH_TOLERANCE) {
    found.push(
      `it lasts ${seconds.toFixed(1)} s, training clips ${min.toFixed(1)} to ${max.toFixed(1)} s`,
    );
  }
  const distance = featureDistance(windows, training.features);
  if (distance > training.features.distance.p99 * DISTANCE_TOLERANCE) {
    found.push(
      `its pictures look unlike those of training (distance ${distance.toFixed(1)}; 99 % of ` +
        `training clips are within ${training.features.distance.p99.toFixed(1)})`,
    );
  }
  return found;
}

/**
 * @param {Float32Array[]} windows
 * @param {Training["features"]} statistics
 */
function featureDistance(windows, { channel_mean: mean, channel_deviation: deviation }) {
  const channels = mean.length;
  const sums = new Float64Array(channels);
  let count = 0;
  for (const values of windows) {
    values.forEach((value, place) => {
      sums[place % channels] = /** @type {number} */ (sums[place % channels]) + value;
    });
    count += values.length / channels;
  }
  const squares = mean.map((usual, channel) => {
    const found = /** @type {number} */ (sums[channel]) / count;
    return ((found - usual) / /** @type {number} */ (deviation[channel])) ** 2;
  });
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / channels);
}
