"""Features are restored from disk within the precision of their storage type."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gkcmn_tf.features import quantization

FEATURES = hnp.arrays(
    np.float16,
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5)),
    elements=st.floats(-1000, 1000, width=16),
)


def test_float16_is_stored_exactly():
    features = np.array([[0.1, -3.5], [65504, 6e-8]], np.float16)
    stored = quantization.encode(features, "float16")
    assert (stored.data, stored.low.size) == (features.tobytes(), 0)
    np.testing.assert_array_equal(quantization.as_stored(features, "float16"), features)


def test_bfloat16_keeps_eight_significant_bits():
    # 1 + 1/128 has eight significant bits; 1 + 1/256 is a tie and is rounded to even.
    features = np.array([1 + 1 / 128, 1 + 1 / 256, -2.0, 0.0], np.float16)
    np.testing.assert_array_equal(
        quantization.as_stored(features, "bfloat16"), np.float16([1 + 1 / 128, 1, -2, 0])
    )


def test_int8_divides_the_range_of_each_channel_into_255_parts():
    features = np.array([[0, 5, 7], [255, 5, 7.25], [100.25, 5, 8]], np.float16)
    stored = quantization.encode(features, "int8")
    assert stored.low.tolist() == [0, 5, 7]
    np.testing.assert_allclose(stored.scale, [1, 0, 1 / 255])
    levels = np.frombuffer(stored.data, np.int8).reshape(3, 3)
    assert levels.tolist() == [[-128, -128, -128], [127, -128, -64], [-28, -128, 127]]
    np.testing.assert_allclose(
        quantization.as_stored(features, "int8"),
        [[0, 5, 7], [255, 5, 7 + 64 / 255], [100, 5, 8]],
        rtol=1e-3,
    )


@given(FEATURES)
def test_the_rounding_error_is_bounded(features):
    values = features.astype(np.float64)
    half = np.abs(np.spacing(features)).astype(np.float64)  # rounding of float16
    error = np.abs(quantization.as_stored(features, "bfloat16") - values)
    assert (error <= np.abs(values) / 256 + half).all()
    error = np.abs(quantization.as_stored(features, "int8") - values)
    spread = np.ptp(values, axis=(0, 1))
    assert (error <= spread / 255 / 2 * 1.001 + np.maximum(half, spread / 1024)).all()


@given(FEATURES, st.sampled_from(quantization.STORAGE_DTYPES))
def test_features_read_in_a_graph_are_the_same(features, dtype):
    stored = quantization.encode(features, dtype)
    fields = (stored.data, stored.dtype, stored.low, stored.scale)
    read = tf.function(quantization.decode)(*map(tf.constant, fields))
    np.testing.assert_array_equal(
        read.numpy().reshape(features.shape), quantization.as_stored(features, dtype)
    )


@pytest.mark.parametrize(("array", "storage"), [("float32", "int8"), ("float16", "int4")])
def test_unknown_storage_types_are_refused(array, storage):
    with pytest.raises(ValueError, match="expected float16 features and a storage of"):
        quantization.encode(np.zeros((2, 2), array), storage)
