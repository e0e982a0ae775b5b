"""ONNX files of a tiny model in onnxruntime compared with the Keras model."""

import json

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from export import networks, onnx
from tests.export.tiny_model import WORDS, C, T, make_extractor, make_i3d, make_model


def run_onnx(content, inputs):
    session = onnxruntime.InferenceSession(content)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.fixture(scope="module")
def file(gkcmn):
    return onnx.convert(networks.grounding(gkcmn))


def check_a_batch(network, content):
    rng = np.random.default_rng(0)
    inputs = {
        "features": rng.uniform(0, 2, (3, T, 7, 7, C)).astype(np.float32),
        "step_mask": np.int32(np.arange(T)[None] < np.array([[1], [4], [T]])),
        "tokens": np.array([[2, 3, 4, 0, 0], [5, 1, 0, 0, 0], [2, 3, 4, 5, 6]], np.int32),
    }
    found = run_onnx(content, inputs)
    expected = network.function(**{name: tf.constant(value) for name, value in inputs.items()})
    assert set(found) == set(expected) == {"segment", "score", "boxes"}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)


def test_a_batch_is_grounded_as_by_the_keras_model(gkcmn, file):
    check_a_batch(networks.grounding(gkcmn), file)


def test_a_baseline_trained_in_bfloat16_is_grounded_as_by_the_keras_model():
    network = networks.grounding(make_model("bm", precision="mixed_bfloat16"))
    check_a_batch(network, onnx.convert(network))


def test_i3d_gives_the_same_features_as_in_tensorflow():
    network = networks.of_i3d(make_extractor().fingerprint, make_i3d())
    content = onnx.convert(network)
    assert onnx.differences(network, content) == pytest.approx({"features": 0}, abs=1e-4)


def test_the_file_contains_the_metadata_needed_to_run_it(gkcmn, file):
    session = onnxruntime.InferenceSession(file)
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["gkcmn"])
    assert metadata["vocabulary"] == list(WORDS)
    assert metadata["features"] == gkcmn.features
    assert (metadata["network"], metadata["max_steps"]) == ("grounding", T)
