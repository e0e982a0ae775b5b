"""Word-level tokenizer."""

import collections
import functools
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from gkcmn_tf.files import write_text
from gkcmn_tf.text.standardization import (
    decompose,
    split_words,
    standardize,
    standardize_tensor,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

PADDING = ""
UNKNOWN = "[UNK]"
PADDING_TOKEN, UNKNOWN_TOKEN = 0, 1


class Tokenizer:
    """Maps sentences to sequences of tokens; 0 is padding, 1 is an unknown word.

    Calling the tokenizer needs no TensorFlow. `tokenize_tensor` is the equivalent TensorFlow graph
    for data pipelines and for export with a model. Words that older versions standardized
    differently keep their token; those that can no longer occur are named in a warning.

    Example:
        >>> from gkcmn_tf.text.tokenization import Tokenizer
        >>> tokenizer = Tokenizer(["dog", "the", "runs"], max_words=4)
        >>> tokenizer(["The dog runs!", "a dog"])
        array([[3, 2, 4, 0],
               [1, 2, 0, 0]], dtype=int32)

    Args:
        vocabulary: known words; the first one has token 2.
        max_words: `N`, length of the token sequences; longer sentences are truncated.

    Attributes:
        vocabulary: words by token, with `PADDING` and `UNKNOWN` first.
        max_words: `N`.

    Raises:
        ValueError: the vocabulary is empty, or contains duplicates, empty words or white space.
    """

    def __init__(self, vocabulary: Sequence[str], max_words: int):
        self.vocabulary = [PADDING, UNKNOWN, *vocabulary]
        self.max_words = max_words
        repeated = [word for word, n in collections.Counter(self.vocabulary).items() if n > 1]
        if repeated or not vocabulary:
            raise ValueError(f"vocabulary: expected distinct words, got {repeated or 'none'}")
        if invalid := [word for word in vocabulary if word.split() != [word]]:
            raise ValueError(
                f"vocabulary: expected single words without white space, got {invalid[:5]}"
            )
        forms = {word: standardize(word) for word in vocabulary}
        numbered = list(enumerate(vocabulary, UNKNOWN_TOKEN + 1))
        self._tokens = {}
        # If several words have the same form, the one in standardized form is used.
        for token, word in sorted(numbered, key=lambda entry: forms[entry[1]] != entry[1]):
            if len(forms[word].split()) == 1:
                self._tokens.setdefault(forms[word], token)
        if len(self._tokens) < len(vocabulary):
            used = set(self._tokens.values())
            unused = [word for token, word in numbered if token not in used]
            logging.warning(
                "vocabulary: %d of %d words cannot occur in standardized text; train again to use "
                "them: %s",
                len(unused),
                len(vocabulary),
                ", ".join(unused[:20]),
            )

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[str], *, max_words: int, min_count: int = 1
    ) -> "Tokenizer":
        """Creates a tokenizer from the words of a corpus, ordered by frequency.

        Args:
            sentences: the corpus.
            max_words: `N`, length of the token sequences.
            min_count: minimum number of occurrences of a word.
        """
        counts = collections.Counter(itertools.chain(*split_words(list(sentences))))
        known = sorted((-n, word) for word, n in counts.items() if n >= min_count)
        return cls([word for _, word in known], max_words)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, including padding and unknown."""
        return len(self.vocabulary)

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens by standardized word."""
        return dict(self._tokens)

    def save(self, path: str) -> None:
        """Writes the known words to a text file, one per line."""
        write_text(path, "".join(f"{word}\n" for word in self.vocabulary[2:]))

    @classmethod
    def load(cls, path: str, max_words: int) -> "Tokenizer":
        """Loads a file written by `save`.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is not a vocabulary.
        """
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such vocabulary file")
        try:
            with open(path, encoding="utf-8") as file:
                return cls(file.read().splitlines(), max_words)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def __call__(self, sentences: str | Sequence) -> np.ndarray:
        """Tokenizes a sentence or nested lists of sentences `[...]` to int32 `[..., N]`."""
        sentences = np.array(sentences, dtype=object)
        tokens = np.full((*sentences.shape, self.max_words), PADDING_TOKEN, np.int32)
        for index in np.ndindex(sentences.shape):
            words = standardize(sentences[index]).split()[: self.max_words]
            tokens[index][: len(words)] = [self._tokens.get(w, UNKNOWN_TOKEN) for w in words]
        return tokens

    def tokenize_tensor(self, sentences: "tf.Tensor") -> "tf.Tensor":
        """TensorFlow version of `__call__`: strings `[...]` to tokens int32 `[..., N]`."""
        import tensorflow as tf  # noqa: PLC0415

        flat = standardize_tensor(tf.reshape(sentences, [-1]))
        tokens = tf.cast(self.layer(flat), tf.int32)
        shape = tf.concat([tf.shape(sentences), [self.max_words]], axis=0)
        tokens = tf.reshape(tokens, shape)
        tokens.set_shape([*sentences.shape, self.max_words])
        return tokens

    @functools.cached_property
    def layer(self) -> "keras.layers.TextVectorization":
        """Lookup table of `tokenize_tensor`, to be tracked by a SavedModel."""
        import keras  # noqa: PLC0415
        import tensorflow as tf  # noqa: PLC0415

        forms = {token: decompose(form) for form, token in self._tokens.items()}
        # A word with a space is never found, but keeps the tokens of the other words.
        words = [forms.get(token, f" {word}") for token, word in enumerate(self.vocabulary)]
        # Create the table outside of the graph that first uses it.
        with tf.init_scope():
            return keras.layers.TextVectorization(
                standardize=None,
                split="whitespace",
                output_sequence_length=self.max_words,
                vocabulary=words[2:],
            )

    def unknown_words(self, sentence: str) -> list[str]:
        """Distinct words of a sentence that are not in the vocabulary."""
        words = dict.fromkeys(standardize(sentence).split())
        return [word for word in words if word not in self._tokens]

    def unknown_share(self, sentences: Iterable[str]) -> float:
        """Share of the words of `sentences` that are not in the vocabulary, 0 to 1."""
        words = list(itertools.chain(*split_words(list(sentences))))
        return sum(word not in self._tokens for word in words) / max(len(words), 1)
