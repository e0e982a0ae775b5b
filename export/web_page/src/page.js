// @ts-check
/** The page: connects its controls with the worker and the player. */

import { showAbout } from "./about.js";
import { Client, WorkerError } from "./client.js";
import { byId, element, seconds } from "./elements.js";
import { csv, jsonLines, webvtt } from "./formats.js";
import { Player } from "./player.js";
import { serveFrames } from "./seeking.js";

/** @typedef {import("./tubes.js").Tube} Tube */
/** @typedef {import("./tubes.js").Candidate} Candidate */
/** @typedef {import("./formats.js").Answer} Answer */

/**
 * The result of a sentence, from the worker.
 * @typedef {object} Result
 * @property {string} sentence
 * @property {string[]} unknown
 * @property {number} words
 * @property {Float32Array | null} heat
 * @property {Tube[]} tubes best first
 * @property {Candidate[]} candidates
 */

/** @typedef {{video: string, poster: string, sentences: string[]}} Sample */

// Okabe and Ito's colours, which colour-blind people can tell apart.
const COLORS = ["#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#f0e442", "#d55e00"];
const MANY_WINDOWS = 400; // more are searched only if the user says so
const RELOADED = "gkcmn-reloaded";
const SEEKING =
  "This browser has no WebCodecs (a page opened by http from another computer has none either), so " +
  "frames are read by seeking in the video. That is slow, and frames may differ from those of " +
  "training, so other segments and boxes may be found.";
const FORMAT = 1; // of model.json, as in export.web

const parameters = new URLSearchParams(location.search);
const base = new URL(".", document.baseURI).href;
const player = new Player();
const phase = byId("phase", HTMLSpanElement);
const detail = byId("detail", HTMLSpanElement);
const progress = byId("progress", HTMLProgressElement);
const cancel = byId("cancel", HTMLButtonElement);
const find = byId("find", HTMLButtonElement);
const text = byId("sentences", HTMLTextAreaElement);
const notices = byId("notices", HTMLDivElement);
const threshold = byId("threshold", HTMLInputElement);

/** @type {Client} */
let client;
/** @type {any} facts about the model */
let model;
/** @type {{name: string, facts: import("./player.js").Facts & {isHdr: boolean, missing: number}} | null} */
let video = null;
/** Number of the video that was chosen last; what actions on earlier ones return is dropped. */
let choice = 0;
/** @type {Result[]} */
let results = [];
/** @type {[number, number][]} */
let clips = [];
let selected = 0;
/** The tube that is shown of each sentence: 0 is the best. @type {number[]} */
let ranks = [];
let loaded = false;
const seeking = !("VideoDecoder" in self);
let encodingTime = 0.4; // seconds per window, measured

/**
 * Shows what is being done. Screen readers read the phase aloud, not each of its details.
 * @param {string} message the phase
 * @param {number | null} [share] of the work, 0 to 1; null if unknown
 * @param {string} [details]
 */
function busy(message, share = null, details = "") {
  if (phase.textContent !== message) phase.textContent = message;
  detail.textContent = details;
  progress.hidden = false;
  if (share === null) progress.removeAttribute("value");
  else progress.value = share;
}

/** @param {string} message */
function idle(message) {
  phase.textContent = message;
  detail.textContent = "";
  progress.hidden = true;
  cancel.hidden = true;
  find.disabled = !model;
}

/**
 * @param {string} message
 * @param {{bad?: boolean, buttons?: HTMLButtonElement[]}} [options]
 */
function notice(message, { bad = false, buttons = [] } = {}) {
  // What fails for one reason may fail twice.
  if ([...notices.children].some((each) => each.firstElementChild?.textContent === message)) return;
  const made = element("div", { className: bad ? "notice bad" : "notice" });
  if (bad) made.setAttribute("role", "alert");
  made.append(element("p", {}, message), ...buttons);
  notices.append(made);
  if (bad || buttons.length > 0) made.scrollIntoView({ block: "nearest" });
}

