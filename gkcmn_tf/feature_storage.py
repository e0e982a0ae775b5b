"""How features are held on disk: as they are (float16), or rounded to fewer bits.

`bfloat16` has the range of float32 and 8 significant bits, at the size of float16. `int8` halves
that: each channel of a video is cut into 255 equal parts between its least and its greatest value.
Whoever computes features afresh for a model trained on rounded ones must round them likewise.
"""

import dataclasses

import numpy as np
import tensorflow as tf

STORAGE_DTYPES = ("float16", "bfloat16", "int8")
_LEVELS = 255


@dataclasses.dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Features as bytes: little-endian, C order.

    Attributes:
        data: the numbers.
        dtype: one of `STORAGE_DTYPES`.
        low: float32 `[C]`, the least value of each channel; empty unless `dtype` is `int8`.
        scale: float32 `[C]`, the distance of two neighbouring values; likewise.
    """

    data: bytes
    dtype: str
    low: np.ndarray
    scale: np.ndarray


def encode(features: np.ndarray, dtype: str) -> StoredFeatures:
    """Stores float16 features `[..., C]`; `ValueError` for another kind of features or storage."""
    if dtype not in STORAGE_DTYPES or features.dtype != np.float16:
        raise ValueError(
            f"expected float16 features and a storage of {', '.join(STORAGE_DTYPES)}; got "
            f"{features.dtype} features and {dtype!r}"
        )
    none = np.zeros(0, np.float32)
    if dtype == "float16":
        return StoredFeatures(np.ascontiguousarray(features).tobytes(), dtype, none, none)
    values = features.astype(np.float32)
    if dtype == "bfloat16":
        return StoredFeatures(
            values.astype(tf.bfloat16.as_numpy_dtype).tobytes(), dtype, none, none
        )
    axes = tuple(range(values.ndim - 1))
    low = values.min(axis=axes)
    scale = (values.max(axis=axes) - low) / np.float32(_LEVELS)
    # A channel that never changes has a scale of 0, and any level gives its value.
    levels = np.rint((values - low) / np.where(scale > 0, scale, 1))
    return StoredFeatures((levels - 128).astype(np.int8).tobytes(), dtype, low, scale)


def decode(data: tf.Tensor, dtype: tf.Tensor, low: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The float16 features, flat, that the fields of a `StoredFeatures` stand for; in graph."""

    def from_int8():
        levels = tf.cast(tf.io.decode_raw(data, tf.int8), tf.float32) + 128
        values = tf.reshape(levels, [-1, tf.size(low)]) * scale + low
        return tf.cast(tf.reshape(values, [-1]), tf.float16)

    def from_bfloat16():
        bits = tf.io.decode_raw(data, tf.uint16)
        return tf.cast(tf.bitcast(bits, tf.bfloat16), tf.float16)

    return tf.case(
        [(dtype == "int8", from_int8), (dtype == "bfloat16", from_bfloat16)],
        default=lambda: tf.io.decode_raw(data, tf.float16),
    )


def as_stored(features: np.ndarray, dtype: str) -> np.ndarray:
    """The features that reading gives back after storing float16 `features`."""
    stored = encode(features, dtype)
    flat = decode(*map(tf.constant, (stored.data, stored.dtype, stored.low, stored.scale)))
    return flat.numpy().reshape(features.shape)
