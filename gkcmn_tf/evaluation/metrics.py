"""Frame-level grounding metrics, for reporting.

For each sentence, given a predicted and a true tube:

- tIoU: frames in both segments / frames in their union;
- vIoU: sum of the box IoU over the frames in both segments / frames in their union;
- sIoU: mean box IoU over the true frames, 0 for frames without a predicted box. It equals vIoU if
  the predicted segment is the true segment.

m_tIoU, m_vIoU and m_sIoU are their means, vIoU@R is the share of sentences with vIoU strictly
greater than R. A sentence without a prediction scores 0, as does a frame without a predicted box.

The scored frames depend on the protocol, see `gkcmn_tf.evaluation.protocols`. Confidence intervals
are computed by a bootstrap over videos, see `gkcmn_tf.evaluation.bootstrap`.

Sentences that describe nothing in their clip have no true tube and are not part of these metrics;
see `gkcmn_tf.evaluation.absence`. For minimal pairs, see `gkcmn_tf.evaluation.minimal_pairs`.

`gkcmn_tf.modeling.keras_metrics` has step-level versions of tIoU and vIoU for training.
"""

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf.evaluation.absence import evaluate_absence
from gkcmn_tf.evaluation.bootstrap import CONFIDENCE_LEVEL, bootstrap_intervals
from gkcmn_tf.evaluation.minimal_pairs import evaluate_pairs
from gkcmn_tf.evaluation.protocols import PROTOCOLS
from gkcmn_tf.evaluation.tube_files import AnyTube
from gkcmn_tf.metric_names import TABLE_METRICS, VIOU_THRESHOLDS
from gkcmn_tf.tubes import QTYPES, GroundTruth

METRICS = (*TABLE_METRICS, "m_sIoU")

# Tolerance for rounding errors if vIoU equals the threshold.
_TIE = 1e-9


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU `[...]` of paired boxes `[..., 4]`; 0 if both have zero area."""
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
    # The hull equals the union if the segments overlap; otherwise the numerator is 0.
    return shared / (max(a[1], b[1]) - min(a[0], b[0]))


def score_sentence(
    truth: GroundTruth, predicted: AnyTube | None, protocol: str
) -> dict[str, float]:
    """`tIoU`, `vIoU` and `sIoU` of a present sentence under a protocol of `PROTOCOLS`."""
    if predicted is None:
        return {"tIoU": 0.0, "vIoU": 0.0, "sIoU": 0.0}
    true = truth.tube
    hull = min(true.begin, predicted.begin), max(true.end, predicted.end)
    rules = PROTOCOLS[protocol]
    frames = rules.scored_frames(truth) if rules.scored_frames else range(*hull)
    in_true = _between(frames, true.begin, true.end)
    in_both = np.array(_between(in_true, predicted.begin, predicted.end), np.int64)
    in_hull = len(_between(frames, *hull))
    found = predicted.boxes_at(in_both)
    ious = box_iou(found, true.boxes_at(in_both))
    if rules.tiou_needs_boxes:
        tiou = np.count_nonzero(~np.isnan(found).all(axis=1)) / max(in_hull, 1)
    else:
        tiou = temporal_iou((true.begin, true.end), (predicted.begin, predicted.end))
    return {
        "tIoU": tiou,
        "vIoU": float(ious.sum() / max(in_hull, 1)),
        "sIoU": float(ious.sum() / max(len(in_true), 1)),
    }


def _between(frames, begin, end):
    """The part of ascending frames, a range or an array, inside `[begin, end)`."""
    return frames[bisect.bisect_left(frames, begin) : bisect.bisect_left(frames, end)]


def evaluate_predictions(
    ground_truth: Sequence[GroundTruth],
    predictions: Mapping[str, AnyTube | None],
    protocol: str = "all_frames",
    *,
    bootstrap_samples: int = 0,
) -> dict[str, Any]:
    """Computes the metrics of predictions.

    Args:
        ground_truth: the sentences to score, at least one of them present.
        predictions: predicted tubes by sentence id. Missing predictions score 0; predictions for
            unknown sentences are ignored. Both are counted in a warning, as are frames without a
            box. An absent sentence needs no prediction.
        protocol: a name in `PROTOCOLS`.
        bootstrap_samples: number of bootstrap samples for confidence intervals; 0 turns them off.

    Returns:
        the content of a metrics file:

        - `protocol`: name of the protocol;
        - `sentences`, `videos`, `missing_predictions`, `unknown_predictions`,
          `frames_without_box`: counts;
        - `overall` and each of `tubes.QTYPES`: the `METRICS` in `[0, 1]`, None if the group has no
          sentences;
        - `confidence_intervals`: `level`, `samples`, and `[low, high]` of the `METRICS` by group,
          None if the group has fewer than two videos; missing if turned off;
        - `absent`: result of `evaluate_absence`; missing without absent sentences, which no other
          entry counts;
        - `pairs`: result of `evaluate_pairs`; missing without minimal pairs;
        - `per_video`: number of `sentences` and the `METRICS` by video id;
        - `per_sentence`: `tIoU`, `vIoU` and `sIoU` by sentence id.

    Raises:
        ValueError: the protocol is unknown, or `ground_truth` has no present sentence.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {list(PROTOCOLS)}, got {protocol!r}")
    everything = ground_truth
    ground_truth = [truth for truth in everything if truth.tube is not None]
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
        **_count_faults(everything, predictions),
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
    if len(everything) > len(ground_truth):
        results["absent"] = evaluate_absence(everything, predictions)
    per_sentence = {truth.id: score for truth, score in zip(ground_truth, scores, strict=True)}
    pairs = evaluate_pairs(
        ground_truth, per_sentence, tolerance=_TIE, bootstrap_samples=bootstrap_samples
    )
    if pairs:
        results["pairs"] = pairs
    return results | {"per_video": _per_video(values, videos), "per_sentence": per_sentence}


