"""The grounding metrics, on frames: the numbers of record.

For each sentence, with the predicted and the true segment and a box in each of their frames:

- tIoU: frames in both segments / frames in their union;
- vIoU: sum of the box IoU over the frames in both segments / frames in their union;
- sIoU: mean box IoU over the true frames, 0 where the prediction has no box. It says how good the
  boxes are where the prediction was given the true segment (there it equals vIoU).

m_tIoU, m_vIoU and m_sIoU are their means, vIoU@R is the share of sentences with vIoU strictly
greater than R. A sentence without a prediction scores 0, as does a frame without a predicted box.

The frames that count are those of a protocol, `gkcmn_tf.evaluation.protocols`. Confidence intervals
are those of a bootstrap over videos, `gkcmn_tf.evaluation.bootstrap`.

`gkcmn_tf.modeling.keras_metrics` has tIoU and vIoU at the resolution of steps, for training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf.evaluation.bootstrap import CONFIDENCE_LEVEL, bootstrap_intervals
from gkcmn_tf.evaluation.protocols import PROTOCOLS
from gkcmn_tf.metric_names import TABLE_METRICS, VIOU_THRESHOLDS
from gkcmn_tf.tubes import QTYPES, GroundTruth, Tube

METRICS = (*TABLE_METRICS, "m_sIoU")

# vIoU is a quotient of rounded sums: a tie with the threshold must not count for its last bit.
_TIE = 1e-9


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU `[...]` of boxes `[..., 4]`, the i-th with the i-th; 0 where neither has an area."""
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    shared = _area(np.concatenate([low, high], axis=-1))
    union = _area(a) + _area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def _area(boxes):
    sides = np.maximum(np.asarray(boxes[..., 2:], np.float64) - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def temporal_iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    """IoU of two segments `[begin, end)`."""
    shared = max(min(a[1], b[1]) - max(a[0], b[0]), 0)
    # For segments that meet, the hull is the union; for others the numerator is 0.
    return shared / (max(a[1], b[1]) - min(a[0], b[0]))


def score_sentence(truth: GroundTruth, predicted: Tube | None, protocol: str) -> dict[str, float]:
    """`tIoU`, `vIoU` and `sIoU` of one sentence under a protocol in `PROTOCOLS`, in `[0, 1]`."""
    if predicted is None:
        return {"tIoU": 0.0, "vIoU": 0.0, "sIoU": 0.0}
    true = truth.tube
    hull = min(true.begin, predicted.begin), max(true.end, predicted.end)
    rules = PROTOCOLS[protocol]
    frames = rules.scored_frames(truth) if rules.scored_frames else np.arange(*hull)
    in_true = frames[(frames >= true.begin) & (frames < true.end)]
    in_both = in_true[(in_true >= predicted.begin) & (in_true < predicted.end)]
    in_hull = int(((frames >= hull[0]) & (frames < hull[1])).sum())
    ious = box_iou(predicted.boxes[in_both - predicted.begin], true.boxes[in_both - true.begin])
    if rules.tiou_needs_boxes:
        tiou = int(predicted.has_box[in_both - predicted.begin].sum()) / max(in_hull, 1)
    else:
        tiou = temporal_iou((true.begin, true.end), (predicted.begin, predicted.end))
    return {
        "tIoU": tiou,
        "vIoU": float(ious.sum() / max(in_hull, 1)),
        "sIoU": float(ious.sum() / max(len(in_true), 1)),
    }


def evaluate_predictions(
    ground_truth: Sequence[GroundTruth],
    predictions: Mapping[str, Tube | None],
    protocol: str = "all_frames",
    *,
    bootstrap_samples: int = 0,
) -> dict[str, Any]:
    """Scores predictions: the contents of a metrics file.

    Args:
        ground_truth: every sentence that counts.
        predictions: by sentence id. A sentence without one scores 0, one that is not in
            `ground_truth` is left out; a warning counts both, and frames without a box.
        protocol: a name in `PROTOCOLS`. To score boxes alone, predict with the true segments.
        bootstrap_samples: how often videos are drawn anew for confidence intervals; 0 for none.

    Returns:
        `protocol`; the counts `sentences`, `videos`, `missing_predictions`, `unknown_predictions`
        and `frames_without_box`; for `overall` and for each of `tubes.QTYPES` the `METRICS`, in
        `[0, 1]`, None if there are no such sentences; unless turned off `confidence_intervals`:
        `level`, `samples`, and for each of those groups `[low, high]` of the `METRICS`, None if the
        group has fewer than two videos; `per_sentence` the `tIoU`, `vIoU` and `sIoU` by id.

    Raises:
        ValueError: no such protocol, or no sentences.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {list(PROTOCOLS)}, got {protocol!r}")
    if not ground_truth:
        raise ValueError("ground_truth: no sentences to score")
    scores = [score_sentence(truth, predictions.get(truth.id), protocol) for truth in ground_truth]
    values = _metric_values(scores)
    videos = np.array([truth.vid for truth in ground_truth])
    qtypes = np.array([truth.qtype for truth in ground_truth])
    groups = {"overall": qtypes != ""} | {qtype: qtypes == qtype for qtype in QTYPES}
    results = {
        "protocol": protocol,
        "sentences": len(ground_truth),
        "videos": len(set(videos)),
        **_count_faults(ground_truth, predictions),
        **{group: _means(values[rows]) for group, rows in groups.items()},
    }
    if bootstrap_samples:
        results["confidence_intervals"] = {
            "level": CONFIDENCE_LEVEL,
            "samples": bootstrap_samples,
            **{
                group: _intervals(values[rows], videos[rows], bootstrap_samples)
                for group, rows in groups.items()
            },
        }
    return results | {
        "per_sentence": {truth.id: score for truth, score in zip(ground_truth, scores, strict=True)}
    }


def _count_faults(ground_truth, predictions):
    """Counts what the predictions lack or have too much, and warns of it."""
    asked = {truth.id: predictions.get(truth.id) for truth in ground_truth}
    missing = [name for name, tube in asked.items() if tube is None]
    unknown = sorted(predictions.keys() - asked.keys())
    boxless = {
        name: np.count_nonzero(~tube.has_box)
        for name, tube in asked.items()
        if tube is not None and not tube.has_box.all()
    }
    for what, names in (
        ("sentence(s) have no prediction and score 0", missing),
        ("prediction(s) are for no sentence of the ground truth and are left out", unknown),
        ("prediction(s) have frames without a box, which score 0", list(boxless)),
    ):
        if names:
            logging.warning("%d %s, such as %s", len(names), what, ", ".join(names[:10]))
    return {
        "missing_predictions": len(missing),
        "unknown_predictions": len(unknown),
        "frames_without_box": int(sum(boxless.values())),
    }


def _metric_values(scores):
    """What the `METRICS` are means of: float64 `[sentences, metrics]`."""
    tiou, viou, siou = np.array([list(score.values()) for score in scores]).T
    return np.stack([tiou, viou, *(viou > level + _TIE for level in VIOU_THRESHOLDS), siou], axis=1)


def _means(values):
    means = values.mean(axis=0).tolist() if len(values) else [None] * len(METRICS)
    return dict(zip(METRICS, means, strict=True))


def _intervals(values, videos, samples):
    intervals = bootstrap_intervals(values, videos, samples)
    return intervals if intervals is None else dict(zip(METRICS, intervals.tolist(), strict=True))
