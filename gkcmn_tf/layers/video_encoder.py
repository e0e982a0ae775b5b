"""The trained part of the video encoder (section 2.1)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("gkcmn")
class VideoEncoder(keras.layers.Layer):
    """Projects stored I3D features to the visual width `d` of section 2.1.

    Args:
        width: `d`.

    Call arguments:
        features: `[B, T, S, S, C]`, any float type.

    Returns:
        `V`, `[B, T, S, S, d]`.
    """

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="projection")

    def build(self, features_shape):
        """Creates the weights for features of shape `[B, T, S, S, C]`."""
        self.projection.build(features_shape)

    def call(self, features):
        """Projects; see the class."""
        return self.projection(ops.cast(features, self.compute_dtype))

    def compute_output_shape(self, features_shape):
        """`[B, T, S, S, d]`."""
        return (*features_shape[:-1], self.width)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"width": self.width}