/** @param {unknown} error */
function fail(error) {
  const name = error instanceof Error ? error.name : "";
  if (name === "AbortError" || name === "ConversionCanceledError") {
    idle("Cancelled.");
    return;
  }
  if (!(error instanceof WorkerError && error.expected)) console.error(error);
  idle("");
  notice(error instanceof Error ? error.message : String(error), { bad: true });
}

/** Reloads the page once with the service worker, if the host does not isolate the page. */
async function isolate() {
  const wanted = parameters.get("isolation") !== "off";
  if (self.crossOriginIsolated || !wanted || !("serviceWorker" in navigator)) return false;
  try {
    await navigator.serviceWorker.register("service-worker.js");
    const { active } = await navigator.serviceWorker.ready;
    if (!active || sessionStorage.getItem(RELOADED)) return false;
    sessionStorage.setItem(RELOADED, "1");
    location.reload();
    return true;
  } catch (error) {
    console.warn("No service worker; the page runs with one thread.", error);
    return false;
  }
}

async function loadModel() {
  const gpu = parameters.get("gpu") === "on";
  byId("gpu", HTMLInputElement).checked = gpu;
  const wanted = Number.parseInt(parameters.get("threads") ?? "", 10) || null;
  const { threads, accelerator } = await client.call(
    "load",
    { base, gpu, threads: wanted, facts: model },
    ({ loaded: done, total }) => {
      const megabytes = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
      busy("Loading the model", done / total, `: ${megabytes(done)} of ${megabytes(total)} MB`);
      if (done === total) busy("Starting the model");
    },
  );
  loaded = true;
  byId("engine", HTMLParagraphElement).textContent =
    accelerator === "webgpu"
      ? "Runs on the graphics processor."
      : `Runs on the processor with ${threads === 1 ? "one thread" : `${threads} threads`}.`;
  if (!find.disabled) idle("Ready.");
}

/**
 * Opens a video that was chosen. The one before stays open until then.
 * @param {string} name
 * @param {Sample | null} sample
 * @param {() => Promise<Blob>} read gives the file
 */
async function openVideo(name, sample, read) {
  const own = ++choice;
  notices.replaceChildren();
  client.cancel();
  cancel.hidden = true;
  find.disabled = true;
  if (loaded) busy("Reading the video");
  const file = await read();
  if (own !== choice) return;
  const frames = seeking ? [serveFrames(file)] : [];
  const facts = await client.call("open", { file, frames: frames[0] }, undefined, frames);
  if (own !== choice) return;
  video = { name, facts };
  results = [];
  mark(sample);
  suggest(sample?.sentences ?? []);
  if (sample) text.value = sample.sentences[0] ?? "";
  player.open(file, facts);
  showResults();
  find.disabled = false;
  const { width, height, times, endTime } = facts;
  if (loaded) idle(`${name}: ${width} × ${height}, ${times.length} frames, ${seconds(endTime)}`);
  if (facts.missing > 0) {
    notice(`The file is cut off: its last ${facts.missing} frames are missing.`);
  }
  if (facts.isHdr) notice("This video is HDR; the model sees it pale and dark.");
  if (seeking) notice(SEEKING);
}

/** @param {Sample} sample */
function openSample(sample) {
  const name = decodeURIComponent(sample.video.split("/").pop() ?? sample.video);
  return openVideo(name, sample, async () => {
    const response = await fetch(new URL(sample.video, base)).catch(() => null);
    if (!response?.ok) {
      throw new Error(`The sample cannot be downloaded (${response?.status ?? "no network"}).`);
    }
    return response.blob();
  });
}

/** @param {string[]} sentences */
function suggest(sentences) {
  const buttons = sentences.map((sentence) =>
    element("button", {
      type: "button",
      textContent: sentence,
      onclick: () => {
        const lines = sentencesOf(text.value);
        text.value = [...lines.filter((line) => line !== sentence), sentence].join("\n");
        text.focus();
      },
    }),
  );
  byId("suggestions", HTMLDivElement).replaceChildren(...buttons);
}

/** @param {string} lines */
function sentencesOf(lines) {
  return lines
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}

