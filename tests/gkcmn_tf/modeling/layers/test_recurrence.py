"""Recurrences in reduced precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.modeling.gkcmn import GKCMN
from gkcmn_tf.modeling.layers.recurrence import JointBiGRU, create_bigru
from gkcmn_tf.modeling.layers.sentence_encoder import SentenceEncoder
from gkcmn_tf.modeling.layers.temporal_head import TemporalHead


def recurrences(layer):
    return [part for part in layer._flatten_layers() if isinstance(part, keras.layers.GRU)]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_recurrences_compute_in_float32_under_every_policy(precision):
    model = GKCMN(8, word_width=8, sentence_width=8, fusion_width=8, dtype=precision)
    found = recurrences(model)
    # Two directions each for the sentence encoder, the scores and the boundaries.
    assert len(found) == 6
    assert {layer.compute_dtype for layer in found} == {"float32"}


def test_a_recurrence_in_a_mixed_precision_layer_equals_a_separate_float32_one():
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    mask = np.array([[True] * 5, [True, True, True, False, False]])
    x = np.asarray(keras.ops.cast(keras.ops.cast(x, "bfloat16"), "float32"))
    alone = create_bigru(8)
    expected = keras.ops.convert_to_numpy(alone(x, mask=mask))
    within = create_bigru(8)
    within(keras.ops.cast(x, "bfloat16"), mask=mask)
    within.set_weights(alone.get_weights())
    found = within(keras.ops.cast(x, "bfloat16"), mask=mask)
    assert found.dtype == "float32"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-6)


@pytest.mark.parametrize("layer", [SentenceEncoder, TemporalHead])
def test_layers_with_recurrences_are_found(layer):
    arguments = {"word_width": 8} if layer is SentenceEncoder else {"width": 8}
    assert len(recurrences(layer(4, dtype="mixed_bfloat16", **arguments))) in (2, 4)


def test_joint_bigrus_equal_separate_ones():
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(3, 7, 6)).astype("float32"))
    mask = np.arange(7) < np.array([[7], [4], [1]])
    bigrus = [create_bigru(8), create_bigru(8)]
    for bigru in bigrus:
        bigru.build(x.shape)
        bigru.set_weights([rng.normal(size=w.shape) for w in bigru.get_weights()])
    weights = [weight.value for bigru in bigrus for weight in bigru.trainable_variables]
    factors = [rng.normal(size=(3, 7, 8)) * mask[..., None] for _ in bigrus]

    def results(run):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = run()
            total = sum(
                tf.reduce_sum(output * factor.astype("float32"))
                for output, factor in zip(outputs, factors, strict=True)
            )
        valid = [output.numpy()[mask] for output in outputs]
        return valid, tape.gradient(total, [x, *weights])

    expected, of_expected = results(lambda: [bigru(x, mask=mask) for bigru in bigrus])
    found, of_found = results(lambda: JointBiGRU(2, 8)(x, tf.constant(mask), layers=bigrus))
    for a, b in zip([*found, *of_found], [*expected, *of_expected], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert all(np.abs(gradient).max() > 1e-3 for gradient in of_found)


def test_joint_bigrus_read_the_weights_in_float32_inside_a_mixed_precision_layer():
    rng = np.random.default_rng(0)
    mask = np.ones((2, 5), bool)
    head = TemporalHead(3, width=8, dtype="mixed_bfloat16")
    head.build((None, 5, 2, 2, 8))
    pooled = []
    head.bigrus.call, call = (
        lambda *args, **kwargs: pooled.append((args, kwargs)) or call(*args, **kwargs),
        head.bigrus.call,
    )
    scores, _ = head(rng.normal(size=(2, 5, 2, 2, 8)).astype("float32"), mask)
    [((steps, _), _)] = pooled
    states = head.score.bigru(steps, mask=mask)
    expected = head.score.convolution(keras.ops.convert_to_tensor(states))
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert states.dtype == "float32"
