"""The grounding metrics at the resolution of steps, for `model.evaluate` and progress of training.

The frame-level metrics, those to report, are in `gkcmn_tf.evaluation.metrics`. These differ in that
boxes between steps' centres are held, not interpolated, that ends are not rounded to frames, and
that a step whose centre lies outside the true segment counts as a miss. Where every step is one
frame and the ends are whole numbers, both are equal.
"""

import keras
from keras import ops

from gkcmn_tf.metric_names import TABLE_METRICS, VIOU_THRESHOLDS
from gkcmn_tf.modeling import boxes as box_ops
from gkcmn_tf.modeling.targets import segment_iou


def create():
    """A fresh `{name: keras.metrics.Mean}`, one for each metric."""
    return {name: keras.metrics.Mean(name=name) for name in TABLE_METRICS}


def values(segments, boxes, labels):
    """Metrics of each query.

    Args:
        segments: predicted, `[B, Q, 2]`, in step coordinates.
        boxes: predicted, `[B, Q, T, 4]`, normalised.
        labels: see `GroundingModel`.

    Returns:
        `{name: float32 [B, Q]}`.
    """
    true_segments = labels["segment"]
    begin = ops.maximum(segments[..., :1], true_segments[..., :1])
    end = ops.minimum(segments[..., 1:], true_segments[..., 1:])
    step = ops.arange(boxes.shape[-2], dtype="float32")
    shared = ops.maximum(ops.minimum(end, step + 1) - ops.maximum(begin, step), 0)
    ious = ops.where(labels["box_mask"], box_ops.iou(boxes, labels["boxes"]), 0)
    hull = ops.maximum(segments[..., 1], true_segments[..., 1]) - ops.minimum(
        segments[..., 0], true_segments[..., 0]
    )
    viou = ops.sum(shared * ious, axis=-1) / ops.maximum(hull, 1e-6)
    above = [ops.cast(viou > threshold, "float32") for threshold in VIOU_THRESHOLDS]
    tiou = segment_iou(segments, true_segments)
    return dict(zip(TABLE_METRICS, (tiou, viou, *above), strict=True))


def update(metrics, query_values, query_mask):
    """Adds `values(...)` to the metrics of `create()`, without queries that fill up a batch."""
    for name, value in query_values.items():
        metrics[name].update_state(value, sample_weight=ops.cast(query_mask, "float32"))