function part() {
  const number = (/** @type {string} */ id) => {
    const { value } = byId(id, HTMLInputElement);
    return value === "" ? null : Number(value);
  };
  const search = byId("search", HTMLSelectElement).value;
  return { begin: number("begin"), end: number("end"), search };
}

/** @param {boolean} [agreed] whether the user accepts a long search */
async function ground(agreed = false) {
  if (find.disabled) return;
  notices.replaceChildren();
  if (!video) throw new Error("Choose a video first.");
  const own = choice;
  const sentences = sentencesOf(text.value);
  if (sentences.length === 0) {
    text.focus();
    throw new Error("Write a sentence first: an object and what it does.");
  }
  const wanted = part();
  find.disabled = true;
  const { windows, left } = await client.call("plan", { part: wanted });
  if (own !== choice) return;
  if (left > MANY_WINDOWS && !agreed) {
    offerShorter(left);
    return;
  }
  cancel.hidden = false;
  const began = performance.now();
  busy("Reading the video", 0);
  const found = await client.call("ground", { sentences, part: wanted }, (report) => {
    if (own !== choice) return;
    if ("sentence" in report) {
      const { sentence, sentences: all } = report;
      busy("Searching", sentence / all, all > 1 ? `: sentence ${sentence + 1} of ${all}` : "");
    } else {
      const { done, total } = report;
      busy("Looking at the video", done / total, `: part ${done} of ${total}`);
    }
  });
  if (own !== choice) return;
  const took = (performance.now() - began) / 1000;
  if (left > 0) encodingTime = took / left;
  ({ results, clips } = found);
  ranks = results.map(() => 0);
  select(0);
  idle(`Done in ${took.toFixed(1)} s (${windows} parts of the video).`);
  if (found.damaged > 0) {
    notice(`Frames that are damaged, each replaced by the one before it: ${found.damaged}.`);
  }
  if (found.differences.length > 0) {
    notice(
      `This video differs from those that the model was trained on, so that the results may be ` +
        `meaningless: ${found.differences.join("; ")}.`,
    );
  }
  if (seeking) notice(SEEKING);
}

/** @param {number} windows */
function offerShorter(windows) {
  const minutes = Math.max(Math.round((windows * encodingTime) / 60), 1);
  const all = element("button", {
    type: "button",
    textContent: `Search everything (about ${minutes} min)`,
    onclick: () => start(() => ground(true)),
  });
  const few = element("button", {
    type: "button",
    textContent: "Look at a few moments only (fast)",
    onclick: () => {
      byId("search", HTMLSelectElement).value = "whole";
      start(() => ground(true));
    },
  });
  idle("");
  notice(
    `This video is long: a thorough search looks at ${windows} parts of it. You can also choose a ` +
      "part of the video in the settings.",
    { buttons: [all, few] },
  );
  byId("settings", HTMLDetailsElement).open = true;
}

/**
 * Runs an action; its errors are shown, unless another video was chosen meanwhile.
 * @param {() => Promise<unknown>} action
 */
function start(action) {
  const running = action();
  const own = choice;
  return running.catch((error) => {
    if (own === choice) fail(error);
  });
}

/** @param {number} row */
function color(row) {
  return /** @type {string} */ (COLORS[row % COLORS.length]);
}

/**
 * The tube that is shown of a result; null if the sentence counts as absent.
 * @param {Result} result
 * @param {number} row
 */
function shownTube(result, row) {
  const best = result.tubes[0];
  if (!best || best.score < Number(threshold.value)) return null;
  return result.tubes[ranks[row] ?? 0] ?? null;
}

/** @returns {Answer[]} */
function answers() {
  return results.map((result, row) => {
    const tube = shownTube(result, row);
    return { sentence: result.sentence, tube, score: (tube ?? result.tubes[0])?.score ?? 0 };
  });
}

/**
 * @param {number} row
 * @param {number} [rank]
 */
function select(row, rank = 0) {
  selected = row;
  ranks[row] = rank;
  const result = results[row];
  const tube = result && shownTube(result, row);
  if (tube) player.show(Math.floor((tube.begin + tube.end) / 2));
  showResults();
}

