"""The oracle answers every sentence with the annotated tube, and absent ones with none."""

import dataclasses
import json

import numpy as np
import pytest

from data import make_shapes, shapes_oracle
from data.shapes import long_scene
from gkcmn_tf.evaluation import metrics
from gkcmn_tf.files import read_json, write_json


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Annotations of 40 videos, without the videos."""
    root = tmp_path_factory.mktemp("long")
    knobs = long_scene.Knobs(max_steps=50)
    annotations = {split: make_shapes.LongAnnotations() for split in make_shapes.SPLITS}
    found = [make_shapes.long_candidates(2, knobs, number) for number in range(40)]
    make_shapes.choose_long_sentences(found, 2, knobs, annotations)
    for split, of_split in annotations.items():
        for name, content in of_split.files(split).items():
            write_json(str(root / "annotations" / f"{split}_{name}.json"), content)
    for number, candidates in enumerate(found):
        vid = str(2_002_000_000 + number)
        vidor = make_shapes.vidor_annotation(candidates.scene, vid, f"2000/{vid}.mp4")
        write_json(str(root / "vidor" / "training" / "2000" / f"{vid}.json"), vidor, indent=None)
    release = {"version": "1.0", "seed": 2, "knobs": dataclasses.asdict(knobs)}
    write_json(str(root / "release.json"), release)
    return root


def test_the_oracle_is_right_about_everything(shapes):
    ground_truth, predictions = shapes_oracle.answer_split(str(shapes), "test")
    scores = metrics.evaluate_predictions(ground_truth, predictions)
    assert scores["sentences"] > 50 and scores["missing_predictions"] == 0
    assert set(scores["overall"].values()) == {1.0}
    absent = json.loads((shapes / "annotations" / "test_absent.json").read_text())
    assert scores["absent"]["sentences"] == len(absent) > 5
    assert (scores["absent"]["AUROC"], scores["absent"]["false_alarms"]) == (1, 0)
    pairs = json.loads((shapes / "annotations" / "test_pairs.json").read_text())
    assert sum(kind["pairs"] for kind in scores["pairs"].values()) == len(pairs) > 0
    assert all(kind["vIoU@0.5"] == 1 for kind in scores["pairs"].values())


def test_the_oracle_does_not_read_the_annotated_tubes(shapes, tmp_path):
    """Moves all annotated segments and boxes; the answers stay."""
    expected = shapes_oracle.answer_split(str(shapes), "val")[1]
    for path in shapes.rglob("*.json"):
        copy = tmp_path / path.relative_to(shapes)
        content = read_json(str(path))
        if path.name == "val_annotations.json":
            for record in content:
                record["temporal_gt"] = {"begin_fid": 0, "end_fid": 3}
        for frame in content.get("trajectories", []) if isinstance(content, dict) else []:
            for entry in frame:
                entry["bbox"] = {"xmin": 0, "ymin": 0, "xmax": 9, "ymax": 9}
        write_json(str(copy), content)
    ground_truth, found = shapes_oracle.answer_split(str(tmp_path), "val")
    assert {truth.tube.begin for truth in ground_truth if truth.tube} == {0}
    assert found.keys() == expected.keys()
    for name, tube in found.items():
        if tube is None:
            assert expected[name] is None
        else:
            assert (tube.begin, tube.end) == (expected[name].begin, expected[name].end)
            np.testing.assert_array_equal(tube.boxes, expected[name].boxes)


def test_missing_and_other_releases_are_errors(shapes, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"release\.json: no such file"):
        shapes_oracle.answer_split(str(tmp_path), "test")
    release = read_json(str(shapes / "release.json"))
    write_json(str(tmp_path / "release.json"), release | {"version": "0.9"})
    with pytest.raises(ValueError, match=r"version 0\.9, expected 1\.0"):
        shapes_oracle.answer_split(str(tmp_path), "test")


def test_only_videos_of_the_seed_have_a_scene():
    knobs = long_scene.Knobs()
    assert make_shapes.long_scene_of(2, knobs, "2002000003").num_frames > 0
    for vid in ("2001999999", "2003000000", "park"):
        with pytest.raises(ValueError, match=f"video {vid}: not in the long setting"):
            make_shapes.long_scene_of(2, knobs, vid)
