"""Statistics of the training data, used by inference to detect out-of-distribution videos.

`training_statistics.json` of a run contains

    clips       `count` of training clips; `frames` and `seconds`, the `min`, `median` and `max` of
                their lengths; `seconds_per_step`, the `max` length of a step
    features    `channel_mean` and `channel_deviation` of the model's feature standardisation;
                `clips_sampled`, and the `median`, `p99` (99th percentile) and `max` of their
                `distance` from that mean (see `gkcmn_tf.out_of_distribution.feature_distance`)
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gkcmn_tf.out_of_distribution import feature_distance
from gkcmn_tf.records.clip_records import Clip
from gkcmn_tf.video import steps

STATISTICS_FILE = "training_statistics.json"
MAX_BATCHES = 8
DIGITS = 6  # significant digits of the channel statistics


def collect_clip_means(batches: Iterable, clip_means: list[np.ndarray]) -> Iterator:
    """Yields the batches and appends the mean feature `[C]` of each clip to `clip_means`."""
    for inputs, labels in batches:
        features, mask = (np.asarray(inputs[name]) for name in ("features", "step_mask"))
        clip_means += [
            clip[valid].mean(axis=(0, 1, 2), dtype=np.float64)
            for clip, valid in zip(features, mask, strict=True)
            if valid.any()
        ]
        yield inputs, labels


def measure(
    clips: Sequence[Clip],
    clip_means: Sequence[np.ndarray],
    *,
    channel_mean: np.ndarray,
    channel_deviation: np.ndarray,
    max_steps: int,
) -> dict:
    """Computes the content of `training_statistics.json`.

    Args:
        clips: all training clips, at least one.
        clip_means: mean features `[C]` of a sample of the clips, at least one; duplicates count
            once.
        channel_mean: `[C]`, means of the sampled features.
        channel_deviation: `[C]`, standard deviations of the sampled features.
        max_steps: `T`, maximum number of steps of a clip.

    Returns:
        a dictionary as described in the module docstring.
    """
    frames = np.array([clip.end - clip.begin for clip in clips])
    seconds = frames / [clip.fps for clip in clips]
    num_steps = [steps.count_steps(clip.begin, clip.end, max_steps) for clip in clips]
    sampled = np.unique(clip_means, axis=0)
    features = {
        "channel_mean": _rounded(channel_mean),
        "channel_deviation": _rounded(channel_deviation),
        "clips_sampled": len(sampled),
    }
    distances = [feature_distance(mean, {"features": features}) for mean in sampled]
    return {
        "clips": {
            "count": len(clips),
            "frames": _extent(frames),
            "seconds": _extent(seconds),
            "seconds_per_step": {"max": float(np.max(seconds / num_steps))},
        },
        "features": features
        | {
            "distance": {
                "median": float(np.median(distances)),
                "p99": float(np.percentile(distances, 99)),
                "max": float(np.max(distances)),
            }
        },
    }


def _extent(values):
    return {name: float(getattr(np, name)(values)) for name in ("min", "median", "max")}


def _rounded(values):
    return [float(f"{value:.{DIGITS}g}") for value in np.asarray(values, np.float64)]
