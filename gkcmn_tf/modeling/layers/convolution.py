"""Convolution blocks on video tensors: the `K^i (x)` of Eq. 2 to 4."""

import keras
from keras import ops

from gkcmn_tf.modeling.layers.group_normalization import ClipGroupNormalization


def mask_steps(x, step_mask):
    """Sets padded steps of `x` `[B, T, ...]` to zero; `step_mask` is bool `[B, T]`."""
    shape = (-1, x.shape[1]) + (1,) * (len(x.shape) - 2)
    return x * ops.cast(ops.reshape(step_mask, shape), x.dtype)


@keras.saving.register_keras_serializable("gkcmn")
class ConvolutionBlock(keras.layers.Layer):
    """Convolution, group normalisation, ReLU: one block of the mixed network (section 2.2).

    With `rank=2` each step is convolved separately (this includes `reshape` and `reshape'` of
    Eq. 2). With `rank=3` the kernel also spans time. Padded steps are set to zero before a temporal
    convolution, like the zero padding at the end of a clip, and are excluded from the statistics of
    the normalisation. Their content does not affect valid steps.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.convolution import ConvolutionBlock
        >>> layer = ConvolutionBlock(8, rank=3)
        >>> x = np.ones([2, 5, 4, 4, 3], "float32")
        >>> step_mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
        >>> tuple(layer(x, step_mask).shape)
        (2, 5, 4, 4, 8)

    Args:
        filters: number of output channels.
        rank: 2 (space) or 3 (space and time).
        kernel_size: kernel size along each axis.
        max_groups: maximum number of groups of the normalisation; the largest divisor of `filters`
            up to this value is used.

    Call arguments:
        x: `[B, T, H, W, C]`.
        step_mask: bool `[B, T]`, False at padded steps.

    Returns:
        `[B, T, H, W, filters]`.

    Raises:
        ValueError: if `rank` is neither 2 nor 3.
    """

    def __init__(self, filters, *, rank, kernel_size=3, max_groups=8, **kwargs):
        super().__init__(**kwargs)
        if rank not in (2, 3):
            raise ValueError(f"{self.name}: rank must be 2 or 3, got {rank}")
        self.filters = filters
        self.rank = rank
        self.kernel_size = kernel_size
        self.max_groups = max_groups
        convolution = keras.layers.Conv2D if rank == 2 else keras.layers.Conv3D
        # No bias: the normalisation adds `beta`.
        self.convolution = convolution(
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="convolution",
        )
        groups = max(g for g in range(1, max_groups + 1) if filters % g == 0)
        self.normalization = ClipGroupNormalization(
            groups, dtype=self.dtype_policy, name="normalization"
        )

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, H, W, C]`."""
        self.convolution.build((None, *x_shape[2:]) if self.rank == 2 else x_shape)
        self.normalization.build((*x_shape[:-1], self.filters))

    def call(self, x, step_mask):
        """Applies the block; see the class."""
        if self.rank == 3:
            x = self.convolution(mask_steps(x, step_mask))
        else:
            T, *frame_shape = x.shape[1:]
            x = self.convolution(ops.reshape(x, (-1, *frame_shape)))
            x = ops.reshape(x, (-1, T, *x.shape[1:]))
        return ops.relu(self.normalization(x, step_mask))

    def compute_output_shape(self, x_shape):
        """`[B, T, H, W, filters]`."""
        return (*x_shape[:-1], self.filters)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "filters": self.filters,
            "rank": self.rank,
            "kernel_size": self.kernel_size,
            "max_groups": self.max_groups,
        }
