// @ts-check
/**
 * Frames, samples, steps and windows of a video. The equivalents in Python are
 * gkcmn_tf.video.{frame_rates,steps,windows} and gkcmn_tf.searched_clips.
 */

export const WINDOW_FRAMES = 8;
export const WINDOW_STRIDE = 4;
const WINDOW_LEAD = (WINDOW_FRAMES - WINDOW_STRIDE) / 2;
const ROUNDING = 1 / 1000; // seconds
const TINY = 1e-6; // of a sample: times are rounded, and not the fractions of the file
const MUCH_LONGER = 2; // times the longest training clip: from here on, `auto` slides
const OVERLAP = 0.5; // of two neighbouring clips
const MAX_FRAME_SECONDS = 600; // a longer gap is a broken time stamp
const MAX_SAMPLES = 20_000; // or twice the frames, if that is more

/**
 * A half-open range of frames or samples.
 * @typedef {[number, number]} Range
 */

/**
 * The part of a video to search, in seconds, and how: `auto`, `whole` or `sliding`.
 * @typedef {{begin: number | null, end: number | null, search: string}} Part
 */

/**
 * Index of the first of the sorted `values` that is at least `wanted` (`left`) or above it (`right`).
 * @param {ArrayLike<number>} values
 * @param {number} wanted
 * @param {"left" | "right"} side
 */
