"""GloVe vectors for the words of a vocabulary."""

import dataclasses
import gzip
import os
from collections.abc import Sequence

import numpy as np
import tqdm

from gkcmn_tf.text.tokenization import PADDING_TOKEN, UNKNOWN_TOKEN


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """A vector for each token: `matrix` float32 `[vocabulary, width]`; words that had none."""

    matrix: np.ndarray
    missing: list[str]


def load_glove(path: str, vocabulary: Sequence[str], *, dim: int, seed: int = 0) -> WordVectors:
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
