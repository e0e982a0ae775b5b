"""How far a video's features lie from those that a model was trained on."""

from collections.abc import Mapping

import numpy as np


def feature_distance(features: np.ndarray, statistics: Mapping) -> float:
    """Distance of the mean feature from that of training, in standard deviations.

    The root mean square, over channels, of the difference of the means divided by the channel's
    standard deviation over training.

    Args:
        features: `[..., C]`, such as the features of a video, `[windows, S, S, C]`.
        statistics: content of a run's `training_statistics.json` (see
            `gkcmn_tf.training.statistics`).

    Returns:
        the distance. `statistics["features"]["distance"]` holds those of training clips.

    Raises:
        ValueError: there are no features, or they have another number of channels.
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
