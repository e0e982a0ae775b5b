import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from gkcmn_tf import config
from gkcmn_tf.i3d import published_weights
from gkcmn_tf.records import clip_records
from gkcmn_tf.training import checkpoints, optimizers, run_folder

FEATURES = {
    "i3d_source": "random:0",
    "i3d_sha256": "a",
    "endpoint": "Mixed_5c",
    "compute_dtype": "float32",
    "shape": [2, 2, 3],
}


@pytest.fixture
def experiment(tmp_path):
    """Returns the config of a run on records of one sentence."""
    folder = tmp_path / "records"
    boxes = np.tile(np.float32([1, 2, 3, 4]), (4, 1))
    sentence = clip_records.Sentence(0, "s", "the dog runs.", "declarative", 0, 2, 6, boxes)
    clip = clip_records.Clip("v", 0, 8, 25.0, 64, 48, 8, (sentence,))
    clip_records.write_clips(str(folder), "train", [clip], 1)
    (folder / "manifest.json").write_text(json.dumps({"features": FEATURES}))
    return config.load(
        "gkcmn",
        [],
        f"""
        model: {{gkcmn: {{word_width: 8, sentence_width: 8, fusion_width: 8, temporal_width: 8}}}}
        data: {{records_dir: {folder}, max_steps: 4, grid_size: 2, feature_channels: 3}}
        """,
    )


def save(experiment, model_dir):
    """Writes a run whose weights all differ from those of a new model."""
    tokenizer, _ = run_folder.start(experiment, model_dir)
    model = run_folder.build_model(experiment, tokenizer.vocabulary_size)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(size=w.shape) for w in model.get_weights()])
    optimizer = optimizers.create_optimizer(experiment, model)
    step = tf.Variable(7, dtype=tf.int64)
    saved = checkpoints.create_checkpoint(model, step=step, optimizer=optimizer)
    tf.train.CheckpointManager(saved, model_dir, max_to_keep=1).save(7)
    return model, optimizer


def test_the_error_for_missing_records_says_how_to_make_them(experiment, tmp_path):
    model_dir = tmp_path / "run"
    for folder, message in (
        ("", r"data\.records_dir: is empty; create records with `python -m data\.prepare"),
        (
            "nowhere",
            r"data\.records_dir: nowhere/manifest\.json does not exist; create records with",
        ),
    ):
        experiment.data.records_dir = folder
        with pytest.raises(FileNotFoundError, match=message):
            run_folder.start(experiment, str(model_dir))
    assert not model_dir.exists()


def test_without_a_val_split_the_training_split_is_evaluated(experiment, caplog):
    logging.get_absl_logger().addHandler(caplog.handler)
    assert run_folder.evaluation_split(experiment.data) == "train"
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert "has no split 'val'" in caplog.text
    clips = list(clip_records.read_clips(experiment.data.records_dir, "train"))
    clip_records.write_clips(experiment.data.records_dir, "val", clips, 1)
    assert run_folder.evaluation_split(experiment.data) == "val"
    experiment.data.eval_split = "test"  # requested by name
    with pytest.raises(
        FileNotFoundError, match=r"has no split 'test' \(existing splits: train, val\)"
    ):
        run_folder.evaluation_split(experiment.data)


