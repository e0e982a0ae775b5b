// @ts-check
/** The worker: everything that takes time, so that the page never freezes. */

import { ignoreAlpha } from "./alpha.js";
import { drawnVideo } from "./draw.js";
import { Engine } from "./engine.js";
import { asStored, differencesFromTraining, halved } from "./features.js";
import { endFrames } from "./seeking.js";
import { Tokenizer } from "./text.js";
import {
  countSteps,
  searchedClips,
  stepWindows,
  windowSamples,
  windowsOfClips,
} from "./timeline.js";
import { bestTubes } from "./tubes.js";
import { Video, VideoError } from "./video.js";

/** @typedef {import("./timeline.js").Part} Part */
/** @typedef {import("./timeline.js").Range} Range */
/** @typedef {import("./tubes.js").Tube} Tube */

/**
 * What `export.web` knows of the model, `model/model.json`.
 * @typedef {object} ModelFacts
 * @property {string} name
 * @property {Record<string, number>} tokens
 * @property {[number, number][]} unassigned
 * @property {number} max_words
 * @property {number} max_steps
 * @property {number | null} longest_clip_seconds
 * @property {{fps: number | null, shape: [number, number, number], storage_dtype?: string}} features
 * @property {import("./features.js").Training | null} training
 */

/** Everything about the opened video. */
class Opened {
  /**
   * @param {Blob} file
   * @param {Video} video
   */
  constructor(file, video) {
    this.file = file;
    this.video = video;
    /** Features of windows, in float16. @type {Map<number, Float32Array>} */
    this.windows = new Map();
  }
}

const TUBES = 5; // per sentence

ignoreAlpha();

/** @type {ModelFacts} */
let model;
/** @type {Tokenizer} */
let tokenizer;
/** @type {Promise<Engine>} */
let engine;
/** @type {Opened | null} */
let opened = null;
let openings = 0; // counts what ends the opening of a video: others and `cancel`
let canceling = new AbortController();

/** Lets messages in, such as one that cancels. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
async function unlessAborted(promise, signal) {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    promise.then(resolve, reject);
  });
}

/** @param {Part} part */
function plan(part) {
  const { video } = current();
  const clips = searchedClips(video.timeline, part, model.longest_clip_seconds);
  return { clips, windows: windowsOfClips(video.timeline, clips, model.max_steps) };
}

function current() {
  if (opened === null) throw new Error("Open a video first.");
  return opened;
}

/**
 * @param {Opened} of
 * @param {number[]} windows
 * @param {AbortSignal} signal
 * @param {(done: number, total: number) => void} onProgress
 */
async function encode(of, windows, signal, onProgress) {
  const networks = await unlessAborted(engine, signal);
  const { timeline } = of.video;
  const missing = windows.filter((window) => !of.windows.has(window));
  const samples = missing.map((window) => windowSamples(window, timeline.sampleCount));
  const shown = samples.map((row) => row.map((sample) => timeline.frameOf(sample)));
  const numbers = [...new Set(shown.flat())].sort((a, b) => a - b);
  const frames = of.video.frames(numbers);
  /** @type {Map<number, Uint8Array>} */
  const held = new Map();
  let done = windows.length - missing.length;
  onProgress(done, windows.length);
  try {
    for (const [row, window] of missing.entries()) {
      const wanted = /** @type {number[]} */ (shown[row]);
      const [first] = /** @type {[number]} */ (wanted);
      for (const number of held.keys()) if (number < first) held.delete(number);
      for (const number of wanted) {
        while (!held.has(number)) {
          const { value, done: ended } = await frames.next();
          if (ended || !value) throw new VideoError(`Frame ${number} cannot be decoded.`);
          held.set(value.number, value.rgb);
        }
      }
      const clip = new Uint8Array(wanted.length * 224 * 224 * 3);
      wanted.forEach((number, place) => {
        const rgb = /** @type {Uint8Array} */ (held.get(number));
        clip.set(rgb, place * rgb.length);
      });
      of.windows.set(window, halved(await networks.encode(clip)));
      onProgress(++done, windows.length);
      await pause();
      signal.throwIfAborted();
    }
  } finally {
    await frames.return(undefined);
  }
}

