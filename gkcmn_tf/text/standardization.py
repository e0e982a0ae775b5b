"""Sentences in one form: lower case, words apart by single spaces."""

from collections.abc import Sequence

import keras
import tensorflow as tf


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