def test_a_run_without_sentences_writes_no_files(experiment, tmp_path):
    clip_records.write_clips(experiment.data.records_dir, "train", [], 1)
    with pytest.raises(
        ValueError, match=r"split 'train' contains no sentence; manifest\.json lists"
    ):
        run_folder.start(experiment, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("weights", ["", "random:0", "a"])
def test_i3d_weights_can_be_given_by_source_or_hash(experiment, weights):
    experiment.data.i3d_weights = weights
    assert run_folder.records_features(experiment) == FEATURES


def test_features_of_other_i3d_weights_than_configured_are_refused(experiment, tmp_path):
    experiment.data.i3d_weights = "https://tfhub.dev/deepmind/i3d-kinetics-400/1"
    with pytest.raises(ValueError, match=r"made with the I3D weights random:0 .* asks for https"):
        run_folder.start(experiment, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_features_of_the_configured_weights_under_another_name_are_accepted(experiment, tmp_path):
    handle = "http://127.0.0.1:9/i3d/1"
    features = FEATURES | {"i3d_source": handle, "i3d_sha256": published_weights.FINGERPRINT}
    manifest = tmp_path / "records" / "manifest.json"
    manifest.write_text(json.dumps({"features": features}))
    model_dir = str(tmp_path / "run")
    for name in (handle, "kinetics400", published_weights.FINGERPRINT, ""):
        experiment.data.i3d_weights = name
        run_folder.start(experiment, model_dir)  # the first starts a run, the others resume it
    manifest.write_text(json.dumps({"features": features | {"i3d_source": "kinetics400"}}))
    run_folder.start(experiment, model_dir)
    experiment.data.i3d_weights = "random:0"
    with pytest.raises(ValueError, match=r"made with the I3D weights kinetics400 .* asks for rand"):
        run_folder.start(experiment, model_dir)


def test_load_restores_every_weight(experiment, tmp_path):
    model_dir = str(tmp_path / "run")
    model, _ = save(experiment, model_dir)
    loaded = run_folder.load(model_dir)
    assert loaded.step == 7
    assert loaded.tokenizer.vocabulary[2:] == ["dog", "runs", "the"]
    assert loaded.features == FEATURES
    assert len(model.get_weights()) > 50
    for a, b in zip(model.get_weights(), loaded.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_restores_the_optimizer(experiment, tmp_path):
    model_dir = str(tmp_path / "run")
    model, optimizer = save(experiment, model_dir)
    for variable in optimizer.variables:
        variable.assign(variable + 3)
    path = tf.train.latest_checkpoint(model_dir)
    before = [variable.numpy() - 3 for variable in optimizer.variables]
    step = tf.Variable(0, dtype=tf.int64)
    status = checkpoints.create_checkpoint(model, step=step, optimizer=optimizer).restore(path)
    status.assert_consumed()
    for a, b in zip(before, optimizer.variables, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-6)


def test_the_weights_of_a_new_model_depend_on_the_seed(experiment):
    one, two = (run_folder.build_model(experiment, 5).get_weights() for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("train.seed=1", ["train.seed: 0 -> 1"]),
        ("train.global_batch_size=3", ["train.global_batch_size: 32 -> 3"]),
        ("train.ema_momentum=0.5", ["train.ema_momentum: 0.0 -> 0.5"]),
        ("runtime.precision=mixed_float16", ["runtime.precision: float32 -> mixed_float16"]),
        ("data.max_words=7", ["data.max_words: 20 -> 7"]),
        (
            "model.gkcmn.sigma=3,model.gkcmn.candidate_widths=[4.0, 8.0],train.seed=1",
            [
                "model.gkcmn.candidate_widths: [8.0, 16.0, 32.0, 64.0, 96.0, 128.0, 196.0] -> "
                "[4.0, 8.0]",
                "model.gkcmn.sigma: 2.0 -> 3",
                "train.seed: 0 -> 1",
            ],
        ),
        ("model.type=bm", ["model.type: gkcmn -> bm"]),
    ],
)
def test_a_run_is_resumed_only_with_the_same_settings(override, changes, experiment, tmp_path):
    model_dir = str(tmp_path / "run")
    run_folder.start(experiment, model_dir)
    run_folder.start(experiment, model_dir)
    saved = f"{model_dir}/params.yaml"
    with pytest.raises(ValueError, match="contains a run with other settings") as error:
        run_folder.start(config.load("gkcmn", [saved], override), model_dir)
    assert str(error.value).splitlines()[1:] == changes
    run_folder.start(config.load("gkcmn", [saved], "train.steps=60000"), model_dir)


def test_other_features_are_refused(experiment, tmp_path):
    model_dir = str(tmp_path / "run")
    save(experiment, model_dir)
    manifest = tmp_path / "records" / "manifest.json"
    manifest.write_text(json.dumps({"features": FEATURES | {"i3d_sha256": "b"}}))
    with pytest.raises(ValueError, match=r"other settings.*\nfeatures: i3d_sha256: a -> b$"):
        run_folder.start(experiment, model_dir)
    with pytest.raises(ValueError, match=r"trained on .* i3d_sha256: a -> b$"):
        run_folder.check_features(run_folder.load(model_dir))
    manifest.write_text(json.dumps({"features": FEATURES | {"shape": [7, 7, 3]}}))
    with pytest.raises(ValueError, match=r"data.grid_size and .* are"):
        run_folder.start(experiment, model_dir)


def test_a_run_is_not_resumed_with_other_training_clips(experiment, tmp_path):
    model_dir = str(tmp_path / "run")
    run_folder.start(experiment, model_dir)
    folder = experiment.data.records_dir
    (clip,) = clip_records.read_clips(folder, "train")
    clip_records.write_clips(folder, "train", [dataclasses.replace(clip, end=7)], 1)
    with pytest.raises(ValueError, match=r"other settings.*\nclips of train: \w{64} -> \w{64}$"):
        run_folder.start(experiment, model_dir)
    clip_records.write_clips(folder, "train", [clip], 1)
    run_folder.start(experiment, model_dir)


def test_loading_a_run_without_a_checkpoint_is_an_error(experiment, tmp_path):
    model_dir = str(tmp_path / "run")
    run_folder.start(experiment, model_dir)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        run_folder.load(model_dir)


def test_word_vectors_are_read_from_a_file(experiment, tmp_path, caplog):
    logging.get_absl_logger().addHandler(caplog.handler)
    caplog.set_level("INFO", logger="absl")
    path = tmp_path / "glove.txt"
    path.write_text("dog 1 2 3 4 5 6 7 8\nthe 8 7 6 5 4 3 2 1\n")
    experiment.data.word_vectors = str(path)
    tokenizer, vectors = run_folder.start(experiment, str(tmp_path / "run"))
    logging.get_absl_logger().removeHandler(caplog.handler)
    dog = tokenizer.vocabulary.index("dog")
    assert vectors[dog].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert f"2 of 3 words have a vector in {path}; missing: runs" in caplog.text


def test_word_vectors_of_another_width_are_an_error_before_anything_is_written(
    experiment, tmp_path
):
    path = tmp_path / "glove.txt"
    path.write_text("dog 1 2 3\n")
    experiment.data.word_vectors = str(path)
    with pytest.raises(ValueError, match="expected a word and 8 numbers"):
        run_folder.start(experiment, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_load_restores_averaged_weights_if_the_run_has_them(experiment, tmp_path):
    experiment.train.ema_momentum = 0.9
    model, optimizer = save(experiment, str(tmp_path / "run"))
    optimizers.use_averaged_weights(optimizer, model)
    for a, b in zip(
        model.get_weights(), run_folder.load(str(tmp_path / "run")).model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_checkpoint_is_skipped(experiment, tmp_path, caplog):
    model_dir = tmp_path / "run"
    model, optimizer = save(experiment, str(model_dir))
    step = tf.Variable(8, dtype=tf.int64)
    saved = checkpoints.create_checkpoint(model, step=step, optimizer=optimizer)
    checkpoints.Manager(saved, str(model_dir), max_to_keep=3).save(8)
    assert run_folder.load(str(model_dir)).step == 8
    (data,) = model_dir.glob("ckpt-8.data*")
    data.write_bytes(data.read_bytes()[:1000])
    assert run_folder.load(str(model_dir)).step == 7
    assert "ckpt-8: cannot be restored: " in caplog.text
    (data,) = model_dir.glob("ckpt-7.data*")
    data.unlink()
    with pytest.raises(
        ValueError, match=r"ckpt-8: cannot be .*ckpt-7: cannot be restored: .*No such"
    ):
        run_folder.load(str(model_dir))


@pytest.mark.parametrize("content", [None, b"", b"model_checkpoint", b"\xff\xfe\0", b"x: 1"])
def test_checkpoints_are_found_without_their_list(content, experiment, tmp_path):
    """TensorFlow lists checkpoints in a file that may be lost or damaged."""
    model_dir = tmp_path / "run"
    model, optimizer = save(experiment, str(model_dir))
    state = model_dir / "checkpoint"
    if content is None:
        state.unlink()
    else:
        state.write_bytes(content)
    assert run_folder.load(str(model_dir)).step == 7
    step = tf.Variable(0, dtype=tf.int64)
    saved = checkpoints.create_checkpoint(model, step=step, optimizer=optimizer)
    manager = checkpoints.Manager(saved, str(model_dir), max_to_keep=2)
    assert manager.restore_or_initialize() == str(model_dir / "ckpt-7")
    assert step.numpy() == 7
    for number in (8, 9):
        manager.save(number)
    assert checkpoints.paths(str(model_dir)) == [str(model_dir / f"ckpt-{n}") for n in (8, 9)]


def test_checkpoints_without_settings_are_not_begun_anew(experiment, tmp_path):
    model_dir = tmp_path / "run"
    save(experiment, str(model_dir))
    (model_dir / "params.yaml").unlink()
    with pytest.raises(ValueError, match=r"run: has checkpoints \(ckpt-7\) but no params.yaml"):
        run_folder.start(experiment, str(model_dir))


@pytest.mark.parametrize("sign", "[]*?\\")
def test_a_folder_that_tensorflow_takes_for_a_pattern_is_refused_at_once(
    sign, experiment, tmp_path
):
    model_dir = tmp_path / f"run{sign}1"
    with pytest.raises(ValueError, match="TensorFlow cannot restore checkpoints below a folder"):
        run_folder.start(experiment, str(model_dir))
    assert not model_dir.exists()
