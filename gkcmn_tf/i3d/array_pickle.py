"""Reads a pickle of nested dictionaries of NumPy arrays without executing code from it.

A pickle is a program that can import and call any Python function. Here, the names that an array
needs are mapped to the classes below, which only check and store values; all others are refused.
"""

import hashlib
import io
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np


def read_arrays(path: str, sha256: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a file with a known hash.

    Args:
        path: a pickle of nested dictionaries with strings as keys and float32 arrays as values.
        sha256: hexadecimal hash of the file; checked before the content is parsed.

    Returns:
        float32 arrays by key; nested keys are joined by slashes.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file has another hash, or contains or names anything but arrays.
    """
    with open(path, "rb") as file:
        content = file.read()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path}: has SHA-256 {found}, expected {sha256}; the file is damaged or differs"
        )
    try:
        value = _ArrayUnpickler(io.BytesIO(content)).load()
        return dict(_flatten(value, ()))
    except Exception as error:  # a damaged pickle can raise any exception
        raise ValueError(f"{path}: not a pickle of float32 arrays: {error}") from error


class _DType:
    """Replacement for `numpy.dtype`; accepts only little-endian float32."""

    def __init__(self, *arguments):
        if arguments[:1] != ("f4",):
            raise ValueError(f"contains an array of type {arguments[:1]}, expected float32 ('f4')")

    def __setstate__(self, state):
        if state[1] != "<":
            raise ValueError(f"contains an array of byte order {state[1]!r}, expected '<'")


class _Array:
    """Result of the replacement for NumPy's `_reconstruct`; empty until its state is set."""

    def __init__(self, *_):
        self.value = None

    def __setstate__(self, state):
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _DType) or not isinstance(content, bytes) or is_fortran:
            raise ValueError("contains an array of objects or in Fortran order")
        if len(content) != 4 * math.prod(shape):
            raise ValueError(f"contains {len(content)} bytes for an array of shape {shape}")
        self.value = np.frombuffer(content, "<f4").reshape(shape)


# NumPy 2 writes `numpy._core`, NumPy 1 `numpy.core`. `ndarray` is only passed to `_reconstruct`.
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _DType,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        """Returns the replacement for a name in the pickle."""
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")
        return _NAMES[module, name]


def _flatten(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        for key, inner in value.items():
            yield from _flatten(inner, (*keys, key))
    elif isinstance(value, _Array) and value.value is not None and keys:
        yield "/".join(keys), value.value
    else:
        raise ValueError(
            f"{'/'.join(keys) or 'the pickle'} is a {type(value).__name__}, not an array"
        )
