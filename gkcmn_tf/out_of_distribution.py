"""Warnings for clips that differ from the training data, where tubes may be meaningless."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.video import steps

MAX_SECONDS_PER_STEP = 1.0
DISTANCE_TOLERANCE = 1.1  # factor by which a clip may be further away than training clips
LENGTH_TOLERANCE = 1.5  # factor by which a clip may be longer or shorter than training clips


def feature_distance(features: np.ndarray, statistics: Mapping) -> float:
    """Distance between the mean features of a video and of the training data.

    This is the root mean square over channels of the difference of the means, divided by the
    standard deviation of the channel in the training data.

    Args:
        features: `[..., C]`, for example the features of a video, `[windows, S, S, C]`.
        statistics: content of the run's `training_statistics.json` (see
            `gkcmn_tf.training.statistics`).

    Returns:
        the distance, in standard deviations. For comparison, `statistics["features"]["distance"]`
        has the distances of training clips.

    Raises:
        ValueError: `features` is empty or has another number of channels.
    """
    channels = statistics["features"]
    mean, deviation = (np.array(channels[f"channel_{name}"]) for name in ("mean", "deviation"))
    if features.size == 0 or features.shape[-1] != len(mean):
        raise ValueError(
            f"features: expected at least one, of {len(mean)} channels as in training, got shape "
            f"{list(features.shape)}"
        )
    found = features.reshape(-1, len(mean)).mean(axis=0, dtype=np.float64)
    return float(np.sqrt(np.mean(((found - mean) / deviation) ** 2)))


def differences_from_training(
    video: EncodedVideo, clip: tuple[int, int], max_steps: int, training: Mapping[str, Any]
) -> list[str]:
    """Compares a clip with the training data.

    Args:
        video: the encoded video.
        clip: searched frames `[begin, end)` of the file.
        max_steps: `T`, maximum number of steps of a clip.
        training: content of `training_statistics.json` of the run; may be empty.

    Returns:
        descriptions of the differences; empty if there are none.
    """
    begin, end = video.source.timeline.seconds(*clip)
    seconds = end - begin
    first, last = video.source.timeline.to_samples(*clip)
    per_step = seconds / steps.count_steps(first, last, max_steps)
    found = []
    if per_step > MAX_SECONDS_PER_STEP:
        found.append(f"each of the {max_steps} steps of the model covers {per_step:.1f} s")
    if not training:
        return found
    usual = training["clips"]["seconds"]
    if not usual["min"] / LENGTH_TOLERANCE <= seconds <= usual["max"] * LENGTH_TOLERANCE:
        found.append(
            f"it lasts {seconds:.1f} s, training clips {usual['min']:.1f} to {usual['max']:.1f} s"
        )
    distance = feature_distance(video.features, training)
    usual_distance = training["features"]["distance"]["p99"]
    if distance > usual_distance * DISTANCE_TOLERANCE:
        found.append(
            f"its features are {distance:.2f} standard deviations from the training mean; 99 % of "
            f"training clips are within {usual_distance:.2f}"
        )
    return found


def warn_of_differences(
    video: EncodedVideo, clip: tuple[int, int], max_steps: int, about: Mapping[str, Any]
) -> None:
    """Logs a warning if a clip differs from the training data (see `differences_from_training`).

    Args:
        video: the encoded video.
        clip: searched frames `[begin, end)` of the file.
        max_steps: `T`, maximum number of steps of a clip.
        about: `name`, `limits` and `training` statistics of the preset.
    """
    if reasons := differences_from_training(video, clip, max_steps, about.get("training") or {}):
        logging.warning(
            "%s: differs from the training data of %s, tubes may be meaningless: %s. %s",
            video.source.path,
            about.get("name", "the model"),
            "; ".join(reasons),
            about.get("limits", ""),
        )
