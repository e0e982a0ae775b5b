"""Tokens and word vectors: golden sentences, odd files."""

import gzip
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gkcmn_tf.text import glove, standardization, tokenization


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
        (" ?! ", ""),
        ("", ""),
    ],
)
def test_standardize(sentence, words):
    assert standardization.standardize(tf.constant(sentence)).numpy().decode() == words


WORD_LIKE = st.text(st.sampled_from("aBİßΣé2 '’_/(-.\u00a0\u0301"), max_size=20)
# Without surrogates, and without what only TensorFlow's newer Unicode tables know.
ANY = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=20)


@settings(max_examples=100)
@given(WORD_LIKE | ANY)
def test_standard_sentences_are_words_and_stay_as_they_are(sentence):
    standard = standardization.standardize(tf.constant(sentence)).numpy().decode()
    assert standardization.standardize(tf.constant(standard)).numpy().decode() == standard
    for word in standard.split(" ") if standard else []:
        assert word.strip("'") == word != ""
        assert all(unicodedata.category(c)[0] in "LMN" or c == "'" for c in word)


@pytest.fixture
def tokenizer():
    return tokenization.Tokenizer.from_sentences(
        ["the dog runs.", "The dog sits", "a cat"], max_words=4
    )


def test_vocabulary_is_in_order_of_count_then_alphabet(tokenizer):
    assert tokenizer.vocabulary == ["", "[UNK]", "dog", "the", "a", "cat", "runs", "sits"]
    assert tokenizer.vocabulary_size == 8
    rare = tokenization.Tokenizer.from_sentences(["a a b"], max_words=4, min_count=2)
    assert rare.vocabulary[2:] == ["a"]


def test_tokens(tokenizer):
    tokens = tokenizer(tf.constant(["The dog, runs!", "a zebra", "", "the the the the dog"]))
    assert tokens.dtype == tf.int32
    assert tokens.numpy().tolist() == [[3, 2, 6, 0], [4, 1, 0, 0], [0, 0, 0, 0], [3, 3, 3, 3]]


def test_tokens_of_any_shape_and_in_graph(tokenizer):
    sentences = tf.constant([["the", "dog"], ["cat", "x"]])
    tokens = tf.function(tokenizer)(sentences)
    assert tokens.shape == (2, 2, 4)
    assert tokens[1, 0].numpy().tolist() == [5, 0, 0, 0]
    assert tokenizer(tf.constant("dog")).numpy().tolist() == [2, 0, 0, 0]


def test_split_words():
    sentences = ["The dog, runs!", " . ", "The cat's dog/cat runs"]
    assert standardization.split_words(sentences) == [
        ["the", "dog", "runs"],
        [],
        ["the", "cat's", "dog", "cat", "runs"],
    ]
    assert standardization.split_words([]) == []


def test_unknown_words_are_named_once(tokenizer):
    assert tokenizer.unknown_words("the zebra runs, and the zebra and I") == ["zebra", "and", "i"]


def test_words_are_what_tokens_stand_for(tokenizer):
    tokens = tokenizer(tf.constant("The cat's dog/cat runs")).numpy()
    assert [tokenizer.vocabulary[token] for token in tokens] == ["the", "[UNK]", "dog", "cat"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "got none"),
        (["a", "b", "a"], r"got \['a'\]"),
        (["a", ""], r"got \[''\]"),
        (["a", "Dog", "two words", "b."], r"got \['Dog', 'two words', 'b.'\]"),
    ],
)
def test_impossible_vocabularies_are_refused(words, message):
    with pytest.raises(ValueError, match=f"vocabulary: expected .*{message}"):
        tokenization.Tokenizer(words, 4)


def test_sentences_without_words_give_no_vocabulary():
    for sentences in ([], ["", " ?"]):
        with pytest.raises(ValueError, match="got none"):
            tokenization.Tokenizer.from_sentences(sentences, max_words=4)


def test_save_and_load(tokenizer, tmp_path):
    path = str(tmp_path / "vocabulary.txt")
    tokenizer.save(path)
    loaded = tokenization.Tokenizer.load(path, 4)
    assert loaded.vocabulary == tokenizer.vocabulary
    with pytest.raises(FileNotFoundError, match=r"missing.txt: no vocabulary"):
        tokenization.Tokenizer.load(str(tmp_path / "missing.txt"), 4)
    (tmp_path / "vocabulary.txt").write_text("a\nb\na\n")
    with pytest.raises(ValueError, match=r"vocabulary.txt: vocabulary: expected distinct words"):
        tokenization.Tokenizer.load(path, 4)
    (tmp_path / "vocabulary.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"vocabulary.txt: 'utf-8' codec"):
        tokenization.Tokenizer.load(path, 4)


VOCABULARY = ["", "[UNK]", "dog", "the", "zebra", "paris"]
LINES = ["the 1 2 3", ". . . 9 9 9", "Dog 7 7 7", "dog 4 5 6", "Paris 0 1 0", "other 1 1 1"]


def write(path, lines):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return str(path)


@pytest.mark.parametrize("name", ["glove.txt", "glove.txt.gz"])
@pytest.mark.parametrize("header", [[], ["6 3"]])
def test_load_glove(name, header, tmp_path):
    path = write(tmp_path / name, header + LINES)
    vectors = glove.load_glove(path, VOCABULARY, dim=3)
    assert vectors.matrix.dtype == np.float32
    assert vectors.matrix[0].tolist() == [0, 0, 0]
    assert vectors.matrix[2].tolist() == [4, 5, 6]  # the lower-case entry, though it comes later
    assert vectors.matrix[3].tolist() == [1, 2, 3]
    assert vectors.matrix[5].tolist() == [0, 1, 0]  # another casing
    np.testing.assert_allclose(vectors.matrix[1], vectors.matrix[[2, 3, 5]].mean(axis=0))
    assert vectors.missing == ["zebra"]
    again = glove.load_glove(path, VOCABULARY, dim=3)
    np.testing.assert_array_equal(again.matrix, vectors.matrix)
    other = glove.load_glove(path, VOCABULARY, dim=3, seed=1)
    assert (other.matrix[4] != vectors.matrix[4]).any()


def test_load_glove_passes_over_words_that_are_not_utf8(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_bytes(b"caf\xe9 1 2 3\ndog 4 5 6\n")
    assert glove.load_glove(str(path), VOCABULARY, dim=3).matrix[2].tolist() == [4, 5, 6]


def test_load_glove_takes_trailing_spaces(tmp_path):
    path = write(tmp_path / "wiki.vec", ["6 3", *(f"{line} " for line in LINES)])
    matrix = glove.load_glove(path, VOCABULARY, dim=3).matrix
    assert matrix[2].tolist() == [4, 5, 6]
    assert matrix[3].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["the 1 2 3", "dog 1 2"], "line 2: expected a word and 3 numbers"),
        (["the 1 2 3 4"], "line 1: expected a word and 3 numbers, got 4"),
        (["the 1 2 x"], "line 1: could not convert"),
        (["the 1 2 3", "dog 1 nan 3"], "line 2: expected finite numbers"),
        (["the 1 2 3", ""], "line 2: expected a word and 3 numbers, got 0"),
        (["other 1 2 3"], "has no vector for any of 6 words"),
    ],
)
def test_bad_glove_files(lines, message, tmp_path):
    path = write(tmp_path / "bad.txt", lines)
    with pytest.raises(ValueError, match=message) as error:
        glove.load_glove(path, VOCABULARY, dim=3)
    assert "bad.txt" in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"data.glove_path"):
        glove.load_glove(str(tmp_path / "none.txt"), VOCABULARY, dim=3)
