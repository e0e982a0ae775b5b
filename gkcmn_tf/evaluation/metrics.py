"""The grounding metrics, on frames: the numbers of record.

For each sentence, with the predicted and the true segment and a box in each of their frames:

- tIoU: frames in both segments / frames in their union;
- vIoU: sum of the box IoU over the frames in both segments / frames in their union;
- sIoU: mean box IoU over the true frames, 0 where the prediction has no box. It says how good the
  boxes are where the prediction was given the true segment (there it equals vIoU).

m_tIoU, m_vIoU and m_sIoU are their means, vIoU@R is the share of sentences with vIoU strictly
greater than R. A sentence without a prediction scores 0, as does a frame without a predicted box.

Papers differ in the frames that boxes are scored on, hence *protocols*:

- `all_frames`: every frame of the clip that is searched;
- `sampled_5fps`: those of the clip sampled at 5 frames a second, at most 200, as TubeDETR does;
- `hcstvg`: every frame, of the clip or not, and tIoU counts the frames with both boxes / those of
  the hull of the segments, as HC-STVG's official scorer does. (That one's ends are inclusive,
  which changes no number.)

Predicted frames outside the clip count in tIoU under every protocol, in vIoU under `hcstvg` only.

Confidence intervals are percentiles of a bootstrap over *videos*: the sentences of one video are
about the same things, so that drawing sentences as if independent would promise too much.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf.tubes import QTYPES, GroundTruth, Tube

THRESHOLDS = (0.3, 0.5)
TABLE_METRICS = ("m_tIoU", "m_vIoU", *(f"vIoU@{level}" for level in THRESHOLDS))
METRICS = (*TABLE_METRICS, "m_sIoU")
SAMPLED_FPS = 5
MAX_SAMPLED_FRAMES = 200
CONFIDENCE_LEVEL = 0.95
BOOTSTRAP_SEED = 0

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
    in_hull = int(((frames >= hull[0]) & (frames < hull[1])).sum())
    ious = box_iou(predicted.boxes[in_both - predicted.begin], true.boxes[in_both - true.begin])
    if choose_frames:
        tiou = temporal_iou((true.begin, true.end), (predicted.begin, predicted.end))
    else:
        tiou = int(predicted.has_box[in_both - predicted.begin].sum()) / in_hull
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
    return np.stack([tiou, viou, *(viou > level + _TIE for level in THRESHOLDS), siou], axis=1)


def _means(values):
    means = values.mean(axis=0).tolist() if len(values) else [None] * len(METRICS)
    return dict(zip(METRICS, means, strict=True))


def _intervals(values, videos, samples):
    intervals = bootstrap_intervals(values, videos, samples)
    return intervals if intervals is None else dict(zip(METRICS, intervals.tolist(), strict=True))


def bootstrap_intervals(
    values: np.ndarray, clusters: np.ndarray, samples: int
) -> np.ndarray | None:
    """Percentile intervals, at `CONFIDENCE_LEVEL`, of the means of columns.

    Args:
        values: float `[n, m]`.
        clusters: `[n]`, whatever names what each row belongs to. As many clusters as there are are
            drawn with replacement, `samples` times, always the same ones; each brings all its rows.
        samples: at least 1.

    Returns:
        `[m, 2]`, low and high; None if there are fewer than two clusters, which say nothing.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    count = len(names)
    if count < 2:
        return None
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, cluster, values)
    sizes = np.bincount(cluster)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    times_drawn = rng.multinomial(count, np.full(count, 1 / count), size=samples)
    means = times_drawn @ sums / (times_drawn @ sizes)[:, None]
    tail = 50 * (1 - CONFIDENCE_LEVEL)
    return np.percentile(means, [tail, 100 - tail], axis=0).T


def format_table(
    rows: Mapping[str, Mapping[str, float | None]],
    *,
    columns: Sequence[str] = TABLE_METRICS,
    intervals: Mapping[str, Mapping[str, Sequence[float]] | None] | None = None,
) -> str:
    """A Markdown table of metrics in percent with two decimals, as papers print them.

    Args:
        rows: metrics, such as `overall` of `evaluate_predictions`, by the row's title.
        columns: the metrics to show.
        intervals: `[low, high]` by metric, by the row's title, to show behind the metrics; None for
            a row without.
    """
    intervals = intervals or {}
    cells = [["%", *columns]]
    for title, row in rows.items():
        ends = intervals.get(title) or {}
        cells.append([title, *(_percent(row[name], ends.get(name)) for name in columns)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in cells]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _percent(value, interval):
    if value is None:
        return "-"
    text = f"{100 * value:.2f}"
    return (
        text if interval is None else f"{text} [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
    )
