"""The cross-modal interaction module (Eq. 1)."""

import keras
from keras import ops

SENTENCE_POOLINGS = ("mean", "max", "attention")


def masked_mean(x, mask):
    """Mean of `x` `[B, M, C]` over the positions where `mask` `[B, M]` is True: `[B, C]`."""
    weights = ops.expand_dims(ops.cast(mask, x.dtype), -1)
    return ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)


def masked_max(x, mask):
    """Maximum of `x` `[B, M, C]` over valid positions, at least one per row: `[B, C]`."""
    return ops.max(ops.where(ops.expand_dims(mask, -1), x, -1e9), axis=1)


@keras.saving.register_keras_serializable("gkcmn")
class CrossModalInteraction(keras.layers.Layer):
    """Fuses video and sentence, Eq. 1 with `g` = ReLU.

        F1 = g(V Wv1) * g(Sr Ws1)
        F2 = concat(g(F1 Wf2), g(V Wv2))

    The paper does not specify the width of `F1`. In a wide one, a channel can respond to a single
    combination of what is seen and what is said.

    Nor does it specify how the words are pooled into the sentence tensor `Sr`. With `mean` and
    `max`, `Sr` is the same at every cell; its product with `Ws1` is computed once and broadcast.
    With `attention`, each cell computes a weighted mean of the words, with weights from scaled dot
    products of `V` and the words.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.cross_modal_interaction import CrossModalInteraction
        >>> fusion = CrossModalInteraction(16)
        >>> video, words = np.ones([1, 5, 4, 4, 8], "float32"), np.ones([1, 6, 12], "float32")
        >>> tuple(fusion(video, words, np.ones([1, 6], bool)).shape)
        (1, 5, 4, 4, 16)

    Args:
        fusion_width: `D'`, channels of `F2`; must be even.
        interaction_width: channels of `F1`; 0 for `fusion_width / 2`.
        sentence_pooling: `mean`, `max` or `attention`.

    Call arguments:
        video: `V`, `[B, T, S, S, d]`.
        words: `[B, N, D]`.
        word_mask: bool `[B, N]`.

    Returns:
        `F2`, `[B, T, S, S, D']`.

    Raises:
        ValueError: `fusion_width` is odd, or `sentence_pooling` is unknown.
    """

    def __init__(self, fusion_width, *, interaction_width=0, sentence_pooling="mean", **kwargs):
        super().__init__(**kwargs)
        if fusion_width % 2:
            raise ValueError(f"{self.name}: fusion_width must be even, got {fusion_width}")
        if sentence_pooling not in SENTENCE_POOLINGS:
            raise ValueError(
                f"{self.name}: sentence_pooling must be one of {', '.join(SENTENCE_POOLINGS)}; "
                f"got {sentence_pooling!r}"
            )
        self.fusion_width = fusion_width
        self.interaction_width = interaction_width
        self.sentence_pooling = sentence_pooling
        self.f1_width = interaction_width or fusion_width // 2

        def projection(name, activation="relu", width=fusion_width // 2):
            return keras.layers.Dense(
                width,
                activation=activation,
                kernel_initializer="he_normal" if activation else "glorot_uniform",
                dtype=self.dtype_policy,
                name=name,
            )

        self.w_v1, self.w_s1 = (projection(name, width=self.f1_width) for name in ("w_v1", "w_s1"))
        self.w_f2, self.w_v2 = projection("w_f2"), projection("w_v2")
        if sentence_pooling == "attention":
            self.cell_query, self.word_key = (
                projection("cell_query", None),
                projection("word_key", None),
            )

    def build(self, video_shape, words_shape):
        """Creates the weights for `V` and the word features."""
        self.w_v1.build(video_shape)
        self.w_s1.build((None, words_shape[-1]))
        self.w_f2.build((*video_shape[:-1], self.f1_width))
        self.w_v2.build(video_shape)
        if self.sentence_pooling == "attention":
            self.cell_query.build(video_shape)
            self.word_key.build(words_shape)

    def call(self, video, words, word_mask):
        """Fuses; see the class."""
        if self.sentence_pooling == "attention":
            sentence = self._attend(video, words, word_mask)
        else:
            pool = masked_mean if self.sentence_pooling == "mean" else masked_max
            sentence = self.w_s1(pool(words, word_mask))[:, None, None, None, :]
        f1 = self.w_v1(video) * sentence
        return ops.concatenate([self.w_f2(f1), self.w_v2(video)], axis=-1)

    def _attend(self, video, words, word_mask):
        """`g(Sr Ws1)` with attention over words at each cell, `[B, T, S, S, interaction_width]`."""
        logits = ops.einsum("btyxc,bnc->btyxn", self.cell_query(video), self.word_key(words))
        logits = ops.cast(logits, "float32") / (self.fusion_width // 2) ** 0.5
        logits = ops.where(word_mask[:, None, None, None, :], logits, -1e9)
        weights = ops.cast(ops.softmax(logits), words.dtype)
        return self.w_s1(ops.einsum("btyxn,bnd->btyxd", weights, words))

    def compute_output_shape(self, video_shape, words_shape):
        """`[B, T, S, S, D']`."""
        return (*video_shape[:-1], self.fusion_width)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "fusion_width": self.fusion_width,
            "interaction_width": self.interaction_width,
            "sentence_pooling": self.sentence_pooling,
        }
