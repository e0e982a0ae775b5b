"""The programs in sequence, run from the command line on a shapes data set of ten videos."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gkcmn_tf.features import extraction, feature_records
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.records import clip_records
from gkcmn_tf.training import run_folder
from gkcmn_tf.video import reading

ROOT = pathlib.Path(__file__).parents[2]
MODEL = (
    "model: {TYPE: {word_width: 8, sentence_width: 8, fusion_width: 8, attention_heads: 2}}\n"
    "data: {max_steps: 16}\n"
    "train: {steps: 6, global_batch_size: 4, steps_per_loop: 2, checkpoint_interval: 2, "
    "eval_interval: 4}\n"
)


def call(module, *arguments, fails=False):
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shapes, records and both models, trained for a few steps."""
    folder = tmp_path_factory.mktemp("run")
    shapes = folder / "shapes"
    call(
        "data.make_shapes",
        f"--output_dir={shapes}",
        "--num_videos=10",
        "--num_frames=48",
        "--max_objects=3",
    )
    call(
        "data.prepare",
        "--dataset=vidstg",
        f"--annotation_dir={shapes}/annotations",
        f"--vidor_dir={shapes}/vidor",
        f"--video_dir={shapes}/videos",
        f"--output_dir={folder}/records",
        "--i3d_weights=random:0",
    )
    for model in ("gkcmn", "bm"):
        (folder / f"{model}.yaml").write_text(MODEL.replace("TYPE", model))
        call("gkcmn_tf.train", *train_arguments(folder, model))
    return folder


def train_arguments(folder, model, settings=None, run=None):
    return (
        f"--experiment={model}",
        f"--config_file={settings or folder / f'{model}.yaml'}",
        f"--params_override=data.records_dir={folder}/records",
        f"--model_dir={run or folder / model}",
    )


@pytest.fixture(scope="module")
def example(folder):
    """A test video and one of the sentences about it."""
    clip = next(iter(clip_records.read_clips(str(folder / "records"), "test")))
    path = next((folder / "shapes" / "videos").glob(f"*/{clip.video_id}.mp4"))
    return path, clip.sentences[0].text


@pytest.fixture(scope="module")
def asked(example):
    """The flags of a question about the example."""
    path, query = example
    return f"--video={path}", f"--query={query}"


@pytest.fixture(scope="module")
def answered(folder, asked):
    """What `ground` prints for it, drawing nothing."""
    return call("gkcmn_tf.ground", f"--preset={folder}/gkcmn", "--nodraw", *asked)


pytestmark = pytest.mark.slow


def test_training_writes_all_files_of_a_run(folder):
    for model in ("gkcmn", "bm"):
        names = {path.name for path in (folder / model).iterdir()}
        expected = {"params.yaml", "vocabulary.txt", "features.json", "versions.json", "checkpoint"}
        assert expected <= names
        assert list((folder / model / "train").glob("events*"))
        assert list((folder / model / "eval").glob("events*"))
        assert run_folder.load(str(folder / model)).step == 6


