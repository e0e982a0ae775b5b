"""Group normalisation of padded clips."""

import keras
from keras import ops

from gkcmn_tf.modeling.layers.compilation import compiled_on_gpu


class _Statistics:
    """Computes group normalisation and its gradient in float32.

    Sums are taken over each step first, then over the valid steps. Thus no mask is applied to a
    whole tensor, and a GPU sums many short columns in parallel instead of a few long ones.
    """

    def __init__(self, x_shape, step_mask, groups, epsilon):
        _, _, H, W, self.channels = x_shape
        self.groups, self.epsilon = groups, epsilon
        self.mask = ops.expand_dims(ops.cast(step_mask, "float32"), -1)
        self.count = ops.maximum(
            ops.sum(self.mask, axis=(1, 2)) * (H * W * self.channels // groups), 1
        )

    def group_mean(self, sums):
        """Means over the groups from the sums `[B, C]` of the channels: `[B, 1, 1, 1, C]`."""
        sums = ops.sum(ops.reshape(sums, (-1, self.groups, self.channels // self.groups)), axis=-1)
        means = ops.repeat(sums / self.count[:, None], self.channels // self.groups, axis=-1)
        return means[:, None, None, None, :]

    def valid_mean(self, x):
        """Group means over the valid steps, `[B, 1, 1, 1, C]`."""
        return self.group_mean(ops.sum(ops.sum(x, axis=(2, 3)) * self.mask, axis=1))

    def normalize(self, x, gamma, beta):
        """Returns the normalised `x` in its dtype, the means and the factors of the groups."""
        values = ops.cast(x, "float32")
        mean = self.valid_mean(values)
        centered = values - mean
        scale = ops.rsqrt(self.valid_mean(ops.square(centered)) + self.epsilon)
        return ops.cast(centered * (scale * gamma) + beta, x.dtype), mean, scale

    def gradients(self, upstream, x, gamma, mean, scale):
        """Gradients of `x`, `gamma` and `beta`."""
        outer = ops.cast(upstream, "float32")
        inner = (ops.cast(x, "float32") - mean) * scale
        sums, products = (
            ops.sum(ops.sum(value, axis=(2, 3)), axis=1) for value in (outer, outer * inner)
        )
        # Only valid steps contribute to the statistics.
        through_mean, through_scale = (
            self.group_mean(value * gamma) * self.mask[:, :, None, None, :]
            for value in (sums, products)
        )
        of_x = (outer * gamma - through_mean - inner * through_scale) * scale
        return ops.cast(of_x, x.dtype), ops.sum(products, axis=0), ops.sum(sums, axis=0)


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

    def call(self, x, step_mask, training=False):
        """Normalises; see the class."""
        gamma, beta = (ops.cast(weight, "float32") for weight in (self.gamma, self.beta))
        statistics = _Statistics(x.shape, step_mask, self.groups, self.epsilon)
        if not training:
            return statistics.normalize(x, gamma, beta)[0]

        # The gradient of TensorFlow would keep several float32 tensors instead of `x`.
        @ops.custom_gradient
        def normalize(x, gamma, beta):
            normalized, mean, scale = compiled_on_gpu(statistics.normalize)(x, gamma, beta)

            def gradient(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream
                return compiled_on_gpu(statistics.gradients)(upstream, x, gamma, mean, scale)

            return normalized, gradient

        return normalize(x, gamma, beta)

    def compute_output_shape(self, x_shape):
        """Same as the input shape."""
        return x_shape

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"groups": self.groups, "epsilon": self.epsilon}
