// @ts-check
/** What the page says about its model. */

import { byId, element } from "./elements.js";

/**
 * Facts for the text, part of `model/model.json`.
 * @typedef {object} About
 * @property {string} name
 * @property {string} description
 * @property {string} limits
 * @property {string} network
 * @property {string} data
 * @property {string} date
 * @property {string} i3d
 * @property {Record<string, number>} metrics
 * @property {string} evaluated_on
 * @property {Record<string, number>} tokens
 * @property {{clips: {count: number, seconds: {min: number, max: number}}} | null} training
 */

const MOST_WORDS = 400;
const METRICS = /** @type {Record<string, string>} */ ({
  m_tIoU: "mean overlap in time",
  m_vIoU: "mean overlap in time and place",
  m_sIoU: "mean overlap of the boxes, at the true times",
});

/** @param {About} about */
export function showAbout(about) {
  const facts = [
    ["Model", `${about.name}: ${about.network}`],
    ["Features of the video", about.i3d],
    ["Trained on", trainedOn(about)],
    ["Accuracy", accuracy(about)],
    ["Date", about.date],
  ].filter(([, text]) => text);
  const words = Object.keys(about.tokens);
  const card = element("p", { className: "card" });
  const cardDetails = element("details", {}, element("summary", {}, "The whole model card"), card);
  cardDetails.addEventListener("toggle", () => void showCard(card), { once: true });
  byId("about", HTMLDivElement).replaceChildren(
    ...(about.description ? [element("p", {}, about.description)] : []),
    ...(about.limits ? [element("p", { className: "limits" }, about.limits)] : []),
    element(
      "dl",
      {},
      ...facts.flatMap(([name, text]) => [
        element("dt", {}, name ?? ""),
        element("dd", {}, text ?? ""),
      ]),
    ),
    element(
      "details",
      {},
      element("summary", {}, `The ${words.length} words it knows`),
      element("p", { className: "words" }, listed(words)),
    ),
    cardDetails,
  );
}

/** @param {HTMLElement} card */
async function showCard(card) {
  try {
    const response = await fetch("model/README.md");
    if (!response.ok) throw new Error(String(response.status));
    card.textContent = await response.text();
  } catch {
    card.textContent = "Could not download model/README.md. Is the network available?";
  }
}

/** @param {About} about */
function trainedOn({ data, training }) {
  if (!training) return data;
  const { count, seconds } = training.clips;
  const clips = `${count} clips of ${seconds.min.toFixed(1)} to ${seconds.max.toFixed(1)} seconds`;
  return data ? `${clips} (${data})` : clips;
}

/** @param {About} about */
function accuracy({ metrics, evaluated_on }) {
  const values = Object.entries(metrics).map(([name, value]) => {
    const share = /^vIoU@(.+)$/.exec(name);
    const meaning = share ? `sentences with an overlap of at least ${share[1]}` : METRICS[name];
    return `${meaning ? `${meaning} (${name})` : name} ${(100 * value).toFixed(1)} %`;
  });
  return values.length > 0 ? `${values.join(", ")}. ${evaluated_on}` : "";
}

/** @param {string[]} words */
function listed(words) {
  const more = words.length > MOST_WORDS ? ", …" : "";
  return `${words.slice(0, MOST_WORDS).join(", ")}${more}`;
}
