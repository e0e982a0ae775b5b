// @ts-check
/** The player: the video with the tubes drawn over it, and its timeline. */

import { byId, clock, element, seconds, svg } from "./elements.js";
import { drawBox, drawHeat } from "./overlay.js";
import { Timeline, countSteps } from "./timeline.js";

/** @typedef {import("./tubes.js").Candidate} Candidate */
/** @typedef {import("./tubes.js").Tube} Tube */

/**
 * What the player shows of a result.
 * @typedef {object} Shown
 * @property {Tube} tube
 * @property {string} color
 * @property {boolean} selected
 */

/**
 * Facts about the opened video.
 * @typedef {{times: number[], endTime: number, start: number, width: number, height: number,
 *   pixelAspect: number}} Facts
 */

const MOST_CANDIDATES = 400; // in the timeline
const PLOT = { width: 1000, height: 100, top: 6 };
const LANE = 10; // height of the lane of a sentence below the scores, if there are several
const PLAY = "M7 4v16l13-8z";
const PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";

export class Player {
  #video = byId("video", HTMLVideoElement);
  #overlay = byId("overlay", HTMLCanvasElement);
  #seek = byId("seek", HTMLInputElement);
  #play = byId("play", HTMLButtonElement);
  #plot = byId("plot", SVGSVGElement);
  #head = byId("head", HTMLDivElement);
  #heat = byId("heat", HTMLInputElement);
  /** @type {Facts | null} */
  #facts = null;
  #timeline = new Timeline([0], 0, null);
  /** @type {Shown[]} */
  #shown = [];
  /** @type {{values: Float32Array, clip: [number, number], maxSteps: number, size: number} | null} */
  #heatmaps = null;
  #frame = 0;
  #wanted = -1; // frame that was chosen by the slider or a key
  #url = "";

  constructor() {
    const video = this.#video;
    this.#play.addEventListener("click", () => this.toggle());
    byId("stage", HTMLDivElement).addEventListener("click", () => this.toggle());
    byId("back", HTMLButtonElement).addEventListener("click", () => this.step(-1));
    byId("forward", HTMLButtonElement).addEventListener("click", () => this.step(1));
    this.#seek.addEventListener("input", () => this.show(Number(this.#seek.value)));
    this.#heat.addEventListener("change", () => this.draw());
    this.#plot.addEventListener("click", (event) => {
      const { left, width } = this.#plot.getBoundingClientRect();
      this.show(this.#timeline.frameAt(((event.clientX - left) / width) * this.#end));
    });
    for (const name of ["play", "pause"]) {
      video.addEventListener(name, () => {
        if (!video.paused) this.#wanted = -1;
        byId("play-shape", SVGPathElement).setAttribute("d", video.paused ? PLAY : PAUSE);
        this.#play.setAttribute("aria-label", video.paused ? "Play" : "Pause");
      });
    }
    video.addEventListener("error", () => {
      byId("unplayable", HTMLParagraphElement).hidden = false;
    });
    video.addEventListener("seeked", () => this.#at(video.currentTime));
    const follow = (/** @type {number} */ _, /** @type {{mediaTime: number}} */ { mediaTime }) => {
      this.#at(mediaTime);
      video.requestVideoFrameCallback(follow);
    };
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(follow);
    else this.#poll();
  }

