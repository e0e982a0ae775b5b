"""Sentences as tokens, and GloVe vectors for the words.

Tokenising is a TensorFlow graph from beginning to end, so it can be exported with a model.
"""

import collections
import dataclasses
import gzip
import itertools
import os
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf
import tqdm

from gkcmn_tf.atomic_files import write_text

PADDING = ""
UNKNOWN = "[UNK]"
PADDING_TOKEN, UNKNOWN_TOKEN = 0, 1


@keras.saving.register_keras_serializable("gkcmn")
def standardize(sentences):
    """Lower case, words apart by single spaces; only letters, digits and inner apostrophes stay.

    "Who plays(instrument) next_to the  child?" becomes "who plays instrument next to the child".
    """
    sentences = tf.strings.lower(sentences, encoding="utf-8")
    sentences = tf.strings.regex_replace(sentences, r"[‘’ʼ`]", "'")
    sentences = tf.strings.regex_replace(sentences, r"[^\pL\pM\pN']+", " ")
    # One side after the other, for both may lie at the same space: "dogs' 'cats".
    sentences = tf.strings.regex_replace(sentences, r"(^|\s)'+", " ")
    sentences = tf.strings.regex_replace(sentences, r"'+(\s|$)", " ")
    return tf.strings.strip(tf.strings.regex_replace(sentences, r"\s+", " "))


def split_words(sentences: Sequence[str]) -> list[list[str]]:
    """All the words of each sentence, however many."""
    if not sentences:
        return []
    words = tf.strings.split(standardize(tf.constant(sentences, tf.string))).to_list()
    return [[word.decode() for word in sentence] for sentence in words]


class Tokenizer:
    """Maps sentences to tokens: 0 is padding, 1 an unknown word.

    Args:
        vocabulary: the known words, in order of their tokens, from 2 on.
        max_words: `N`; longer sentences are cut.

    Raises:
        ValueError: the vocabulary is empty, or has a word twice or one that no sentence can hold.
    """

    def __init__(self, vocabulary: Sequence[str], max_words: int):
        self.vocabulary = [PADDING, UNKNOWN, *vocabulary]
        self.max_words = max_words
        repeated = [word for word, n in collections.Counter(self.vocabulary).items() if n > 1]
        if repeated or not vocabulary:
            raise ValueError(f"vocabulary: expected distinct words, got {repeated or 'none'}")
        standard = standardize(tf.constant(vocabulary)).numpy()
        if odd := [
            word
            for word, form in zip(vocabulary, standard, strict=True)
            if form.decode() != word or " " in word
        ]:
            raise ValueError(
                f"vocabulary: expected single words in the form `standardize` gives, got {odd[:5]}"
            )
        self._layer = keras.layers.TextVectorization(
            standardize=standardize,
            split="whitespace",
            output_sequence_length=max_words,
            vocabulary=list(vocabulary),
        )

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[str], *, max_words: int, min_count: int = 1
    ) -> "Tokenizer":
        """Knows the words that occur `min_count` times or more, frequent ones first."""
        counts = collections.Counter(itertools.chain(*split_words(list(sentences))))
        known = sorted((-n, word) for word, n in counts.items() if n >= min_count)
        return cls([word for _, word in known], max_words)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, padding and unknown included."""
        return len(self.vocabulary)

    @property
    def layer(self) -> keras.layers.TextVectorization:
        """What holds the table of words, for a SavedModel to keep."""
        return self._layer

    def save(self, path: str) -> None:
        """Writes the known words, one a line."""
        write_text(path, "".join(f"{word}\n" for word in self.vocabulary[2:]))

    @classmethod
    def load(cls, path: str, max_words: int) -> "Tokenizer":
        """Reads what `save` wrote; errors name the file."""
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no vocabulary there")
        try:
            with open(path, encoding="utf-8") as file:
                return cls(file.read().splitlines(), max_words)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def __call__(self, sentences: tf.Tensor) -> tf.Tensor:
        """Tokens int32 `[..., N]` of sentences `[...]`."""
        flat = tf.reshape(sentences, [-1])
        tokens = tf.cast(self._layer(flat), tf.int32)
        shape = tf.concat([tf.shape(sentences), [self.max_words]], axis=0)
        tokens = tf.reshape(tokens, shape)
        tokens.set_shape([*sentences.shape, self.max_words])
        return tokens

    def unknown_words(self, sentence: str) -> list[str]:
        """Those words of a sentence that the vocabulary lacks, each once."""
        known = set(self.vocabulary)
        return [word for word in dict.fromkeys(*split_words([sentence])) if word not in known]


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """A vector for each token: `matrix` float32 `[vocabulary, width]`; words that had none."""

    matrix: np.ndarray
    missing: list[str]


def load_glove(
    path: str, vocabulary: Sequence[str], *, dim: int = 300, seed: int = 0
) -> WordVectors:
    """Reads the vectors of a vocabulary from a GloVe text file.

    Takes plain files and .gz, the layout of 6B and that of 840B (cased, with tokens that hold
    spaces), with or without a word2vec-style first line. A word whose lower-case form is missing
    takes the vector of another casing, the first in the file. A word without any gets a seeded
    random vector of the spread of those found. Padding is zero, the unknown word the mean.

    Args:
        path: the file.
        vocabulary: `Tokenizer.vocabulary`.
        dim: width of the vectors.
        seed: of the random vectors.

    Returns:
        `WordVectors`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not a word and `dim` finite numbers (named by its number), or not one
            word of the vocabulary was found.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such GloVe file (data.glove_path)")
    rows = {word: row for row, word in enumerate(vocabulary) if row > UNKNOWN_TOKEN}
    exact, cased = {}, {}
    opener = gzip.open if path.endswith(".gz") else open
    # A word that is no UTF-8 is a word of no sentence: no reason to stop.
    with opener(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(tqdm.tqdm(file, desc=os.path.basename(path), unit="line"), 1):
            parts = line.rstrip().rsplit(" ", dim)
            if number == 1 and len(line.split()) == 2:
                continue
            word = parts[0]
            # Numbers left over behind the first word: the file's vectors are wider than `dim`.
            wider = number <= 2 and any(_is_number(part) for part in word.split(" ")[1:])
            if len(parts) != dim + 1 or wider:
                raise ValueError(
                    f"{path}, line {number}: expected a word and {dim} numbers, "
                    f"got {max(len(line.split()) - 1, 0)} numbers after {line.split()[:1]}"
                )
            row = rows.get(word.lower())
            if row is None:
                continue
            found = exact if word == vocabulary[row] else cased
            if row not in found:
                try:
                    found[row] = _finite_vector(parts[1:])
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}: {error}") from error
    vectors = cased | exact
    if not vectors:
        raise ValueError(f"{path}: has no vector for any of {len(vocabulary)} words")
    return _fill(vectors, vocabulary, dim, seed)


def _finite_vector(numbers):
    vector = np.array(numbers, np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("expected finite numbers")
    return vector


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fill(vectors, vocabulary, dim, seed):
    stacked = np.stack(list(vectors.values()))
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, stacked.std(), (len(vocabulary), dim)).astype(np.float32)
    matrix[list(vectors)] = stacked
    matrix[PADDING_TOKEN] = 0
    matrix[UNKNOWN_TOKEN] = stacked.mean(axis=0)
    special = (PADDING_TOKEN, UNKNOWN_TOKEN)
    missing = [w for row, w in enumerate(vocabulary) if row not in vectors and row not in special]
    return WordVectors(matrix, missing)
