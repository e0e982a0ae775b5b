import numpy as np

from gkcmn_tf.modeling.layers.video_encoder import VideoEncoder


def test_contract(check_layer, rng):
    features = rng.normal(size=(2, 3, 4, 4, 10)).astype("float16")
    layer = VideoEncoder(6)
    (output,) = check_layer(layer, features, shapes=[(2, 3, 4, 4, 6)])
    kernel, bias = layer.projection.get_weights()
    np.testing.assert_allclose(output, features.astype("float32") @ kernel + bias, atol=1e-5)


def test_adapt_standardises_each_channel(rng):
    features = rng.normal([2, -1, 0], [3, 0.5, 0], (4, 5, 2, 2, 3)).astype("float32")
    layer = VideoEncoder(3)
    layer.build((None, 5, 2, 2, 3))
    layer.adapt(features)
    layer.projection.set_weights([np.eye(3), np.zeros(3)])
    output = np.asarray(layer(features))
    np.testing.assert_allclose(output.mean(axis=(0, 1, 2, 3)), 0, atol=1e-4)
    # The third channel is constant, and its scale is not changed.
    np.testing.assert_allclose(output.std(axis=(0, 1, 2, 3)), [1, 1, 0], atol=1e-3)


def test_dropout_drops_whole_channels_of_a_clip_in_training(rng):
    features = np.ones((6, 3, 2, 2, 40), "float32")
    layer = VideoEncoder(40, dropout=0.5)
    layer.build(features.shape)
    layer.projection.set_weights([np.eye(40), np.zeros(40)])
    np.testing.assert_array_equal(layer(features, training=False), features)
    output = np.asarray(layer(features, training=True))
    assert set(np.unique(output)) == {0, 2}
    assert (output == output[:, :1, :1, :1]).all()
    assert (output[0] != output[1]).any()
