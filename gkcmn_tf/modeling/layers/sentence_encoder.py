"""The sentence encoder (section 2.1)."""

import keras
from keras import ops

from gkcmn_tf.modeling.layers.recurrence import create_bigru
from gkcmn_tf.modeling.layers.self_attention import SelfAttention


@keras.saving.register_keras_serializable("gkcmn")
class SentenceEncoder(keras.layers.Layer):
    """Word embedding, self-attention layers and a BiGRU: `S = {s_n}` of section 2.1.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.sentence_encoder import SentenceEncoder
        >>> encoder = SentenceEncoder(vocabulary_size=50, word_width=16, sentence_width=32)
        >>> tokens = np.array([[7, 3, 9, 0]])
        >>> tuple(encoder(tokens, tokens != 0).shape)
        (1, 4, 32)

    Args:
        vocabulary_size: number of tokens, including padding (0) and unknown (1).
        word_width: width of a word vector.
        sentence_width: `D`, width of the word features; must be even, as each direction of the
            BiGRU has half of it.
        attention_layers: number of self-attention layers before the BiGRU.
        attention_heads: number of heads of each self-attention layer.
        train_word_vectors: whether the embedding is trainable; False freezes it.

    Call arguments:
        tokens: int `[B, N]`, 0 is padding.
        mask: bool `[B, N]`, True at words.

    Returns:
        word features `[B, N, D]`, float32; undefined at padding.

    Raises:
        ValueError: `sentence_width` is odd.
    """

    def __init__(
        self,
        vocabulary_size,
        *,
        word_width,
        sentence_width=128,
        attention_layers=2,
        attention_heads=4,
        train_word_vectors=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if sentence_width % 2:
            raise ValueError(f"{self.name}: sentence_width must be even, got {sentence_width}")
        self.vocabulary_size = vocabulary_size
        self.word_width = word_width
        self.sentence_width = sentence_width
        self.attention_layers = attention_layers
        self.attention_heads = attention_heads
        self.train_word_vectors = train_word_vectors
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            word_width,
            # The scale of a trained embedding after layer normalisation.
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.5),
            trainable=train_word_vectors,
            dtype=self.dtype_policy,
            name="embedding",
        )
        self.attention = [
            SelfAttention(attention_heads, dtype=self.dtype_policy, name=f"attention_{i}")
            for i in range(attention_layers)
        ]
        self.bigru = create_bigru(sentence_width)

    def build(self, tokens_shape):
        """Creates the weights for tokens of shape `[B, N]`."""
        self.embedding.build(tokens_shape)
        words_shape = (*tokens_shape, self.word_width)
        for layer in self.attention:
            layer.build(words_shape)
        self.bigru.build(words_shape)

    def call(self, tokens, mask):
        """Encodes; see the class."""
        words = self.embedding(tokens)
        for layer in self.attention:
            words = layer(words, mask)
        return self.bigru(words, mask=mask)

    def compute_output_shape(self, tokens_shape):
        """`[B, N, D]`."""
        return (*tokens_shape, self.sentence_width)

    def set_word_vectors(self, vectors):
        """Sets the embedding of a built layer to `vectors` `[vocabulary_size, word_width]`.

        Raises:
            ValueError: `vectors` has another shape.
        """
        expected = (self.vocabulary_size, self.word_width)
        if tuple(ops.shape(vectors)) != expected:
            raise ValueError(f"word vectors have shape {ops.shape(vectors)}, expected {expected}")
        self.embedding.set_weights([vectors])

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "word_width": self.word_width,
            "sentence_width": self.sentence_width,
            "attention_layers": self.attention_layers,
            "attention_heads": self.attention_heads,
            "train_word_vectors": self.train_word_vectors,
        }