  get #end() {
    return this.#facts?.endTime ?? 0;
  }

  /** Follows the video in browsers that do not tell when a frame is shown. */
  #poll() {
    this.#at(this.#video.currentTime);
    requestAnimationFrame(() => this.#poll());
  }

  /**
   * Shows a video.
   * @param {Blob} file
   * @param {Facts} facts
   */
  open(file, facts) {
    URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(file);
    this.#facts = facts;
    this.#timeline = new Timeline(facts.times, facts.endTime, null);
    this.#video.src = this.#url;
    byId("unplayable", HTMLParagraphElement).hidden = true;
    const stage = byId("stage", HTMLDivElement);
    stage.style.setProperty("--ratio", String((facts.width * facts.pixelAspect) / facts.height));
    this.#overlay.width = facts.width;
    this.#overlay.height = facts.height;
    this.#seek.max = String(facts.times.length - 1);
    for (const id of ["play", "back", "forward"]) byId(id, HTMLButtonElement).disabled = false;
    this.#seek.disabled = false;
    this.#head.hidden = false;
    this.clear();
    this.show(0);
  }

  /** Removes the results. */
  clear() {
    this.setHeatmaps(null, [0, 0], 1);
    this.setResults([], [], [], 0);
  }

  /**
   * @param {Shown[]} shown
   * @param {Candidate[]} candidates of the selected sentence
   * @param {[number, number][]} clips that were searched
   * @param {number} threshold
   */
  setResults(shown, candidates, clips, threshold) {
    this.#shown = shown;
    this.#drawPlot(candidates, clips, threshold);
    this.draw();
  }

  /**
   * @param {Float32Array | null} values `[T, L, L]` of the selected sentence, if there are any
   * @param {[number, number]} clip
   * @param {number} maxSteps
   */
  setHeatmaps(values, clip, maxSteps) {
    const size = Math.round(Math.sqrt((values?.length ?? 0) / maxSteps));
    this.#heatmaps = values && { values, clip, maxSteps, size };
    byId("heat-label", HTMLLabelElement).hidden = values === null;
    this.draw();
  }

  toggle() {
    if (!this.#facts) return;
    if (this.#video.paused) this.#video.play().catch(() => {});
    else this.#video.pause();
  }

  toggleHeat() {
    this.#heat.checked = !this.#heat.checked;
    this.draw();
  }

  /** @param {number} frames */
  step(frames) {
    this.#video.pause();
    this.show(this.#frame + frames);
  }

  /**
   * Shows a frame.
   * @param {number} frame
   */
  show(frame) {
    if (!this.#facts) return;
    const number = Math.min(Math.max(frame, 0), this.#timeline.frameCount - 1);
    this.#video.currentTime = this.#timeline.insideFrame(number);
    this.#wanted = number;
    this.#setFrame(number);
  }

  /** @param {number} time of the player */
  #at(time) {
    if (!this.#facts || (this.#wanted >= 0 && this.#video.paused)) return;
    this.#setFrame(this.#timeline.frameAt(time));
  }

  /** @param {number} frame */
  #setFrame(frame) {
    this.#frame = frame;
    const time = this.#timeline.times[frame] ?? 0;
    const text = seconds(time);
    this.#seek.value = String(frame);
    this.#seek.setAttribute("aria-valuetext", `Frame ${frame}, ${text}`);
    byId("time", HTMLSpanElement).replaceChildren(
      element("span", {}, `${clock(time, this.#end)} / ${seconds(this.#end)} `),
      element("span", {}, `frame ${frame}`),
    );
    this.#head.style.left = `${(100 * time) / (this.#end || 1)}%`;
    this.draw();
  }

  /** Draws heatmap and boxes of the shown frame. */
  draw() {
    const context = this.#overlay.getContext("2d");
    if (!context || !this.#facts) return;
    const { width, height } = this.#facts;
    context.clearRect(0, 0, width, height);
    if (this.#heat.checked) this.#drawHeat(context);
    const scale = Math.max(width / (this.#overlay.clientWidth || width), 0.5);
    for (const { tube, color, selected } of this.#shown) {
      const box = tube.boxes[this.#frame - tube.begin];
      if (!box) continue;
      context.globalAlpha = selected ? 1 : 0.85;
      drawBox(context, box, color, (selected ? 4 : 2.5) * scale);
    }
    context.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} context */
  #drawHeat(context) {
    if (!this.#heatmaps || !this.#facts) return;
    const { values, clip, maxSteps, size } = this.#heatmaps;
    const [begin, end] = clip;
    if (this.#frame < begin || this.#frame >= end) return;
    const steps = countSteps(clip, maxSteps);
    const step = Math.floor(((this.#frame - begin) * steps) / (end - begin));
    const heat = values.subarray(step * size * size, (step + 1) * size * size);
    drawHeat(context, heat, size, this.#facts.width, this.#facts.height);
  }

  /**
   * @param {Candidate[]} candidates
   * @param {[number, number][]} clips
   * @param {number} threshold
   */
  #drawPlot(candidates, clips, threshold) {
    const x = (/** @type {number} */ frame) =>
      (PLOT.width * (this.#timeline.times[frame] ?? this.#end)) / (this.#end || 1);
    const y = (/** @type {number} */ score) => PLOT.top + (PLOT.height - PLOT.top) * (1 - score);
    const band = (/** @type {[number, number]} */ [begin, end], /** @type {object} */ rest) =>
      svg("rect", { x: x(begin), width: x(end) - x(begin), ...rest });
    const children = [];
    const lanes = this.#shown.length > 1 ? this.#shown : [];
    const height = PLOT.height + LANE * lanes.length;
    this.#plot.setAttribute("viewBox", `0 0 ${PLOT.width} ${height}`);
    this.#plot.style.setProperty("--lanes", String(lanes.length));
    const [first, last] = [clips[0]?.[0], clips[clips.length - 1]?.[1]];
    if (first !== undefined && last !== undefined) {
      children.push(band([first, last], { class: "clip", y: 0, height: PLOT.height }));
    }
    for (const { tube, color, selected } of this.#shown) {
      if (!selected) continue;
      children.push(
        band([tube.begin, tube.end], { fill: color, "fill-opacity": 0.35, y: 0, height }),
      );
    }
    const best = [...candidates].sort((a, b) => b.score - a.score).slice(0, MOST_CANDIDATES);
    for (const { begin, end, score } of best.reverse()) {
      children.push(
        band([begin, end], { class: "candidate", y: y(score) - 1.5, height: 3, rx: 1 }),
      );
    }
    for (const { tube, color, selected } of this.#shown) {
      if (!selected) continue;
      const line = { fill: color, y: y(tube.score) - 3, height: 6, rx: 2 };
      children.push(band([tube.begin, tube.end], line));
    }
    for (const [row, { tube, color }] of lanes.entries()) {
      const at = { fill: color, y: PLOT.height + LANE * row + 1, height: LANE - 3, rx: 2 };
      children.push(band([tube.begin, tube.end], at));
    }
    if (threshold > 0 && candidates.length > 0) {
      const at = { x1: 0, x2: PLOT.width, y1: y(threshold), y2: y(threshold) };
      children.push(svg("line", { class: "limit", ...at }));
    }
    this.#plot.replaceChildren(...children);
    const text = this.#describe(candidates, threshold);
    byId("plot-text", HTMLSpanElement).textContent = text;
    const tubes = this.#shown.map(
      ({ tube }) => `${seconds(tube.beginSeconds)} to ${seconds(tube.endSeconds)}`,
    );
    const found = tubes.length > 0 ? ` Found: ${tubes.join("; ")}.` : "";
    this.#plot.setAttribute("aria-label", `Timeline of ${seconds(this.#end)}.${found}`);
  }

  /**
   * @param {Candidate[]} candidates
   * @param {number} threshold
   */
  #describe(candidates, threshold) {
    if (!this.#facts) return "Choose a video to begin.";
    if (candidates.length === 0) return "The timeline will show where each sentence could be.";
    const limit = threshold > 0 ? " Dashed: the threshold." : "";
    const found = this.#shown.length > 1 ? "segments" : "segment";
    return (
      `Grey: the ${candidates.length} segments that the model compared; the higher, the better the ` +
      `score.${limit}${this.#shown.length > 0 ? ` Coloured: the ${found} found.` : ""}`
    );
  }
}
