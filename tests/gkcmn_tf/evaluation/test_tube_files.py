"""Predictions, ground truth and submissions as files."""

import json
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf import tubes
from gkcmn_tf.evaluation import metrics, tube_files
from gkcmn_tf.evaluation.protocols import PROTOCOLS
from gkcmn_tf.files import write_json


def predictions():
    """A predictions file with one tube and one sentence without a tube."""
    boxes = {"3": [0, 1, 2.5, 3], "4": [0, 1, 2, 3]}
    return {"a": {"begin": 3, "end": 5, "boxes": boxes, "score": 0.25}, "b": None}


def ground_truth():
    """A ground truth file with one sentence."""
    boxes = {"3": [0.0, 1.0, 2.5, 3.0], "4": [0.0, 1.0, 2.0, 3.0]}
    return [
        {
            "id": "a",
            "vid": "v",
            "qtype": "interrogative",
            "width": 64,
            "height": 48,
            "fps": 29.97,
            "frame_count": 40,
            "clip": {"begin": 2, "end": 30},
            "gt": {"begin": 3, "end": 5, "boxes": boxes},
        }
    ]


def test_predictions_are_read_as_written(tmp_path):
    path = str(tmp_path / "pred.json")
    write_json(path, predictions())
    loaded = tube_files.load_predictions(path)
    assert loaded["b"] is None
    assert (loaded["a"].begin, loaded["a"].end, loaded["a"].score) == (3, 5, 0.25)
    np.testing.assert_array_equal(loaded["a"].boxes, [[0, 1, 2.5, 3], [0, 1, 2, 3]])
    assert tube_files.predictions_to_json(loaded) == predictions()


def test_the_score_of_a_prediction_is_optional(tmp_path):
    path = tmp_path / "pred.json"
    content = predictions()
    del content["a"]["score"]
    path.write_text(json.dumps(content))
    assert tube_files.load_predictions(str(path))["a"].score == 1


def test_a_segment_of_a_million_frames_without_boxes_takes_no_memory(tmp_path):
    path, truth_path = tmp_path / "pred.json", tmp_path / "gt.json"
    long = {"begin": -1_000_000, "end": 1_000_000, "boxes": {"4": [0, 1, 2, 3]}}
    path.write_text(json.dumps({"a": long} | {str(i): long for i in range(99)}))
    truth_path.write_text(json.dumps(ground_truth()))
    tracemalloc.start()
    loaded = tube_files.load_predictions(str(path))
    truth = tube_files.load_ground_truth(str(truth_path))
    scores = {
        protocol: metrics.evaluate_predictions(truth, loaded, protocol)["per_sentence"]["a"]
        for protocol in PROTOCOLS
    }
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    # The true segment is [3, 5) in the clip [2, 30); frame 4 has the true box. At 29.97 frames per
    # second, none of the frames 2, 6, 12, 18 and 24 that are sampled is in the true segment, nor is
    # any of 2 and 15, two in a second.
    assert scores == {
        "all_frames": {"tIoU": 2 / 2_000_000, "vIoU": 1 / 28, "sIoU": 1 / 2},
        "sampled_5fps": {"tIoU": 2 / 2_000_000, "vIoU": 0, "sIoU": 0},
        "sampled_64": {"tIoU": 2 / 2_000_000, "vIoU": 1 / 28, "sIoU": 1 / 2},
        "sampled_2fps": {"tIoU": 2 / 2_000_000, "vIoU": 0, "sIoU": 0},
        "hcstvg": {"tIoU": 1 / 2_000_000, "vIoU": 1 / 2_000_000, "sIoU": 1 / 2},
    }


