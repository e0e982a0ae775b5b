"""Fixtures with checks for all layers."""

import keras
import numpy as np
import pytest


def _arrays(outputs):
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in outputs]


@pytest.fixture
def check_layer():
    """Checks shapes, `get_config` round trip, weights, gradients and bfloat16 of a layer."""

    def check(layer, *inputs, shapes):
        expected = _arrays(layer(*inputs))
        assert [x.shape for x in expected] == shapes
        assert all(np.isfinite(x).all() for x in expected)

        twin = type(layer).from_config(layer.get_config())
        twin(*inputs)
        twin.set_weights(layer.get_weights())
        for before, after in zip(expected, _arrays(twin(*inputs)), strict=True):
            np.testing.assert_array_equal(before, after)

        config = layer.get_config() | {"dtype": "mixed_bfloat16"}
        half = type(layer).from_config(config)
        half(*inputs)
        half.set_weights(layer.get_weights())
        assert all(variable.dtype == "float32" for variable in half.trainable_variables)
        for full, low in zip(expected, _arrays(half(*inputs)), strict=True):
            np.testing.assert_allclose(low, full, atol=0.15 * max(1, np.abs(full).max()))
        return expected

    return check


@pytest.fixture
def rng():
    keras.utils.set_random_seed(0)
    return np.random.default_rng(0)


@pytest.fixture
def check_padding():
    """Checks that padding with arbitrary values does not change the valid outputs of a clip."""

    def check(layer, x, valid, axis_outputs=1):
        rng = np.random.default_rng(1)
        alone = _arrays(layer(x[:, :valid], np.ones((len(x), valid), bool)))
        padded = x.copy()
        padded[:, valid:] = 100 * rng.normal(size=padded[:, valid:].shape)
        mask = np.broadcast_to(np.arange(x.shape[1]) < valid, x.shape[:2])
        for a, b in zip(alone, _arrays(layer(padded, mask)), strict=True):
            np.testing.assert_allclose(b[:, :valid], a, atol=1e-5)

    return check
