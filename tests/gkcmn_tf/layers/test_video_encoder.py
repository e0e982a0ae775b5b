import numpy as np

from gkcmn_tf.layers.video_encoder import VideoEncoder


def test_contract(check_layer, rng):
    features = rng.normal(size=(2, 3, 4, 4, 10)).astype("float16")
    layer = VideoEncoder(6)
    (output,) = check_layer(layer, features, shapes=[(2, 3, 4, 4, 6)])
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(output, features.astype("float32") @ kernel + bias, atol=1e-5)
