"""The trained part of the video encoder (section 2.1)."""

import keras
import numpy as np
from keras import ops

from gkcmn_tf.modeling.layers.compilation import compiled_on_gpu


@keras.saving.register_keras_serializable("gkcmn")
class VideoEncoder(keras.layers.Layer):
    """Standardises I3D features and projects them to width `d` (section 2.1).

    I3D features are outputs of a ReLU with a large mean per channel, compared to which differences
    between objects are small. `adapt` sets the mean and standard deviation of each channel to those
    of the training features; they are saved with the weights.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.video_encoder import VideoEncoder
        >>> encoder = VideoEncoder(32)
        >>> tuple(encoder(np.ones([1, 5, 7, 7, 64], "float16")).shape)
        (1, 5, 7, 7, 32)

    Args:
        width: `d`, number of output channels.
        dropout: dropout rate of whole channels, which are dropped at all steps and cells of a
            clip; reduces overfitting on small data sets.

    Call arguments:
        features: `[B, T, S, S, C]`, any float type.

    Returns:
        `V`, `[B, T, S, S, d]`.
    """

    def __init__(self, width, *, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.dropout = dropout
        self.channel_dropout = keras.layers.Dropout(
            dropout, noise_shape=(None, 1, 1, 1, None), dtype=self.dtype_policy
        )
        self.projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="projection")

    def build(self, features_shape):
        """Creates the weights for features of shape `[B, T, S, S, C]`."""
        channels = features_shape[-1:]
        self.mean = self.add_weight(
            name="mean", shape=channels, initializer="zeros", trainable=False
        )
        self.deviation = self.add_weight(
            name="deviation", shape=channels, initializer="ones", trainable=False
        )
        self.projection.build(features_shape)

    def adapt(self, features):
        """Sets mean and standard deviation of a built layer to those of `features` `[..., C]`."""
        features = np.asarray(features, np.float32).reshape(-1, self.mean.shape[0])
        self.mean.assign(features.mean(axis=0))
        # Channels with zero deviation are not scaled.
        deviation = features.std(axis=0)
        self.deviation.assign(np.where(deviation > 0, deviation, 1))

    def call(self, features, training=False):
        """Projects; see the class."""
        mean, deviation = (ops.cast(x, self.compute_dtype) for x in (self.mean, self.deviation))

        def standardize(features):
            return (ops.cast(features, self.compute_dtype) - mean) / deviation

        if training:
            standardize = compiled_on_gpu(standardize)
        return self.projection(self.channel_dropout(standardize(features)))

    def compute_output_shape(self, features_shape):
        """`[B, T, S, S, d]`."""
        return (*features_shape[:-1], self.width)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"width": self.width, "dropout": self.dropout}