def test_a_true_segment_of_a_million_frames_without_boxes_is_refused_at_no_cost(tmp_path):
    path = tmp_path / "gt.json"
    content = ground_truth()
    content[0] |= {"frame_count": 1_000_000, "clip": {"begin": 0, "end": 1_000_000}}
    content[0]["gt"]["end"] = 1_000_000
    path.write_text(json.dumps(content))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"gt\.boxes: frame 5: missing box"):
        tube_files.load_ground_truth(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_ground_truth_is_read_as_written(tmp_path):
    path = str(tmp_path / "gt.json")
    write_json(path, ground_truth())
    (entry,) = loaded = tube_files.load_ground_truth(path)
    assert (entry.id, entry.qtype, entry.fps) == ("a", "interrogative", 29.97)
    assert (entry.clip_begin, entry.clip_end, entry.tube.begin, entry.tube.end) == (2, 30, 3, 5)
    assert tube_files.ground_truth_to_json(loaded) == ground_truth()


def contrasts():
    """A ground truth file with a minimal pair and an absent sentence."""
    (first,) = ground_truth()
    second = first | {"id": "b"}
    return [first | {"paired_with": {"b": "word"}}, second, first | {"id": "c", "gt": None}]


def test_pairs_and_absent_sentences_are_read_as_written(tmp_path):
    path = str(tmp_path / "gt.json")
    write_json(path, contrasts())
    loaded = tube_files.load_ground_truth(path)
    assert [entry.tube is None for entry in loaded] == [False, False, True]
    assert [entry.paired_with for entry in loaded] == [{"b": "word"}, {}, {}]
    assert tube_files.ground_truth_to_json(loaded) == contrasts()


@pytest.mark.parametrize(
    ("row", "value", "message"),
    [
        (0, {"z": "word"}, "sentence 'a': paired_with: 'z' is not a sentence of the file"),
        (0, {"c": "word"}, "sentence 'a': paired_with: 'c' is not a sentence of the file"),
        (0, ["b"], "sentence 'a': paired_with: expected an object"),
        (0, {"b": 1}, "sentence 'a': paired_with.b: expected a string"),
        (2, {"a": "word"}, "sentence 'c': paired_with: a sentence without a tube"),
    ],
)
def test_invalid_pairs_are_errors(row, value, message, tmp_path):
    content = contrasts()
    content[row]["paired_with"] = value
    write_json(str(tmp_path / "gt.json"), content)
    with pytest.raises(ValueError, match=re.escape(message)):
        tube_files.load_ground_truth(str(tmp_path / "gt.json"))


def test_a_predicted_tube_may_be_outside_the_video_and_miss_boxes(tmp_path):
    path = tmp_path / "pred.json"
    boxes = {"-2": [0, 0, 1, 1], "1": [-5, 0, 900, 1]}
    content = {"a": {"begin": -2, "end": 2, "boxes": boxes, "score": -3}}
    path.write_text(json.dumps(content))
    loaded = tube_files.load_predictions(str(path))
    (a,) = loaded.values()
    assert (a.frames.tolist(), a.num_boxes) == ([-2, 1], 2)
    nothing = [np.nan] * 4
    np.testing.assert_array_equal(
        a.boxes_at(np.arange(-2, 2)), [[0, 0, 1, 1], nothing, nothing, [-5, 0, 900, 1]]
    )
    assert tube_files.predictions_to_json(loaded) == content


def test_an_empty_segment_is_read_as_no_tube(tmp_path):
    path = tmp_path / "pred.json"
    path.write_text('{"a": {"begin": 3, "end": 3, "boxes": {}, "score": 0.5}}')
    assert tube_files.load_predictions(str(path)) == {"a": None}


def test_unknown_fields_are_ignored(tmp_path):
    path = tmp_path / "pred.json"
    content = predictions()
    content["a"]["query"] = "a dog"
    path.write_text(json.dumps(content))
    assert tube_files.predictions_to_json(tube_files.load_predictions(str(path))) == predictions()


def official_scores(predicted, truth):
    """m_vIoU and m_tIoU of HC-STVG's scorer, from two files in the format of the challenge."""
    vious, tious = [], []
    for video, true in truth.items():
        if video not in predicted:
            vious.append(0)
            tious.append(0)
            continue
        found = predicted[video]
        ious = []
        for frame, (a1, b1, a2, b2) in true["bbox"].items():
            if frame in found["bbox"]:
                c1, d1, c2, d2 = found["bbox"][frame]
                width, height = min(a2, c2) - max(a1, c1), min(b2, d2) - max(b1, d1)
                shared = width * height if width > 0 and height > 0 else 0
                areas = (a2 - a1) * (b2 - b1) + (c2 - c1) * (d2 - d1)
                ious.append(shared / (areas - shared) if shared else 0)
        first = min(true["st_frame"], found["st_frame"])
        hull = max(true["ed_frame"], found["ed_frame"]) - first + 1
        vious.append(sum(ious) / hull)
        tious.append(len(ious) / hull)
    return np.mean(vious), np.mean(tious)


def entry(name, vid, tube):
    return tubes.GroundTruth(name, vid, "declarative", 64, 48, 25.0, 99, 0, 60, tube)


def test_frames_of_an_hcstvg_submission_count_from_one_with_an_inclusive_end():
    boxes = np.array([[0, 1, 2, 3], [np.nan] * 4, [4, 5, 6, 7]])
    truth = [entry("s0", "v.mp4", None), entry("s1", "w.mp4", None), entry("s2", "x.mp4", None)]
    found = {"s0": tubes.Tube(3, 6, boxes), "s1": None}
    assert tube_files.hcstvg_submission(truth, found) == {
        "v.mp4": {
            "st_frame": 4,
            "ed_frame": 6,
            "bbox": {"4": [0, 1, 2, 3], "6": [4, 5, 6, 7]},
        }
    }


def test_an_hcstvg_submission_with_two_sentences_of_a_video_is_an_error():
    truth = [entry("s0", "v.mp4", None), entry("s1", "v.mp4", None)]
    with pytest.raises(ValueError, match=r"'v\.mp4' has the sentences 's0' and 's1'"):
        tube_files.hcstvg_submission(truth, {})


@st.composite
def any_tube(draw, last=60):
    """Tubes with random boxes in frames `[0, last)`."""
    begin = draw(st.integers(0, last - 1))
    end = draw(st.integers(begin + 1, last))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    corners = np.sort(rng.integers(0, 8, (end - begin, 2, 2)), axis=1)
    return tubes.Tube(begin, end, corners.reshape(-1, 4).astype(float))


@given(st.lists(st.tuples(any_tube(), any_tube(99) | st.none()), min_size=1, max_size=4))
def test_the_official_hcstvg_scorer_gives_the_same_metrics(pairs):
    truth = [entry(str(i), f"{i}.mp4", true) for i, (true, _) in enumerate(pairs)]
    found = {str(i): tube for i, (_, tube) in enumerate(pairs)}
    ours = metrics.evaluate_predictions(truth, found, "hcstvg")["overall"]
    theirs = official_scores(
        tube_files.hcstvg_submission(truth, found),
        tube_files.hcstvg_submission(truth, {item.id: item.tube for item in truth}),
    )
    assert (ours["m_vIoU"], ours["m_tIoU"]) == pytest.approx(theirs)


PREDICTION_FAULTS = [
    (lambda p: p.update(score=None), "score: expected a finite number, got None"),
    (lambda p: p.update(score="high"), "score: expected a finite number, got 'high'"),
    (lambda p: p.update(score=float("nan")), "score: expected a finite number"),
    (lambda p: p.update(begin=3.5), "begin: expected an integer, got 3.5"),
    (lambda p: p.update(begin=True), "begin: expected an integer, got True"),
    (lambda p: p.update(end=2), r"end: expected begin <= end, got \[3, 2\)"),
    (lambda p: p.update(end=3), r"boxes: key '3' is not a frame of \[3, 3\)"),
    (
        lambda p: p.update(end=10**15),
        "end: expected an integer of at most 1000000, got 1000000000000000",
    ),
    (lambda p: p.update(end=None), "end: expected an integer, got None"),
    (lambda p: p.update(boxes=[[0, 0, 1, 1]]), "boxes: expected an object"),
    (lambda p: p["boxes"].update({"7": [0, 0, 1, 1]}), "boxes: key '7' is not a frame"),
    (lambda p: p["boxes"].update({"4": [0, 0, 1]}), r"frame 4: expected \[x1, y1, x2, y2\]"),
    (lambda p: p["boxes"].update({"4": [5, 0, 1, 1]}), "frame 4: expected .* x1 <= x2"),
    (lambda p: p["boxes"].update({"4": [0, 0, 1, None]}), "frame 4: expected"),
    (lambda p: p["boxes"].update({"4": [0, 0, 1, float("inf")]}), "frame 4: expected"),
    (lambda p: p["boxes"].update({"4": [float("nan"), 0, 1, 1]}), "frame 4: expected"),
    (lambda p: p["boxes"].update({"4": [0, float("nan"), 1, 1]}), "frame 4: expected"),
    (lambda p: p["boxes"].update({"4": [0, 0, 1, 10**400]}), "frame 4: expected"),
    (lambda p: p["boxes"].update({"4": [False, 0, 1, 1]}), "frame 4: expected"),
    (lambda p: p["boxes"].update({"4": None}), "frame 4: expected"),
    (lambda p: p["boxes"].update({"04": [0, 0, 1, 1]}), "boxes: key '04' is not a frame"),
    (lambda p: p["boxes"].update({"\u0664": [0, 0, 1, 1]}), "boxes: key '\u0664' is not a frame"),
    (lambda p: p["boxes"].update({"4" * 5000: [0, 0, 1, 1]}), "boxes: key '444.* is not a frame"),
    (
        lambda p: p.update(begin=-1, boxes={"-0": [0, 0, 1, 1]}),
        r"boxes: key '-0' is not a frame of \[-1, 5\)",
    ),
]


@pytest.mark.parametrize(("damage", "message"), PREDICTION_FAULTS)
def test_errors_name_file_id_and_field_of_a_prediction(tmp_path, damage, message):
    path = tmp_path / "pred.json"
    content = predictions()
    damage(content["a"])
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        tube_files.load_predictions(str(path))
    assert f"{path}: sentence 'a'" in str(error.value)


GROUND_TRUTH_FAULTS = [
    (lambda g: g.pop("fps"), "fps: missing field; expected a positive number"),
    (lambda g: g.update(vid=3), "vid: expected a string, got 3"),
    (lambda g: g.update(qtype="x"), "qtype: expected one of"),
    (lambda g: g.update(width=0), "width: expected an integer of at least 1, got 0"),
    (lambda g: g["clip"].update(end=41), r"clip: expected .* frame_count=40, got \[2, 41\)"),
    (lambda g: g["clip"].pop("end"), "clip.end: missing field; expected an integer"),
    (lambda g: g["clip"].update(end=4), r"gt: expected .* in the clip \[2, 4\), got \[3, 5\)"),
    (lambda g: g["clip"].update(begin=-1), r"clip: expected 0 <= begin"),
    (lambda g: g["gt"].update(end=3, boxes={}), r"gt: expected .*, got \[3, 3\)"),
    (lambda g: g["gt"].update(begin=6), r"gt.end: expected begin <= end, got \[6, 5\)"),
    (lambda g: g.update(gt=5), "gt: expected an object, got 5"),
    (lambda g: g.update(fps=float("nan")), "fps: expected a positive number, got nan"),
    (lambda g: g["gt"]["boxes"].pop("3"), "gt.boxes: frame 3: missing box"),
]


@pytest.mark.parametrize(("damage", "message"), GROUND_TRUTH_FAULTS)
def test_errors_name_file_id_and_field_of_a_true_tube(tmp_path, damage, message):
    path = tmp_path / "gt.json"
    content = ground_truth()
    damage(content[0])
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        tube_files.load_ground_truth(str(path))
    assert f"{path}: sentence 'a'" in str(error.value)


@pytest.mark.parametrize(
    ("load", "content", "message"),
    [
        (tube_files.load_predictions, [], r"file\.json: expected an object, got \[\]"),
        (tube_files.load_predictions, {"a": 3}, "sentence 'a': expected an object, got 3"),
        (tube_files.load_ground_truth, {}, "expected a list of at least one sentence"),
        (tube_files.load_ground_truth, [], "expected a list of at least one sentence"),
        (tube_files.load_ground_truth, [None], "entry 0: expected an object, got None"),
        (tube_files.load_ground_truth, [{}], "entry 0: id: missing field; expected a string"),
        (tube_files.load_ground_truth, [{"id": 3}], "entry 0: id: expected a string, got 3"),
        (tube_files.load_ground_truth, ground_truth() * 2, "id 'a' occurs twice"),
    ],
)
def test_files_of_another_format_are_errors(tmp_path, load, content, message):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        load(str(path))


@pytest.mark.parametrize(
    ("load", "text", "message"),
    [
        (tube_files.load_predictions, '{"a": null, "a": null}', "json: key 'a' occurs twice"),
        (
            tube_files.load_predictions,
            '{"a": {"begin": 3, "begin": 4}}',
            "sentence 'a': key 'begin' occurs twice",
        ),
        (
            tube_files.load_predictions,
            '{"a": {"begin": 3, "end": 4, "score": 1, "boxes": {"3": null, "3": null}}}',
            "sentence 'a': boxes: key '3' occurs twice",
        ),
        (
            tube_files.load_ground_truth,
            '[{"id": "a", "id": "b"}]',
            "entry 0: key 'id' occurs twice",
        ),
        (tube_files.load_predictions, '{"a": ', "not valid JSON"),
    ],
)
def test_duplicate_keys_and_damaged_files_are_errors(tmp_path, load, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load(str(path))


@pytest.mark.parametrize("load", [tube_files.load_predictions, tube_files.load_ground_truth])
def test_a_missing_file_is_an_error(tmp_path, load):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        load(str(tmp_path / "none.json"))
