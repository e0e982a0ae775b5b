"""Sentences as tokens, and GloVe vectors for the words.

Tokenising is a TensorFlow graph from beginning to end, so it can be exported with a model.
"""

import collections
import itertools
import os
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from gkcmn_tf.files import write_text
from gkcmn_tf.text.standardization import split_words, standardize

PADDING = ""
UNKNOWN = "[UNK]"
PADDING_TOKEN, UNKNOWN_TOKEN = 0, 1


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

    def split(self, sentence: str) -> list[str]:
        """All words of a sentence, however many."""
        return split_words([sentence])[0]

    def unknown_words(self, sentence: str) -> list[str]:
        """Those words of a sentence that the vocabulary lacks, each once."""
        known = set(self.vocabulary)
        return [word for word in dict.fromkeys(*split_words([sentence])) if word not in known]
