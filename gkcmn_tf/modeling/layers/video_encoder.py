"""The trained part of the video encoder (section 2.1)."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("gkcmn")
class VideoEncoder(keras.layers.Layer):
    """Standardises stored I3D features and projects them to the visual width `d` (section 2.1).

    I3D's features follow a ReLU: each channel has a mean of its own, far from 0, in which all that
    differs between objects would drown. Means and deviations are those of the training features;
    `adapt` sets them, and they are saved with the weights.

    Args:
        width: `d`.
        dropout: share of the channels that training leaves out, other ones for each clip, the same
            at all of its steps and cells. Against overfitting where videos are few.

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
        """Sets the statistics of a built layer to those of `features`, `[..., C]`."""
        features = np.asarray(features, np.float32).reshape(-1, self.mean.shape[0])
        self.mean.assign(features.mean(axis=0))
        # A channel that never fires stays as it is.
        deviation = features.std(axis=0)
        self.deviation.assign(np.where(deviation > 0, deviation, 1))

    def call(self, features):
        """Projects; see the class."""
        features = ops.cast(features, self.compute_dtype)
        mean, deviation = (ops.cast(x, self.compute_dtype) for x in (self.mean, self.deviation))
        return self.projection(self.channel_dropout((features - mean) / deviation))

    def compute_output_shape(self, features_shape):
        """`[B, T, S, S, d]`."""
        return (*features_shape[:-1], self.width)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"width": self.width, "dropout": self.dropout}
