"""Group normalisation of clips that may be padded."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("gkcmn")
class ClipGroupNormalization(keras.layers.Layer):
    """Group normalisation with statistics over the valid steps of each clip.

    They are taken over time and space together: normalised frame by frame, all frames would be
    equally strong, and whether anything happens in one would be lost. Neither other samples, other
    replicas nor padded steps take part.

    Args:
        groups: into which the channels are cut; must divide their number.
        epsilon: added to the variance.

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
            """Means of the groups, at each of their channels: `[B, 1, 1, 1, C]`."""
            sums = ops.reshape(ops.sum(values * mask, axis=(1, 2, 3)), (-1, self.groups, members))
            means = ops.repeat(ops.sum(sums, axis=-1) / count, members, axis=-1)
            return means[:, None, None, None, :]

        centered = x - mean(x)
        scale = ops.rsqrt(mean(ops.square(centered)) + self.epsilon)
        gamma, beta = (ops.cast(weight, "float32") for weight in (self.gamma, self.beta))
        return ops.cast(centered * (scale * gamma) + beta, self.compute_dtype)

    def compute_output_shape(self, x_shape):
        """That of the input."""
        return x_shape

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"groups": self.groups, "epsilon": self.epsilon}
