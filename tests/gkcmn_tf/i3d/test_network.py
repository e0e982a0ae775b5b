import keras
import numpy as np
import pytest

from gkcmn_tf.i3d import batch_norm_statistics, network


def test_an_unknown_endpoint_is_refused(random_variables):
    with pytest.raises(ValueError, match="has no endpoint 'Mixed_5d'"):
        network.build_i3d(random_variables, "Mixed_5d")


def test_clips_of_any_size_are_accepted(features_model):
    for shape, expected in [
        ((1, 1, 33, 32, 3), (1, 1, 2, 1, 1024)),
        ((2, 17, 32, 65, 3), (2, 3, 1, 3, 1024)),
    ]:
        assert features_model(np.zeros(shape, np.float32)).shape == expected


@pytest.mark.parametrize(
    ("endpoint", "shape"),
    [
        ("Conv3d_1a_7x7", (4, 112, 112, 64)),
        ("MaxPool3d_2a_3x3", (4, 56, 56, 64)),
        ("Conv3d_2b_1x1", (4, 56, 56, 64)),
        ("Conv3d_2c_3x3", (4, 56, 56, 192)),
        ("MaxPool3d_3a_3x3", (4, 28, 28, 192)),
        ("Mixed_3b", (4, 28, 28, 256)),
        ("Mixed_3c", (4, 28, 28, 480)),
        ("MaxPool3d_4a_3x3", (2, 14, 14, 480)),
        ("Mixed_4b", (2, 14, 14, 512)),
        ("Mixed_4c", (2, 14, 14, 512)),
        ("Mixed_4d", (2, 14, 14, 512)),
        ("Mixed_4e", (2, 14, 14, 528)),
        ("Mixed_4f", (2, 14, 14, 832)),
        ("MaxPool3d_5a_2x2", (1, 7, 7, 832)),
        ("Mixed_5b", (1, 7, 7, 832)),
        ("Mixed_5c", (1, 7, 7, 1024)),
    ],
)
def test_shapes_at_each_endpoint_for_8_frames(endpoint, shape, features_model):
    # Layers have the names of the endpoints; shapes need no computation.
    cut = keras.Model(features_model.input, features_model.get_layer(endpoint).output)
    spec = cut.compute_output_spec(keras.KerasTensor((5, 8, 224, 224, 3)))
    assert spec.shape == (5, *shape)


def test_the_network_ends_at_the_endpoint(random_variables):
    model = network.build_i3d(random_variables, "MaxPool3d_2a_3x3")
    assert model.count_params() == 7 * 7 * 7 * 3 * 64 + 64
    assert model(np.zeros((1, 8, 16, 16, 3), np.float32)).shape == (1, 4, 4, 4, 64)


@pytest.mark.parametrize("shape", [(1, 8, 224, 224, 3), (1, 9, 192, 224, 3)])
def test_logits_of_too_small_clips_are_refused(shape, random_variables):
    model = network.build_i3d(random_variables, "Logits")
    with pytest.raises(ValueError, match="at least 9 frames of at least 193x193"):
        model(np.zeros(shape, np.float32))


def test_logits_of_the_smallest_clip_are_finite(random_variables):
    model = network.build_i3d(random_variables, "Logits")
    assert np.isfinite(model(np.ones((1, 9, 193, 193, 3), np.float32))).all()


def test_a_saved_model_gives_the_same_output_when_loaded(random_variables, tmp_path):
    clip = batch_norm_statistics.calibration_clips(2, num_clips=1)[:, :, ::4, ::4]
    for endpoint, dtype in (("Mixed_5c", "bfloat16"), ("Predictions", "float32")):
        model = network.build_i3d(random_variables, endpoint, dtype=dtype)
        model.save(tmp_path / "i3d.keras")
        restored = keras.saving.load_model(tmp_path / "i3d.keras")
        for mine, theirs in zip(model.weights, restored.weights, strict=True):
            assert mine.path == theirs.path
            assert np.array_equal(mine, theirs)
        if endpoint == "Mixed_5c":
            assert np.array_equal(model(clip), restored(clip))
