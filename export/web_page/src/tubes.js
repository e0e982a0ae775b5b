// @ts-check
/** From the outputs of the model to tubes, as gkcmn_tf.tubes, .queries and .modeling.decoding. */

import { countSteps, stepFrames } from "./timeline.js";

const MAX_TUBE_IOU = 0.5; // of two tubes of one sentence
const DECIMALS = 100; // boxes are rounded to 0.01 pixels

/** @typedef {import("./timeline.js").Range} Range */
/** @typedef {import("./timeline.js").Timeline} Timeline */
/** @typedef {[number, number, number, number]} Box */

/**
 * A segment of the video with a box in each frame.
 * @typedef {object} Tube
 * @property {number} begin first frame
 * @property {number} end end frame (exclusive)
 * @property {Box[]} boxes `x1 y1 x2 y2` in pixels, one per frame
 * @property {number} score 0 to 1
 * @property {number} beginSeconds
 * @property {number} endSeconds
 * @property {Range} clip the clip in which it was found
 */

/**
 * Outputs of the model for one sentence in one clip.
 * @typedef {object} ClipOutputs
 * @property {Range} clip frames of the file
 * @property {Float32Array} segments `[M, 2]`, in steps
 * @property {Float32Array} scores `[M]`, negative at invalid steps
 * @property {Float32Array} boxes `[T, 4]`, normalised
 */

/**
 * A candidate of the model: frames of the file, and a score.
 * @typedef {{begin: number, end: number, score: number}} Candidate
 */

/**
 * The best tubes that differ in time, best first, and all valid candidates.
 * @param {ClipOutputs[]} outputs
 * @param {Timeline} timeline
 * @param {{width: number, height: number}} size of the upright frame in pixels
 * @param {{maxSteps: number, count: number}} options
 * @returns {{tubes: Tube[], candidates: Candidate[]}}
 */
export function bestTubes(outputs, timeline, size, { maxSteps, count }) {
  /** @type {{samples: Range, score: number, of: ClipOutputs}[]} */
  const found = [];
  for (const of of outputs) {
    const clip = timeline.toSamples(of.clip);
    const numSteps = countSteps(clip, maxSteps);
    of.scores.forEach((score, row) => {
      if (score < 0) return;
      const segment = /** @type {Range} */ ([of.segments[2 * row], of.segments[2 * row + 1]]);
      found.push({ samples: nearestFrames(segment, clip, numSteps), score, of });
    });
  }
  const tubes = distinct(found, count).map(({ samples, score, of }) =>
    tube(samples, score, of, timeline, size, maxSteps),
  );
  const candidates = found.map(({ samples, score }) => {
    const [begin, end] = timeline.toFrames(samples);
    return { begin, end, score };
  });
  return { tubes, candidates };
}

/**
 * Greedy non-maximum suppression.
 * @template {{samples: Range, score: number}} T
 * @param {T[]} found
 * @param {number} count
 */
function distinct(found, count) {
  /** @type {T[]} */
  const chosen = [];
  // Sorting is stable: of equal scores the first wins.
  const ordered = [...found].sort((a, b) => b.score - a.score);
  for (const candidate of ordered) {
    if (chosen.length === count) break;
    if (chosen.every((other) => iou(other.samples, candidate.samples) <= MAX_TUBE_IOU)) {
      chosen.push(candidate);
    }
  }
  return chosen;
}

/**
 * @param {Range} a
 * @param {Range} b
 */
function iou(a, b) {
  const shared = Math.max(Math.min(a[1], b[1]) - Math.max(a[0], b[0]), 0);
  return shared / (a[1] - a[0] + b[1] - b[0] - shared);
}

/**
 * Rounds a segment in steps to samples; if none remains, the one at its centre is returned.
 * @param {Range} segment
 * @param {Range} clip
 * @param {number} numSteps
 * @returns {Range}
 */