export function searchSorted(values, wanted, side) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const value = /** @type {number} */ (values[middle]);
    if (value < wanted || (side === "right" && value === wanted)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Frame times of a video and, if it is resampled, the frame that each sample shows. */
export class Timeline {
  /**
   * @param {number[]} times when each frame appears, in seconds after the start of the file
   * @param {number} endTime end of the last frame
   * @param {number | null} fps frame rate of the training videos; null for every frame
   */
  constructor(times, endTime, fps) {
    this.times = times;
    this.endTime = endTime;
    this.sourceFrames = fps === null ? null : sourceFrames(times, fps);
  }

  get frameCount() {
    return this.times.length;
  }

  get sampleCount() {
    return this.sourceFrames === null ? this.frameCount : this.sourceFrames.length;
  }

  /**
   * Begin and end of a range of frames in seconds.
   * @param {Range} frames
   * @returns {[number, number]}
   */
  seconds([begin, end]) {
    const at = (/** @type {number} */ frame) => this.times[frame] ?? this.endTime;
    return [at(begin), at(end)];
  }

  /**
   * Frames on the screen between two times in seconds; at least one frame.
   * @param {number} begin
   * @param {number} end
   * @returns {Range}
   */
  framesShown(begin, end) {
    const first = Math.max(searchSorted(this.times, begin + ROUNDING, "right") - 1, 0);
    const last = searchSorted(this.times, end - ROUNDING, "left");
    return [first, Math.max(last, first + 1)];
  }

  /**
   * The frame on the screen at a time in seconds.
   * @param {number} seconds
   */
  frameAt(seconds) {
    return Math.max(searchSorted(this.times, seconds + ROUNDING, "right") - 1, 0);
  }

  /**
   * A time to show a frame at, in seconds: its middle, since players round times.
   * @param {number} frame
   */
  insideFrame(frame) {
    const time = /** @type {number} */ (this.times[frame]);
    const next = this.times[frame + 1] ?? this.endTime;
    return time + Math.min((next - time) / 2, 0.02);
  }

  /**
   * Samples that show some frames; may be empty.
   * @param {Range} frames
   * @returns {Range}
   */
  toSamples([begin, end]) {
    const shown = this.sourceFrames;
    if (shown === null) return [begin, end];
    return [searchSorted(shown, begin, "left"), searchSorted(shown, end, "left")];
  }

  /**
   * Frames of some samples; at least one frame.
   * @param {Range} samples
   * @returns {Range}
   */
  toFrames([begin, end]) {
    const shown = this.sourceFrames;
    if (shown === null) return [begin, end];
    const at = (/** @type {number} */ sample) => shown[sample] ?? this.frameCount;
    return [at(begin), Math.max(at(end), at(end - 1) + 1)];
  }

  /**
   * Frame of the file that a sample shows.
   * @param {number} sample
   */
  frameOf(sample) {
    return this.sourceFrames === null ? sample : /** @type {number} */ (this.sourceFrames[sample]);
  }
}

/**
 * @param {number[]} times
 * @param {number} fps
 */
function sourceFrames(times, fps) {
  const start = times[0] ?? 0;
  const last = /** @type {number} */ (times[times.length - 1]) - start;
  const count = Math.floor((last + ROUNDING) * fps + TINY) + 1;
  times.forEach((time, frame) => {
    const gap = time - (times[frame - 1] ?? time);
    const samples = Math.floor((time - start + ROUNDING) * fps + TINY) + 1;
    if (gap > MAX_FRAME_SECONDS || samples > Math.max(MAX_SAMPLES, 2 * (frame + 1))) {
      throw new RangeError(
        `its frame ${frame} is shown after ${(time - start).toFixed(0)} s, so that it cannot be ` +
          `resampled to ${fps} frames per second`,
      );
    }
  });
  const shown = [];
  const firstSample = (/** @type {number} */ frame) => {
    const time = /** @type {number} */ (times[frame]) - start;
    return Math.max(Math.ceil((time - ROUNDING) * fps - TINY), 0);
  };
  for (let sample = 0, frame = 0; sample < count; sample++) {
    while (frame + 1 < times.length && firstSample(frame + 1) <= sample) frame++;
    shown.push(frame);
  }
  return shown;
}

/**
 * The clips of a video to search, in frames of the file.
 * @param {Timeline} timeline
 * @param {Part} part
 * @param {number | null} longest length of the longest training clip in seconds; null if unknown
 * @returns {Range[]}
 */
export function searchedClips(timeline, part, longest) {
  const whole = clipFrames(timeline, part);
  if (longest === null) return [whole];
  const [first, last] = timeline.seconds(whole);
  const limit = longest * (part.search === "auto" ? MUCH_LONGER : 1);
  if (part.search === "whole" || last - first <= limit) return [whole];
  const count = Math.ceil((last - first - longest) / (longest * (1 - OVERLAP))) + 1;
  const step = (last - longest - first) / (count - 1);
  const clips = Array.from({ length: count }, (_, number) => {
    const begin = number === count - 1 ? last - longest : first + number * step;
    return timeline.framesShown(begin, begin + longest);
  });
  return clips.filter((clip) => {
    const [begin, end] = timeline.toSamples(clip);
    return end > begin;
  });
}

/**
 * @param {Timeline} timeline
 * @param {Part} part
 * @returns {Range}
 */
function clipFrames(timeline, part) {
  const starts = timeline.times[0] ?? 0;
  const first = part.begin ?? 0;
  const last = part.end ?? timeline.endTime;
  const valid = first >= 0 && first < last && last <= timeline.endTime + ROUNDING;
  if (!valid || last <= starts + ROUNDING) {
    throw new RangeError(
      `The part from ${first} to ${last} s is not inside the video, which ends at ` +
        `${timeline.endTime.toFixed(2)} s.`,
    );
  }
  const frames = timeline.framesShown(first, last);
  const [begin, end] = timeline.toSamples(frames);
  if (begin === end) {
    throw new RangeError(
      "The part contains no frames at the frame rate of the training videos; choose a longer one.",
    );
  }
  return frames;
}

/**
 * Number of steps of a range of samples: one per 4, at most `maxSteps`.
 * @param {Range} samples
 * @param {number} maxSteps
 */
export function countSteps([begin, end], maxSteps) {
  return Math.min(Math.ceil((end - begin) / WINDOW_STRIDE), maxSteps);
}

/**
 * The sample nearest to the centre of each step.
 * @param {Range} samples
 * @param {number} numSteps
 */
export function stepFrames([begin, end], numSteps) {
  return Array.from(
    { length: numSteps },
    (_, step) => begin + Math.floor(((2 * step + 1) * (end - begin)) / (2 * numSteps)),
  );
}

/**
 * The feature window of each step.
 * @param {Range} samples
 * @param {number} maxSteps
 */
export function stepWindows(samples, maxSteps) {
  const frames = stepFrames(samples, countSteps(samples, maxSteps));
  return frames.map((frame) => Math.floor(frame / WINDOW_STRIDE));
}

/**
 * Windows that the steps of clips use, in ascending order.
 * @param {Timeline} timeline
 * @param {Range[]} clips in frames of the file
 * @param {number} maxSteps
 */
export function windowsOfClips(timeline, clips, maxSteps) {
  const windows = clips.flatMap((clip) => stepWindows(timeline.toSamples(clip), maxSteps));
  return [...new Set(windows)].sort((a, b) => a - b);
}

/**
 * Samples of a window; a window that extends beyond the video repeats its first or last sample.
 * @param {number} window
 * @param {number} sampleCount
 */
export function windowSamples(window, sampleCount) {
  const start = WINDOW_STRIDE * window - WINDOW_LEAD;
  return Array.from({ length: WINDOW_FRAMES }, (_, offset) =>
    Math.min(Math.max(start + offset, 0), sampleCount - 1),
  );
}
