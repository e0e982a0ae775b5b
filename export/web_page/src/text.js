// @ts-check
/** Standardization and tokens of sentences, as gkcmn_tf.text. */

const UNKNOWN = 1;
const APOSTROPHES = "'‘’ʼ`";
const ZERO_WIDTH_SPACE = "\u200b";
const INVISIBLE = /[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/u;
const WORD = /[\p{L}\p{N}\p{Mn}\p{Mc}]/u;
const ENCLOSING = /\p{Me}/u;
const FORMAT = /\p{Cf}/u;
const MARK = "[\\p{Mn}\\p{Mc}]";
// Scripts written without spaces: Thai, Lao, Myanmar, Khmer, Bopomofo, Kana and Han.
const UNSPACED =
  "[\\u0e00-\\u0eff\\u1000-\\u109f\\ua9e0-\\ua9ff\\uaa60-\\uaa7f\\u1780-\\u17ff\\u3005-\\u3007" +
  "\\u3040-\\u312f\\u31a0-\\u31bf\\u31f0-\\u31ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff" +
  "\\u{1aff0}-\\u{1b16f}\\u{20000}-\\u{3ffff}]";
/** @type {[RegExp, string][]} */
const PASSES = [
  [new RegExp(`(^|[ '])${MARK}+`, "gu"), "$1"], // marks without a letter
  [new RegExp(`((?!${MARK})${UNSPACED}${MARK}*)`, "gu"), " $1 "],
  [/(^| )'+/gu, " "], // apostrophes outside of words
  [/'+( |$)/gu, " "],
  [/ +/gu, " "],
];

/**
 * What `tokenize` returns.
 * @typedef {object} Tokens
 * @property {string[]} words all words of the sentence
 * @property {string[]} unknown distinct words that the model was not trained on
 * @property {Int32Array} tokens `[maxWords]`
 */

export class Tokenizer {
  /**
   * @param {Record<string, number>} tokens token of each standardized word
   * @param {number} maxWords
   * @param {Range[]} unassigned code points without a character in the Unicode version of
   *   training, as ranges `[first, last]`; newer browsers know newer characters
   *
   * @typedef {[number, number]} Range
   */
  constructor(tokens, maxWords, unassigned) {
    this.tokens = new Map(Object.entries(tokens));
    this.maxWords = maxWords;
    this.unassigned = unassigned;
  }

  /**
   * Converts to lower case and keeps only letters, digits and apostrophes inside words.
   * @param {string} sentence
   */
  standardize(sentence) {
    let text = Array.from(sentence, (character) => this.#fold(character))
      .join("")
      .normalize("NFD");
    for (const [pattern, replacement] of PASSES) text = text.replace(pattern, replacement);
    return text.replace(/^ +| +$/g, "").normalize("NFC");
  }

  /**
   * @param {string} sentence
   * @returns {Tokens}
   */
  tokenize(sentence) {
    const words = this.standardize(sentence).split(" ").filter(Boolean);
    const tokens = new Int32Array(this.maxWords);
    words.slice(0, this.maxWords).forEach((word, place) => {
      tokens[place] = this.tokens.get(word) ?? UNKNOWN;
    });
    const unknown = [...new Set(words)].filter((word) => !this.tokens.has(word));
    return { words, unknown, tokens };
  }

  /** @param {string} character */
  #fold(character) {
    if (this.#isUnassigned(character)) return " ";
    const lower = character.normalize("NFKD").toLowerCase().replaceAll("ς", "σ");
    return Array.from(lower.normalize("NFKD"), (part) => this.#replace(part)).join("");
  }

  /** @param {string} character */
  #replace(character) {
    if (APOSTROPHES.includes(character)) return "'";
    if (this.#isUnassigned(character)) return " ";
    if (INVISIBLE.test(character) || ENCLOSING.test(character)) return "";
    if (FORMAT.test(character)) return character === ZERO_WIDTH_SPACE ? " " : "";
    return WORD.test(character) ? character : " ";
  }

  /** @param {string} character */
  #isUnassigned(character) {
    const code = /** @type {number} */ (character.codePointAt(0));
    let low = 0;
    let high = this.unassigned.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const [first, last] = /** @type {Range} */ (this.unassigned[middle]);
      if (code < first) high = middle;
      else if (code > last) low = middle + 1;
      else return true;
    }
    return false;
  }
}
