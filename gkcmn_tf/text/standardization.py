"""Text standardization: the same words for all spellings of a sentence.

Compatibility forms (full width, ligatures), composed and decomposed letters and upper and lower
case are unified; invisible characters are removed; punctuation, symbols and control characters
separate words. Scripts that are written without spaces are split into characters.

There are two equivalent implementations: plain Python, and a TensorFlow graph for data pipelines
and SavedModels. Only the latter imports TensorFlow. Both apply one table of characters and one list
of regular expressions, so that they do not depend on the Unicode versions of other libraries.
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

# Characters treated as an apostrophe; apostrophes inside words are kept.
APOSTROPHES = "'‘’ʼ`"
# Unicode categories of word characters: letters, numbers, and marks that do not enclose a letter.
WORD_CATEGORIES = ("L", "N", "Mn", "Mc")
# Scripts written without spaces: Thai, Lao, Myanmar, Khmer, Bopomofo, Kana and Han.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u3005-\u3007\u3040-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)

_ZERO_WIDTH_SPACE = "\u200b"
# Variation selectors and the grapheme joiner are invisible although they are marks.
_INVISIBLE = re.compile("[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Planes of Unicode with characters that are neither unassigned nor private.
_PLANES = (range(0x40000), range(0xE0000, 0xF0000))

_BLOCK = 256  # characters per block of the table of the graph
_SAME = -1  # in that table: the character itself
_CLASSES = 256  # number of combining classes


def standardize(sentence: str) -> str:
    """Converts to lower case and keeps only letters, digits and apostrophes inside words.

    Example:
        >>> from gkcmn_tf.text.standardization import standardize
        >>> standardize("Who plays(instrument) next_to the  child’s 'toy'?")
        "who plays instrument next to the child's toy"
        >>> standardize("ｆｕｌｌ－ｗｉｄｔｈ, soft\u00adhyphen, 犬が走る")
        'full width softhyphen 犬 が 走 る'

    Returns:
        words separated by single spaces, in Unicode normalization form C.
    """
    text = _fold(sentence)
    for pattern, replacement in _passes():
        text = pattern.sub(replacement, text)
    return unicodedata.normalize("NFC", text.strip(" "))


def fold_word(word: str) -> str:
    """Unifies the spellings of a word like `standardize`, but does not split or trim it."""
    return unicodedata.normalize("NFC", _fold(word))


def decompose(standardized: str) -> str:
    """Returns the form in which `standardize_tensor` gives a result of `standardize`."""
    return unicodedata.normalize("NFD", standardized)


def standardize_tensor(sentences: "tf.Tensor") -> "tf.Tensor":
    """TensorFlow version of `standardize`: strings `[n]` to strings `[n]`.

    The results are in Unicode normalization form D; see `decompose`.
    """
    import tensorflow as tf  # noqa: PLC0415

    sentences = _fold_tensor(sentences)
    for pattern, replacement in _passes():
        sentences = tf.strings.regex_replace(sentences, pattern.pattern, replacement)
    return tf.strings.strip(sentences)


def split_words(sentences: Sequence[str]) -> list[list[str]]:
    """Splits each sentence into its standardized words."""
    return [standardize(sentence).split() for sentence in sentences]


def _fold(text):
    # NFD only sorts the marks here.
    return unicodedata.normalize("NFD", text.translate(_FOLDED))


class _Folded(dict):
    """Table of characters for `str.translate`, filled when needed."""

    def __missing__(self, code):
        self[code] = _fold_character(chr(code))
        return self[code]


def _fold_character(character):
    """Returns the decomposed lower-case form of a character, a space, or nothing."""
    lower = unicodedata.normalize("NFKD", character).lower().replace("ς", "σ")
    return "".join(map(_replace, unicodedata.normalize("NFKD", lower)))


def _replace(character):
    category = unicodedata.category(character)
    if character in APOSTROPHES:
        return "'"
    if _INVISIBLE.match(character) or category == "Me":
        return ""
    if category == "Cf":
        return " " if character == _ZERO_WIDTH_SPACE else ""
    return character if category.startswith(WORD_CATEGORIES) else " "


_FOLDED = _Folded()


def _assigned():
    return [chr(code) for plane in _PLANES for code in plane]


def _character_class(characters):
    """Returns a regular expression for one of the characters, which are in increasing order."""
    codes = np.array(list(map(ord, characters)))
    ranges = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "[" + "".join(f"{chr(codes[0])}-{chr(codes[-1])}" for codes in ranges) + "]"


@functools.cache
def _passes():
    """Regular expressions in the common syntax of Python and RE2, with their replacements."""
    unspaced = re.compile(f"[{UNSPACED}]")
    marks, characters = [], []
    for character in _assigned():
        if unicodedata.category(character) in ("Mn", "Mc"):
            marks.append(character)
        elif unspaced.match(character):
            characters.append(character)
    mark, character = _character_class(marks), _character_class(characters)
    passes = (
        # Marks without a letter.
        (f"(^|[ ']){mark}+", r"\1"),
        (f"({character}{mark}*)", r" \1 "),
        # Apostrophes outside of words. They may share a space: "dogs' 'cats".
        ("(^| )'+", " "),
        ("'+( |$)", " "),
        (" +", " "),
    )
    return [(re.compile(pattern), replacement) for pattern, replacement in passes]


def _fold_tensor(sentences):
    """TensorFlow version of `_fold`: strings `[n]` to strings `[n]`."""
    import tensorflow as tf  # noqa: PLC0415

    blocks, rows, splits, folded, classes = _graph_tables()
    decoded = tf.strings.unicode_decode(sentences, "UTF-8")
    block, place = decoded.flat_values // _BLOCK, decoded.flat_values % _BLOCK
    row = tf.gather(rows, tf.gather(blocks, block) * _BLOCK + place)

    def look_up(values):
        """The values of all characters of each sentence, ragged `[n, characters, values]`."""
        of_row = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        return decoded.with_values(tf.gather(of_row, row))

    by_character = look_up(folded)
    lengths = by_character.values.row_lengths()
    codes = tf.where(
        by_character.flat_values == _SAME,
        tf.repeat(decoded.flat_values, lengths),
        by_character.flat_values,
    )
    codes = by_character.with_flat_values(codes).merge_dims(1, 2)
    classes = look_up(classes).flat_values
    # Marks of a letter are in the order of their combining classes.
    letter = tf.cumsum(tf.cast(classes == 0, tf.int64)) + codes.value_rowids()
    order = tf.argsort(letter * _CLASSES + tf.cast(classes, tf.int64), stable=True)
    codes = codes.with_flat_values(tf.gather(codes.flat_values, order))
    return tf.strings.unicode_encode(codes, "UTF-8")


@functools.cache
def _graph_tables():
    """The table of characters as tensors.

    Returns:
        `blocks` and `rows`: character `c` has the row `rows[blocks[c // _BLOCK] * _BLOCK + c %
        _BLOCK]`; `splits`: where rows begin; `folded`: the characters of all rows, `_SAME` for the
        character itself; and `classes`: their combining classes.
    """
    import tensorflow as tf  # noqa: PLC0415

    contents, numbers = [[_SAME]], {}

    def row(folded):
        if folded not in numbers:
            numbers[folded] = len(contents)
            contents.append(list(map(ord, folded)))
        return numbers[folded]

    rows = np.full(sys.maxunicode + 1, row(" "), np.int32)
    for character in _assigned():
        folded = _fold_character(character)
        same = folded == character and not unicodedata.combining(character)
        rows[ord(character)] = 0 if same else row(folded)
    distinct, blocks = np.unique(rows.reshape(-1, _BLOCK), axis=0, return_inverse=True)
    folded = [code for content in contents for code in content]
    classes = [0 if code == _SAME else unicodedata.combining(chr(code)) for code in folded]
    splits = np.cumsum([0, *map(len, contents)])
    # Outside of the graph that first uses them, and where `tf.data` reads them.
    with tf.init_scope(), tf.device("CPU"):
        return tuple(
            tf.constant(values)
            for values in (
                blocks.ravel().astype(np.int32),
                distinct.ravel(),
                splits,
                folded,
                classes,
            )
        )
