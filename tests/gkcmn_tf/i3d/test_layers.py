"""Layers of I3D compared with those of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gkcmn_tf.i3d.layers import MaxPooling, StemConvolution, frames_seen


def test_frames_under_a_kernel():
    np.testing.assert_array_equal(frames_seen(4, 3, 1), [[-1, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]])
    np.testing.assert_array_equal(frames_seen(4, 3, 2), [[0, 2], [1, 3], [2, 4]])
    np.testing.assert_array_equal(frames_seen(1, 3, 1), [[-1], [0], [1]])


@settings(max_examples=40)
@given(
    frames=st.integers(1, 6),
    size=st.sampled_from([(1, 1, 1), (1, 3, 3), (2, 2, 2), (3, 3, 3), (5, 3, 1)]),
    strides=st.sampled_from([(1, 1, 1), (2, 2, 2), (1, 2, 2)]),
)
def test_pooling_equals_that_of_keras(frames, size, strides):
    clips = np.random.default_rng(0).normal(size=(2, frames, 5, 6, 3)).astype("float32")
    expected = keras.layers.MaxPooling3D(size, strides, padding="same")(clips)
    np.testing.assert_array_equal(MaxPooling(size, strides)(clips), expected)


def test_pooling_of_clips_of_any_length():
    clips = np.random.default_rng(0).normal(size=(2, 5, 4, 4, 3)).astype("float32")
    inputs = keras.Input((None, 4, 4, 3))
    model = keras.Model(inputs, MaxPooling(3, 2)(inputs))
    expected = keras.layers.MaxPooling3D(3, 2, padding="same")(clips)
    np.testing.assert_array_equal(model(clips), expected)
    any_length = tf.function(model).get_concrete_function(tf.TensorSpec([None, None, 4, 4, 3]))
    np.testing.assert_array_equal(any_length(tf.constant(clips)), expected)


@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize("shape", [(8, 10, 12), (2, 4, 6)])
def test_convolution_of_blocks_equals_that_of_keras(kernel_size, shape):
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(2, *shape, 3)).astype("float32")
    layer = StemConvolution(5, kernel_size, activation="relu", bias_initializer="normal")
    expected = layer(clips)
    np.testing.assert_allclose(layer.convolve_blocks(clips), expected, atol=1e-5)
    plain = keras.layers.Conv3D(5, kernel_size, 2, padding="same", activation="relu")
    plain.build(clips.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(plain(clips), expected)
    assert np.abs(expected).max() > 0.1


def test_odd_sizes_are_convolved_without_blocks(monkeypatch):
    monkeypatch.setattr("gkcmn_tf.i3d.layers.on_gpu", lambda: True)
    layer = StemConvolution(5, 7)
    assert layer(np.ones((1, 7, 9, 8, 3), "float32")).shape == (1, 4, 5, 4, 5)
    assert layer(np.ones((1, 8, 10, 8, 3), "float32")).shape == (1, 4, 5, 4, 5)
