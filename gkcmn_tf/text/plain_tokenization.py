"""Sentences as tokens in plain Python: what `gkcmn_tf.text.tokenization` does in TensorFlow."""

import re
import unicodedata
from collections.abc import Sequence

UNKNOWN_TOKEN, FIRST_WORD_TOKEN = 1, 2

_APOSTROPHES = re.compile("[‘’ʼ`]")


def standardize(sentence: str) -> str:
    """The same as `gkcmn_tf.text.standardization.standardize`."""
    # TensorFlow's lower case ends at a NUL, as C strings do.
    sentence = _APOSTROPHES.sub("'", sentence.partition("\0")[0].lower())
    # Letters, marks and numbers; the `re` module knows no such classes.
    kept = (c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in sentence)
    words = (word.strip("'") for word in "".join(kept).split(" "))
    return " ".join(word for word in words if word)


class PlainTokenizer:
    """Maps a sentence to tokens, as `Tokenizer` does: 0 is padding, 1 an unknown word.

    Args:
        vocabulary: the known words, in order of their tokens, from 2 on.
        max_words: `N`; longer sentences are cut.
    """

    def __init__(self, vocabulary: Sequence[str], max_words: int):
        self.max_words = max_words
        self._tokens = {word: token for token, word in enumerate(vocabulary, FIRST_WORD_TOKEN)}

    def __call__(self, sentence: str) -> list[int]:
        """`N` tokens."""
        words = standardize(sentence).split()[: self.max_words]
        tokens = [self._tokens.get(word, UNKNOWN_TOKEN) for word in words]
        return tokens + [0] * (self.max_words - len(tokens))

    def split(self, sentence: str) -> list[str]:
        """All words of a sentence, however many."""
        return standardize(sentence).split()

    def unknown_words(self, sentence: str) -> list[str]:
        """Those words of a sentence that the vocabulary lacks, each once."""
        words = standardize(sentence).split()
        return [word for word in dict.fromkeys(words) if word not in self._tokens]
