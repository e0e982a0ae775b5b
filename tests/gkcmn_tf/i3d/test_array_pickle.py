import collections
import hashlib
import os
import pickle

import numpy as np
import pytest

from gkcmn_tf.i3d import array_pickle

TENSOR = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def write(path, content):
    path.write_bytes(content)
    return str(path), hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("protocol", [3, 4])
def test_nested_arrays_are_read(tmp_path, protocol):
    value = {"a": {"b/c": TENSOR, "d": TENSOR[0, 0]}, "e": {"f": np.zeros((1, 1, 2), np.float32)}}
    arrays = array_pickle.read_arrays(*write(tmp_path / "p", pickle.dumps(value, protocol)))
    assert list(arrays) == ["a/b/c", "a/d", "e/f"]
    np.testing.assert_array_equal(arrays["a/b/c"], TENSOR)
    np.testing.assert_array_equal(arrays["a/d"], TENSOR[0, 0])
    assert arrays["e/f"].shape == (1, 1, 2)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def test_module_names_of_older_numpy_are_read(tmp_path):
    content = pickle.dumps({"a": TENSOR}, protocol=3)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for pickled in (content, old):
        arrays = array_pickle.read_arrays(*write(tmp_path / "p", pickled))
        np.testing.assert_array_equal(arrays["a"], TENSOR)


class Hostile:
    """Creates a folder when it is unpickled by `pickle`."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_a_pickle_does_not_run(tmp_path):
    folder = str(tmp_path / "made")
    content = pickle.dumps({"a": TENSOR, "b": Hostile(folder)}, protocol=4)
    with pytest.raises(ValueError, match=r"names (posix|nt)\.mkdir, which is refused"):
        array_pickle.read_arrays(*write(tmp_path / "p", content))
    assert not os.path.exists(folder)
    pickle.loads(content)
    assert os.path.exists(folder)


def test_numpy_functions_that_run_code_are_refused(tmp_path):
    # Protocol 0: GLOBAL, a call with one string, STOP.
    content = b"cnumpy.f2py\ncompile\n(Vx\ntR."
    with pytest.raises(ValueError, match=r"numpy\.f2py\.compile, which is refused"):
        array_pickle.read_arrays(*write(tmp_path / "p", content))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([TENSOR], "the pickle is a list"),
        (TENSOR, "the pickle is a _Array"),
        ({"a": {"b": 3}}, "a/b is a int"),
        ({"a": {1: TENSOR}}, "a is a dict"),
        ({"a": np.float64([1, 2])}, "expected float32"),
        ({"a": TENSOR.astype(">f4")}, "byte order '>'"),
        ({"a": np.array([{}, None], dtype=object)}, "expected float32"),
        ({"a": np.asfortranarray(TENSOR)}, "Fortran order"),
        ({"a": np.float32}, "numpy.float32, which is refused"),
        (collections.OrderedDict(a=TENSOR), "collections.OrderedDict, which is refused"),
        (collections.Counter("ab"), "collections.Counter, which is refused"),
    ],
)
def test_other_contents_are_refused(tmp_path, value, message):
    with pytest.raises(ValueError, match=message) as error:
        array_pickle.read_arrays(*write(tmp_path / "p", pickle.dumps(value, protocol=4)))
    assert str(tmp_path / "p") in str(error.value)


def test_fewer_bytes_than_the_shape_needs_are_refused(tmp_path):
    content = pickle.dumps({"a": np.zeros(3, np.float32)}, protocol=4)
    # The shape (3,) is the only tuple of the number 3: BININT1 3, TUPLE1.
    assert content.count(b"K\x03\x85") == 1
    with pytest.raises(ValueError, match=r"contains 12 bytes for an array of shape \(9,\)"):
        array_pickle.read_arrays(
            *write(tmp_path / "p", content.replace(b"K\x03\x85", b"K\x09\x85"))
        )


@pytest.mark.parametrize("cut", [0, 1, 50])
def test_the_error_for_a_damaged_pickle_names_the_file(tmp_path, cut):
    content = pickle.dumps({"a": TENSOR}, protocol=4)[:cut]
    with pytest.raises(ValueError, match="not a pickle of float32 arrays"):
        array_pickle.read_arrays(*write(tmp_path / "p", content))


def test_the_hash_is_checked_before_anything_is_read(tmp_path, monkeypatch):
    path, sha256 = write(tmp_path / "p", pickle.dumps({"a": TENSOR}, protocol=4))
    monkeypatch.setattr(array_pickle, "_ArrayUnpickler", None)
    with pytest.raises(ValueError, match=f"has SHA-256 {sha256}, expected 0; the file is damaged"):
        array_pickle.read_arrays(path, "0")


def test_the_error_for_a_missing_file_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        array_pickle.read_arrays(str(tmp_path / "none"), "0")
