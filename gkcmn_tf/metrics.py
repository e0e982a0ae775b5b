"""The grounding metrics, on frames: the numbers of record.

For each sentence, with the predicted and the true segment and a box in each of their frames:

- tIoU: frames in both segments / frames in their union;
- vIoU: sum of the box IoU over the frames in both segments / frames in their union;
- sIoU: mean box IoU over the true frames, 0 where the prediction has no box. It says how good the
  boxes are where the prediction was given the true segment (there it equals vIoU).

m_tIoU, m_vIoU and m_sIoU are their means, vIoU@R is the share of sentences with vIoU strictly
greater than R. A sentence without a prediction scores 0.

Papers differ in the frames that boxes are scored on, hence *protocols*:

- `all_frames`: every frame of the clip that is searched;
- `sampled_5fps`: those of the clip sampled at 5 frames a second, at most 200, as TubeDETR does;
- `hcstvg`: every frame, of the clip or not, as HC-STVG's official scorer does. That one writes
  ends inclusively, which changes no number for half-open segments with a box in each frame.

Predicted frames outside the clip count in tIoU under every protocol, in vIoU under `hcstvg` only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf.records import QTYPES
from gkcmn_tf.tubes import GroundTruth, Tube

THRESHOLDS = (0.3, 0.5)
TABLE_METRICS = ("m_tIoU", "m_vIoU", *(f"vIoU@{level}" for level in THRESHOLDS))
SAMPLED_FPS = 5
MAX_SAMPLED_FRAMES = 200

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


def every_clip_frame(truth: GroundTruth) -> np.ndarray:
    """The frames of a sentence's clip: int64 `[n]`, increasing."""
    return np.arange(truth.clip_begin, truth.clip_end)


def sampled_clip_frames(truth: GroundTruth) -> np.ndarray:
    """The frames of a sentence's clip at 5 a second, at most 200: int64 `[n]`, increasing.

    The first frame is taken, then every frame that begins a new fifth of a second of the video; of
    more than 200, those at `j * n // 200`.
    """
    frames = every_clip_frame(truth)
    fifths = np.floor(SAMPLED_FPS * frames / truth.fps)
    sampled = frames[np.diff(fifths, prepend=-1) > 0]
    if len(sampled) > MAX_SAMPLED_FRAMES:
        sampled = sampled[np.arange(MAX_SAMPLED_FRAMES) * len(sampled) // MAX_SAMPLED_FRAMES]
    return sampled


# The frames of a sentence on which boxes are scored; None scores all there are.
PROTOCOLS: dict[str, Callable[[GroundTruth], np.ndarray] | None] = {
    "all_frames": every_clip_frame,
    "sampled_5fps": sampled_clip_frames,
    "hcstvg": None,
}


def score_sentence(truth: GroundTruth, predicted: Tube | None, protocol: str) -> dict[str, float]:
    """`tIoU`, `vIoU` and `sIoU` of one sentence under a protocol of `PROTOCOLS`, in `[0, 1]`."""
    if predicted is None:
        return {"tIoU": 0.0, "vIoU": 0.0, "sIoU": 0.0}
    true = truth.tube
    hull = min(true.begin, predicted.begin), max(true.end, predicted.end)
    choose_frames = PROTOCOLS[protocol]
    frames = choose_frames(truth) if choose_frames else np.arange(*hull)
    in_true = frames[(frames >= true.begin) & (frames < true.end)]
    in_both = in_true[(in_true >= predicted.begin) & (in_true < predicted.end)]
    in_hull = np.count_nonzero((frames >= hull[0]) & (frames < hull[1]))
    ious = box_iou(predicted.boxes[in_both - predicted.begin], true.boxes[in_both - true.begin])
    return {
        "tIoU": temporal_iou((true.begin, true.end), (predicted.begin, predicted.end)),
        "vIoU": float(ious.sum() / max(in_hull, 1)),
        "sIoU": float(ious.sum() / max(len(in_true), 1)),
    }


def evaluate_predictions(
    ground_truth: Sequence[GroundTruth],
    predictions: Mapping[str, Tube | None],
    protocol: str = "all_frames",
) -> dict[str, Any]:
    """Scores predictions: the contents of a metrics file.

    Args:
        ground_truth: every sentence that counts.
        predictions: by sentence id. A sentence without one scores 0, one that is not in
            `ground_truth` is left out; a warning counts both.
        protocol: a name in `PROTOCOLS`. To score boxes alone, predict with the true segments.

    Returns:
        `protocol`; the counts `sentences`, `missing_predictions` and `unknown_predictions`; for
        `overall` and for each of `records.QTYPES` `m_tIoU`, `m_vIoU`, `vIoU@0.3`, `vIoU@0.5` and
        `m_sIoU`, in `[0, 1]`, None if there are no such sentences; `per_sentence` the `tIoU`,
        `vIoU` and `sIoU` by id.

    Raises:
        ValueError: no such protocol, or no sentences.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {list(PROTOCOLS)}, got {protocol!r}")
    if not ground_truth:
        raise ValueError("ground_truth: no sentences to score")
    missing = [truth.id for truth in ground_truth if predictions.get(truth.id) is None]
    unknown = sorted(predictions.keys() - {truth.id for truth in ground_truth})
    _warn("sentence(s) have no prediction and score 0", missing)
    _warn("prediction(s) are for no sentence of the ground truth and are left out", unknown)
    scores = {
        truth.id: score_sentence(truth, predictions.get(truth.id), protocol)
        for truth in ground_truth
    }
    groups = {
        qtype: [scores[truth.id] for truth in ground_truth if truth.qtype == qtype]
        for qtype in QTYPES
    }
    return {
        "protocol": protocol,
        "sentences": len(ground_truth),
        "missing_predictions": len(missing),
        "unknown_predictions": len(unknown),
        "overall": _average(scores.values()),
        **{qtype: _average(group) for qtype, group in groups.items()},
        "per_sentence": scores,
    }


def _warn(what, ids):
    if ids:
        logging.warning("%d %s, such as %s", len(ids), what, ", ".join(ids[:10]))


def _average(scores: Iterable[Mapping[str, float]]):
    scores = list(scores)
    tiou, viou, siou = (
        np.array([score[name] for score in scores]) for name in ("tIoU", "vIoU", "sIoU")
    )
    above = {f"vIoU@{level}": viou > level + _TIE for level in THRESHOLDS}
    columns = {"m_tIoU": tiou, "m_vIoU": viou, **above, "m_sIoU": siou}
    return {name: float(column.mean()) if scores else None for name, column in columns.items()}


def format_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """A Markdown table of `TABLE_METRICS` in percent with two decimals, as papers print them.

    Args:
        rows: metrics, such as `overall` of `evaluate_predictions`, by the row's title.
    """
    titles = ["%", *rows]
    width = max(map(len, titles))
    cells = [
        TABLE_METRICS,
        *([_percent(row[name]) for name in TABLE_METRICS] for row in rows.values()),
    ]
    lines = [
        f"| {title.ljust(width)} | {' | '.join(cell.rjust(8) for cell in row)} |"
        for title, row in zip(titles, cells, strict=True)
    ]
    rule = f"|{'-' * (width + 2)}|{'---------:|' * len(TABLE_METRICS)}"
    return "\n".join([lines[0], rule, *lines[1:]])


def _percent(value):
    return "-" if value is None else f"{100 * value:.2f}"