/** Actions of the worker by name; each takes arguments and a function for its progress. */
const actions = {
  /**
   * Loads the model.
   * @param {{base: string, gpu: boolean, threads: number | null, facts: ModelFacts}} options
   * @param {(progress: unknown) => void} report
   */
  async load({ base, gpu, threads: wanted, facts }, report) {
    const at = (/** @type {string} */ path) => new URL(path, base);
    model = facts;
    tokenizer = new Tokenizer(model.tokens, model.max_words, model.unassigned);
    engine = Engine.load({
      runtime: at("runtime/"),
      models: { i3d: at("model/i3d.tflite"), grounding: at("model/grounding.tflite") },
      gpu,
      threads: wanted,
      onBytes: (loaded, total) => report({ loaded, total }),
    });
    const { threads, accelerator } = await engine;
    return { threads, accelerator };
  },

  /**
   * Opens a video. With a port, frames come from the page; see seeking.js.
   * @param {{file: Blob, frames?: MessagePort}} options
   */
  async open({ file, frames }) {
    const opening = ++openings;
    let video;
    try {
      video = await Video.open(file, model.features.fps, frames);
      if (opening !== openings) throw new DOMException("Another video was chosen.", "AbortError");
    } catch (error) {
      if (frames) endFrames(frames);
      throw error;
    }
    opened?.video.close();
    opened = new Opened(file, video);
    const { timeline, size, pixelAspect, start, isHdr, missing } = video;
    const { times, endTime } = timeline;
    return { times, endTime, start, isHdr, missing, pixelAspect, ...size };
  },

  /**
   * The clips that will be searched, and how many windows are still to be encoded.
   * @param {{part: Part}} options
   */
  async plan({ part }) {
    const { clips, windows } = plan(part);
    const { windows: known } = current();
    return { clips, windows: windows.length, left: windows.filter((w) => !known.has(w)).length };
  },

  /**
   * Grounds sentences in the opened video.
   * @param {{sentences: string[], part: Part}} options
   * @param {(progress: unknown) => void} report
   */
  async ground({ sentences, part }, report) {
    const of = current();
    const { signal } = canceling;
    const { timeline } = of.video;
    const { clips, windows } = plan(part);
    const texts = sentences.map(readSentence);
    await encode(of, windows, signal, (done, total) => report({ done, total }));
    const channels = /** @type {number} */ (model.features.shape[2]);
    const stored = asStored(
      windows.map((window) => /** @type {Float32Array} */ (of.windows.get(window))),
      model.features.storage_dtype ?? "float16",
      channels,
    );
    const byWindow = new Map(windows.map((window, row) => [window, stored[row]]));
    const inputs = clips.map((clip) => clipInputs(timeline.toSamples(clip), byWindow));
    const results = [];
    for (const [row, text] of texts.entries()) {
      report({ sentence: row, sentences: sentences.length });
      const found = await groundSentence(text.tokens, clips, inputs, of.video, signal);
      results.push({ ...text, words: text.words.length, ...found });
      await pause();
      signal.throwIfAborted();
    }
    const [first] = /** @type {[Range]} */ (clips);
    const [begin, end] = timeline.seconds(first);
    const clip = {
      seconds: end - begin,
      steps: countSteps(timeline.toSamples(first), model.max_steps),
    };
    const differences = differencesFromTraining(stored, clip, model.training);
    return { results, clips, differences, damaged: of.video.damaged.size };
  },

  /**
   * Draws tubes into a copy of the opened video.
   * @param {{tubes: {tube: Tube, color: string}[]}} options
   * @param {(progress: unknown) => void} report
   */
  async draw({ tubes }, report) {
    const { file, video } = current();
    return drawnVideo(file, video, tubes, (share) => report({ share }), canceling.signal);
  },

  /**
   * Words and tokens of sentences.
   * @param {{sentences: string[]}} options
   */
  async tokenize({ sentences }) {
    return sentences.map((sentence) => tokenizer.tokenize(sentence));
  },

  /**
   * Standardized characters or sentences, to compare them with those of training.
   * @param {{sentences: string[]}} options
   */
  async standardize({ sentences }) {
    return sentences.map((sentence) => tokenizer.standardize(sentence));
  },

  /**
   * Frames of the opened video as the model sees them, RGB `[n, 224, 224, 3]`.
   * @param {{numbers: number[]}} options
   */
  async frames({ numbers }) {
    const found = [];
    for await (const { rgb } of current().video.frames(numbers)) found.push(rgb);
    return found;
  },

  /**
   * Features of windows of the opened video, each `[S, S, C]`.
   * @param {{windows: number[]}} options
   */
  async features({ windows }) {
    const of = current();
    await encode(of, windows, canceling.signal, () => {});
    return windows.map((window) => of.windows.get(window));
  },
};