def test_a_finished_run_is_not_trained_again_and_more_steps_resume_it(folder, tmp_path):
    run, settings = tmp_path / "bm", tmp_path / "bm.yaml"
    shutil.copytree(folder / "bm", run)
    arguments = train_arguments(folder, "bm", settings=settings, run=run)
    before = run_folder.load(str(run)).model.get_weights()
    settings.write_text(MODEL.replace("TYPE", "bm"))
    call("gkcmn_tf.train", *arguments)
    for a, b in zip(before, run_folder.load(str(run)).model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    settings.write_text(MODEL.replace("TYPE", "bm").replace("steps: 6", "steps: 8"))
    call("gkcmn_tf.train", *arguments)
    assert run_folder.load(str(run)).step == 8


def test_a_run_cannot_be_resumed_with_other_settings(folder, tmp_path):
    settings = tmp_path / "other.yaml"
    settings.write_text(MODEL.replace("TYPE", "gkcmn").replace("16", "12"))
    arguments = train_arguments(folder, "gkcmn", settings=settings)
    error = call("gkcmn_tf.train", *arguments, fails=True)
    assert "contains a run with other settings" in error and "data.max_steps: 16 -> 12" in error


@pytest.mark.parametrize("model", ["gkcmn", "bm"])
def test_evaluate(folder, model):
    table = call("gkcmn_tf.evaluate", f"--model_dir={folder}/{model}")
    assert "interrogative" in table
    scores = read_json(str(folder / model / "metrics.json"))
    predictions = read_json(str(folder / model / "predictions.json"))
    clips = list(clip_records.read_clips(str(folder / "records"), "test"))
    assert set(predictions) == {s.id for clip in clips for s in clip.sentences}
    assert scores["sentences"] == len(predictions) and scores["missing_predictions"] == 0
    assert scores["resampled_fps"] is None
    values = [scores["per_sentence"][key]["vIoU"] for key in predictions]
    assert scores["overall"]["m_vIoU"] == pytest.approx(np.mean(values))
    again = folder / "again.json"
    files = (f"--ground_truth={folder}/{model}/gt.json", f"--output={again}")
    call("gkcmn_tf.evaluate", *files, f"--predictions={folder}/{model}/predictions.json")
    share = scores["unknown_word_share"]
    assert 0 <= share <= 1
    assert f"{share:.1%} of the words of split test are unknown to the model" in table
    about = {"split": "test", "temporal_ground_truth": False, "resampled_fps": None}
    about["unknown_word_share"] = share
    assert about | read_json(str(again)) == scores


def test_evaluate_with_the_true_segments_and_the_trivial_guess(folder):
    output = folder / "out"
    common = (f"--model_dir={folder}/gkcmn", f"--output_dir={output}", "--temporal_ground_truth")
    call("gkcmn_tf.evaluate", *common)
    scores = read_json(str(output / "metrics.json"))
    assert scores["temporal_ground_truth"] and scores["overall"]["m_tIoU"] == 1
    assert scores["overall"]["m_vIoU"] == pytest.approx(scores["overall"]["m_sIoU"])
    call("gkcmn_tf.evaluate", *common, "--trivial_guess")
    assert read_json(str(output / "metrics.json"))["overall"]["m_tIoU"] == 1
    files = f"Guess={output}/metrics.json", f"Same={output}/metrics.json"
    table = call("gkcmn_tf.evaluation.metrics_table", *files)
    assert "| Guess |" in table.replace("  ", " ")


def test_ground(folder, example):
    path, query = example
    line = call(
        "gkcmn_tf.ground",
        f"--preset={folder}/gkcmn",
        f"--video={path}",
        f"--query={query}",
        "--query=what is the flurble doing?",
        f"--output_dir={folder}/drawn",
    )
    answers = [json.loads(text) for text in line.splitlines()]
    assert [answer["query"] for answer in answers] == [query, "what is the flurble doing?"]
    for answer in answers:
        assert 0 <= answer["begin"] < answer["end"] <= 48
        frames = [str(frame) for frame in range(answer["begin"], answer["end"])]
        assert list(answer["boxes"]) == frames
        assert answer["begin_seconds"] == pytest.approx(answer["begin"] / 25)
    drawn = sorted((folder / "drawn").iterdir())
    assert [file.suffix for file in drawn] == [".mp4", ".png"] * 2
    assert len(list(reading.decode_frames(str(drawn[0]), size=None))) == 48


def test_ground_reads_sentences_from_a_file_and_writes_other_formats(folder, example):
    path, query = example
    (folder / "queries.txt").write_text(f"{query}\n\nwhat moves?\n", encoding="utf-8-sig")
    output = folder / "tubes.csv"
    call(
        "gkcmn_tf.ground",
        f"--preset={folder}/gkcmn",
        f"--video={path}",
        f"--queries_file={folder}/queries.txt",
        "--format=csv",
        f"--output={output}",
        "--nodraw",
        "--top_k=2",
        f"--cache_dir={folder}/cache",
    )
    rows = list(csv.DictReader(output.open()))
    assert {row["query"] for row in rows} == {query, "what moves?"}
    assert len(list((folder / "cache").iterdir())) == 1


def test_ground_reports_an_absent_sentence(folder, asked):
    arguments = (f"--preset={folder}/gkcmn", *asked, "--threshold=1", "--nodraw")
    answer = json.loads(call("gkcmn_tf.ground", *arguments))
    assert answer["absent"] is True and 0 < answer["score"] < 1


def test_an_exported_preset_gives_the_results_of_its_run(folder, asked, answered):
    preset = folder / "preset"
    to_export = (f"--model_dir={folder}/gkcmn", f"--output_dir={preset}", "--weights=float32")
    assert "# preset" in call("export.preset", *to_export)
    from_preset = call("gkcmn_tf.ground", f"--preset={preset}", "--nodraw", *asked)
    assert json.loads(from_preset) == json.loads(answered)


def test_tflite_files_give_the_results_of_ground(folder, example, asked, answered):
    wanted = json.loads(answered)
    files = {network: f"{folder}/{network}.tflite" for network in ("grounding", "i3d")}
    for network, file in files.items():
        to_export = (f"--preset={folder}/gkcmn", f"--output={file}", f"--network={network}")
        call("export.tflite", *to_export)
    models = (f"--model={files['grounding']}", f"--i3d={files['i3d']}")
    found = json.loads(call("export.run_tflite", *models, *asked))
    assert wanted.pop("video") == str(example[0])
    for answer in (wanted, found):
        answer["boxes"] = np.array(list(answer["boxes"].values()))
    np.testing.assert_allclose(found.pop("boxes"), wanted.pop("boxes"), atol=0.5)
    assert found.pop("clip") == wanted.pop("clip")
    assert found == pytest.approx(wanted, abs=1e-3)


def test_ground_extracts_the_same_features_as_training(folder, example):
    path, _ = example
    trained = read_json(str(folder / "gkcmn" / "features.json"))
    made = extraction.FeatureExtractor.from_fingerprint(trained).extract(str(path)).as_stored()
    stored = feature_records.read_video_features(str(folder / "records"), path.stem)
    np.testing.assert_array_equal(made.features, stored.features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": " ?! "}, "contains no word"),
        ({"video": "none.mp4"}, "none.mp4: no such file"),
        ({"end": "99"}, "within the video's 1.92 s"),
        ({"begin": "3", "end": "2"}, "--begin=3 --end=2: expected begin < end"),
        ({"begin": "-1"}, "--begin=-1: expected seconds, at least 0"),
        ({"i3d_weights": "random:1"}, "i3d_sha256"),
        (
            {"preset": "gkcmn_shape"},
            "--preset=gkcmn_shape: neither a folder nor a preset",
        ),
        ({"queries_file": "none.txt"}, "none.txt: No such file"),
        ({"format": "hcstvg", "top_k": "2"}, "--format=hcstvg has one tube per video"),
    ],
)
def test_ground_refuses_invalid_input(change, message, folder, example):
    path, query = example
    flags = {"preset": folder / "gkcmn", "video": path, "query": query, "draw": "false"} | change
    error = call("gkcmn_tf.ground", *(f"--{k}={v}" for k, v in flags.items()), fails=True)
    assert message in error


