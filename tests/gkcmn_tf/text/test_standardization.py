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
ODD = st.text(
    st.sampled_from("aBİßΣςé2 '’‘ʼ`_/(-.\t\n\0\u00a0\u00ad\u0301\u0323\ufe0f\u2028²½Ⅷ´ﬁ漢がั่ไที각"),
    max_size=30,
)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def in_graph(*sentences):
    found = standardization.standardize_tensor(tf.constant([s.encode() for s in sentences]))
    return [unicodedata.normalize("NFC", sentence.decode()) for sentence in found.numpy()]


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
        ("the ﬁre ａｎｄ the soft\u00adhyphen", "the fire and the softhyphen"),
        ("cafe\u0301 Z\u030cIVA", "café živa"),
        ("e\u0302\u0323 ê\u0323 ệ", "ệ ệ ệ"),
        ("a dog\0runs", "a dog runs"),
        ("a \u2764\ufe0f heart, 1\ufe0f\u20e3 dog \U0001f468\u200d\U0001f469", "a heart 1 dog"),
        ("\ufeffthe dog\u200bruns", "the dog runs"),
        ("ΟΔΟΣ οδος", "οδοσ οδοσ"),
        ("狗在跑, dog２只", "狗 在 跑 dog2 只"),
        ("ｲﾇがか\u3099走る", "イ ヌ が が 走 る"),
        ("ที่นี่", "ที่ นี่"),
        ("개가 뛴다", "개가 뛴다"),
        ("'犬'", "犬"),
        ("'\u0301 \u0301'", ""),
    ],
)
def test_standardize(sentence, words):
    assert standardization.standardize(sentence) == words
    assert in_graph(sentence) == [words]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normal_forms_of_a_sentence_have_the_same_words(form):
    sentence = "Élan ﬁxes １ Ångström, ệ 각 가방 ㌖"
    assert standardization.standardize(
        unicodedata.normalize(form, sentence)
    ) == standardization.standardize(sentence)


def test_the_graph_has_the_form_of_every_character():
    characters = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    sentences = ["".join(characters[i : i + 40]) for i in range(0, len(characters), 40)]
    assert in_graph(*sentences) == [standardization.standardize(s) for s in sentences]


@settings(max_examples=300)
@given(ODD | ANY)
def test_the_standard_form_equals_that_of_the_graph(sentence):
    assert in_graph(sentence) == [standardization.standardize(sentence)]
    assert in_graph("a", sentence, "\u0301")[1:] == [standardization.standardize(sentence), ""]


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
