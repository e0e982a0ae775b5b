"""Recurrences in reduced precision."""

import keras
import numpy as np
import pytest

from gkcmn_tf.modeling.gkcmn import GKCMN
from gkcmn_tf.modeling.layers.recurrence import create_bigru
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
