"""Storage formats of features: float16 (unchanged), bfloat16 or int8.

`bfloat16` has the range of float32, 8 significant bits and the size of float16. `int8` has half the
size: each channel of a video is quantized linearly to 256 levels between its minimum and maximum.
If a model was trained on quantized features, features for inference must be quantized too (see
`as_stored`).
"""

import dataclasses
import math
from collections.abc import Sequence

import ml_dtypes
import numpy as np

VALUE_BYTES = {"float16": 2, "bfloat16": 2, "int8": 1}
STORAGE_DTYPES = tuple(VALUE_BYTES)
_LEVELS = 255


@dataclasses.dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Encoded features.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.features.quantization import encode
        >>> stored = encode(np.array([[0.0], [2.0]], np.float16), "int8")
        >>> len(stored.data), stored.low.tolist()
        (2, [0.0])

    Attributes:
        data: values as bytes, little-endian, in C order.
        dtype: one of `STORAGE_DTYPES`.
        low: float32 `[C]`, minimum of each channel; empty unless `dtype` is `int8`.
        scale: float32 `[C]`, quantization step of each channel; empty unless `dtype` is `int8`.
    """

    data: bytes
    dtype: str
    low: np.ndarray
    scale: np.ndarray


def encode(features: np.ndarray, dtype: str) -> StoredFeatures:
    """Encodes float16 features `[..., C]`.

    Raises:
        ValueError: `features` is not float16, or `dtype` is not in `STORAGE_DTYPES`.
    """
    if dtype not in STORAGE_DTYPES or features.dtype != np.float16:
        raise ValueError(
            f"expected float16 features and a storage of {', '.join(STORAGE_DTYPES)}; got "
            f"{features.dtype} features and {dtype!r}"
        )
    empty = np.zeros(0, np.float32)
    if dtype == "float16":
        return StoredFeatures(np.ascontiguousarray(features).tobytes(), dtype, empty, empty)
    values = features.astype(np.float32)
    if dtype == "bfloat16":
        return StoredFeatures(values.astype(ml_dtypes.bfloat16).tobytes(), dtype, empty, empty)
    axes = tuple(range(values.ndim - 1))
    low = values.min(axis=axes)
    scale = (values.max(axis=axes) - low) / np.float32(_LEVELS)
    # Constant channels have a scale of 0.
    levels = np.rint((values - low) / np.where(scale > 0, scale, 1))
    return StoredFeatures((levels - 128).astype(np.int8).tobytes(), dtype, low, scale)


def decode(data, dtype, low, scale):
    """Decodes features in a TensorFlow graph.

    Args:
        data: string tensor of any shape; `StoredFeatures.data`, or equal parts of it.
        dtype: as in `StoredFeatures`, like `low` and `scale`.
        low: minimum of each channel.
        scale: quantization step of each channel.

    Returns:
        float16 features, flat.
    """
    import tensorflow as tf  # noqa: PLC0415 - `as_stored` must work without TensorFlow

    def from_int8():
        levels = tf.cast(tf.io.decode_raw(data, tf.int8), tf.float32) + 128
        values = tf.reshape(levels, [-1, tf.size(low)]) * scale + low
        return tf.reshape(tf.cast(values, tf.float16), [-1])

    def from_bfloat16():
        bits = tf.reshape(tf.io.decode_raw(data, tf.uint16), [-1])
        return tf.cast(tf.bitcast(bits, tf.bfloat16), tf.float16)

    return tf.case(
        [(dtype == "int8", from_int8), (dtype == "bfloat16", from_bfloat16)],
        default=lambda: tf.reshape(tf.io.decode_raw(data, tf.float16), [-1]),
    )


def check(stored: StoredFeatures, shape: Sequence[int]) -> None:
    """Checks that encoded features have a shape `[..., C]`.

    Raises:
        ValueError: the dtype is unknown, or the data, `low` or `scale` do not have the shape.
    """
    if stored.dtype not in STORAGE_DTYPES:
        raise ValueError(f"dtype: expected one of {STORAGE_DTYPES}, got {stored.dtype!r}")
    channels = shape[-1] if stored.dtype == "int8" else 0
    sizes = (len(stored.data), len(stored.low), len(stored.scale))
    expected = (math.prod(shape) * VALUE_BYTES[stored.dtype], channels, channels)
    if min(shape) <= 0 or sizes != expected:
        raise ValueError(
            f"shape {list(shape)}: expected data, low and scale of sizes {expected}, got {sizes}"
        )


def restore(stored: StoredFeatures, shape: Sequence[int]) -> np.ndarray:
    """Decodes features to float16 of `shape`; raises as `check`."""
    check(stored, shape)
    if stored.dtype == "float16":
        return np.frombuffer(stored.data, np.float16).reshape(shape)
    if stored.dtype == "bfloat16":
        return np.frombuffer(stored.data, ml_dtypes.bfloat16).reshape(shape).astype(np.float16)
    levels = np.frombuffer(stored.data, np.int8).reshape(shape)
    values = (levels.astype(np.float32) + 128) * stored.scale + stored.low
    return values.astype(np.float16)


def as_stored(features: np.ndarray, dtype: str) -> np.ndarray:
    """Rounds float16 `features` as by encoding and decoding them."""
    return features if dtype == "float16" else restore(encode(features, dtype), features.shape)
