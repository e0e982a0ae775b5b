"""Warnings for clips unlike the training data, with distances worked out by hand."""

import numpy as np
import pytest

from gkcmn_tf import out_of_distribution
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline

STATISTICS = {
    "clips": {"seconds": {"min": 2.0, "median": 3.0, "max": 4.0}},
    "features": {
        "channel_mean": [1.0, 2.0],
        "channel_deviation": [0.5, 4.0],
        "distance": {"p99": 1.0},
    },
}


def encoded(seconds, mean=(1.0, 2.0)):
    """Returns a video at 10 frames per second with constant features."""
    times = np.arange(round(10 * seconds)) / 10
    source = SourceVideo("v.mp4", 64, 48, 10.0, Timeline(times, seconds))
    return EncodedVideo(np.tile(np.float16(mean), (4, 7, 7, 1)), np.arange(4), source, {})


@pytest.mark.parametrize(
    ("video", "reasons"),
    [
        (encoded(3), []),
        (encoded(1.4), []),
        (encoded(1.3), ["it lasts 1.3 s, training clips 2.0 to 4.0 s"]),
        (encoded(6.1), ["it lasts 6.1 s"]),
        # (0.75 / 0.5, 3 / 4): the root mean square is sqrt((2.25 + 0.5625) / 2) = 1.19.
        (encoded(3, (1.75, 5.0)), ["its features are 1.19 standard deviations from"]),
        # (0.75 / 0.5, 0): sqrt(2.25 / 2) = 1.06 is within the tolerance.
        (encoded(3, (1.75, 2.0)), []),
        # 12 s in 8 steps.
        (
            encoded(12),
            ["each of the 8 steps of the model", "it lasts 12.0 s"],
        ),
    ],
)
def test_a_clip_unlike_the_training_data_gives_reasons(video, reasons):
    clip = (0, video.source.timeline.frame_count)
    found = out_of_distribution.differences_from_training(video, clip, 8, STATISTICS)
    assert len(found) == len(reasons)
    for text, reason in zip(found, reasons, strict=True):
        assert text.startswith(reason)


def test_without_statistics_only_long_steps_are_reported():
    assert out_of_distribution.differences_from_training(encoded(6.1), (0, 61), 8, {}) == []
    (reason,) = out_of_distribution.differences_from_training(encoded(12), (0, 120), 8, {})
    assert reason.startswith("each of the 8 steps")


def test_the_warning_describes_the_training_data(caplog):
    about = {"name": "shapes", "limits": "Knows shapes only.", "training": STATISTICS}
    out_of_distribution.warn_of_differences(encoded(3), (0, 30), 8, about)
    assert not caplog.text
    out_of_distribution.warn_of_differences(encoded(12), (0, 120), 8, about)
    assert "v.mp4: differs from the training data of shapes" in caplog.text
    assert "Knows shapes only." in caplog.text


DISTANCE_STATISTICS = {"features": {"channel_mean": [1.0, 2.0], "channel_deviation": [0.5, 2.0]}}


def test_the_distance_is_the_root_mean_square_in_standard_deviations():
    # The mean is (2.5, 0): 3 standard deviations above, 1 below: the root of (9 + 1) / 2.
    features = np.float16([[[2, 1], [3, 1]], [[1, -3], [4, 1]]])
    assert out_of_distribution.feature_distance(features, DISTANCE_STATISTICS) == pytest.approx(
        5**0.5
    )
    assert out_of_distribution.feature_distance(np.array([1.0, 2.0]), DISTANCE_STATISTICS) == 0


@pytest.mark.parametrize("shape", [(3, 3), (0, 2)])
def test_features_of_another_network_are_an_error(shape):
    with pytest.raises(ValueError, match="expected at least one, of 2 channels"):
        out_of_distribution.feature_distance(np.zeros(shape), DISTANCE_STATISTICS)
