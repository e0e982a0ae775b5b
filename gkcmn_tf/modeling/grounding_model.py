"""Base class of GKCMN and the BM baseline: encoders, fusion, losses, metrics."""

import abc

import keras
import numpy as np
from keras import ops

from gkcmn_tf.modeling import keras_metrics
from gkcmn_tf.modeling.layers.cross_modal_interaction import CrossModalInteraction
from gkcmn_tf.modeling.layers.sentence_encoder import SentenceEncoder
from gkcmn_tf.modeling.layers.video_encoder import VideoEncoder


def global_sum(x):
    """Sums `x` over all replicas; returns `x` unchanged on backends other than TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        return x
    import tensorflow as tf  # noqa: PLC0415 - the core runs without TensorFlow

    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, x)


class GroundingModel(keras.Model, abc.ABC):
    """Base class of models that ground sentences in clips of I3D features.

    A batch holds `B` clips with `Q` sentences ("queries") each. The video encoder runs once per
    clip.

    Inputs are a dictionary of

    - `features`: float `[B, T, S, S, C]`, I3D features of each step;
    - `step_mask`: bool `[B, T]`, True at the `T'` valid steps, which come first;
    - `tokens`: int `[B, Q, N]`, 0 is padding;

    labels a dictionary of

    - `boxes`: float `[B, Q, T, 4]`, normalised; `box_mask`: bool `[B, Q, T]`, the annotated steps;
    - `segment`: float `[B, Q, 2]`, the true segment in step coordinates;
    - `query_mask`: bool `[B, Q]`, False at padding queries.

    Subclasses define `head`, `loss_samples`, `loss_totals`, `decode` and `segments`. Losses are
    normalised over the global batch: the sum of the losses of all replicas is the loss of the
    global batch.

    Example:
        >>> from gkcmn_tf import BM, GKCMN
        >>> from gkcmn_tf.modeling.grounding_model import GroundingModel
        >>> issubclass(GKCMN, GroundingModel) and issubclass(BM, GroundingModel)
        True
        >>> GKCMN.loss_names
        ('heatmap_loss', 'size_loss', 'score_loss', 'boundary_loss')

    Args:
        vocabulary_size: number of tokens, including padding and unknown.
        video_width: `d`, channels of the encoded video.
        feature_dropout: dropout rate of the feature channels.
        word_width: width of a word vector; the paper's GloVe vectors have 300.
        sentence_width: `D`, width of the encoded words.
        fusion_width: `D'`, channels of the fused features.
        interaction_width: channels of `F1` (Eq. 1); 0 for `fusion_width / 2`.
        sentence_pooling: how the fusion pools the words: `mean`, `max`, or `attention` (a weighted
            mean for each cell).
        attention_layers: number of self-attention layers in the sentence encoder.
        attention_heads: number of heads of each self-attention layer.
        train_word_vectors: whether word vectors are trained.
        loss_weights: the weight of each loss term, `alpha_1` to `alpha_4` of Eq. 10, in the order
            of `loss_names`.

    Raises:
        ValueError: `loss_weights` does not have one value for each of `loss_names`.
    """

    # Names of the loss terms, in the order of `loss_weights`.
    loss_names: tuple[str, ...]

    def __init__(
        self,
        vocabulary_size,
        *,
        video_width=32,
        feature_dropout=0.0,
        word_width=300,
        sentence_width=128,
        fusion_width=128,
        interaction_width=0,
        sentence_pooling="mean",
        attention_layers=2,
        attention_heads=4,
        train_word_vectors=True,
        loss_weights=(1.0, 2.0, 0.2, 0.1),
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(loss_weights) != len(self.loss_names):
            raise ValueError(
                f"loss_weights: expected {len(self.loss_names)} values, one for each of "
                f"{self.loss_names}, got {len(loss_weights)}"
            )
        self.vocabulary_size = vocabulary_size
        self.video_width = video_width
        self.feature_dropout = feature_dropout
        self.word_width = word_width
        self.sentence_width = sentence_width
        self.fusion_width = fusion_width
        self.interaction_width = interaction_width
        self.sentence_pooling = sentence_pooling
        self.attention_layers = attention_layers
        self.attention_heads = attention_heads
        self.train_word_vectors = train_word_vectors
        self.loss_weights = tuple(loss_weights)
        # `compile` never turns on XLA, which cannot compile cuDNN's GRU or the gradient in
        # mixed_bfloat16.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.video_encoder = VideoEncoder(
            video_width,
            dropout=feature_dropout,
            dtype=self.dtype_policy,
            name="video_encoder",
        )
        self.sentence_encoder = SentenceEncoder(
            vocabulary_size,
            word_width=word_width,
            sentence_width=sentence_width,
            attention_layers=attention_layers,
            attention_heads=attention_heads,
            train_word_vectors=train_word_vectors,
            dtype=self.dtype_policy,
            name="sentence_encoder",
        )
        self.interaction = CrossModalInteraction(
            fusion_width,
            interaction_width=interaction_width,
            sentence_pooling=sentence_pooling,
            dtype=self.dtype_policy,
            name="interaction",
        )
        self.step_metrics = keras_metrics.create()

    def build(self, input_shape):
        """Creates the weights from a dictionary of input shapes."""
        features, tokens = input_shape["features"], input_shape["tokens"]
        batch = (None,)
        self.video_encoder.build((*batch, *features[1:]))
        self.sentence_encoder.build((*batch, tokens[-1]))
        video = (*batch, *features[1:4], self.video_width)
        self.interaction.build(video, (*batch, tokens[-1], self.sentence_width))
        self.build_head((*batch, *features[1:4], self.fusion_width))

    @abc.abstractmethod
    def build_head(self, fused_shape):
        """Creates the weights of the layers after the fusion, for `F2` `[B, T, S, S, D']`."""

    @abc.abstractmethod
    def head(self, fused, step_mask):
        """Maps `F2` `[B, T, S, S, D']` to a dictionary of float32 outputs `[B, ...]`."""

    @abc.abstractmethod
    def loss_samples(self, inputs, labels):
        """Masks of the samples of each loss term, bool `[B, Q, ...]`, by loss name."""

    @abc.abstractmethod
    def loss_totals(self, inputs, labels, outputs, samples):
        """Sum of each loss term over its `samples` on this replica, by loss name."""

    @abc.abstractmethod
    def decode(self, inputs, outputs):
        """Decodes tubes: `segment` `[B, Q, 2]`, `score` `[B, Q]` and `boxes` `[B, Q, T, 4]`."""

    @abc.abstractmethod
    def segments(self, inputs, outputs):
        """All candidate segments: segments `[B, Q, M, 2]` and scores `[B, Q, M]`.

        Segments at invalid steps have a negative score.
        """

    def call(self, inputs):
        """Maps a dictionary of inputs to a dictionary of outputs `[B, Q, ...]`; see the class."""
        return self.ground(self.encode(inputs["features"], inputs["step_mask"]), inputs)

    def encode(self, features, step_mask):
        """Encodes clips: `V` `[B, T, S, S, d]`; invalid steps are 0, even if features are NaN."""
        video = self.video_encoder(features)
        return ops.where(step_mask[..., None, None, None], video, ops.zeros_like(video))

    def ground(self, video, inputs):
        """Like `call`, but takes encoded videos `V`, the result of `encode`."""
        tokens = inputs["tokens"]
        queries, words = ops.shape(tokens)[1], tokens.shape[2]
        tokens = ops.reshape(tokens, (-1, words))
        # Padding queries and clips keep one valid position: means and recurrent layers never see a
        # sequence of length zero.
        word_mask = (tokens != 0) | (ops.arange(words) == 0)
        step_mask = inputs["step_mask"] | (ops.arange(video.shape[1]) == 0)
        encoded = self.sentence_encoder(tokens, word_mask)
        fused = self.interaction(ops.repeat(video, queries, axis=0), encoded, word_mask)
        outputs = self.head(fused, ops.repeat(step_mask, queries, axis=0))
        return {
            name: ops.reshape(value, (-1, queries, *value.shape[1:]))
            for name, value in outputs.items()
        }

    def adapt(self, dataset, batches=8):
        """Computes the mean and standard deviation for the standardisation of features.

        Args:
            dataset: yields shuffled batches `(inputs, labels)`.
            batches: number of batches to use.
        """
        valid_features = []
        for _, (inputs, _) in zip(range(batches), dataset, strict=False):
            features = ops.convert_to_numpy(inputs["features"])
            valid_features.append(features[ops.convert_to_numpy(inputs["step_mask"])])
        self.video_encoder.adapt(np.concatenate(valid_features))

    def loss_counts(self, inputs, labels):
        """Number of samples of each loss term in the global batch, at least 1: `[num_losses]`."""
        samples = self.loss_samples(inputs, labels)
        counts = [ops.sum(ops.cast(samples[name], "float32")) for name in self.loss_names]
        # A single collective for all counts is faster. In addition, TensorFlow 2.20 confuses the
        # collectives of a step across replicas if there are more than ten.
        return ops.maximum(global_sum(ops.stack(counts)), 1)

    def normalized_losses(self, inputs, labels, outputs, counts=None):
        """Loss terms, normalised over the global batch, and their weighted sum `loss` (Eq. 10).

        The sum of each value over all replicas is the loss of the global batch.

        Args:
            inputs: inputs of this replica.
            labels: labels of this replica.
            outputs: outputs of the model for `inputs`.
            counts: `loss_counts` of the whole batch if `inputs` is a part of it; default: computed
                from `labels`.
        """
        counts = self.loss_counts(inputs, labels) if counts is None else counts
        totals = self.loss_totals(inputs, labels, outputs, self.loss_samples(inputs, labels))
        losses = {name: totals[name] / counts[i] for i, name in enumerate(self.loss_names)}
        weighted = [
            weight * losses[name]
            for name, weight in zip(self.loss_names, self.loss_weights, strict=True)
        ]
        return losses | {"loss": sum(weighted)}

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # With several replicas, `fit` reduces a batch over them to infer the input shapes, which
        # fails for bool masks. A built model does not need this.
        if not self.built:
            super()._maybe_symbolic_build(iterator, data_batch)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss that `fit` minimises: `normalized_losses(...)["loss"]`."""
        del sample_weight, training
        return self.normalized_losses(x, y, y_pred)["loss"]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates and returns the step-level metrics that `fit` and `evaluate` report."""
        decoded = self.decode(x, y_pred)
        values = keras_metrics.values(decoded["segment"], decoded["boxes"], y)
        keras_metrics.update(self.step_metrics, values, y)
        return self.get_metrics_result()

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "video_width": self.video_width,
            "feature_dropout": self.feature_dropout,
            "word_width": self.word_width,
            "sentence_width": self.sentence_width,
            "fusion_width": self.fusion_width,
            "interaction_width": self.interaction_width,
            "sentence_pooling": self.sentence_pooling,
            "attention_layers": self.attention_layers,
            "attention_heads": self.attention_heads,
            "train_word_vectors": self.train_word_vectors,
            "loss_weights": self.loss_weights,
        }
