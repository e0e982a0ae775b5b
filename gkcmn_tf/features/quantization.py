"""How features are held on disk: as they are (float16), or rounded to fewer bits.

`bfloat16` has the range of float32 and 8 significant bits, at the size of float16. `int8` halves
that: each channel of a video is cut into 255 equal parts between its least and its greatest value.
Whoever computes features afresh for a model trained on rounded ones must round them likewise.
"""

import dataclasses

import ml_dtypes
import numpy as np

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
        return StoredFeatures(values.astype(ml_dtypes.bfloat16).tobytes(), dtype, none, none)
    axes = tuple(range(values.ndim - 1))
    low = values.min(axis=axes)
    scale = (values.max(axis=axes) - low) / np.float32(_LEVELS)
    # A channel that never changes has a scale of 0, and any level gives its value.
    levels = np.rint((values - low) / np.where(scale > 0, scale, 1))
    return StoredFeatures((levels - 128).astype(np.int8).tobytes(), dtype, low, scale)


def decode(data, dtype, low, scale):
    """The float16 features, flat, that the fields of a `StoredFeatures` stand for; in graph."""
    import tensorflow as tf  # noqa: PLC0415 - export.run_tflite has none, and needs `as_stored`

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
    if dtype == "float16":
        return features
    if dtype == "bfloat16":
        values = np.frombuffer(stored.data, ml_dtypes.bfloat16).reshape(features.shape)
    else:
        levels = np.frombuffer(stored.data, np.int8).reshape(features.shape)
        values = (levels.astype(np.float32) + 128) * stored.scale + stored.low
    return values.astype(np.float16)
