"""Step-level grounding metrics for `model.evaluate` and for monitoring training.

Report the frame-level metrics of `gkcmn_tf.evaluation.metrics` instead. The step-level metrics
differ in three ways: boxes are constant within a step instead of interpolated, segment ends are not
rounded to frames, and a step with its centre outside the true segment counts as a miss. Both are
equal if every step is one frame and the segment ends are integers.
"""

import keras
from keras import ops

from gkcmn_tf.metric_names import TABLE_METRICS, VIOU_THRESHOLDS
from gkcmn_tf.modeling import boxes as box_ops
from gkcmn_tf.modeling.targets import is_present, segment_iou


def create():
    """Creates `{name: keras.metrics.Mean}`, one entry per metric."""
    return {name: keras.metrics.Mean(name=name) for name in TABLE_METRICS}


def values(segments, boxes, labels):
    """Computes the metrics of each query.

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


def update(metrics, query_values, labels):
    """Updates the metrics of `create()` with `values(...)`.

    Padding queries and absent sentences have weight 0.
    """
    counted = labels["query_mask"] & is_present(labels["segment"])
    for name, value in query_values.items():
        metrics[name].update_state(value, sample_weight=ops.cast(counted, "float32"))
