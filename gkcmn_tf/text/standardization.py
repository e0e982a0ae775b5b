"""Sentences in one form: lower case, words apart by single spaces.

The same rules twice, in plain Python for what runs outside of a TensorFlow graph, and as a graph
for data pipelines and SavedModels. Only the graph's function imports TensorFlow.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# Characters that are read as an apostrophe, which stays inside of words.
APOSTROPHES = "‘’ʼ`"
# Unicode categories of the characters of words: letters, marks, numbers. All others are spaces.
WORD_CATEGORIES = "LMN"

_APOSTROPHE = re.compile(f"[{APOSTROPHES}]")


def standardize(sentence: str) -> str:
    """Lower case, words apart by single spaces; only letters, digits and inner apostrophes stay.

    Example:
        >>> from gkcmn_tf.text.standardization import standardize
        >>> standardize("Who plays(instrument) next_to the  child’s 'toy'?")
        "who plays instrument next to the child's toy"
    """
    # TensorFlow's lower case ends at a NUL, as C strings do.
    sentence = _APOSTROPHE.sub("'", sentence.partition("\0")[0].lower())
    # The `re` module knows no categories.
    kept = (
        c if c == "'" or unicodedata.category(c)[0] in WORD_CATEGORIES else " " for c in sentence
    )
    words = (word.strip("'") for word in "".join(kept).split(" "))
    return " ".join(word for word in words if word)


def standardize_tensor(sentences: "tf.Tensor") -> "tf.Tensor":
    """`standardize` as a TensorFlow graph: strings `[...]` to strings `[...]`."""
    import tensorflow as tf  # noqa: PLC0415

    kept = "".join(rf"\p{category}" for category in WORD_CATEGORIES)
    sentences = tf.strings.lower(sentences, encoding="utf-8")
    sentences = tf.strings.regex_replace(sentences, f"[{APOSTROPHES}]", "'")
    sentences = tf.strings.regex_replace(sentences, f"[^{kept}']+", " ")
    # One side after the other, for both may lie at the same space: "dogs' 'cats".
    sentences = tf.strings.regex_replace(sentences, r"(^|\s)'+", " ")
    sentences = tf.strings.regex_replace(sentences, r"'+(\s|$)", " ")
    return tf.strings.strip(tf.strings.regex_replace(sentences, r"\s+", " "))


def split_words(sentences: Sequence[str]) -> list[list[str]]:
    """All the words of each sentence, however many."""
    return [standardize(sentence).split() for sentence in sentences]
