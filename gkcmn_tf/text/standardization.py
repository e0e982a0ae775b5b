"""Text standardization: lower case, punctuation removed, words separated by single spaces.

There are two equivalent implementations: plain Python, and a TensorFlow graph for data pipelines
and SavedModels. Only the latter imports TensorFlow.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# Characters treated as an apostrophe; apostrophes inside words are kept.
APOSTROPHES = "‘’ʼ`"
# Unicode categories of word characters: letters, marks, numbers. Others are replaced by spaces.
WORD_CATEGORIES = "LMN"

_APOSTROPHE = re.compile(f"[{APOSTROPHES}]")


def standardize(sentence: str) -> str:
    """Converts to lower case and keeps only letters, digits and apostrophes inside words.

    Example:
        >>> from gkcmn_tf.text.standardization import standardize
        >>> standardize("Who plays(instrument) next_to the  child’s 'toy'?")
        "who plays instrument next to the child's toy"
    """
    # `tf.strings.lower` stops at a NUL character.
    sentence = _APOSTROPHE.sub("'", sentence.partition("\0")[0].lower())
    # The `re` module does not support Unicode categories.
    kept = (
        c if c == "'" or unicodedata.category(c)[0] in WORD_CATEGORIES else " " for c in sentence
    )
    words = (word.strip("'") for word in "".join(kept).split(" "))
    return " ".join(word for word in words if word)


def standardize_tensor(sentences: "tf.Tensor") -> "tf.Tensor":
    """TensorFlow version of `standardize`: strings `[...]` to strings `[...]`."""
    import tensorflow as tf  # noqa: PLC0415

    kept = "".join(rf"\p{category}" for category in WORD_CATEGORIES)
    sentences = tf.strings.lower(sentences, encoding="utf-8")
    sentences = tf.strings.regex_replace(sentences, f"[{APOSTROPHES}]", "'")
    sentences = tf.strings.regex_replace(sentences, f"[^{kept}']+", " ")
    # Two passes, since apostrophes may share a space: "dogs' 'cats".
    sentences = tf.strings.regex_replace(sentences, r"(^|\s)'+", " ")
    sentences = tf.strings.regex_replace(sentences, r"'+(\s|$)", " ")
    return tf.strings.strip(tf.strings.regex_replace(sentences, r"\s+", " "))


def split_words(sentences: Sequence[str]) -> list[list[str]]:
    """Splits each sentence into its standardized words."""
    return [standardize(sentence).split() for sentence in sentences]
