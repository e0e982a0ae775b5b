import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

from gkcmn_tf.i3d import loading
from tests.gkcmn_tf.i3d.reference_i3d import relative_difference


def test_tf_hub_loads_the_written_module(published, clips):
    folder, expected = published
    module = hub.load(folder)
    logits = module.signatures["default"](tf.constant(clips["long"]))["default"]
    assert relative_difference(logits, expected["logits"]) < 1e-4


def test_module_gives_the_activations_of_its_own_graph(published, features_model, clips):
    folder, expected = published
    features = features_model(clips["short"])
    assert features.shape == (2, 1, 2, 2, 1024)
    assert relative_difference(features, expected["features"]) < 1e-4
    logits = loading.load_i3d(folder, "Logits")(clips["long"])
    assert logits.shape == (1, 400)
    assert relative_difference(logits, expected["logits"]) < 1e-4


def test_checkpoint_gives_the_activations_of_the_source_graph(checkpoint, published, clips):
    _, expected = published
    features = loading.load_i3d(checkpoint)(clips["short"])
    assert relative_difference(features, expected["features"]) < 1e-4
    probabilities = loading.load_i3d(checkpoint, "Predictions")(clips["long"])
    odds = np.exp(expected["logits"] - expected["logits"].max())
    assert relative_difference(probabilities, odds / odds.sum()) < 1e-3


def test_folding_does_not_change_the_features(published, features_model, clips):
    unfolded = loading.load_i3d(published[0], fold_batch_norm=False)
    assert relative_difference(features_model(clips["short"]), unfolded(clips["short"])) < 1e-4


def test_bfloat16_features_are_close_and_returned_as_float32(published, features_model, clips):
    features = loading.load_i3d(published[0], dtype="bfloat16")(clips["short"])
    expected = np.asarray(features_model(clips["short"]))
    assert features.dtype == "float32"
    difference = np.asarray(features) - expected
    assert 0 < np.abs(difference).mean() < 0.03 * np.abs(expected).mean()
