"""Decodes the outputs of the heads into a segment and one box per step."""

from keras import ops

from gkcmn_tf.modeling import targets
from gkcmn_tf.modeling.losses import boxes_from_distances

# Maximum temporal IoU of two tubes that are returned for one sentence.
MAX_TUBE_IOU = 0.5


def decode_boxes(heatmaps, distances):
    """Decodes the box predicted at the peak of each heatmap.

    Args:
        heatmaps: `[..., L, L]`, logits or probabilities.
        distances: (left, top, right, bottom) in cells, `[..., L, L, 4]`.

    Returns:
        boxes `[..., 4]`, normalised and clipped to `[0, 1]`, and the values of the peaks `[...]`.
        Ties are resolved in favour of the first pixel in row-major order.
    """
    size = heatmaps.shape[-1]
    flat = ops.reshape(heatmaps, (*ops.shape(heatmaps)[:-2], size * size))
    # Merge the leading axes: TensorFlow Lite slices tensors of rank 5 at most.
    boxes = boxes_from_distances(ops.reshape(distances, (-1, size, size, 4))) / size
    boxes = ops.reshape(boxes, (*ops.shape(distances)[:-3], size * size, 4))
    peak = first_peak(flat)
    boxes = ops.squeeze(ops.take_along_axis(boxes, peak[..., None], axis=-2), -2)
    return ops.clip(boxes, 0, 1), ops.squeeze(ops.take_along_axis(flat, peak, axis=-1), -1)


def smooth_boxes(boxes, heats, step_mask, sigma):
    """Smooths boxes over time with a Gaussian window.

    Args:
        boxes: `[..., T, 4]`.
        heats: `[..., T]`, positive weights of the steps, such as peak heats.
        step_mask: bool `[..., T]`, True at valid steps.
        sigma: standard deviation of the Gaussian window, in steps.

    Returns:
        `[..., T, 4]`; 0 if no step is valid.
    """
    steps = ops.arange(boxes.shape[-2], dtype="float32")
    near = ops.exp(-ops.square((steps[:, None] - steps) / sigma) / 2)
    weights = near * ops.expand_dims(ops.where(step_mask, heats, 0), -2)
    weights = weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-9)
    return ops.matmul(weights, boxes)


def first_peak(values):
    """Index `[..., 1]` of the first maximum of `values` `[..., M]`.

    Keras' `argmax` uses bit operations on floats that TensorFlow Lite does not support.
    """
    return ops.top_k(values, 1)[1]


def decode_segments(scores, offsets, candidates, step_mask):
    """Selects the candidate with the highest score and adds its offset (section 2.4).

    Args:
        scores: `[..., T, K]`.
        offsets: `(begin, end)` in steps, `[..., T, K, 2]`.
        candidates: candidate segments in step coordinates, `[..., T, K, 2]`.
        step_mask: bool `[..., T]`, True at the `T'` valid steps; the first step must be valid.

    Returns:
        segments `[..., 2]` inside `[0, T']`, with begin <= end, and their scores `[...]`. Ties are
        resolved in favour of the earliest step, then of the first width.
    """
    return _best(*scored_segments(scores, offsets, candidates, step_mask))


def scored_segments(scores, offsets, candidates, step_mask):
    """All candidates with their offsets added; takes the arguments of `decode_segments`.

    Returns:
        segments `[..., T * K, 2]` inside `[0, T']`, with begin <= end, and their scores
        `[..., T * K]`, negative at invalid steps.
    """
    shape = ops.shape(scores)
    flat = (*shape[:-2], shape[-2] * shape[-1])
    valid = ops.broadcast_to(ops.expand_dims(step_mask, -1), shape)
    scores = ops.reshape(ops.where(valid, scores, -1e9), flat)
    segments = ops.reshape(candidates + offsets, (*flat, 2))
    return clip_segments(segments, ops.expand_dims(step_mask, -2)), scores


def distinct_segments(segments, scores, count, max_iou):
    """Greedy non-maximum suppression of segments.

    Args:
        segments: `[..., M, 2]`, not empty.
        scores: `[..., M]`, negative for invalid segments.
        count: number of segments to return.
        max_iou: IoU threshold; a segment that overlaps a selected one by more is suppressed.

    Returns:
        segments `[..., count, 2]` and scores `[..., count]`, best first; if fewer remain, padded
        with segments `[0, 0]` and scores -1.
    """
    chosen = []
    for _ in range(count):
        segment, score = _best(segments, scores)
        valid = score >= 0
        chosen.append((ops.where(valid[..., None], segment, 0), ops.where(valid, score, -1)))
        # This includes the selected segment itself.
        suppressed = targets.segment_iou(segments, ops.expand_dims(segment, -2)) > max_iou
        scores = ops.where(suppressed, -1.0, scores)
    best_segments, best_scores = zip(*chosen, strict=True)
    return ops.stack(best_segments, axis=-2), ops.stack(best_scores, axis=-1)


def _best(segments, scores):
    best = first_peak(scores)
    segment = ops.squeeze(ops.take_along_axis(segments, best[..., None], axis=-2), -2)
    return segment, ops.squeeze(ops.take_along_axis(scores, best, axis=-1), -1)


def clip_segments(segments, step_mask):
    """Clips segments `[..., 2]` to `[0, T']`; one with end < begin collapses to its centre."""
    num_steps = ops.sum(ops.cast(step_mask, segments.dtype), axis=-1)
    begin, end = segments[..., 0], segments[..., 1]
    middle = (begin + end) / 2
    segments = ops.stack([ops.minimum(begin, middle), ops.maximum(end, middle)], axis=-1)
    return ops.minimum(ops.maximum(segments, 0), ops.expand_dims(num_steps, -1))
