"""The cross-modal interaction module (Eq. 1)."""

import keras
from keras import ops


def masked_mean(x, mask):
    """Mean of `x` `[B, M, C]` over the positions where `mask` `[B, M]` is True: `[B, C]`."""
    weights = ops.expand_dims(ops.cast(mask, x.dtype), -1)
    return ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)


@keras.saving.register_keras_serializable("gkcmn")
class CrossModalInteraction(keras.layers.Layer):
    """Fuses video and sentence, Eq. 1 with `g` = ReLU.

        F1 = g(V Wv1) * g(Sr Ws1)
        F2 = concat(g(F1 Wf2), g(V Wv2))

    The repeated sentence tensor `Sr` is the mean over the sentence's words, the same at every cell,
    so its product with `Ws1` is taken once and broadcast.

    Args:
        fusion_width: `D'`, channels of `F2`; even, half for each part of the concatenation.

    Call arguments:
        video: `V`, `[B, T, S, S, d]`.
        words: `[B, N, D]`.
        word_mask: bool `[B, N]`.

    Returns:
        `F2`, `[B, T, S, S, D']`.
    """

    def __init__(self, fusion_width, **kwargs):
        super().__init__(**kwargs)
        if fusion_width % 2:
            raise ValueError(f"{self.name}: fusion_width must be even, got {fusion_width}")
        self.fusion_width = fusion_width

        def projection(name):
            return keras.layers.Dense(
                fusion_width // 2,
                activation="relu",
                kernel_initializer="he_normal",
                dtype=self.dtype_policy,
                name=name,
            )

        self.w_v1, self.w_s1 = projection("w_v1"), projection("w_s1")
        self.w_f2, self.w_v2 = projection("w_f2"), projection("w_v2")

    def build(self, video_shape, words_shape):
        """Creates the weights for `V` and the word features."""
        self.w_v1.build(video_shape)
        self.w_s1.build((None, words_shape[-1]))
        self.w_f2.build((*video_shape[:-1], self.fusion_width // 2))
        self.w_v2.build(video_shape)

    def call(self, video, words, word_mask):
        """Fuses; see the class."""
        sentence = self.w_s1(masked_mean(words, word_mask))
        f1 = self.w_v1(video) * sentence[:, None, None, None, :]
        return ops.concatenate([self.w_f2(f1), self.w_v2(video)], axis=-1)

    def compute_output_shape(self, video_shape, words_shape):
        """`[B, T, S, S, D']`."""
        return (*video_shape[:-1], self.fusion_width)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"fusion_width": self.fusion_width}
