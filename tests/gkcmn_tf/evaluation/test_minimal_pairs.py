"""Accuracy on minimal pairs, counted by hand."""

import numpy as np
import pytest

from gkcmn_tf import tubes
from gkcmn_tf.evaluation import metrics


def tube(begin, end, width=10):
    return tubes.Tube(begin, end, np.tile([0.0, 0, width, 10], (end - begin, 1)))


def truth(name, vid="v", **paired_with):
    return tubes.GroundTruth(
        *(name, vid, "declarative", 64, 48, 25.0, 40, 0, 40),
        tube=tube(0, 10),
        paired_with=paired_with,
    )


@pytest.fixture
def scored():
    """Sentences with vIoU 1 (a), 0.4 with tIoU 1 (b), 0.4 with tIoU 0.4 (c), and 0 (d)."""
    ground_truth = [
        truth("a", b="word", c="moved"),
        truth("b"),
        truth("c", vid="w", d="word"),
        truth("d", vid="w"),
    ]
    predictions = {"a": tube(0, 10), "b": tube(0, 10, width=4), "c": tube(0, 4), "d": None}
    return ground_truth, predictions


def test_a_pair_is_right_if_both_sentences_are(scored):
    results = metrics.evaluate_predictions(*scored)
    assert results["pairs"] == {
        "moved": {"pairs": 1, "tIoU@0.3": 1, "tIoU@0.5": 0, "vIoU@0.3": 1, "vIoU@0.5": 0},
        "word": {"pairs": 2, "tIoU@0.3": 0.5, "tIoU@0.5": 0.5, "vIoU@0.3": 0.5, "vIoU@0.5": 0},
    }


def test_intervals_resample_videos(scored):
    found = metrics.evaluate_predictions(*scored, bootstrap_samples=200)["pairs"]
    assert found["moved"]["confidence_intervals"] is None  # one video
    # One of two videos has the right pair, so samples have shares of 0, 0.5 or 1.
    intervals = found["word"]["confidence_intervals"]
    assert intervals["vIoU@0.3"] == [0, 1] and intervals["vIoU@0.5"] == [0, 0]


def test_without_pairs_there_is_no_entry(scored):
    ground_truth = [truth(entry.id) for entry in scored[0]]
    assert "pairs" not in metrics.evaluate_predictions(ground_truth, scored[1])


def test_an_iou_at_the_threshold_is_not_right():
    ground_truth = [truth("a", b="word"), truth("b")]
    predictions = {"a": tube(0, 10), "b": tube(0, 5)}
    pairs = metrics.evaluate_predictions(ground_truth, predictions)["pairs"]["word"]
    assert pairs["vIoU@0.3"] == 1 and pairs["vIoU@0.5"] == pairs["tIoU@0.5"] == 0
