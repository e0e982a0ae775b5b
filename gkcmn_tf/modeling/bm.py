"""BM, the paper's anchor-free baseline: GKCMN without mixed network and location heads."""

import functools

import keras
from keras import ops

from gkcmn_tf.modeling import boxes as box_ops
from gkcmn_tf.modeling import decoding, losses, targets
from gkcmn_tf.modeling.grounding_model import GroundingModel


def _softplus(x):
    """Softplus of any `x`: that of TensorFlow Lite overflows above 88, and ONNX has no `log1p`."""
    return ops.relu(x) + ops.log(1 + ops.exp(-ops.abs(x)))


@keras.saving.register_keras_serializable("gkcmn")
class BM(GroundingModel):
    """Anchor-free baseline: GKCMN's encoders and fusion with linear heads (section 3, "BM").

    There is no convolution. Each of the `S x S` cells of the fused features of a step predicts a
    box by the distances from its centre to the sides, a segment by the distances from the middle of
    the step to begin and end, and a score for each. The predicted box of a step is the mean of its
    cells' boxes, weighted by the softmax of their scores; the predicted segment is the mean of the
    segments of all cells of all steps, weighted likewise. Neither can be located in features
    averaged over space. See `GroundingModel` for inputs and labels.

    Outputs, float32: `boxes`, normalised, `[B, Q, T, 4]`; `segments`, the mean of the cells of each
    step, in steps, `[B, Q, T, 2]`; `scores`, logits of the steps' segments, `[B, Q, T]`.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf import BM
        >>> model = BM(vocabulary_size=50)
        >>> outputs = model(
        ...     {
        ...         "features": np.zeros([1, 10, 7, 7, 64], "float32"),
        ...         "step_mask": np.ones([1, 10], bool),
        ...         "tokens": np.full([1, 2, 6], 3),
        ...     }
        ... )
        >>> tuple(outputs["boxes"].shape), tuple(outputs["segments"].shape)
        ((1, 2, 10, 4), (1, 2, 10, 2))

    Args:
        vocabulary_size: number of tokens, as in `GroundingModel`.
        loss_weights: weights of the GIoU losses of the boxes and of the segment.
        **kwargs: further arguments of `GroundingModel`.
    """

    loss_names = ("box_loss", "segment_loss")

    def __init__(self, vocabulary_size, *, loss_weights=(2.0, 1.0), **kwargs):
        super().__init__(vocabulary_size, loss_weights=loss_weights, **kwargs)
        linear = functools.partial(keras.layers.Dense, dtype="float32")
        self.box_score = linear(1, name="box_score")
        self.box_distances = linear(4, activation=_softplus, name="box_distances")
        self.segment_score = linear(1, name="segment_score")
        self.segment_distances = linear(2, activation=_softplus, name="segment_distances")

    def build_head(self, fused_shape):
        """Creates the weights of the four linear layers."""
        self.box_score.build(fused_shape)
        self.box_distances.build(fused_shape)
        self.segment_score.build(fused_shape)
        self.segment_distances.build(fused_shape)

    def head(self, fused, step_mask):
        """Applies the linear layers to `F2`."""
        _, T, S, _, _ = fused.shape

        def mean_over_cells(values, scores):
            # Flat, since a softmax over two axes needs the batch size in the graph.
            weights = ops.softmax(ops.reshape(scores, (-1, T, S * S, 1)), axis=2)
            return ops.sum(weights * ops.reshape(values, (-1, T, S * S, values.shape[-1])), axis=2)

        boxes = losses.boxes_from_distances(self.box_distances(fused)) / S
        segment_scores = self.segment_score(fused)
        # Distances are predicted as shares of the clip.
        length = ops.sum(ops.cast(step_mask, "float32"), axis=-1)[:, None, None]
        distances = mean_over_cells(self.segment_distances(fused), segment_scores) * length
        middle = ops.arange(T, dtype="float32")[:, None] + 0.5
        return {
            "boxes": mean_over_cells(boxes, self.box_score(fused)),
            "segments": middle + ops.convert_to_tensor([-1.0, 1.0]) * distances,
            "scores": ops.logsumexp(ops.reshape(segment_scores, (-1, T, S * S)), axis=-1),
        }

    def loss_samples(self, inputs, labels):
        """Masks: annotated steps for the boxes, queries that are not absent for the segment."""
        del inputs
        query_mask = labels["query_mask"] & targets.is_present(labels["segment"])
        return {"box_loss": labels["box_mask"] & query_mask[..., None], "segment_loss": query_mask}

    def loss_totals(self, inputs, labels, outputs, samples):
        """GIoU losses of the annotated steps' boxes and of the segment."""
        box_loss = 1 - box_ops.giou(outputs["boxes"], labels["boxes"])
        segment, _ = self._mean_segment(inputs, outputs)
        segment_loss = 1 - targets.segment_giou(segment, labels["segment"])
        return {
            "box_loss": ops.sum(ops.where(samples["box_loss"], box_loss, 0)),
            "segment_loss": ops.sum(ops.where(samples["segment_loss"], segment_loss, 0)),
        }

    def _weights(self, inputs, outputs):
        """Weight of the segment of each step, `[B, Q, T]`."""
        return ops.softmax(ops.where(inputs["step_mask"][:, None], outputs["scores"], -1e9))

    def _mean_segment(self, inputs, outputs):
        """Mean segment `[B, Q, 2]` and the weights of the steps `[B, Q, T]`."""
        weights = self._weights(inputs, outputs)
        return ops.sum(weights[..., None] * outputs["segments"], axis=-2), weights

    def decode(self, inputs, outputs):
        """Decodes the mean segment, with the highest weight of a step as its score, and boxes."""
        segments, scores = self.segments(inputs, outputs)
        return {
            "segment": segments[..., 0, :],
            "score": scores[..., 0],
            "boxes": ops.clip(outputs["boxes"], 0, 1),
        }

    def segments(self, inputs, outputs):
        """Returns the mean segment and that of each step, whose score is its weight."""
        step_mask = ops.expand_dims(inputs["step_mask"], 1)
        segment, weights = self._mean_segment(inputs, outputs)
        segments = ops.concatenate([segment[..., None, :], outputs["segments"]], axis=-2)
        scores = ops.where(step_mask, weights, -1.0)
        scores = ops.concatenate([ops.max(scores, axis=-1, keepdims=True), scores], axis=-1)
        return decoding.clip_segments(segments, ops.expand_dims(step_mask, -2)), scores