/**
 * @param {Range} samples
 * @param {Map<number, Float32Array | undefined>} byWindow
 */
function clipInputs(samples, byWindow) {
  const perStep = model.features.shape.reduce((product, side) => product * side, 1);
  const features = new Float32Array(model.max_steps * perStep);
  const stepMask = new Int32Array(model.max_steps);
  stepWindows(samples, model.max_steps).forEach((window, step) => {
    features.set(/** @type {Float32Array} */ (byWindow.get(window)), step * perStep);
    stepMask[step] = 1;
  });
  return { features, stepMask };
}

/** @param {string} sentence */
function readSentence(sentence) {
  const read = tokenizer.tokenize(sentence);
  if (read.words.length === 0) {
    throw new RangeError(`“${sentence}” contains no word; describe an object and what it does.`);
  }
  return { sentence, ...read };
}

/**
 * @param {Int32Array} tokens
 * @param {Range[]} clips
 * @param {{features: Float32Array, stepMask: Int32Array}[]} inputs
 * @param {Video} video
 * @param {AbortSignal} signal
 */
async function groundSentence(tokens, clips, inputs, video, signal) {
  const networks = await engine;
  const shape = [model.max_steps, ...model.features.shape];
  const outputs = [];
  /** @type {{clip: Range, heat: Float32Array}[]} */
  const heatmaps = [];
  for (const [row, clip] of clips.entries()) {
    const { features, stepMask } = /** @type {typeof inputs[0]} */ (inputs[row]);
    const found = await networks.ground(features, shape, stepMask, tokens);
    const { segments, scores, boxes, heatmaps: heat } = found;
    if (!segments || !scores || !boxes) throw new Error("The model file is of another version.");
    outputs.push({ clip, segments, scores, boxes });
    if (heat) heatmaps.push({ clip, heat });
    if (row % 8 === 7) {
      await pause();
      signal.throwIfAborted();
    }
  }
  const best = bestTubes(outputs, video.timeline, video.size, {
    maxSteps: model.max_steps,
    count: TUBES,
  });
  const heat = heatmaps.find(({ clip }) => clip === best.tubes[0]?.clip)?.heat ?? null;
  return { heat, ...best };
}

/** @param {MessageEvent<{id: number, action: string, options: unknown}>} event */
self.onmessage = async ({ data: { id, action, options } }) => {
  if (action === "cancel") {
    openings += 1;
    canceling.abort();
    canceling = new AbortController();
    return;
  }
  const report = (/** @type {unknown} */ progress) => self.postMessage({ id, progress });
  try {
    const run = /** @type {Record<string, (options: any, report: any) => Promise<unknown>>} */ (
      actions
    )[action];
    if (!run) throw new Error(`unknown action ${action}`);
    self.postMessage({ id, result: await run(options, report) });
  } catch (error) {
    const name = error instanceof Error ? error.name : "Error";
    const message = error instanceof Error ? error.message : String(error);
    const expected = error instanceof VideoError || error instanceof RangeError;
    self.postMessage({ id, error: { name, message, expected } });
  }
};
