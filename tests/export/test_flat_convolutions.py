"""3D layers computed with 2D operations compared with those of Keras."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.flat_convolutions import flatten_convolutions


@settings(max_examples=40)
@given(
    frames=st.integers(1, 6),
    size=st.sampled_from([(1, 1, 1), (1, 3, 3), (2, 2, 2), (3, 3, 3), (5, 3, 1), (7, 7, 7)]),
    stride=st.sampled_from([(1, 1, 1), (2, 2, 2), (1, 2, 2)]),
)
def test_outputs_equal_those_of_the_3d_layers(frames, size, stride):
    layer = keras.layers.Conv3D(
        4, size, stride, padding="same", activation="relu", bias_initializer="ones"
    )
    model = keras.Sequential([keras.Input((frames, 5, 6, 3)), layer])
    clips = np.random.default_rng(0).normal(size=(2, frames, 5, 6, 3)).astype(np.float32)
    before = model(clips).numpy()
    np.testing.assert_allclose(flatten_convolutions(model)(clips).numpy(), before, atol=1e-5)


def test_a_layer_that_cannot_be_flattened_is_refused():
    model = keras.Sequential([keras.Input((4, 5, 6, 3)), keras.layers.Conv3D(4, 3)])
    with pytest.raises(ValueError, match="expected SAME padding, no dilation and one group"):
        flatten_convolutions(model)(np.zeros((1, 4, 5, 6, 3)))