function showResults() {
  const limit = Number(threshold.value);
  const focused = document.activeElement?.id;
  byId("results", HTMLOListElement).replaceChildren(...results.map(resultItem));
  if (focused?.startsWith("result-")) document.getElementById(focused)?.focus();
  byId("downloads", HTMLDivElement).hidden = results.length === 0;
  byId("download-video", HTMLButtonElement).disabled = answers().every(({ tube }) => !tube);
  const result = results[selected];
  if (!result || results.length === 0) {
    player.clear();
    return;
  }
  const shown = results.flatMap((each, row) => {
    const tube = shownTube(each, row);
    return tube ? [{ tube, color: color(row), selected: row === selected }] : [];
  });
  player.setResults(shown, result.candidates, clips, limit);
  const best = result.tubes[0];
  if (best) player.setHeatmaps(result.heat, best.clip, model.max_steps);
}

/**
 * @param {Result} result
 * @param {number} row
 */
function resultItem(result, row) {
  const tube = shownTube(result, row);
  const best = result.tubes[0];
  const score = (tube ?? best)?.score.toFixed(2) ?? "0";
  const facts = tube
    ? element(
        "span",
        { className: "facts" },
        `${seconds(tube.beginSeconds)} – ${seconds(tube.endSeconds)} · score ${score}`,
      )
    : element(
        "span",
        { className: "absent" },
        `Not there: the best score is ${score}, below ${Number(threshold.value).toFixed(2)}`,
      );
  const button = element(
    "button",
    { type: "button", className: "main", id: `result-${row}`, onclick: () => select(row) },
    element("strong", {}, result.sentence),
    facts,
  );
  button.setAttribute("aria-pressed", String(row === selected));
  const item = element("li", { className: row === selected ? "selected" : "" }, button);
  if (tube) item.style.setProperty("--tube", color(row));
  if (result.unknown.length > 0) {
    const words = result.unknown.map((word) => `“${word}”`).join(", ");
    item.append(
      element("p", { className: "unknown" }, `Words that the model was not trained on: ${words}`),
    );
  }
  if (result.words > model.max_words) {
    const read = `The model reads the first ${model.max_words} of ${result.words} words.`;
    item.append(element("p", { className: "unknown" }, read));
  }
  if (tube && row === selected && result.tubes.length > 1) item.append(otherTubes(result, row));
  return item;
}

/**
 * @param {Result} result
 * @param {number} row
 */
function otherTubes(result, row) {
  const buttons = result.tubes.map((tube, rank) => {
    const range = `${tube.beginSeconds.toFixed(1)}–${tube.endSeconds.toFixed(1)} s`;
    const made = element("button", {
      type: "button",
      textContent: `${range} (${tube.score.toFixed(2)})`,
      onclick: () => select(row, rank),
    });
    made.id = `result-${row}-${rank}`;
    made.setAttribute("aria-pressed", String(rank === ranks[row]));
    return made;
  });
  const group = element("div", { className: "others" }, "Candidates:", ...buttons);
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Candidates for this sentence");
  return group;
}

/** @param {string} format */
async function downloadResults(format) {
  if (!video) return;
  const { name, facts } = video;
  const stem = name.replace(/\.[^.]*$/, "") || "video";
  if (format === "json") save(jsonLines(name, answers()), "application/json", `${stem}.jsonl`);
  if (format === "csv") save(csv(name, answers(), facts.times), "text/csv", `${stem}.csv`);
  if (format === "vtt") save(webvtt(answers()), "text/vtt", `${stem}.vtt`);
  if (format !== "video" || find.disabled) return;
  const own = choice;
  const tubes = results.flatMap((result, row) => {
    const tube = shownTube(result, row);
    return tube ? [{ tube, color: color(row) }] : [];
  });
  notices.replaceChildren();
  find.disabled = true;
  cancel.hidden = false;
  busy("Drawing the video", 0);
  const { content, type } = await client.call("draw", { tubes }, ({ share }) => {
    if (own === choice) busy("Drawing the video", share);
  });
  if (own !== choice) return;
  idle("The video is ready.");
  save(content, type, `${stem}_boxes.${type.split("/")[1]}`);
}

