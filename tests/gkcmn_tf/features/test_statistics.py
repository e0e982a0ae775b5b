"""Distances computed by hand."""

import numpy as np
import pytest

from gkcmn_tf.features.statistics import feature_distance

STATISTICS = {"features": {"channel_mean": [1.0, 2.0], "channel_deviation": [0.5, 2.0]}}


def test_the_distance_is_the_root_mean_square_in_standard_deviations():
    # The mean is (2.5, 0): 3 standard deviations above, 1 below: the root of (9 + 1) / 2.
    features = np.float16([[[2, 1], [3, 1]], [[1, -3], [4, 1]]])
    assert feature_distance(features, STATISTICS) == pytest.approx(5**0.5)
    assert feature_distance(np.array([1.0, 2.0]), STATISTICS) == 0


@pytest.mark.parametrize("shape", [(3, 3), (0, 2)])
def test_features_of_another_network_are_an_error(shape):
    with pytest.raises(ValueError, match="expected at least one, of 2 channels"):
        feature_distance(np.zeros(shape), STATISTICS)
