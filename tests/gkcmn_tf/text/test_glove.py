"""Word vectors of odd files."""

import gzip

import numpy as np
import pytest

from gkcmn_tf.text import glove

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