/**
 * @param {BlobPart} content
 * @param {string} type
 * @param {string} name
 */
function save(content, type, name) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** @param {Sample[]} samples */
function showSamples(samples) {
  const group = byId("samples", HTMLDivElement);
  const buttons = samples.map((sample, number) => {
    const picture = element("img", { src: sample.poster, alt: `Sample ${number + 1}` });
    const button = element("button", { type: "button" }, picture);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => void start(() => openSample(sample)));
    return button;
  });
  group.replaceChildren(...buttons);
}

/** @param {Sample | null} chosen */
function mark(chosen) {
  const buttons = [...byId("samples", HTMLDivElement).children];
  buttons.forEach((button, number) => {
    button.setAttribute("aria-pressed", String(model.samples[number] === chosen));
  });
}

/** @param {File | null | undefined} file */
function openFile(file) {
  if (!file) return;
  void start(() => openVideo(file.name, null, async () => file));
}

function listen() {
  byId("form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    if (!find.disabled) void start(() => ground());
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find.click();
  });
  // The browser shows what is wrong with a number only where it is visible.
  const settings = byId("settings", HTMLDetailsElement);
  byId("form", HTMLFormElement).addEventListener("invalid", () => (settings.open = true), true);
  cancel.addEventListener("click", () => client.cancel());
  threshold.addEventListener("input", () => {
    byId("threshold-value", HTMLOutputElement).value = Number(threshold.value).toFixed(2);
    showResults();
  });
  byId("gpu", HTMLInputElement).addEventListener("change", ({ target }) => {
    const { checked } = /** @type {HTMLInputElement} */ (target);
    if (checked) parameters.set("gpu", "on");
    else parameters.delete("gpu");
    location.search = parameters.toString();
  });
  byId("file", HTMLInputElement).addEventListener("change", ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target);
    openFile(input.files?.[0]);
    input.value = "";
  });
  byId("downloads", HTMLDivElement).addEventListener("click", ({ target }) => {
    const format = target instanceof HTMLElement ? target.dataset["format"] : undefined;
    if (format) void start(() => downloadResults(format));
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    openFile(event.dataTransfer?.files[0]);
  });
  document.addEventListener("keydown", onKey);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const { target, key } = event;
  const used =
    target instanceof Element && target.closest("input, textarea, select, button, summary, a");
  if (used || event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === " ") player.toggle();
  else if (key === "ArrowLeft") player.step(-1);
  else if (key === "ArrowRight") player.step(1);
  else if (key === "h" || key === "H") player.toggleHeat();
  else return;
  event.preventDefault();
}

async function main() {
  if (await isolate()) return;
  client = new Client();
  listen();
  const response = await fetch(new URL("model/model.json", base));
  if (!response.ok) throw new Error("This folder has no model; export it again with export.web.");
  const facts = await response.json().catch(() => null);
  if (facts?.format !== FORMAT) {
    throw new Error("The model in this folder is of another version; export it again.");
  }
  if (!("OffscreenCanvas" in self)) {
    throw new Error(
      "This browser is too old for this page. Use a current Chrome, Edge, Firefox or Safari.",
    );
  }
  model = facts;
  showAbout(model);
  byId("download-video", HTMLButtonElement).hidden = seeking;
  threshold.value = String(model.threshold);
  byId("threshold-value", HTMLOutputElement).value = model.threshold.toFixed(2);
  showSamples(model.samples);
  find.disabled = false;
  busy("Loading the model");
  const loading = loadModel();
  const [sample] = model.samples;
  const opening = sample && choice === 0 && start(() => openSample(sample));
  await loading;
  await opening;
  const isFirst = choice === 1 && text.value === sample?.sentences[0];
  if (isFirst && parameters.get("demo") !== "off") await start(() => ground());
}

// For tests and for other scripts of the page that embeds this one.
Object.assign(self, {
  gkcmn: {
    /** @param {string} action @param {object} options */
    call: (action, options) => client.call(action, options),
    ready: main().catch(fail),
  },
});
