"""The spatial location head (section 2.3)."""

import math

import keras
from keras import ops

from gkcmn_tf.modeling.layers.convolution import ConvolutionBlock

# Initial bias, as in CenterNet: sigmoid(-2.19) = 0.1, since nearly all pixels are negative.
HEATMAP_BIAS = -2.19


@keras.saving.register_keras_serializable("gkcmn")
class SpatialHead(keras.layers.Layer):
    """Predicts a heatmap and box distances on an `L x L` grid (section 2.3).

    `M_mix` is up-sampled bilinearly to `M_up`. One branch predicts the heatmap of Eq. 5, another
    the four positive distances from the pixel centre to the box edges.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.spatial_head import SpatialHead
        >>> head = SpatialHead(16, width=8)
        >>> logits, distances = head(np.ones([1, 5, 7, 7, 8], "float32"), np.ones([1, 5], bool))
        >>> tuple(logits.shape), tuple(distances.shape)
        ((1, 5, 16, 16), (1, 5, 16, 16, 4))

    Args:
        heatmap_size: `L`, height and width of the heatmap.
        width: hidden channels of each branch.
        initial_distance: initial prediction of the size branch, in cells.

    Call arguments:
        x: `M_mix`, `[B, T, S, S, D']`.
        step_mask: bool `[B, T]`.

    Returns:
        heatmap logits `[B, T, L, L]`, and distances (left, top, right, bottom) in cells
        `[B, T, L, L, 4]`, both float32.
    """

    def __init__(self, heatmap_size, *, width, initial_distance=2.0, **kwargs):
        super().__init__(**kwargs)
        self.heatmap_size = heatmap_size
        self.width = width
        self.initial_distance = initial_distance
        self.blocks = {
            name: ConvolutionBlock(width, rank=2, dtype=self.dtype_policy, name=f"{name}_block")
            for name in ("heatmap", "size")
        }
        self.heatmap = keras.layers.Dense(
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(HEATMAP_BIAS),
            dtype="float32",
            name="heatmap",
        )
        self.size = keras.layers.Dense(
            4,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(math.log(math.expm1(initial_distance))),
            dtype="float32",
            name="size",
        )

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, S, S, D']`."""
        batch, T, *_, channels = x_shape
        L = self.heatmap_size
        for block in self.blocks.values():
            block.build((batch, T, L, L, channels))
        self.heatmap.build((batch, T, L, L, self.width))
        self.size.build((batch, T, L, L, self.width))

    def call(self, x, step_mask):
        """Predicts; see the class."""
        _, T, S, _, channels = x.shape
        L = self.heatmap_size
        x = ops.image.resize(
            ops.reshape(x, (-1, S, S, channels)), (L, L), "bilinear", data_format="channels_last"
        )
        x = ops.reshape(ops.cast(x, self.compute_dtype), (-1, T, L, L, channels))
        heatmap = self.heatmap(self.blocks["heatmap"](x, step_mask))
        # Softplus instead of exp: a clipped exp has no gradient once it saturates.
        size = ops.softplus(self.size(self.blocks["size"](x, step_mask)))
        return ops.squeeze(heatmap, -1), size

    def compute_output_shape(self, x_shape):
        """Shapes of heatmap logits and distances."""
        grid = (*x_shape[:2], self.heatmap_size, self.heatmap_size)
        return grid, (*grid, 4)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "heatmap_size": self.heatmap_size,
            "width": self.width,
            "initial_distance": self.initial_distance,
        }
