"""Accuracy on minimal pairs: nearly the same sentence, but another tube.

There are two kinds: `word`, two sentences about the same clip that differ in one word, and
`moved`, the same sentence about two clips, which describes different events in them. A pair is
right only if both of its tubes are, so guessing one tube for both is not enough. A tube is right if
its vIoU exceeds the threshold. With tIoU instead of vIoU, only the event must be right; this is
meant for `moved`, since the events of a pair of kind `word` may be at the same time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gkcmn_tf.evaluation.bootstrap import CONFIDENCE_LEVEL, bootstrap_intervals
from gkcmn_tf.metric_names import VIOU_THRESHOLDS
from gkcmn_tf.tubes import GroundTruth

PAIR_METRICS = tuple(
    f"{measure}@{threshold}" for measure in ("tIoU", "vIoU") for threshold in VIOU_THRESHOLDS
)


def evaluate_pairs(
    ground_truth: Sequence[GroundTruth],
    scores: Mapping[str, Mapping[str, float]],
    *,
    tolerance: float,
    bootstrap_samples: int = 0,
) -> dict[str, dict[str, Any]]:
    """Computes the accuracy of each kind of pairs.

    Args:
        ground_truth: the sentences with their pairs.
        scores: `tIoU` and `vIoU` by sentence id.
        tolerance: difference from a threshold that counts as rounding error.
        bootstrap_samples: number of bootstrap samples of videos for confidence intervals; 0 turns
            them off.

    Returns:
        for each kind that occurs: `pairs`, the number of pairs; the `PAIR_METRICS` in `[0, 1]`, the
        shares of pairs whose two sentences both exceed the threshold; and, unless turned off,
        `confidence_intervals` with `level` and `[low, high]` by metric, None with fewer than two
        videos.
    """
    found: dict[str, list[tuple[str, list[bool]]]] = {}
    for truth in ground_truth:
        for other, kind in truth.paired_with.items():
            both = [
                all(scores[name][measure] > threshold + tolerance for name in (truth.id, other))
                for measure in ("tIoU", "vIoU")
                for threshold in VIOU_THRESHOLDS
            ]
            found.setdefault(kind, []).append((truth.vid, both))
    results = {}
    for kind, pairs in sorted(found.items()):
        values = np.array([both for _, both in pairs], np.float64)
        means = values.mean(axis=0).tolist()
        results[kind] = {"pairs": len(pairs), **dict(zip(PAIR_METRICS, means, strict=True))}
        if bootstrap_samples:
            videos = np.array([video for video, _ in pairs])
            intervals = bootstrap_intervals(values, videos, bootstrap_samples)
            results[kind]["confidence_intervals"] = (
                None
                if intervals is None
                else {
                    "level": CONFIDENCE_LEVEL,
                    **dict(zip(PAIR_METRICS, intervals.tolist(), strict=True)),
                }
            )
    return results
