"""Tokens, in plain Python and in TensorFlow's graph."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from hypothesis import given, settings
from hypothesis import strategies as st

from gkcmn_tf.text import tokenization


@pytest.fixture
def tokenizer():
    return tokenization.Tokenizer.from_sentences(
        ["the dog runs.", "The dog sits", "a cat"], max_words=4
    )


def test_the_vocabulary_is_sorted_by_count_then_alphabetically(tokenizer):
    assert tokenizer.vocabulary == ["", "[UNK]", "dog", "the", "a", "cat", "runs", "sits"]
    assert tokenizer.vocabulary_size == 8
    rare = tokenization.Tokenizer.from_sentences(["a a b"], max_words=4, min_count=2)
    assert rare.vocabulary[2:] == ["a"]


def test_tokens(tokenizer):
    sentences = ["The dog, runs!", "a zebra", "", "the the the the dog"]
    expected = [[3, 2, 6, 0], [4, 1, 0, 0], [0, 0, 0, 0], [3, 3, 3, 3]]
    tokens = tokenizer(sentences)
    assert tokens.dtype == np.int32
    assert tokens.tolist() == expected
    tokens = tokenizer.tokenize_tensor(tf.constant(sentences))
    assert tokens.dtype == tf.int32
    assert tokens.numpy().tolist() == expected


def test_tokens_of_any_shape_and_in_graph(tokenizer):
    sentences = [["the", "dog"], ["cat", "x"]]
    tokens = tf.function(tokenizer.tokenize_tensor)(tf.constant(sentences))
    assert tokens.shape == (2, 2, 4)
    assert tokens[1, 0].numpy().tolist() == [5, 0, 0, 0]
    assert tokenizer(sentences).tolist() == tokens.numpy().tolist()
    assert tokenizer.tokenize_tensor(tf.constant("dog")).numpy().tolist() == [2, 0, 0, 0]
    assert tokenizer("dog").tolist() == [2, 0, 0, 0]
    assert tokenizer([]).shape == (0, 4)


def test_the_graph_of_one_function_is_reused_by_the_next(tokenizer):
    sentences = tf.data.Dataset.from_tensor_slices(["a cat", "the dog"])
    for _ in range(2):
        tokens = sentences.map(tokenizer.tokenize_tensor)
        assert [row.tolist() for row in tokens.as_numpy_iterator()] == [[4, 5, 0, 0], [3, 2, 0, 0]]


WORDS = ["the", "dog's", "élan", "runs"]


@settings(max_examples=100)
@given(st.lists(st.sampled_from([*WORDS, "cat", "Dog’s", "?", "The"]), max_size=8).map(" ".join))
def test_tokens_equal_those_of_the_graph(sentence):
    tokenizer = tokenization.Tokenizer(WORDS, 5)
    graph = tokenizer.tokenize_tensor(tf.constant(sentence)).numpy()
    assert tokenizer(sentence).tolist() == graph.tolist()


def test_ten_thousand_words_are_cut_to_the_maximum():
    assert tokenization.Tokenizer(WORDS, 3)("the cat runs " * 10_000).tolist() == [2, 1, 5]


def test_each_unknown_word_is_reported_once(tokenizer):
    assert tokenizer.unknown_words("the zebra runs, and the zebra and I") == ["zebra", "and", "i"]


def test_the_share_of_unknown_words_counts_every_occurrence(tokenizer):
    assert tokenizer.unknown_share(["the zebra runs", "A zebra."]) == 2 / 5
    assert tokenizer.unknown_share(["?", ""]) == 0


def test_words_are_restored_from_tokens(tokenizer):
    tokens = tokenizer("The cat's dog/cat runs")
    assert [tokenizer.vocabulary[token] for token in tokens] == ["the", "[UNK]", "dog", "cat"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "got none"),
        (["a", "b", "a"], r"got \['a'\]"),
        (["a", ""], r"got \[''\]"),
        (["a", "two words", "b\t"], r"got \['two words', 'b\\t'\]"),
    ],
)
def test_invalid_vocabularies_are_refused(words, message):
    with pytest.raises(ValueError, match=f"vocabulary: expected .*{message}"):
        tokenization.Tokenizer(words, 4)


def test_words_of_older_vocabularies_keep_their_tokens(caplog):
    """Standardization used to keep selectors of emojis, and sentences without spaces whole."""
    words = ["dog", "\ufe0f", "οδος", "狗在跑", "e\u0301lan", "élan"]
    logging.get_absl_logger().addHandler(caplog.handler)
    tokenizer = tokenization.Tokenizer(words, 4)
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert "3 of 6 words cannot occur" in caplog.text
    assert caplog.messages[0].endswith(": \ufe0f, 狗在跑, e\u0301lan")
    sentences = ["a dog", "Dog ΟΔΟΣ", "élan", "e\u0301lan", "狗在跑"]
    expected = [[1, 2, 0, 0], [2, 4, 0, 0], [7, 0, 0, 0], [7, 0, 0, 0], [1, 1, 1, 0]]
    assert tokenizer(sentences).tolist() == expected
    assert tokenizer.tokenize_tensor(tf.constant(sentences)).numpy().tolist() == expected


def test_sentences_without_spaces_are_read_by_character():
    tokenizer = tokenization.Tokenizer.from_sentences(["狗在跑", "가방이 있다"], max_words=4)
    sentences = ["跑的狗", unicodedata.normalize("NFD", "가방이")]
    expected = [[tokenizer.vocabulary.index("跑"), 1, tokenizer.vocabulary.index("狗"), 0]]
    expected.append([tokenizer.vocabulary.index("가방이"), 0, 0, 0])
    assert tokenizer(sentences).tolist() == expected
    assert tokenizer.tokenize_tensor(tf.constant(sentences)).numpy().tolist() == expected


def test_sentences_without_words_are_an_error():
    for sentences in ([], ["", " ?"]):
        with pytest.raises(ValueError, match="got none"):
            tokenization.Tokenizer.from_sentences(sentences, max_words=4)


def test_save_and_load(tokenizer, tmp_path):
    path = str(tmp_path / "vocabulary.txt")
    tokenizer.save(path)
    loaded = tokenization.Tokenizer.load(path, 4)
    assert loaded.vocabulary == tokenizer.vocabulary
    with pytest.raises(FileNotFoundError, match=r"missing.txt: no such vocabulary"):
        tokenization.Tokenizer.load(str(tmp_path / "missing.txt"), 4)
    (tmp_path / "vocabulary.txt").write_text("a\nb\na\n")
    with pytest.raises(ValueError, match=r"vocabulary.txt: vocabulary: expected distinct words"):
        tokenization.Tokenizer.load(path, 4)
    (tmp_path / "vocabulary.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"vocabulary.txt: 'utf-8' codec"):
        tokenization.Tokenizer.load(path, 4)