def _count_faults(ground_truth, predictions):
    """Counts missing and unknown predictions and frames without a box; warns of them."""
    known = {truth.id for truth in ground_truth}
    expected = {
        truth.id: predictions.get(truth.id) for truth in ground_truth if truth.tube is not None
    }
    missing = [name for name, tube in expected.items() if tube is None]
    unknown = sorted(predictions.keys() - known)
    boxless = {
        name: tube.end - tube.begin - tube.num_boxes
        for name, tube in expected.items()
        if tube is not None and tube.num_boxes < tube.end - tube.begin
    }
    for problem, names in (
        ("sentence(s) have no prediction and score 0", missing),
        ("prediction(s) are for unknown sentences and are ignored", unknown),
        ("prediction(s) have frames without a box, which score 0", list(boxless)),
    ):
        if names:
            logging.warning("%d %s, such as %s", len(names), problem, ", ".join(names[:10]))
    return {
        "missing_predictions": len(missing),
        "unknown_predictions": len(unknown),
        "frames_without_box": int(sum(boxless.values())),
    }


def _metric_values(scores):
    """Values of each sentence, of which the `METRICS` are means: float64 `[sentences, metrics]`."""
    tiou, viou, siou = np.array([list(score.values()) for score in scores]).T
    return np.stack([tiou, viou, *(viou > level + _TIE for level in VIOU_THRESHOLDS), siou], axis=1)


def _means(values):
    means = values.mean(axis=0).tolist() if len(values) else [None] * len(METRICS)
    return dict(zip(METRICS, means, strict=True))


def _per_video(values, videos):
    names, video = np.unique(videos, return_inverse=True)
    sizes = np.bincount(video)
    means = np.zeros((len(names), len(METRICS)))
    np.add.at(means, video, values)
    means /= sizes[:, None]
    return {
        str(name): {"sentences": size} | dict(zip(METRICS, row, strict=True))
        for name, size, row in zip(names, sizes.tolist(), means.tolist(), strict=True)
    }


def _intervals(values, videos, samples):
    intervals = bootstrap_intervals(values, videos, samples)
    return intervals if intervals is None else dict(zip(METRICS, intervals.tolist(), strict=True))
