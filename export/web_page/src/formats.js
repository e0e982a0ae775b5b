// @ts-check
/** Files of results, in the formats of gkcmn_tf.tube_formats. */

/** @typedef {import("./tubes.js").Tube} Tube */

/**
 * The result of a sentence: a tube, or the score of the best one below the threshold.
 * @typedef {{sentence: string, tube: Tube | null, score: number}} Answer
 */

/**
 * A number as Python prints a float.
 * @param {number} value
 */
function float(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return `${value}.0`;
  const [digits, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power >= -4 && power < 16) return String(value);
  const sign = power < 0 ? "-" : "+";
  return `${digits}e${sign}${String(Math.abs(power)).padStart(2, "0")}`;
}

/**
 * Text in JSON, in ASCII as Python writes it.
 * @param {string} value
 */
function text(value) {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * JSON Lines: one object per sentence.
 * @param {string} video name of the file
 * @param {Answer[]} answers
 */
export function jsonLines(video, answers) {
  return answers.map((answer) => `${jsonLine(video, answer)}\n`).join("");
}

/**
 * @param {string} video
 * @param {Answer} answer
 */
function jsonLine(video, { sentence, tube, score }) {
  const head = `{"video": ${text(video)}, "query": ${text(sentence)}`;
  if (tube === null) return `${head}, "absent": true, "score": ${float(score)}}`;
  const boxes = tube.boxes.map(
    (box, row) => `"${tube.begin + row}": [${box.map(float).join(", ")}]`,
  );
  return (
    `${head}, "begin": ${tube.begin}, "end": ${tube.end}, "boxes": {${boxes.join(", ")}}, ` +
    `"score": ${float(score)}, "begin_seconds": ${float(tube.beginSeconds)}, ` +
    `"end_seconds": ${float(tube.endSeconds)}, "clip": [${tube.clip.join(", ")}]}`
  );
}

/**
 * CSV: one row per frame of each tube.
 * @param {string} video
 * @param {Answer[]} answers
 * @param {number[]} times of the frames of the video, in seconds
 */
export function csv(video, answers, times) {
  const rows = ["video,query,frame,seconds,x1,y1,x2,y2,score"];
  for (const { sentence, tube, score } of answers) {
    const head = [cell(video), cell(sentence)];
    if (tube === null) rows.push([...head, "", "", "", "", "", "", float(score)].join(","));
    tube?.boxes.forEach((box, row) => {
      const frame = tube.begin + row;
      const seconds = Number((times[frame] ?? 0).toFixed(6));
      rows.push([...head, frame, float(seconds), ...box.map(float), float(score)].join(","));
    });
  }
  return rows.map((row) => `${row}\n`).join("");
}

/** @param {string} value */
function cell(value) {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/**
 * WebVTT: one cue per tube.
 * @param {Answer[]} answers
 */
export function webvtt(answers) {
  const notes = answers
    .filter(({ tube }) => tube === null)
    .map(({ sentence, score }) => `NOTE absent, score ${score.toFixed(3)}: ${escaped(sentence)}`);
  const cues = answers
    .flatMap(({ sentence, tube }) => (tube === null ? [] : [{ sentence, tube }]))
    .sort((a, b) => a.tube.beginSeconds - b.tube.beginSeconds)
    .map(({ sentence, tube }) => {
      const begin = Math.round(1000 * tube.beginSeconds);
      const end = Math.max(Math.round(1000 * tube.endSeconds), begin + 1);
      return `${timestamp(begin)} --> ${timestamp(end)}\n${escaped(sentence)}`;
    });
  return `${["WEBVTT", ...notes, ...cues].join("\n\n")}\n`;
}

/** @param {number} milliseconds */
function timestamp(milliseconds) {
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const seconds = Math.floor(milliseconds / 1000);
  const rest = String(milliseconds % 1000).padStart(3, "0");
  const minutes = Math.floor(seconds / 60);
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}:${two(seconds % 60)}.${rest}`;
}

/** @param {string} sentence */
function escaped(sentence) {
  const line = sentence.split(/\s+/u).filter(Boolean).join(" ");
  return line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
