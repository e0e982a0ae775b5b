"""TensorFlow Lite files of a tiny model compared with the Keras model."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from export import networks, tflite
from export.tflite_files import operators, read_metadata
from gkcmn_tf import config as configs
from gkcmn_tf.records import input_pipeline
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.video import reading
from tests.export.tiny_model import WORDS, C, N, T, make_flat_extractor, make_flat_i3d
from tests.gkcmn_tf.tiny_records import FEATURES, write_records


def make_inputs(seed=0, num_steps=4):
    rng = np.random.default_rng(seed)
    step_mask = np.arange(T)[None] < num_steps
    features = rng.uniform(0, 2, (1, T, 7, 7, C)).astype(np.float32)
    return {
        "features": features * step_mask[..., None, None, None],
        "step_mask": step_mask.astype(np.int32),
        "tokens": np.array([[2, 3, 4, 0, 0]], np.int32),
    }


def call(model, **inputs):
    interpreter = Interpreter(model_content=model)
    (signature,) = interpreter.get_signature_list()
    return interpreter.get_signature_runner(signature)(**inputs)


@pytest.fixture(scope="module")
def grounding_files(gkcmn):
    """Grounding networks by quantization; int8 is calibrated on clips of four steps."""
    examples = [make_inputs(seed) for seed in range(4)]
    return {
        kind: tflite.network_file(networks.grounding(gkcmn), kind, examples)
        for kind in tflite.QUANTIZATIONS
    }


def test_the_file_gives_the_outputs_of_the_keras_model(trained):
    network = networks.grounding(trained)
    model = tflite.network_file(networks.grounding(trained), "none")
    for num_steps in (1, 4, T):
        inputs = make_inputs(num_steps=num_steps)
        expected = network.function(**{name: tf.constant(x) for name, x in inputs.items()})
        found = call(model, **inputs)
        assert set(found) == {"segment", "score", "boxes"}
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("num_steps", [1, 4, T])
def test_unrolled_recurrences_give_the_same_outputs(gkcmn, num_steps):
    network = networks.grounding(gkcmn)
    inputs = {name: tf.constant(x) for name, x in make_inputs(num_steps=num_steps).items()}
    expected = network.function(**inputs)
    tflite.unroll_recurrences(network.model)
    for name, value in network.function(**inputs).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("quantization", tflite.QUANTIZATIONS)
def test_every_quantization_uses_built_in_operators_and_static_shapes(
    grounding_files, quantization
):
    model = grounding_files[quantization]
    assert not [name for name in operators(model) if name.startswith(("CUSTOM", "FLEX"))]
    interpreter = Interpreter(model_content=model)
    for detail in interpreter.get_input_details() + interpreter.get_output_details():
        np.testing.assert_array_equal(detail["shape"], detail["shape_signature"])
    found = call(model, **make_inputs())
    shapes = {"segment": (1, 2), "score": (1,), "boxes": (1, T, 4)}
    assert {name: value.shape for name, value in found.items()} == shapes
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize("quantization", ["float16", "dynamic", "int8"])
@pytest.mark.parametrize("num_steps", [1, T])
def test_quantization_changes_outputs_little(grounding_files, quantization, num_steps):
    # int8 was not calibrated on a shorter or a longer clip.
    inputs = make_inputs(seed=9, num_steps=num_steps)
    expected = call(grounding_files["none"], **inputs)
    found = call(grounding_files[quantization], **inputs)
    difference = np.abs(found["boxes"] - expected["boxes"])[:, :num_steps]
    assert np.median(difference) < 0.02, difference
    assert abs(found["score"] - expected["score"]) < 0.05


def test_quantization_reduces_the_size(grounding_files):
    sizes = {kind: len(model) for kind, model in grounding_files.items()}
    assert sizes["none"] > sizes["float16"] > sizes["dynamic"]


def test_the_file_contains_the_metadata_needed_to_run_it(gkcmn, grounding_files, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(grounding_files["none"])
    metadata = read_metadata(str(path), "grounding")
    assert metadata["vocabulary"] == list(WORDS)
    assert (metadata["name"], metadata["data"]) == ("tiny", "train, 7 steps")
    assert (metadata["max_words"], metadata["max_steps"]) == (N, T)
    assert metadata["quantization"] == "none"
    assert metadata["features"] == gkcmn.features
    assert metadata["inputs"]["features"] == ["float32", 1, T, 7, 7, C]
    assert metadata["outputs"]["boxes"] == ["float32", 1, T, 4]


@pytest.fixture
def records(tmp_path):
    write_records(tmp_path)
    return str(tmp_path)


def make_trained(**features):
    tokenizer = Tokenizer(["dog", "cat", "runs", "sits"], N)
    return TrainedModel(None, tokenizer, FEATURES | features, T, {})


def test_int8_is_calibrated_on_inputs_of_training(records):
    trained = make_trained()
    config = configs.DataConfig(records_dir=records, max_steps=T, grid_size=2, feature_channels=3)
    batches = input_pipeline.from_config(
        config, "train", trained.tokenizer, global_batch_size=1, training=False
    )

    def as_bytes(features, step_mask, tokens):
        values = (np.float32(features), np.int32(step_mask), np.int32(tokens).reshape(1, N))
        return b"".join(value.tobytes() for value in values)

    expected = sorted(as_bytes(**inputs) for inputs, _ in batches)
    examples = list(tflite.sentence_examples(trained, records, 100))
    assert sorted(as_bytes(**example) for example in examples) == expected
    for example in examples:
        assert {name: (x.dtype, x.shape) for name, x in example.items()} == {
            "features": (np.float32, (1, T, 2, 2, 3)),
            "step_mask": (np.int32, (1, T)),
            "tokens": (np.int32, (1, N)),
        }
    (first,) = tflite.sentence_examples(trained, records, 1)
    assert as_bytes(**first) == as_bytes(**examples[0])


def test_calibration_refuses_records_of_other_features(records):
    with pytest.raises(ValueError, match=r"manifest\.json: feature settings \['fps'\] differ"):
        tflite.sentence_examples(make_trained(fps=5), records, 1)


def test_i3d_gives_the_same_features_as_in_training(video_path):
    extractor = make_flat_extractor()
    expected = extractor.extract(video_path).features
    model = tflite.network_file(networks.of_i3d(extractor.fingerprint, make_flat_i3d()), "none")
    frames = np.stack(list(reading.decode_frames(video_path)))
    found = call(model, frames=frames[None, :8][:, [0, 0, 0, 1, 2, 3, 4, 5]])["features"]
    # The first window: two frames before the video, which repeat its first.
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-3)


def test_other_i3d_weights_are_refused():
    with pytest.raises(ValueError, match="has other I3D weights"):
        networks.i3d({"i3d_source": "random:0", "i3d_sha256": "0"})
