"""The SavedModel loads with TensorFlow alone."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from export import saved_model, warmup
from gkcmn_tf import config as configs
from gkcmn_tf import preset
from gkcmn_tf.features import extraction
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.text import tokenization
from gkcmn_tf.training import checkpoints, run_folder
from gkcmn_tf.video import reading
from tests.export.tiny_model import ground, make_extractor, stand_in_i3d

ROOT = pathlib.Path(__file__).parents[2]
SIGNATURES = {
    *("serving_default", "ground_features", "ground_video", "encode_video"),
    *("ground_steps", "encode_windows"),
}

# In a folder and with a path where neither Keras nor this project can be found.
ALONE = """
import sys
sys.modules["keras"] = sys.modules["tf_keras"] = sys.modules["gkcmn_tf"] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
inputs = {name: tf.constant(value) for name, value in np.load(sys.argv[2]).items()}
found = model.signatures[sys.argv[3]](**inputs)
np.savez(sys.argv[4], **{name: value.numpy() for name, value in found.items()})
"""


def run_alone(folder, signature, inputs, tmp_path):
    np.savez(tmp_path / "inputs.npz", **inputs)
    arguments = [folder, tmp_path / "inputs.npz", signature, tmp_path / "outputs.npz"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, arguments)],
        cwd=tmp_path,
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
    )
    return dict(np.load(tmp_path / "outputs.npz"))


def inputs_of(encoded, sentences):
    count = np.int32([encoded.frame_count])
    return {
        "features": encoded.features[None].astype("float32"),
        "begin": np.int32([0]),
        "end": count,
        "fps": np.float32([encoded.fps]),
        "width": np.int32([encoded.width]),
        "height": np.int32([encoded.height]),
        "sentences": np.array([sentences]),
    }


def check_tubes(found, tubes):
    for i, tube in enumerate(tubes):
        assert found["segment_frames"][0, i].tolist() == [tube.begin, tube.end]
        np.testing.assert_allclose(found["score"][0, i], tube.score, atol=1e-5)
        # Boxes of a tube are rounded to hundredths of a pixel.
        boxes = found["boxes"][0, i][tube.begin : tube.end]
        np.testing.assert_allclose(boxes, tube.boxes, atol=0.006)


def test_the_saved_model_gives_the_tubes_of_the_keras_model_with_tensorflow_alone(
    folder, gkcmn, video_path, tmp_path
):
    encoded = make_extractor().extract(video_path)
    sentences = ["the red square moves left", "blue"]
    found = run_alone(folder, "ground_features", inputs_of(encoded, sentences), tmp_path)
    check_tubes(found, ground(gkcmn, encoded, sentences, 0, 22))


def test_the_exported_folder_describes_its_model(folder, gkcmn):
    metadata = read_json(str(folder / "assets.extra" / "run.json"))
    assert metadata["config"]["class_name"] == "GKCMN"
    assert metadata["config"]["config"]["fusion_width"] == 8
    assert metadata["config"]["about"] == {"name": "tiny", "data": "train, 7 steps"}
    assert metadata["features"] == gkcmn.features and "tensorflow" in metadata["versions"]
    assert metadata["export"] == {}
    assert saved_model.folder_size(str(folder)) > 1000
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_saved_model_cli(folder, tmp_path):
    program = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    shown = subprocess.run(
        [*program, "show", "--dir", folder, "--tag_set", "serve"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert all(name in shown.stdout for name in SIGNATURES)
    np.save(tmp_path / "frames.npy", np.zeros((1, 5, 16, 16, 3), np.uint8))
    inputs = "frame_count=[5];fps=[10.0];width=[0];height=[0];sentence=['the red square']"
    answered = ["--signature_def", "ground_video", "--inputs", f"frames={tmp_path}/frames.npy"]
    answered += ["--input_exprs", inputs]
    answer = subprocess.run(
        [*program, "run", "--dir", folder, "--tag_set", "serve", *answered],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Result for output key segment_frames" in answer.stdout


@pytest.mark.parametrize("name", ["gkcmn", "-1", "1.0", "²"])
def test_the_folder_name_must_be_a_version_number(gkcmn, name, tmp_path):
    with pytest.raises(ValueError, match="a whole number"):
        saved_model.export(gkcmn, str(tmp_path / name))


def test_a_version_is_not_overwritten(gkcmn, folder):
    with pytest.raises(FileExistsError, match="use another version"):
        saved_model.export(gkcmn, str(folder))


def test_a_failed_export_leaves_no_files(gkcmn, tmp_path, monkeypatch):
    def fail(*_, **__):
        (tmp_path / f"1.tmp-{os.getpid()}").mkdir()
        raise OSError("no space left")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with stand_in_i3d(), pytest.raises(OSError, match="no space left"):
        saved_model.export(gkcmn, str(tmp_path / "1"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("source", ["run", "preset"])
def test_the_program_with_the_real_i3d(source, video_path, tmp_path):
    source = write_run(tmp_path / "run") if source == "run" else "gkcmn_shapes"
    folder = tmp_path / "gkcmn" / "1"
    arguments = {
        "preset": source,
        "output_dir": folder,
        "warmup_video": video_path,
        "warmup_query": "the red square moves left",
    }
    program = [sys.executable, "-m", "export.saved_model"]
    program += [f"--{name}={value}" for name, value in arguments.items()]
    printed = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    assert json.loads(printed)["bytes"] > 40_000_000
    assert (folder / "assets.extra" / warmup.FILE).exists()
    trained = preset.load(str(source))
    encoded = extraction.FeatureExtractor.from_fingerprint(trained.features).extract(video_path)
    inputs = inputs_of(encoded, ["the red square moves left"])
    frames = np.stack(list(reading.decode_frames(video_path)))
    shown = {"frames": frames[None], "frame_count": np.int32([22])}
    shown |= {name: inputs[name] for name in ("fps", "width", "height")}
    shown["sentence"] = inputs["sentences"][0]
    found = tf.saved_model.load(str(folder)).signatures["ground_video"](
        **{name: tf.constant(value) for name, value in shown.items()}
    )
    found = {name: value.numpy()[:, None] for name, value in found.items()}
    check_tubes(found, ground(trained, encoded, inputs["sentences"][0].tolist(), 0, 22))


def write_run(model_dir):
    """Writes a run with untrained weights and the I3D `random:0`, as gkcmn_tf.train does."""
    widths = {"word_width": 8, "sentence_width": 8, "fusion_width": 8, "attention_heads": 2}
    override = ",".join(f"model.gkcmn.{name}={value}" for name, value in widths.items())
    config = configs.load("gkcmn", params_override=f"{override},data.max_steps=6")
    configs.save(config, str(model_dir))
    tokenizer = tokenization.Tokenizer(
        ["the", "red", "square", "moves", "left"], config.data.max_words
    )
    tokenizer.save(str(model_dir / "vocabulary.txt"))
    extractor = extraction.FeatureExtractor.from_source("random:0")
    write_json(str(model_dir / "features.json"), extractor.fingerprint)
    model = run_folder.build_model(config, tokenizer.vocabulary_size)
    step = tf.Variable(7, dtype=tf.int64)
    checkpoints.Manager(
        checkpoints.create_checkpoint(model, step=step), str(model_dir), max_to_keep=1
    ).save()
    return model_dir
