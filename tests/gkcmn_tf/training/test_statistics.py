"""Statistics of three clips, computed by hand."""

import json

import numpy as np
import pytest

from gkcmn_tf.records.clip_records import Clip
from gkcmn_tf.training import statistics


def test_clip_means_cover_valid_steps_and_all_cells():
    features = np.zeros((3, 2, 1, 2, 2), np.float16)
    features[0] = [[[[1, 10], [3, 30]]], [[[5, 50], [7, 70]]]]
    features[1] = [[[[1, 2], [3, 4]]], [[[100, 100], [100, 100]]]]
    mask = np.array([[True, True], [True, False], [False, False]])  # the last one is filler
    batches = [({"features": features, "step_mask": mask}, "labels")] * 2
    means = []
    passed = statistics.collect_clip_means(batches, means)
    assert next(passed) is not None
    np.testing.assert_allclose(means, [[4, 40], [2, 3]])  # no other batch is used
    (last,) = passed
    assert last[1] == "labels"
    assert len(means) == 4


def test_measure():
    clips = [
        Clip("a", 0, 40, 10.0, 8, 8, 40, ()),  # 4 s, 10 steps of 0.4 s
        Clip("b", 20, 40, 25.0, 8, 8, 40, ()),  # 0.8 s, 5 steps of 0.16 s
        Clip("c", 0, 100, 25.0, 8, 8, 100, ()),  # 4 s, subsampled to 16 steps of 0.25 s
    ]
    means = [np.array([2.0, 2.0]), np.array([1.0, 8.0]), np.array([2.0, 2.0])]
    measured = statistics.measure(
        clips,
        means,
        channel_mean=np.float32([1, 2]),
        channel_deviation=np.float32([1 / 3, 2]),
        max_steps=16,
    )
    assert measured == json.loads(json.dumps(measured))
    assert measured["clips"] == {
        "count": 3,
        "frames": {"min": 20, "median": 40, "max": 100},
        "seconds": {"min": 0.8, "median": 4, "max": 4},
        "seconds_per_step": {"max": 0.4},
    }
    features = measured["features"]
    assert features["channel_mean"] == [1, 2]
    assert features["channel_deviation"] == [0.333333, 2]
    assert features["clips_sampled"] == 2  # one occurs twice
    # 3 standard deviations in the first channel: the root of 9 / 2; and 3 in the second.
    assert features["distance"] == pytest.approx(
        {"median": 4.5**0.5, "p99": 4.5**0.5, "max": 4.5**0.5}, rel=1e-5
    )
    farther = statistics.measure(
        clips,
        [np.array([1.0, 2.0]), np.array([1.0, 6.0])],
        channel_mean=[1, 2],
        channel_deviation=[1, 2],
        max_steps=16,
    )
    # 0 and the root of 2; the 99th percentile is interpolated at 99 % between them.
    assert farther["features"]["distance"] == pytest.approx(
        {"median": 2**0.5 / 2, "p99": 0.99 * 2**0.5, "max": 2**0.5}
    )
