import numpy as np

from gkcmn_tf.modeling.layers.spatial_head import SpatialHead


def test_contract(check_layer, rng):
    x = rng.normal(size=(2, 3, 4, 4, 6)).astype("float32")
    layer = SpatialHead(8, width=4)
    check_layer(layer, x, np.ones((2, 3), bool), shapes=[(2, 3, 8, 8), (2, 3, 8, 8, 4)])


def test_padding_does_not_affect_valid_steps(check_padding, rng):
    check_padding(SpatialHead(8, width=4), rng.normal(size=(2, 5, 4, 4, 6)), valid=2)


def test_predictions_before_training(rng):
    x = rng.normal(size=(1, 2, 4, 4, 6)).astype("float32")
    logits, sizes = SpatialHead(8, width=16, initial_distance=3.0)(x, np.ones((1, 2), bool))
    heat = 1 / (1 + np.exp(-np.asarray(logits)))
    np.testing.assert_allclose(heat, 0.1, atol=0.02)
    np.testing.assert_allclose(np.asarray(sizes), 3.0, atol=0.3)


def test_outputs_are_float32_under_mixed_precision(rng):
    x = rng.normal(size=(1, 2, 4, 4, 6)).astype("float32")
    outputs = SpatialHead(8, width=4, dtype="mixed_bfloat16")(x, np.ones((1, 2), bool))
    assert [str(y.dtype.name) for y in outputs] == ["float32", "float32"]
