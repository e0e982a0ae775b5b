"""Every switch of the model is exported, in every format, and gives what the Keras model gives."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from export import grounding_graph, networks, onnx, tflite
from gkcmn_tf import config
from tests.export.tiny_model import C, T, make_i3d, make_model

# Each setting has at least one value other than its default.
VARIANTS = [
    {
        "attention_pooling": True,
        "sentence_pooling": "attention",
        "parallel_spatial": True,
        "gaussian_kernel": False,
        "offset_unit": "width",
        "box_smoothing": 1.0,
    },
    {
        "serial_connection": False,
        "temporal_attention": False,
        "sentence_pooling": "max",
        "relative_sigma": 0.1,
        "empty_steps": True,
        "score_loss": "cross_entropy",
        "interaction_width": 11,
    },
    {"parallel_connection": False, "train_word_vectors": False, "feature_dropout": 0.1},
]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: next(iter(variant)))
def variant(request):
    trained = make_model(**request.param)
    # GRUs with the large weights of `make_model` amplify rounding errors a thousand times.
    trained.model.set_weights([value / 2 for value in trained.model.get_weights()])
    return trained


def test_every_switch_is_in_a_variant():
    defaults = config.ModelConfig().gkcmn
    tested = {name for variant in VARIANTS for name in variant}
    switches = {field.name for field in dataclasses.fields(defaults) if field.type in (bool, str)}
    assert switches <= tested
    for variant in VARIANTS:
        assert all(getattr(defaults, name) != value for name, value in variant.items())


def make_inputs(queries=1):
    rng = np.random.default_rng(0)
    step_mask = np.arange(T)[None] < 4
    features = rng.uniform(0, 2, (1, T, 7, 7, C)).astype("float16").astype("float32")
    tokens = np.array([[[2, 3, 4, 0, 0], [5, 1, 0, 0, 0], [2, 3, 4, 5, 6]]], np.int32)
    return {
        "features": features * step_mask[..., None, None, None],
        "step_mask": step_mask,
        "tokens": tokens[:, :queries],
    }


def test_sentences_together_give_what_each_gives_alone(variant):
    inputs = make_inputs(queries=3)
    together = variant.model.decode(inputs, variant.model(inputs))
    for query in range(3):
        alone = inputs | {"tokens": inputs["tokens"][:, query : query + 1]}
        decoded = variant.model.decode(alone, variant.model(alone))
        for name, value in decoded.items():
            np.testing.assert_allclose(together[name][:, query], value[:, 0], atol=1e-4)


def test_saved_model(variant, tmp_path):
    graph = grounding_graph.GroundingGraph(variant, make_i3d())
    tf.saved_model.save(graph.kept, str(tmp_path), signatures=graph.signatures())
    inputs = make_inputs(queries=3)
    found = tf.saved_model.load(str(tmp_path)).signatures["ground_features"](
        features=tf.constant(inputs["features"][:, :4]),
        begin=tf.constant([0]),
        end=tf.constant([16]),
        fps=tf.constant([10.0]),
        width=tf.constant([1]),
        height=tf.constant([1]),
        sentences=tf.constant([["the red square", "moves flurble", "the red square moves left"]]),
    )
    tokens = np.array([[[2, 3, 4, 0, 0], [5, 1, 0, 0, 0], [2, 3, 4, 5, 6]]], np.int32)
    decoded = variant.model.decode(
        inputs | {"tokens": tokens}, variant.model(inputs | {"tokens": tokens})
    )
    # Frame 2 of a step of 4 frames is its middle.
    np.testing.assert_allclose(
        found["boxes"][:, :, 2:16:4], np.asarray(decoded["boxes"])[:, :, :4], atol=1e-4
    )


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_files(variant, form):
    network = networks.grounding(variant)
    inputs = make_inputs()
    inputs["tokens"] = inputs["tokens"][:, 0]
    inputs["step_mask"] = inputs["step_mask"].astype(np.int32)
    expected = network.function(**{name: tf.constant(x) for name, x in inputs.items()})
    if form == "tflite":
        content = tflite.network_file(networks.grounding(variant), "none")
        interpreter = Interpreter(model_content=content)
        (signature,) = interpreter.get_signature_list()
        found = interpreter.get_signature_runner(signature)(**inputs)
    else:
        session = onnxruntime.InferenceSession(onnx.convert(network))
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(names, inputs), strict=True))
    assert set(found) == {"segment", "score", "boxes"}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)