def test_the_notebook_runs(folder, capfd):
    cells = read_json(str(ROOT / "notebooks" / "trained_run.ipynb"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    code = code.replace('"runs/demo"', repr(str(folder / "gkcmn")))
    code = code.replace('"runs/demo/shapes/videos"', repr(str(folder / "shapes" / "videos")))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)
    assert "m_vIoU" in capfd.readouterr().out


def test_features_of_other_weights_are_refused(folder):
    trained = read_json(str(folder / "gkcmn" / "features.json"))
    assert extraction.differences(trained, trained | {"i3d_source": "elsewhere"}) == []
    assert extraction.differences(trained, trained | {"i3d_sha256": "0"}) == ["i3d_sha256"]


@pytest.fixture(scope="module")
def resampled_run(folder):
    """The trained model and its records, marked as resampled to 10 frames per second."""
    shapes, run = folder / "shapes", folder / "gkcmn-10fps"
    call(
        "data.prepare",
        "--dataset=vidstg",
        f"--annotation_dir={shapes}/annotations",
        f"--vidor_dir={shapes}/vidor",
        f"--video_dir={shapes}/videos",
        f"--output_dir={folder}/records-10fps",
        "--i3d_weights=random:0",
        "--split=test",
        "--fps=10",
    )
    shutil.copytree(folder / "gkcmn", run)
    write_json(str(run / "features.json"), read_json(str(run / "features.json")) | {"fps": 10.0})
    return run


def test_ground_with_resampled_features_returns_frames_of_the_file(folder, resampled_run, example):
    path, query = example
    line = call(
        "gkcmn_tf.ground",
        f"--preset={resampled_run}",
        f"--video={path}",
        f"--query={query}",
        "--begin=0.2",
        "--end=1.6",
        f"--output_dir={folder}/resampled",
    )
    answer = json.loads(line)
    assert 5 <= answer["begin"] < answer["end"] <= 40
    frames = [str(frame) for frame in range(answer["begin"], answer["end"])]
    assert list(answer["boxes"]) == frames
    assert answer["end_seconds"] == pytest.approx(answer["end"] / 25)
    (overlay,) = (folder / "resampled").glob("*.mp4")
    assert len(list(reading.decode_frames(str(overlay), size=None))) == 48
    made = extraction.FeatureExtractor.from_fingerprint(
        read_json(str(resampled_run / "features.json"))
    ).extract(path)
    stored = feature_records.read_video_features(str(folder / "records-10fps"), path.stem)
    np.testing.assert_array_equal(made.features, stored.features)
    assert made.frame_count == stored.frame_count == 19


def test_evaluate_reports_the_frame_rate_of_resampled_records(folder, resampled_run):
    resampled = f"--records_dir={folder}/records-10fps"
    arguments = (f"--model_dir={resampled_run}", resampled)
    submission = f"--hcstvg_submission={folder}/results.json"
    error = call("gkcmn_tf.evaluate", *arguments, submission, fails=True)
    assert "resampled to 10.0 fps" in error
    scores = read_json(str(resampled_run / "metrics.json"))
    assert scores["resampled_fps"] == 10 and scores["missing_predictions"] == 0
    tubes = read_json(str(resampled_run / "predictions.json")).values()
    assert all(tube["end"] <= 19 for tube in tubes)
    error = call("gkcmn_tf.evaluate", f"--model_dir={folder}/gkcmn", resampled, fails=True)
    assert "(training -> records): fps: None -> 10.0" in error
