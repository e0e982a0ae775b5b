import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.modeling.layers import compilation
from gkcmn_tf.modeling.layers.group_normalization import ClipGroupNormalization


def test_contract(check_layer, check_padding, rng):
    x = rng.normal(2, 3, (2, 5, 2, 2, 6)).astype("float32")
    layer = ClipGroupNormalization(3)
    check_layer(layer, x, np.ones((2, 5), bool), shapes=[(2, 5, 2, 2, 6)])
    check_padding(layer, x, valid=3)


def test_output_equals_the_definition(rng):
    x = rng.normal(2, 3, (2, 4, 2, 2, 6)).astype("float32")
    mask = np.array([[True] * 4, [True, True, False, False]])
    layer = ClipGroupNormalization(2, epsilon=1e-3)
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 6)).astype("float32")
    layer.set_weights([gamma, beta])
    output = np.asarray(layer(x, mask))
    for sample in range(2):
        for group in (slice(0, 3), slice(3, 6)):
            part = x[sample][mask[sample]][..., group]
            expected = (part - part.mean()) / np.sqrt(part.var() + 1e-3)
            np.testing.assert_allclose(
                output[sample][mask[sample]][..., group],
                expected * gamma[group] + beta[group],
                atol=1e-4,
            )


def test_a_frame_with_larger_activations_keeps_them(rng):
    x = np.tile(rng.random((1, 1, 2, 2, 4)), (1, 3, 1, 1, 1)).astype("float32")
    x[:, 1] *= 3
    output = np.asarray(ClipGroupNormalization(2)(x, np.ones((1, 3), bool)))
    assert output[0, 1].mean() > output[0, 0].mean() + 0.5


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="4 groups do not divide 6 channels"):
        ClipGroupNormalization(4).build((None, 5, 2, 2, 6))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_gradient_equals_automatic_differentiation(precision, compiled, rng, monkeypatch):
    # XLA also compiles for CPUs.
    monkeypatch.setattr(compilation, "on_gpu", lambda: compiled)
    dtype = "float32" if precision == "float32" else "bfloat16"
    x = tf.cast(rng.normal(2, 3, (3, 5, 2, 3, 6)), dtype)
    step_mask = tf.constant(np.arange(5) < np.array([[5], [2], [1]]))
    layer = ClipGroupNormalization(3, dtype=precision)
    layer.build(x.shape)
    layer.set_weights(rng.normal(1, 1, (2, 6)))
    # Padded steps of the output also have a gradient.
    factors = tf.cast(rng.normal(size=x.shape), "float32")

    def results(training):
        weights = [weight.value for weight in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x, step_mask, training=training)
            total = tf.reduce_sum(tf.cast(output, "float32") * factors)
        return output, *tape.gradient(total, [x, *weights])

    found, expected = results(training=True), results(training=False)
    assert [value.dtype for value in found] == [value.dtype for value in expected]
    for values in zip(found, expected, strict=True):
        a, b = (tf.cast(value, "float32").numpy() for value in values)
        assert np.abs(b).max() > 0.1
        np.testing.assert_allclose(a, b, atol=1e-5 if precision == "float32" else 0.05)
