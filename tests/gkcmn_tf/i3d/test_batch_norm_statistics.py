import keras
import numpy as np

from gkcmn_tf.i3d import batch_norm_statistics, network, weight_sources


def test_calibrated_activations_have_zero_mean_and_unit_variance(random_variables):
    clips = batch_norm_statistics.calibration_clips(0, num_clips=2)
    before = {name: value.copy() for name, value in random_variables.items()}
    calibrated = batch_norm_statistics.calibrate(random_variables, clips[:, :, ::4, ::4])
    model = network.build_i3d(calibrated, fold_batch_norm=False)
    for unit in ("Conv3d_1a_7x7", "Mixed_4d_Branch_1_Conv3d_0b_3x3"):
        layer = model.get_layer(f"{unit}_batch_norm")
        inner = keras.Model(model.input, layer.output)
        y = np.asarray(inner(clips[:, :, ::4, ::4])) - np.asarray(layer.beta)
        np.testing.assert_allclose(y.mean((0, 1, 2, 3)), 0, atol=1e-3)
        np.testing.assert_allclose(np.median(y.std((0, 1, 2, 3))), 1, atol=0.02)
    assert all(np.array_equal(before[name], random_variables[name]) for name in before)


def test_calibration_clips_are_deterministic_and_in_range():
    clips = batch_norm_statistics.calibration_clips(1, num_clips=2)
    assert clips.shape == (2, 8, 224, 224, 3)
    assert clips.dtype == np.float32
    assert -1 <= clips.min() < -0.5 < 0.5 < clips.max() <= 1
    assert np.array_equal(clips, batch_norm_statistics.calibration_clips(1, num_clips=2))
    # Something moves in front of a constant background.
    still = (clips[:, 1:] == clips[:, :-1]).all(-1).mean()
    assert 0.5 < still < 1


def test_the_statistics_in_the_package_are_those_of_the_calibration():
    variables = weight_sources.read_variables("random:0")
    packaged = batch_norm_statistics.with_random_statistics(variables, 0)
    clips = batch_norm_statistics.calibration_clips(0)
    calibrated = batch_norm_statistics.calibrate(variables, clips)
    assert packaged.keys() == calibrated.keys()
    changed = [name for name in variables if not np.array_equal(variables[name], packaged[name])]
    assert changed == [name for name in variables if "/moving_" in name]
    for name in changed:
        scale = np.abs(calibrated[name]).max()
        np.testing.assert_allclose(packaged[name], calibrated[name], atol=1e-4 * scale)
