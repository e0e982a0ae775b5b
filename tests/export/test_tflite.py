"""TensorFlow Lite files of a tiny run, on the interpreter, against the Keras model."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from export import tflite
from export.tflite_files import operators, read_metadata
from gkcmn_tf import video
from tests.export.tiny_run import WORDS, C, N, T, make_flat_extractor, make_flat_i3d


def make_inputs(seed=0, num_steps=4):
    rng = np.random.default_rng(seed)
    step_mask = np.arange(T)[None] < num_steps
    features = rng.uniform(0, 2, (1, T, 7, 7, C)).astype(np.float32)
    return {
        "features": features * step_mask[..., None, None, None],
        "step_mask": step_mask,
        "tokens": np.array([[2, 3, 4, 0, 0]], np.int32),
    }


def call(model, **inputs):
    interpreter = Interpreter(model_content=model)
    (signature,) = interpreter.get_signature_list()
    return interpreter.get_signature_runner(signature)(**inputs)


@pytest.mark.parametrize("num_steps", [1, 4, T])
def test_the_file_gives_what_the_model_gives(run, num_steps):
    inputs = make_inputs(num_steps=num_steps)
    model = tflite.in_float32(run)
    batch = {name: tf.constant(value) for name, value in inputs.items()}
    batch["tokens"] = batch["tokens"][:, None]
    expected = model.decode(batch, model(batch, training=False))
    found = call(tflite.grounding_file(run, "none"), **inputs)
    assert set(found) == {"segment", "score", "boxes"}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name][:, 0], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("quantization", tflite.QUANTIZATIONS)
def test_every_kind_runs_on_built_in_operators_and_static_shapes(gkcmn, quantization):
    examples = [make_inputs(seed) for seed in range(4)]
    model = tflite.grounding_file(gkcmn, quantization, examples)
    assert not [name for name in operators(model) if name.startswith(("CUSTOM", "FLEX"))]
    interpreter = Interpreter(model_content=model)
    for detail in interpreter.get_input_details() + interpreter.get_output_details():
        np.testing.assert_array_equal(detail["shape"], detail["shape_signature"])
    found = call(model, **make_inputs())
    shapes = {"segment": (1, 2), "score": (1,), "boxes": (1, T, 4)}
    assert {name: value.shape for name, value in found.items()} == shapes
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in found.values())


def test_float16_takes_less_room(gkcmn):
    assert len(tflite.grounding_file(gkcmn, "float16")) < len(tflite.grounding_file(gkcmn, "none"))


def test_the_file_tells_all_that_is_needed_to_run_it(gkcmn, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(tflite.grounding_file(gkcmn, "none"))
    told = read_metadata(str(path), "grounding")
    assert told["vocabulary"] == list(WORDS) and told["step"] == 7
    assert (told["max_words"], told["max_steps"], told["quantization"]) == (N, T, "none")
    assert told["features"] == gkcmn.features
    assert told["inputs"]["features"] == ["float32", 1, T, 7, 7, C]
    assert told["outputs"]["boxes"] == ["float32", 1, T, 4]


def test_i3d_gives_the_features_of_training(video_path):
    extractor = make_flat_extractor()
    expected = extractor.extract(video_path).features
    model = tflite.i3d_file(extractor.fingerprint, make_flat_i3d(), "none")
    frames = np.stack(list(video.decode_frames(video_path)))
    found = call(model, frames=frames[None, :8][:, [0, 0, 0, 1, 2, 3, 4, 5]])["features"]
    # The first window: two frames before the video, which repeat its first.
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-3)


def test_other_weights_of_i3d_are_refused():
    with pytest.raises(ValueError, match="has other I3D weights"):
        tflite.load_trained_i3d({"i3d_source": "random:0", "i3d_sha256": "0"})
