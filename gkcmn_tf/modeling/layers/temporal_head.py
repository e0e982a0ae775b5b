"""The temporal location head (section 2.4)."""

import keras
from keras import ops

from gkcmn_tf.modeling.layers.convolution import ConvolutionBlock, mask_steps
from gkcmn_tf.modeling.layers.recurrence import create_bigru
from gkcmn_tf.modeling.layers.self_attention import SelfAttention

EMBEDDING_KERNELS = (1, 3, 5)


@keras.saving.register_keras_serializable("gkcmn")
class RecurrentBranch(keras.layers.Layer):
    """BiGRU and 1D convolution: the score and the boundary heads of section 2.4.

    Args:
        filters: values predicted at each step.
        width: width of the BiGRU's output, half for each direction.

    Call arguments:
        x: `[B, T, C]`.
        step_mask: bool `[B, T]`.

    Returns:
        float32 `[B, T, filters]`.
    """

    def __init__(self, filters, *, width, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.width = width
        self.bigru = create_bigru(width)
        self.convolution = keras.layers.Conv1D(
            filters, 3, padding="same", dtype="float32", name="convolution"
        )

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, C]`."""
        self.bigru.build(x_shape)
        self.convolution.build((*x_shape[:-1], self.width))

    def call(self, x, step_mask):
        """Predicts; see the class."""
        return self.convolution(mask_steps(self.bigru(x, mask=step_mask), step_mask))

    def compute_output_shape(self, x_shape):
        """`[B, T, filters]`."""
        return (*x_shape[:-1], self.filters)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"filters": self.filters, "width": self.width}


@keras.saving.register_keras_serializable("gkcmn")
class TemporalHead(keras.layers.Layer):
    """Scores and offsets of the `K` candidate segments at every step (section 2.4, Fig. 4).

    The embedding layer is three 3D convolutions side by side (kernels 1, 3 and 5), a further 3D
    convolution, the average over space, and self-attention among steps; each head then is a
    BiGRU and a 1D convolution.

    With attention pooling, which is not in the paper, a mean over space whose weights depend on
    what a cell holds takes the place of the average: the small part of the picture that the
    sentence is about need not drown in the rest.

    Args:
        num_widths: `K`, candidates at each step.
        width: channels of the embedding.
        attention_heads: heads of the self-attention.
        self_attention: False removes it (Table 3, w/o TA).
        attention_pooling: True weighs the cells.

    Call arguments:
        x: `M_mix`, `[B, T, S, S, D']`.
        step_mask: bool `[B, T]`.

    Returns:
        score logits `[B, T, K]`, and offsets `(begin, end)` in steps `[B, T, K, 2]`, both float32.
    """

    def __init__(
        self,
        num_widths,
        *,
        width,
        attention_heads=4,
        self_attention=True,
        attention_pooling=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_widths = num_widths
        self.width = width
        self.attention_heads = attention_heads
        self.self_attention = self_attention
        self.attention_pooling = attention_pooling
        self.scales = [
            ConvolutionBlock(
                width, rank=3, kernel_size=size, dtype=self.dtype_policy, name=f"scale_{size}"
            )
            for size in EMBEDDING_KERNELS
        ]
        self.merge = ConvolutionBlock(width, rank=3, dtype=self.dtype_policy, name="merge")
        if attention_pooling:
            self.cell_score = keras.layers.Dense(1, dtype=self.dtype_policy, name="cell_score")
        if self_attention:
            self.attention = SelfAttention(
                attention_heads, dtype=self.dtype_policy, name="attention"
            )
        self.score = RecurrentBranch(num_widths, width=width, dtype=self.dtype_policy, name="score")
        self.boundary = RecurrentBranch(
            2 * num_widths, width=width, dtype=self.dtype_policy, name="boundary"
        )

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, S, S, D']`."""
        for scale in self.scales:
            scale.build(x_shape)
        self.merge.build((*x_shape[:-1], len(self.scales) * self.width))
        steps_shape = (*x_shape[:2], self.width)
        if self.attention_pooling:
            self.cell_score.build((*x_shape[:-1], self.width))
        if self.self_attention:
            self.attention.build(steps_shape)
        self.score.build(steps_shape)
        self.boundary.build(steps_shape)

    def call(self, x, step_mask):
        """Predicts; see the class."""
        scales = ops.concatenate([scale(x, step_mask) for scale in self.scales], axis=-1)
        steps = self._pool(self.merge(scales, step_mask))
        if self.self_attention:
            steps = self.attention(steps, step_mask)
        offsets = self.boundary(steps, step_mask)
        T = x.shape[1]
        return self.score(steps, step_mask), ops.reshape(offsets, (-1, T, self.num_widths, 2))

    def _pool(self, x):
        """`[B, T, S, S, C]` to `[B, T, C]`."""
        if not self.attention_pooling:
            return ops.mean(x, axis=(2, 3))
        weights = ops.softmax(ops.cast(self.cell_score(x), "float32"), axis=(2, 3))
        return ops.sum(ops.cast(weights, x.dtype) * x, axis=(2, 3))

    def compute_output_shape(self, x_shape):
        """Shapes of score logits and offsets."""
        scores = (*x_shape[:2], self.num_widths)
        return scores, (*scores, 2)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "num_widths": self.num_widths,
            "width": self.width,
            "attention_heads": self.attention_heads,
            "self_attention": self.self_attention,
            "attention_pooling": self.attention_pooling,
        }