function nearestFrames(segment, [begin, end], numSteps) {
  const times = segment.map((step) => begin + (step * (end - begin)) / numSteps);
  const [from, to] = /** @type {Range} */ (times);
  if (!Number.isFinite(from) || !Number.isFinite(to)) {
    throw new Error("The model returned a segment that is not finite.");
  }
  const clip = (/** @type {number} */ frame, /** @type {number} */ last) =>
    Math.min(Math.max(frame, begin), last);
  const first = clip(Math.floor(from + 0.5), end);
  const last = clip(Math.floor(to + 0.5), end);
  if (first < last) return [first, last];
  const middle = clip(Math.floor((from + to) / 2), end - 1);
  return [middle, middle + 1];
}

/**
 * @param {Range} samples
 * @param {number} score
 * @param {ClipOutputs} outputs
 * @param {Timeline} timeline
 * @param {{width: number, height: number}} size
 * @param {number} maxSteps
 * @returns {Tube}
 */
function tube(samples, score, { clip, boxes }, timeline, { width, height }, maxSteps) {
  const range = timeline.toSamples(clip);
  const numSteps = countSteps(range, maxSteps);
  const scale = [width, height, width, height];
  const pixels = Array.from(
    { length: numSteps },
    (_, step) =>
      /** @type {Box} */ (
        scale.map((side, place) => /** @type {number} */ (boxes[4 * step + place]) * side)
      ),
  );
  const wanted = Array.from({ length: samples[1] - samples[0] }, (_, row) => samples[0] + row);
  const ofSamples = interpolate(wanted, stepFrames(range, numSteps), pixels).map(
    (box) =>
      /** @type {Box} */ (
        box.map((value, place) => {
          const most = /** @type {number} */ (scale[place]);
          return round(Math.min(Math.max(value, 0), most));
        })
      ),
  );
  const [begin, last] = timeline.toFrames(samples);
  const end = Math.min(last, clip[1]);
  const [beginSeconds, endSeconds] = timeline.seconds([begin, end]);
  return {
    begin,
    end,
    boxes: inFrames(ofSamples, samples, [begin, end], timeline),
    score,
    beginSeconds,
    endSeconds,
    clip,
  };
}

/**
 * Interpolates the boxes of samples to frames, linearly in time.
 * @param {Box[]} boxes
 * @param {Range} samples
 * @param {Range} frames
 * @param {Timeline} timeline
 */
function inFrames(boxes, samples, [begin, end], timeline) {
  if (timeline.sourceFrames === null) return boxes.slice(0, end - begin);
  /** @type {number[]} */
  const known = [];
  /** @type {Box[]} */
  const kept = [];
  boxes.forEach((box, row) => {
    const time = /** @type {number} */ (timeline.times[timeline.frameOf(samples[0] + row)]);
    if (known[known.length - 1] === time) return;
    known.push(time);
    kept.push(box);
  });
  return interpolate(timeline.times.slice(begin, end), known, kept).map(
    (box) => /** @type {Box} */ (box.map(round)),
  );
}

/**
 * Linear interpolation; outside the known range the nearest known box is used.
 * @param {number[]} wanted
 * @param {number[]} known increasing
 * @param {Box[]} boxes at `known`
 */
export function interpolate(wanted, known, boxes) {
  let right = 0;
  return wanted.map((time) => {
    while (right < known.length && /** @type {number} */ (known[right]) <= time) right++;
    const before = boxes[Math.max(right - 1, 0)];
    const after = boxes[Math.min(right, known.length - 1)];
    const from = known[right - 1];
    const to = known[right];
    if (!before || !after) throw new Error("There is no box to interpolate.");
    if (from === undefined || to === undefined) return before;
    return /** @type {Box} */ (
      before.map((value, side) => {
        const next = /** @type {number} */ (after[side]);
        const slope = (next - value) / (to - from);
        return slope * (time - from) + value;
      })
    );
  });
}

/**
 * Rounds to 0.01, ties to even as NumPy.
 * @param {number} value
 */
function round(value) {
  const scaled = value * DECIMALS;
  const nearest = Math.round(scaled);
  const isTie = Math.abs(scaled - Math.trunc(scaled)) === 0.5;
  return (isTie && nearest % 2 !== 0 ? nearest - 1 : nearest) / DECIMALS;
}
