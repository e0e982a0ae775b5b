"""Distance of features from the training distribution."""

from collections.abc import Mapping

import numpy as np


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
