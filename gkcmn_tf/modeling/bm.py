"""BM, the paper's anchor-free baseline: GKCMN without mixed network and location heads."""

import keras
from keras import ops

from gkcmn_tf.modeling import boxes as box_ops
from gkcmn_tf.modeling import decoding, losses, targets
from gkcmn_tf.modeling.grounding_model import GroundingModel


@keras.saving.register_keras_serializable("gkcmn")
class BM(GroundingModel):
    """Anchor-free baseline: GKCMN's encoders and fusion with linear heads (section 3, "BM").

    There is no convolution. At each step, each of the `S x S` cells of the fused features has a
    score and a box, given by the distances from the centre of the cell to the sides; the predicted
    box is the mean of the boxes of all cells, weighted by the softmax of the scores. A box that is
    predicted from features averaged over space cannot be located. The logits of being the first
    and the last step of the segment are predicted from these averages. See `GroundingModel` for
    inputs and labels.

    Outputs, float32: `boxes`, normalised, `[B, Q, T, 4]`; `ends`, logits of first and last step,
    `[B, Q, T, 2]`.

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
        >>> tuple(outputs["boxes"].shape), tuple(outputs["ends"].shape)
        ((1, 2, 10, 4), (1, 2, 10, 2))

    Args:
        vocabulary_size: number of tokens, as in `GroundingModel`.
        loss_weights: weights of the GIoU loss of the boxes and of the cross-entropy of the ends.
        **kwargs: further arguments of `GroundingModel`.
    """

    loss_names = ("box_loss", "end_loss")

    def __init__(self, vocabulary_size, *, loss_weights=(2.0, 1.0), **kwargs):
        super().__init__(vocabulary_size, loss_weights=loss_weights, **kwargs)
        self.cell_score = keras.layers.Dense(1, dtype="float32", name="cell_score")
        self.distances = keras.layers.Dense(
            4, activation="softplus", dtype="float32", name="distances"
        )
        self.end = keras.layers.Dense(2, dtype="float32", name="end")

    def build_head(self, fused_shape):
        """Creates the weights of the three linear layers."""
        self.cell_score.build(fused_shape)
        self.distances.build(fused_shape)
        self.end.build((*fused_shape[:2], fused_shape[-1]))

    def head(self, fused, step_mask):
        """Applies the linear layers to `F2`."""
        del step_mask  # each step is predicted on its own
        _, T, S, _, _ = fused.shape
        boxes = losses.boxes_from_distances(self.distances(fused)) / S
        # Flat, since a softmax over two axes needs the batch size in the graph.
        weights = ops.softmax(ops.reshape(self.cell_score(fused), (-1, T, S * S, 1)), axis=2)
        return {
            "boxes": ops.sum(weights * ops.reshape(boxes, (-1, T, S * S, 4)), axis=2),
            "ends": self.end(ops.mean(fused, axis=(2, 3))),
        }

    def loss_samples(self, inputs, labels):
        """Masks: annotated steps for the boxes, queries that are not absent for the ends."""
        del inputs
        query_mask = labels["query_mask"] & targets.is_present(labels["segment"])
        return {"box_loss": labels["box_mask"] & query_mask[..., None], "end_loss": query_mask}

    def loss_totals(self, inputs, labels, outputs, samples):
        """GIoU loss of annotated steps' boxes; cross-entropy of the first and the last step."""
        box_loss = 1 - box_ops.giou(outputs["boxes"], labels["boxes"])
        step_mask = ops.expand_dims(inputs["step_mask"], 1)
        last = ops.sum(ops.cast(step_mask, "float32"), axis=-1, keepdims=True) - 1
        # The step that begins closest to the true begin, and the step that ends closest to the end.
        ends = ops.round(labels["segment"] - ops.convert_to_tensor([0.0, 1.0]))
        ends = ops.cast(ops.maximum(ops.minimum(ends, last), 0), "int32")
        log_p = self._log_probabilities(inputs, outputs)
        chosen = ops.take_along_axis(log_p, ops.expand_dims(ends, -2), axis=-2)
        end_loss = -ops.sum(chosen, axis=(-2, -1))
        return {
            "box_loss": ops.sum(ops.where(samples["box_loss"], box_loss, 0)),
            "end_loss": ops.sum(ops.where(samples["end_loss"], end_loss, 0)),
        }

    def _log_probabilities(self, inputs, outputs):
        """Log-probabilities of each step being the first and the last, `[B, Q, T, 2]`."""
        step_mask = inputs["step_mask"][:, None, :, None]
        return ops.log_softmax(ops.where(step_mask, outputs["ends"], -1e9), axis=-2)

    def decode(self, inputs, outputs):
        """Decodes the most likely pair of first and last step, and the boxes."""
        T = inputs["step_mask"].shape[-1]
        pairs = self._log_pairs(inputs, outputs)
        best = ops.squeeze(decoding.first_peak(pairs), -1)
        segment = ops.cast(ops.stack([best // T, best % T + 1], axis=-1), "float32")
        return {
            "segment": segment,
            "score": ops.exp(ops.max(pairs, axis=-1)),
            "boxes": ops.clip(outputs["boxes"], 0, 1),
        }

    def segments(self, inputs, outputs):
        """Returns all pairs of first and last step with their scores."""
        step_mask = inputs["step_mask"]
        T = step_mask.shape[-1]
        pairs = self._log_pairs(inputs, outputs)
        step = ops.arange(T * T)
        segments = ops.cast(ops.stack([step // T, step % T + 1], axis=-1), "float32")
        ordered = (step // T <= step % T) & ops.repeat(step_mask, T, axis=-1)
        valid = ordered & ops.tile(step_mask, (1, T))
        scores = ops.where(ops.expand_dims(valid, 1), ops.exp(pairs), -1.0)
        return ops.broadcast_to(segments, (*ops.shape(scores), 2)), scores

    def _log_pairs(self, inputs, outputs):
        """Log-probability of each pair of first and last step, `[B, Q, T * T]`."""
        log_p = self._log_probabilities(inputs, outputs)
        T = log_p.shape[-2]
        step = ops.arange(T)
        ordered = ops.expand_dims(step, 1) <= step
        pairs = ops.expand_dims(log_p[..., 0], -1) + ops.expand_dims(log_p[..., 1], -2)
        pairs = ops.where(ordered, pairs, -4e9)
        return ops.reshape(pairs, (*ops.shape(pairs)[:-2], T * T))
