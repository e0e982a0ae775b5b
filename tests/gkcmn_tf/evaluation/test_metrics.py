"""The metrics in hand-computed cases and compared with a naive scorer."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf import tubes
from gkcmn_tf.evaluation import metrics
from gkcmn_tf.evaluation.protocols import PROTOCOLS

BOX = (0, 0, 10, 10)
HALF = (0, 0, 5, 10)  # IoU 0.5 with BOX


def tube(begin, end, box=BOX):
    """The same box in every frame."""
    return tubes.Tube(begin, end, np.tile(np.array(box, float), (end - begin, 1)))


def truth(begin, end, box=BOX, *, clip=(0, 1000), fps=25.0, name="a", qtype="declarative", vid="v"):
    """A sentence with a constant box."""
    return tubes.GroundTruth(name, vid, qtype, 100, 100, fps, 2000, *clip, tube(begin, end, box))


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        (BOX, BOX, 1),
        (BOX, HALF, 0.5),
        (BOX, (5, 5, 15, 15), 25 / 175),
        (BOX, (10, 0, 20, 10), 0),  # touching
        (BOX, (50, 50, 60, 60), 0),
        ((3, 3, 3, 3), (3, 3, 3, 3), 0),  # no area: not NaN
        (BOX, (5, 0, 5, 10), 0),
    ],
)
def test_box_iou(a, b, iou):
    assert metrics.box_iou(np.array(a, float), np.array(b, float)) == pytest.approx(iou)


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [((0, 10), (0, 10), 1), ((0, 10), (5, 15), 1 / 3), ((0, 10), (2, 4), 0.2), ((0, 5), (5, 9), 0)],
)
def test_temporal_iou(a, b, iou):
    assert metrics.temporal_iou(a, b) == pytest.approx(iou)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_true_tube_scores_one(protocol):
    scores = metrics.score_sentence(truth(10, 60), tube(10, 60), protocol)
    assert scores == {"tIoU": 1, "vIoU": 1, "sIoU": 1}


def test_a_late_tube_with_half_of_the_box():
    # Frames 15..19 are in both, 10..29 in the union; the IoU is 0.5.
    scores = metrics.score_sentence(truth(10, 20), tube(15, 30, HALF), "all_frames")
    assert scores["tIoU"] == pytest.approx(5 / 20)
    assert scores["vIoU"] == pytest.approx(2.5 / 20)
    assert scores["sIoU"] == pytest.approx(2.5 / 10)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("segment", [(20, 30), (60, 90)])
def test_disjoint_segments_score_zero(protocol, segment):
    scores = metrics.score_sentence(truth(30, 60), tube(*segment), protocol)
    assert scores == {"tIoU": 0, "vIoU": 0, "sIoU": 0}


def test_the_hull_ends_at_the_later_end():
    # A published scorer uses the earlier end, which would give 10 / 10.
    assert metrics.score_sentence(truth(0, 10), tube(0, 40), "all_frames")["vIoU"] == 0.25


@pytest.mark.parametrize(("protocol", "viou"), [("all_frames", 1), ("hcstvg", 10 / 15)])
def test_predicted_frames_outside_the_clip_count_in_tiou(protocol, viou):
    scores = metrics.score_sentence(truth(20, 30, clip=(20, 60)), tube(15, 30), protocol)
    assert scores["tIoU"] == pytest.approx(10 / 15)
    assert scores["vIoU"] == pytest.approx(viou)


def test_boxes_are_scored_on_sampled_frames_and_segments_on_all():
    # Scored frames 0, 5, .., 45; of them 5..25 in the truth, 10..40 in the prediction.
    scores = metrics.score_sentence(truth(4, 28, clip=(0, 50)), tube(8, 44, HALF), "sampled_5fps")
    assert scores["tIoU"] == pytest.approx(20 / 40)
    assert scores["vIoU"] == pytest.approx(4 * 0.5 / 8)
    assert scores["sIoU"] == pytest.approx(4 * 0.5 / 5)


def test_a_true_tube_between_sampled_frames_scores_zero():
    scores = metrics.score_sentence(truth(1, 4, clip=(0, 50)), tube(1, 4), "sampled_5fps")
    assert scores == {"tIoU": 1, "vIoU": 0, "sIoU": 0}


@pytest.mark.parametrize(
    ("scored", "name"), [((0, 3), "vIoU@0.3"), ((0, 5), "vIoU@0.5"), ((2, 5), "vIoU@0.3")]
)
def test_a_tie_with_a_threshold_does_not_count(scored, name):
    results = metrics.evaluate_predictions([truth(0, 10)], {"a": tube(*scored)})
    assert results["overall"][name] == 0


def test_a_tie_up_to_rounding_does_not_count():
    # Seven frames whose IoU is the threshold; their rounded mean is slightly larger.
    for width in (3, 5):
        results = metrics.evaluate_predictions(
            [truth(0, 7, (0, 0, 1, 0.9))], {"a": tube(0, 7, (0, 0, width / 10, 0.9))}
        )
        assert results["overall"]["m_vIoU"] == pytest.approx(width / 10)
        assert results["overall"][f"vIoU@{width / 10}"] == 0


def test_averages_over_all_sentences_and_by_type():
    ground_truth = [
        truth(0, 10, name="a"),
        truth(0, 10, name="b"),
        truth(0, 10, name="c", qtype="interrogative"),
    ]
    predictions = {"a": tube(0, 10), "b": tube(0, 4), "c": tube(0, 10, HALF)}
    results = metrics.evaluate_predictions(ground_truth, predictions)
    assert (results["protocol"], results["sentences"]) == ("all_frames", 3)
    assert results["declarative"] == pytest.approx(
        {
            "m_tIoU": 0.7,
            "m_vIoU": 0.7,
            "vIoU@0.3": 1,
            "vIoU@0.5": 0.5,
            "m_sIoU": 0.7,
        }
    )
    assert results["interrogative"] == pytest.approx(
        {
            "m_tIoU": 1,
            "m_vIoU": 0.5,
            "vIoU@0.3": 1,
            "vIoU@0.5": 0,
            "m_sIoU": 0.5,
        }
    )
    assert results["overall"] == pytest.approx(
        {
            "m_tIoU": 2.4 / 3,
            "m_vIoU": 1.9 / 3,
            "vIoU@0.3": 1,
            "vIoU@0.5": 1 / 3,
            "m_sIoU": 1.9 / 3,
        }
    )
    for metric in ("m_tIoU", "m_vIoU", "vIoU@0.3"):
        by_hand = sum(v["sentences"] * v[metric] for v in results["per_video"].values()) / 3
        assert results["overall"][metric] == pytest.approx(by_hand)
    assert results["per_sentence"]["b"] == pytest.approx({"tIoU": 0.4, "vIoU": 0.4, "sIoU": 0.4})
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_missing_and_unknown_predictions_are_counted_and_listed(caplog):
    ground_truth = [truth(0, 10, name=name) for name in ("a", "b", "c")]
    predictions = {"a": tube(0, 10), "b": None, "x": tube(0, 10)}
    with caplog.at_level("WARNING", logger="absl"):
        results = metrics.evaluate_predictions(ground_truth, predictions)
    assert results["overall"]["m_vIoU"] == pytest.approx(1 / 3)
    assert results["sentences"] == 3
    assert (results["missing_predictions"], results["unknown_predictions"]) == (2, 1)
    assert "2 sentence(s) have no prediction and score 0, such as b, c" in caplog.text
    assert "1 prediction(s) are for unknown sentences" in caplog.text


def test_invalid_arguments_are_errors():
    with pytest.raises(ValueError, match=r"expected one of \['all_frames'.*got 'each'"):
        metrics.evaluate_predictions([truth(0, 10)], {}, "each")
    with pytest.raises(ValueError, match="no sentences to score"):
        metrics.evaluate_predictions([], {})


def test_frames_without_a_box_score_zero_and_are_counted(caplog):
    # 2 of 4 boxes are present; HC-STVG's scorer derives the segment from the boxes.
    found = tubes.Tube(0, 4, np.array([BOX, [np.nan] * 4, BOX, [np.nan] * 4], float))
    for protocol, tiou in (("all_frames", 1), ("hcstvg", 0.5)):
        results = metrics.evaluate_predictions([truth(0, 4)], {"a": found}, protocol)
        assert results["per_sentence"]["a"] == {"tIoU": tiou, "vIoU": 0.5, "sIoU": 0.5}
        assert results["frames_without_box"] == 2
    assert "1 prediction(s) have frames without a box" in caplog.text


def test_viou_equals_siou_for_the_true_segment():
    scores = metrics.score_sentence(truth(10, 20), tube(10, 20, HALF), "all_frames")
    assert scores == {"tIoU": 1, "vIoU": 0.5, "sIoU": 0.5}


def test_a_metrics_file_has_intervals_by_group():
    ground_truth = [truth(0, 10, name="a"), truth(0, 10, name="b", vid="w")]
    predictions = {"a": tube(0, 10), "b": tube(0, 4)}
    results = metrics.evaluate_predictions(ground_truth, predictions, bootstrap_samples=200)
    assert results["videos"] == 2
    intervals = results["confidence_intervals"]
    assert (intervals["level"], intervals["samples"]) == (0.95, 200)
    assert intervals["overall"]["m_vIoU"] == pytest.approx([0.4, 1])
    assert intervals["declarative"] == intervals["overall"]
    assert intervals["interrogative"] is None
    assert results == metrics.evaluate_predictions(ground_truth, predictions, bootstrap_samples=200)
    assert "confidence_intervals" not in metrics.evaluate_predictions(ground_truth, predictions)


def naive_box_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = width * height if width > 0 and height > 0 else 0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0


def naive_frames(entry, predicted, protocol):
    if protocol == "hcstvg":
        return list(range(-100, predicted.end + entry.clip_end))
    clip = range(entry.clip_begin, entry.clip_end)
    if protocol == "all_frames":
        return list(clip)
    if protocol == "sampled_64":
        return (
            list(clip) if len(clip) <= 64 else [clip[j * (len(clip) - 1) // 63] for j in range(64)]
        )
    rate, most = {"sampled_5fps": (5, 200), "sampled_2fps": (2, 64)}[protocol]
    kept = [entry.clip_begin]
    for frame in clip[:-1] if protocol == "sampled_5fps" else clip:
        if math.floor(rate * frame / entry.fps) > math.floor(rate * kept[-1] / entry.fps):
            kept.append(frame)
    if len(kept) > most:
        kept = [kept[j * len(kept) // most] for j in range(most)]
    return kept


def naive_scores(entry, predicted, protocol):
    """Metrics of Tables 1 and 2, computed from sets of frames."""
    true_boxes = dict(zip(range(entry.tube.begin, entry.tube.end), entry.tube.boxes, strict=True))
    boxes = dict(zip(range(predicted.begin, predicted.end), predicted.boxes, strict=True))
    boxed = {frame for frame, box in boxes.items() if not math.isnan(box[0])}
    scored = naive_frames(entry, predicted, protocol)
    total, union, annotated = 0, 0, 0
    for frame in scored:
        annotated += frame in true_boxes
        union += frame in true_boxes or frame in boxes
        if frame in true_boxes and frame in boxed:
            total += naive_box_iou(true_boxes[frame], boxes[frame])
    shared = true_boxes.keys() & (boxed if protocol == "hcstvg" else boxes.keys())
    either = true_boxes.keys() | boxes.keys()
    return {
        # For disjoint segments hull and union differ, but the numerator is 0.
        "tIoU": len(shared) / len(either),
        "vIoU": total / union if union else 0,
        "sIoU": total / annotated if annotated else 0,
    }


@st.composite
def random_tubes(draw, begin, end, seed, without=0):
    """Random tubes in `[begin, end)`; a share `without` of their frames may have no box."""
    first = draw(st.integers(begin, end - 1))
    end_frame = draw(st.integers(first + 1, end))
    rng = np.random.default_rng(draw(st.integers(0, 99)) + 100 * seed)
    corners = np.sort(rng.integers(0, 8, (end_frame - first, 2, 2)), axis=1)
    boxes = corners.reshape(-1, 4).astype(float)
    boxes[rng.random(len(boxes)) < draw(st.sampled_from([0, without]))] = np.nan
    return tubes.Tube(first, end_frame, boxes)


@st.composite
def cases(draw, without=0.5):
    """A true tube inside a clip and a prediction near it."""
    begin = draw(st.integers(0, 40))
    end = begin + draw(st.integers(1, 90))
    true = draw(random_tubes(begin, end, 0))
    predicted = draw(random_tubes(begin - 20, end + 20, 1, without))
    fps = draw(st.sampled_from([4.0, 10.0, 23.976, 25.0, 29.97]))
    return tubes.GroundTruth("a", "v", "declarative", 8, 8, fps, 200, begin, end, true), predicted


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(cases())
def test_scores_equal_those_of_a_naive_scorer(protocol, case):
    entry, predicted = case
    scores = metrics.score_sentence(entry, predicted, protocol)
    assert scores == pytest.approx(naive_scores(entry, predicted, protocol))
    assert all(0 <= value <= 1 for value in scores.values())


@given(cases(without=0))
def test_viou_is_symmetric_and_at_most_tiou(case):
    entry, predicted = case
    scores = metrics.score_sentence(entry, predicted, "hcstvg")
    swapped = tubes.GroundTruth("a", "v", "declarative", 8, 8, 25.0, 200, 0, 200, predicted)
    backwards = metrics.score_sentence(swapped, entry.tube, "hcstvg")
    assert scores["vIoU"] == pytest.approx(backwards["vIoU"])
    assert scores["tIoU"] == pytest.approx(backwards["tIoU"])
    assert scores["vIoU"] <= scores["tIoU"] + 1e-12
    assert scores["vIoU"] <= scores["sIoU"] + 1e-12
