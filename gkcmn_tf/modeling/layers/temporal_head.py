"""The temporal location head (section 2.4)."""

import keras
from keras import ops

from gkcmn_tf.modeling.layers.convolution import ConvolutionBlock, mask_steps
from gkcmn_tf.modeling.layers.recurrence import JointBiGRU, create_bigru
from gkcmn_tf.modeling.layers.self_attention import SelfAttention

EMBEDDING_KERNELS = (1, 3, 5)


@keras.saving.register_keras_serializable("gkcmn")
class RecurrentBranch(keras.layers.Layer):
    """BiGRU followed by a 1D convolution: the score and boundary heads of section 2.4.

    The branch holds the BiGRU; `JointBiGRU` runs it together with that of the other branch.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.temporal_head import RecurrentBranch
        >>> layer = RecurrentBranch(3, width=8)
        >>> layer.build((None, 5, 16))
        >>> x = np.ones([2, 5, 16], "float32")
        >>> step_mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
        >>> tuple(layer(layer.bigru(x), step_mask).shape)
        (2, 5, 3)

    Args:
        filters: number of outputs per step.
        width: output width of the BiGRU; each direction has half of it.

    Call arguments:
        states: output of the BiGRU, `[B, T, width]`.
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
            filters,
            3,
            padding="same",
            data_format="channels_last",
            dtype="float32",
            name="convolution",
        )

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, C]`."""
        self.bigru.build(x_shape)
        self.convolution.build((*x_shape[:-1], self.width))

    def call(self, states, step_mask):
        """Predicts; see the class."""
        return self.convolution(mask_steps(states, step_mask))

    def compute_output_shape(self, states_shape):
        """`[B, T, filters]`."""
        return (*states_shape[:-1], self.filters)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"filters": self.filters, "width": self.width}


@keras.saving.register_keras_serializable("gkcmn")
class TemporalHead(keras.layers.Layer):
    """Predicts scores and offsets of `K` candidate segments per step (section 2.4, Fig. 4).

    The embedding consists of three parallel 3D convolutions (kernel sizes 1, 3 and 5), another 3D
    convolution, average pooling over space, and self-attention over steps. Each head is a BiGRU
    followed by a 1D convolution.

    Attention pooling, which is not in the paper, replaces the average over space with a weighted
    mean. The weights are predicted from the features of each cell, so that small objects are not
    averaged out.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.temporal_head import TemporalHead
        >>> head = TemporalHead(num_widths=7, width=8)
        >>> logits, offsets = head(np.ones([1, 5, 4, 4, 8], "float32"), np.ones([1, 5], bool))
        >>> tuple(logits.shape), tuple(offsets.shape)
        ((1, 5, 7), (1, 5, 7, 2))

    Args:
        num_widths: `K`, number of candidates per step.
        width: channels of the embedding.
        attention_heads: number of heads of the self-attention.
        self_attention: whether to use self-attention; False is ablation w/o TA of Table 3.
        attention_pooling: whether to pool over space with attention.

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
        self.bigrus = JointBiGRU(2, width, name="bigrus")
        self.score = RecurrentBranch(num_widths, width=width, dtype="float32", name="score")
        self.boundary = RecurrentBranch(
            2 * num_widths, width=width, dtype="float32", name="boundary"
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
        self.bigrus.built = True
        self.score.build(steps_shape)
        self.boundary.build(steps_shape)

    def call(self, x, step_mask):
        """Predicts; see the class."""
        scales = ops.concatenate([scale(x, step_mask) for scale in self.scales], axis=-1)
        steps = self._pool(self.merge(scales, step_mask))
        if self.self_attention:
            steps = self.attention(steps, step_mask)
        states = self.bigrus(steps, step_mask, layers=[self.score.bigru, self.boundary.bigru])
        scores, offsets = (
            branch(of_branch, step_mask)
            for branch, of_branch in zip((self.score, self.boundary), states, strict=True)
        )
        return scores, ops.reshape(offsets, (-1, x.shape[1], self.num_widths, 2))

    def _pool(self, x):
        """Pools over space: `[B, T, S, S, C]` to `[B, T, C]`."""
        if not self.attention_pooling:
            return ops.mean(x, axis=(2, 3))
        # Flat, since a softmax over two axes needs the batch size in the graph.
        _, T, S, _, C = x.shape
        x = ops.reshape(x, (-1, T, S * S, C))
        weights = ops.softmax(ops.cast(self.cell_score(x), "float32"), axis=2)
        return ops.sum(ops.cast(weights, x.dtype) * x, axis=2)

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
