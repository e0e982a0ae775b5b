"""Plain Python's tokens against TensorFlow's."""

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gkcmn_tf.text import standardization, tokenization
from gkcmn_tf.text.plain_tokenization import PlainTokenizer, standardize

WORDS = ["the", "dog's", "élan", "runs"]
ODD = st.text(st.sampled_from("aBİßΣé2 '’‘ʼ`_/(-.\t\n\u00a0\u0301\u2028²½Ⅷ漢"), max_size=30)
# Without surrogates, and without what only TensorFlow's newer Unicode tables know.
ANY = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30)


def expected(sentence):
    return standardization.standardize(tf.constant(sentence.encode())).numpy().decode()


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Who plays(instrument) next_to the  child?", "who plays instrument next to the child"),
        ("dogs' 'cats' ''x'' y'z", "dogs cats x y'z"),
        (" ?! ", ""),
        ("", ""),
    ],
)
def test_standardize(sentence, words):
    assert standardize(sentence) == words == expected(sentence)


@settings(max_examples=300)
@given(ODD | ANY)
def test_standard_form_is_that_of_the_graph(sentence):
    assert standardize(sentence) == expected(sentence)


@settings(max_examples=100)
@given(st.lists(st.sampled_from([*WORDS, "cat", "Dog’s", "?", "The"]), max_size=8).map(" ".join))
def test_tokens_are_those_of_the_graph(sentence):
    plain, graph = PlainTokenizer(WORDS, 5), tokenization.Tokenizer(WORDS, 5)
    assert plain(sentence) == graph(tf.constant(sentence)).numpy().tolist()
    assert plain.unknown_words(sentence) == graph.unknown_words(sentence)


def test_ten_thousand_words_are_cut():
    assert PlainTokenizer(WORDS, 3)("the cat runs " * 10_000) == [2, 1, 5]
