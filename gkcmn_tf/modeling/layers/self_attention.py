"""Self-attention over words or steps (sections 2.1 and 2.4)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("gkcmn")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention with a residual connection and layer normalisation.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.self_attention import SelfAttention
        >>> layer = SelfAttention(num_heads=4)
        >>> mask = np.array([[True, True, False]])
        >>> tuple(layer(np.ones([1, 3, 16], "float32"), mask).shape)
        (1, 3, 16)

    Args:
        num_heads: number of attention heads; must divide the input width `C`.

    Call arguments:
        x: `[B, M, C]`.
        mask: bool `[B, M]`, False at padding, which is not attended to.

    Returns:
        `[B, M, C]`.

    Raises:
        ValueError: if `num_heads` does not divide `C`.
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, M, C]`."""
        width = x_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"{self.name}: {self.num_heads} heads do not divide width {width}")
        self.attention = keras.layers.MultiHeadAttention(
            self.num_heads, width // self.num_heads, dtype=self.dtype_policy, name="attention"
        )
        self.attention.build(x_shape, x_shape)
        self.normalization = keras.layers.LayerNormalization(
            dtype=self.dtype_policy, name="normalization"
        )
        self.normalization.build(x_shape)

    def call(self, x, mask):
        """Attends; see the class."""
        attended = self.attention(x, x, attention_mask=ops.expand_dims(mask, 1))
        return self.normalization(x + attended)

    def compute_output_shape(self, x_shape):
        """Same as the input shape."""
        return x_shape

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"num_heads": self.num_heads}
