"""Absent sentences, minimal pairs and blind models, from records to the printed table."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gkcmn_tf import config as configs
from gkcmn_tf.features import feature_records
from gkcmn_tf.files import read_json
from gkcmn_tf.records import clip_records
from gkcmn_tf.records.clip_records import Clip, Pair, Sentence
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.training import run_folder
from tests.gkcmn_tf import tiny_records

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def call(module, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model trained for two steps on records with two pairs and three absent sentences."""
    folder = tmp_path_factory.mktemp("contrasts")
    tiny_records.write_records(folder)
    none = np.zeros((0, 4), "float32")
    clips = [
        Clip(
            *(f"v{number}", 0, tiny_records.FRAMES, 25.0, 64, 48, tiny_records.FRAMES),
            (Sentence(number, f"absent{number}", text, "declarative", -1, 0, 0, none),),
        )
        for number, text in enumerate(["cat sits", "dog there", "cat there"])
    ]
    clip_records.write_clips(str(folder), "val_absent", clips, 1)
    pairs = [Pair("word", "s1", "s2"), Pair("moved", "s3", "s4")]
    clip_records.write_pairs(str(folder), "val", pairs)
    call(
        "gkcmn_tf.train",
        "--experiment=bm",
        f"--config_file={folder}/config.yaml",
        f"--params_override=data.records_dir={folder},train.steps=2,train.eval_interval=2",
        f"--model_dir={folder}/run",
    )
    return folder / "run"


def test_evaluate_scores_pairs_and_absent_sentences_like_the_scorer_of_files(run, tmp_path):
    table = call("gkcmn_tf.evaluate", f"--model_dir={run}", "--split=val")
    scores = read_json(str(run / "metrics.json"))
    predictions = read_json(str(run / "predictions.json"))
    assert scores["sentences"] == len(scores["per_sentence"]) == 18
    assert len(predictions) == 21 and {f"absent{i}" for i in range(3)} <= predictions.keys()
    absent = [predictions[f"absent{i}"]["score"] for i in range(3)]
    present = [predictions[name]["score"] for name in scores["per_sentence"]]
    won = [(p > a) + (p == a) / 2 for p in present for a in absent]
    assert scores["absent"]["AUROC"] == pytest.approx(np.mean(won))
    assert scores["absent"]["false_alarms"] == np.mean(np.array(absent) >= 0.3)
    assert [scores["pairs"][kind]["pairs"] for kind in ("word", "moved")] == [1, 1]
    for kind, ids in (("word", ("s1", "s2")), ("moved", ("s3", "s4"))):
        both = all(scores["per_sentence"][name]["tIoU"] > 0.3 for name in ids)
        assert scores["pairs"][kind]["tIoU@0.3"] == both
    output = tmp_path / "scores.json"
    again = call(
        "gkcmn_tf.evaluate",
        f"--ground_truth={run}/gt.json",
        f"--predictions={run}/predictions.json",
        f"--output={output}",
    )
    assert table.startswith(again)  # followed by the share of unknown words
    assert scores.items() >= read_json(str(output)).items()
    assert f"Absent sentences: 3, AUROC {scores['absent']['AUROC']:.4f}, " in again
    assert "| moved (n=1) |" in again and "| word (n=1)  |" in again


def test_the_true_segments_leave_absent_sentences_out(run, tmp_path):
    call(
        "gkcmn_tf.evaluate",
        f"--model_dir={run}",
        "--split=val",
        "--temporal_ground_truth",
        f"--output_dir={tmp_path}",
    )
    scores = read_json(str(tmp_path / "metrics.json"))
    assert "absent" not in scores
    assert scores["pairs"]["moved"]["tIoU@0.5"] == 1


@pytest.mark.parametrize("blind", ["sentence_only", "video_only"])
def test_a_blind_model_does_not_see_what_is_withheld(blind, run, tmp_path):
    """Changes the features of all videos, or the sentences about one, and compares tubes."""
    records = run.parent
    call(
        "gkcmn_tf.train",
        "--experiment=bm",
        f"--config_file={records}/config.yaml",
        f"--params_override=data.records_dir={records},data.blind={blind},train.steps=2,"
        "train.eval_interval=2",
        f"--model_dir={tmp_path}/run",
    )
    changed = tmp_path / "records"
    shutil.copytree(records, changed, ignore=shutil.ignore_patterns("run"))
    clips = list(clip_records.read_clips(str(records), "val"))
    rng = np.random.default_rng(5)
    if blind == "sentence_only":
        for clip in clips:
            shape = (6, tiny_records.SIZE, tiny_records.SIZE, tiny_records.CHANNELS)
            features = rng.random(shape).astype("float16")
            made = feature_records.VideoFeatures(
                clip.video_id, 25.0, 64, 48, tiny_records.FRAMES, features
            )
            feature_records.write_video_features(str(changed), made)
        same = {s.id for clip in clips for s in clip.sentences}
    else:
        asked = [dataclasses.replace(s, text="cat cat cat") for s in clips[0].sentences]
        first = dataclasses.replace(clips[0], sentences=tuple(asked))
        clip_records.write_clips(str(changed), "val", [first, *clips[1:]], 1)
        same = {s.id for s in asked}
    found = []
    for folder in (records, changed):
        output = tmp_path / folder.name
        call(
            "gkcmn_tf.evaluate",
            f"--model_dir={tmp_path}/run",
            f"--records_dir={folder}",
            "--split=val",
            f"--output_dir={output}",
        )
        found.append(read_json(str(output / "predictions.json")))
    assert {name for name in same if found[0][name] == found[1][name]} == same
    statistics = read_json(str(tmp_path / "run" / "training_statistics.json"))
    assert np.isfinite(statistics["features"]["distance"]["max"])


def test_a_blind_model_is_not_for_grounding():
    config = configs.load("bm", params_override="data.blind=one_frame")
    tokenizer = Tokenizer(["dog"], config.data.max_words)
    blind = run_folder.Run(config, tokenizer, {}, model=None, step=2, model_dir="runs/blind")
    with pytest.raises(ValueError, match=r"runs/blind: was trained with data\.blind"):
        blind.as_trained_model()
