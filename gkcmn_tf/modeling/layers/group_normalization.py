"""Group normalisation of padded clips."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("gkcmn")
class ClipGroupNormalization(keras.layers.Layer):
    """Group normalisation with statistics over the valid steps of each clip.

    Statistics are computed per clip over time and space. Statistics per step would remove
    differences in magnitude between steps. Other clips, other replicas and padded steps have no
    influence.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.group_normalization import ClipGroupNormalization
        >>> layer = ClipGroupNormalization(groups=2)
        >>> x = np.ones([2, 5, 4, 4, 6], "float32")
        >>> step_mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
        >>> tuple(layer(x, step_mask).shape)
        (2, 5, 4, 4, 6)

    Args:
        groups: number of channel groups; must divide the number of channels.
        epsilon: small constant added to the variance.

    Call arguments:
        x: `[B, T, H, W, C]`.
        step_mask: bool `[B, T]`, False at padded steps.

    Returns:
        `[B, T, H, W, C]`.

    Raises:
        ValueError: `groups` does not divide `C`.
    """

    def __init__(self, groups, *, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.groups = groups
        self.epsilon = epsilon

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, H, W, C]`."""
        channels = x_shape[-1]
        if channels % self.groups:
            raise ValueError(f"{self.name}: {self.groups} groups do not divide {channels} channels")
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")

    def call(self, x, step_mask):
        """Normalises; see the class."""
        H, W, C = x.shape[2:]
        members = C // self.groups
        x = ops.cast(x, "float32")
        mask = ops.cast(step_mask, "float32")[:, :, None, None, None]
        count = ops.maximum(ops.sum(mask, axis=(1, 2, 3)) * (H * W * members), 1)

        def mean(values):
            """Group means, repeated for each channel of the group: `[B, 1, 1, 1, C]`."""
            sums = ops.reshape(ops.sum(values * mask, axis=(1, 2, 3)), (-1, self.groups, members))
            means = ops.repeat(ops.sum(sums, axis=-1) / count, members, axis=-1)
            return means[:, None, None, None, :]

        centered = x - mean(x)
        scale = ops.rsqrt(mean(ops.square(centered)) + self.epsilon)
        gamma, beta = (ops.cast(weight, "float32") for weight in (self.gamma, self.beta))
        return ops.cast(centered * (scale * gamma) + beta, self.compute_dtype)

    def compute_output_shape(self, x_shape):
        """Same as the input shape."""
        return x_shape

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"groups": self.groups, "epsilon": self.epsilon}
