"""Metrics of absent sentences, which describe nothing in their clip.

A system should give them a low score, or no tube. The metrics compare its scores for absent and
for present sentences:

- AUROC: the probability that a present sentence has a higher score than an absent one; equal scores
  count half. It is 0.5 by chance.
- false alarms: share of absent sentences with a score of at least `SCORE_THRESHOLD`;
- misses: share of present sentences with a score below.

A sentence without a predicted tube has a lower score than all others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gkcmn_tf.evaluation.tube_files import AnyTube
from gkcmn_tf.tubes import GroundTruth

# Confidence threshold c of the paper (sections 2.4 and 3): a lower IoU counts as none in training,
# so a tube with a lower score is none.
SCORE_THRESHOLD = 0.3


def evaluate_absence(
    ground_truth: Sequence[GroundTruth], predictions: Mapping[str, AnyTube | None]
) -> dict[str, Any]:
    """Computes the metrics of absent sentences.

    Args:
        ground_truth: present and absent sentences, at least one of each.
        predictions: predicted tubes by sentence id.

    Returns:
        `sentences`, the number of absent sentences; `AUROC`, `false_alarms` and `misses` in
        `[0, 1]`; and `threshold`.
    """
    scores: dict[bool, list[float]] = {True: [], False: []}
    for truth in ground_truth:
        tube = predictions.get(truth.id)
        scores[truth.tube is None].append(-np.inf if tube is None else tube.score)
    absent, present = np.array(scores[True]), np.array(scores[False])
    return {
        "sentences": len(absent),
        "AUROC": auroc(present, absent),
        "false_alarms": float(np.mean(absent >= SCORE_THRESHOLD)),
        "misses": float(np.mean(present < SCORE_THRESHOLD)),
        "threshold": SCORE_THRESHOLD,
    }


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve of scores `[n]` and `[m]`, neither empty; ties count half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left").mean()
    not_above = np.searchsorted(ordered, positive, "right").mean()
    return float((below + not_above) / 2 / len(ordered))
