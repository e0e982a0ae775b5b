"""Storage formats of features: float16 (unchanged), bfloat16 or int8.

`bfloat16` has the range of float32, 8 significant bits and the size of float16. `int8` has half the
size: each channel of a video is quantized linearly to 256 levels between its minimum and maximum.
If a model was trained on quantized features, features for inference must be quantized too (see
`as_stored`).
"""

import dataclasses

import ml_dtypes
import numpy as np

STORAGE_DTYPES = ("float16", "bfloat16", "int8")
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
    """Decodes the fields of a `StoredFeatures` to flat float16 features, in a TensorFlow graph."""
    import tensorflow as tf  # noqa: PLC0415 - `as_stored` must work without TensorFlow

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
    """Rounds float16 `features` as by encoding and decoding them."""
    stored = encode(features, dtype)
    if dtype == "float16":
        return features
    if dtype == "bfloat16":
        values = np.frombuffer(stored.data, ml_dtypes.bfloat16).reshape(features.shape)
    else:
        levels = np.frombuffer(stored.data, np.int8).reshape(features.shape)
        values = (levels.astype(np.float32) + 128) * stored.scale + stored.low
    return values.astype(np.float16)
