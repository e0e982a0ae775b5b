"""From the heads' outputs to a segment and a box per step."""

from keras import ops

from gkcmn_tf.modeling import targets
from gkcmn_tf.modeling.losses import boxes_from_distances


def decode_boxes(heatmaps, distances):
    """The box that the heatmap's peak predicts, for each step.

    Args:
        heatmaps: `[..., L, L]`, logits or heats.
        distances: (left, top, right, bottom) in cells, `[..., L, L, 4]`.

    Returns:
        boxes `[..., 4]`, normalised and inside `[0, 1]`, and the peaks' heat or logit `[...]`. Of
        equal peaks the first in row order is taken.
    """
    size = heatmaps.shape[-1]
    flat = ops.reshape(heatmaps, (*ops.shape(heatmaps)[:-2], size * size))
    # All leading axes as one: TensorFlow Lite slices up to five.
    boxes = boxes_from_distances(ops.reshape(distances, (-1, size, size, 4))) / size
    boxes = ops.reshape(boxes, (*ops.shape(distances)[:-3], size * size, 4))
    peak = first_peak(flat)
    boxes = ops.squeeze(ops.take_along_axis(boxes, peak[..., None], axis=-2), -2)
    return ops.clip(boxes, 0, 1), ops.squeeze(ops.take_along_axis(flat, peak, axis=-1), -1)


def smooth_boxes(boxes, heats, step_mask, sigma):
    """Each step's box, averaged with those of the steps around it.

    Args:
        boxes: `[..., T, 4]`.
        heats: `[..., T]` above 0, by which a step's box counts.
        step_mask: bool `[..., T]`, True at the steps that count.
        sigma: standard deviation in steps of the Gaussian weights.

    Returns:
        `[..., T, 4]`; where no step counts, 0.
    """
    steps = ops.arange(boxes.shape[-2], dtype="float32")
    near = ops.exp(-ops.square((steps[:, None] - steps) / sigma) / 2)
    weights = near * ops.expand_dims(ops.where(step_mask, heats, 0), -2)
    weights = weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-9)
    return ops.matmul(weights, boxes)


def first_peak(values):
    """Where `values` `[..., M]` are greatest: `[..., 1]`, of equal ones the first.

    Not `argmax`, which in Keras looks at the bits of a float, as TensorFlow Lite cannot.
    """
    return ops.top_k(values, 1)[1]


def decode_segments(scores, offsets, candidates, step_mask):
    """The best candidate of each query, moved by its offset (section 2.4).

    Args:
        scores: `[..., T, K]`.
        offsets: `(begin, end)` in steps, `[..., T, K, 2]`.
        candidates: candidate segments in step coordinates, `[..., T, K, 2]`.
        step_mask: bool `[..., T]`, True at the `T'` valid steps; the first must be.

    Returns:
        segments `[..., 2]` inside `[0, T']`, with begin <= end, and their scores `[...]`. Of equal
        scores the earliest step's, then the first width's, is taken.
    """
    return _best(*scored_segments(scores, offsets, candidates, step_mask))


def scored_segments(scores, offsets, candidates, step_mask):
    """All segments that `decode_segments` chooses from, by the arguments of which they are made.

    Returns:
        segments `[..., T * K, 2]` inside `[0, T']`, with begin <= end, and their scores
        `[..., T * K]`, below 0 at steps that are not valid.
    """
    shape = ops.shape(scores)
    flat = (*shape[:-2], shape[-2] * shape[-1])
    valid = ops.broadcast_to(ops.expand_dims(step_mask, -1), shape)
    scores = ops.reshape(ops.where(valid, scores, -1e9), flat)
    segments = ops.reshape(candidates + offsets, (*flat, 2))
    return clip_segments(segments, ops.expand_dims(step_mask, -2)), scores


def distinct_segments(segments, scores, count, max_iou):
    """The `count` best segments of which no two overlap much (greedy non-maximum suppression).

    Args:
        segments: `[..., M, 2]`, none of them empty.
        scores: `[..., M]`, below 0 for those that cannot be chosen.
        count: how many.
        max_iou: a segment whose IoU with a better one is higher is passed over.

    Returns:
        segments `[..., count, 2]` and scores `[..., count]`, best first; where there are fewer, the
        rest are empty segments at 0, with scores of -1.
    """
    chosen = []
    for _ in range(count):
        segment, score = _best(segments, scores)
        left = score >= 0
        chosen.append((ops.where(left[..., None], segment, 0), ops.where(left, score, -1)))
        # Also the chosen one itself.
        near = targets.segment_iou(segments, ops.expand_dims(segment, -2)) > max_iou
        scores = ops.where(near, -1.0, scores)
    best_segments, best_scores = zip(*chosen, strict=True)
    return ops.stack(best_segments, axis=-2), ops.stack(best_scores, axis=-1)


def _best(segments, scores):
    best = first_peak(scores)
    segment = ops.squeeze(ops.take_along_axis(segments, best[..., None], axis=-2), -2)
    return segment, ops.squeeze(ops.take_along_axis(scores, best, axis=-1), -1)


def clip_segments(segments, step_mask):
    """Segments `[..., 2]` cut to `[0, T']`; one whose ends are swapped shrinks to its middle."""
    num_steps = ops.sum(ops.cast(step_mask, segments.dtype), axis=-1)
    begin, end = segments[..., 0], segments[..., 1]
    middle = (begin + end) / 2
    segments = ops.stack([ops.minimum(begin, middle), ops.maximum(end, middle)], axis=-1)
    return ops.minimum(ops.maximum(segments, 0), ops.expand_dims(num_steps, -1))
