import numpy as np
import pytest

from gkcmn_tf.i3d import batch_norm_statistics, loading, weight_sources
from tests.gkcmn_tf.i3d.reference_i3d import relative_difference


def test_random_weights_depend_only_on_the_seed():
    known = weight_sources.source_fingerprint("random:3")
    # The exact value, since it must be the same on every machine.
    assert known == "e878afa6a6c59301f66b812028ec483b41c8acef4271a9039bae9610ae772524"
    assert known != weight_sources.source_fingerprint("random:4")


@pytest.mark.slow
def test_random_weights_are_deterministic_and_their_features_depend_on_motion():
    model = loading.load_i3d("random:3")
    again = loading.load_i3d("random:3")
    clips = batch_norm_statistics.calibration_clips(9, num_clips=1)
    features = np.asarray(model(clips))
    np.testing.assert_allclose(features, again(clips), atol=1e-4)
    assert 0.2 < (features > 0).mean() < 0.8
    # In reverse order only the motion differs.
    assert relative_difference(model(clips[:, ::-1]), features) > 0.05
