"""The standard form of known and of random sentences, in plain Python and in a graph."""

import pathlib
import subprocess
import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gkcmn_tf.text import standardization

ROOT = pathlib.Path(__file__).parents[3]
ODD = st.text(st.sampled_from("aBİßΣé2 '’‘ʼ`_/(-.\t\n\u00a0\u0301\u2028²½Ⅷ漢"), max_size=30)
# Without surrogates and characters only in the newer Unicode tables of TensorFlow.
ANY = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30)


def in_graph(sentence):
    return standardization.standardize_tensor(tf.constant(sentence.encode())).numpy().decode()


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        (
            "the child in red clothes is watching the ball.",
            "the child in red clothes is watching the ball",
        ),
        ("Who play(instrument) the guitar ?", "who play instrument the guitar"),
        ("a ball/sports_ball next_to  the adult ", "a ball sports ball next to the adult"),
        ("the dog\u00a0is  here", "the dog is here"),
        ("what's the man's 'thing'?", "what's the man's thing"),
        ("dogs' 'cats' ''x'' y", "dogs cats x y"),
        ("the man’s rock ‘n’ roll", "the man's rock n roll"),
        ("Élan 2 chiens", "élan 2 chiens"),
        ("Who plays(instrument) next_to the  child?", "who plays instrument next to the child"),
        ("dogs' 'cats' ''x'' y'z", "dogs cats x y'z"),
        (" ?! ", ""),
        ("", ""),
    ],
)
def test_standardize(sentence, words):
    assert standardization.standardize(sentence) == words == in_graph(sentence)


@settings(max_examples=300)
@given(ODD | ANY)
def test_the_standard_form_equals_that_of_the_graph(sentence):
    assert standardization.standardize(sentence) == in_graph(sentence)


@settings(max_examples=100)
@given(ODD | ANY)
def test_standardized_sentences_consist_of_words_and_are_unchanged_by_standardizing_again(sentence):
    standard = standardization.standardize(sentence)
    assert standardization.standardize(standard) == standard
    for word in standard.split(" ") if standard else []:
        assert word.strip("'") == word != ""
        assert all(unicodedata.category(c)[0] in "LMN" or c == "'" for c in word)


def test_split_words():
    sentences = ["The dog, runs!", " . ", "The cat's dog/cat runs"]
    assert standardization.split_words(sentences) == [
        ["the", "dog", "runs"],
        [],
        ["the", "cat's", "dog", "cat", "runs"],
    ]
    assert standardization.split_words([]) == []


def test_plain_sentences_do_not_import_tensorflow():
    program = """
import sys
from gkcmn_tf.text.tokenization import Tokenizer
assert Tokenizer(["dog"], 2)("a dog").tolist() == [1, 2]
assert not {"tensorflow", "keras"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
