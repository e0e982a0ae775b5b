"""AUROC compared with a count of all pairs, and alarms counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf import tubes
from gkcmn_tf.evaluation import absence, metrics

# Few values, so that ties occur.
SCORES = st.lists(st.sampled_from([-np.inf, 0.0, 0.25, 0.3, 0.5, 1.0]), min_size=1, max_size=12)


def counted(positive, negative):
    """Share of pairs in the right order, by comparing all of them."""
    won = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    return sum(won) / len(won)


@given(positive=SCORES, negative=SCORES)
def test_auroc_is_the_share_of_ordered_pairs(positive, negative):
    found = absence.auroc(np.array(positive), np.array(negative))
    assert found == pytest.approx(counted(positive, negative), abs=1e-12)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [([0.9, 0.8], [0.1], 1), ([0.1], [0.9], 0), ([0.5, 0.5], [0.5], 0.5), ([2, 0], [1, 1], 0.5)],
)
def test_auroc_by_hand(positive, negative, expected):
    assert absence.auroc(np.array(positive), np.array(negative)) == expected


def tube(score):
    return tubes.Tube(0, 10, np.tile([0.0, 0, 10, 10], (10, 1)), score)


def truth(name, *, absent=False):
    true = None if absent else tube(1.0)
    return tubes.GroundTruth(name, "v", "declarative", 64, 48, 25.0, 40, 0, 40, true)


@pytest.fixture
def entries():
    """Two present and four absent sentences with scores on both sides of 0.3."""
    present, absent = ("a", "b"), ("w", "x", "y", "z")
    entries = [truth(name) for name in present] + [truth(name, absent=True) for name in absent]
    scores = {"a": 0.8, "b": 0.2, "w": 0.3, "x": 0.29, "y": 0.2}
    return entries, {name: tube(score) for name, score in scores.items()} | {"z": None}


def test_absent_sentences_are_scored_by_hand(entries):
    # 0.8 is above all four; 0.2 is above one and equal to one: 5.5 of 8 pairs.
    assert absence.evaluate_absence(*entries) == {
        "sentences": 4,
        "AUROC": 5.5 / 8,
        "false_alarms": 0.25,
        "misses": 0.5,
        "threshold": 0.3,
    }


def test_absent_sentences_do_not_change_the_other_metrics(entries):
    ground_truth, predictions = entries
    together = metrics.evaluate_predictions(ground_truth, predictions, bootstrap_samples=10)
    alone = metrics.evaluate_predictions(
        ground_truth[:2], {name: predictions[name] for name in "ab"}, bootstrap_samples=10
    )
    assert together.pop("absent")["sentences"] == 4
    assert together == alone
    assert together["sentences"] == 2 and together["missing_predictions"] == 0


def test_absent_sentences_alone_are_an_error(entries):
    with pytest.raises(ValueError, match="no sentences to score"):
        metrics.evaluate_predictions(entries[0][2:], entries[1])
