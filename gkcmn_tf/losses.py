"""The four losses, Eq. 6 to 9, as sums and counts.

Each function returns `(total, count)`: the sum of the loss over its samples and the number of
samples. Whoever calls divides, after adding both over all replicas, so that a mean is one over the
*global* batch. `...` in a shape is any leading axes.
"""

from keras import ops

from gkcmn_tf import boxes as box_ops
from gkcmn_tf import targets


def _total_and_count(loss, mask):
    """Sum of `loss` where `mask`, and how many those are; NaN outside the mask does no harm."""
    return ops.sum(ops.where(mask, loss, 0)), ops.sum(ops.cast(mask, "float32"))


def heatmap_loss(logits, heatmaps, step_mask, *, alpha, beta, gamma):
    """Modified focal loss of the heatmaps (Eq. 6), from logits.

    Args:
        logits: predicted heatmaps before the sigmoid, `[..., L, L]`.
        heatmaps: true heatmaps in `[0, 1]`, `[..., L, L]`.
        step_mask: bool `[...]`, the annotated steps.
        alpha: exponent that lessens the weight of pixels that are predicted well.
        beta: exponent that lessens the weight of negatives near a peak.
        gamma: a pixel is positive where its true heat exceeds this.

    Returns:
        the sum over all pixels of annotated steps, and the number of annotated boxes `M_foc`.
    """
    log_p = -ops.softplus(-logits)
    log_not_p = -ops.softplus(logits)
    positive = -ops.exp(alpha * log_not_p) * log_p
    negative = -((1 - heatmaps) ** beta) * ops.exp(alpha * log_p) * log_not_p
    loss = ops.sum(ops.where(heatmaps > gamma, positive, negative), axis=(-2, -1))
    return _total_and_count(loss, step_mask)


def size_loss(distances, boxes, step_mask):
    """GIoU loss of the boxes that the pixels of each annotated box predict (Eq. 7).

    Args:
        distances: predicted (left, top, right, bottom) in cells, `[..., L, L, 4]`.
        boxes: true boxes, normalised, `[..., 4]`.
        step_mask: bool `[...]`, the annotated steps.

    Returns:
        the sum of `1 - GIoU` over the pixels of the annotated areas, and their number `M_iou`.
    """
    size = distances.shape[-2]
    samples = targets.inside_box(boxes, size) & step_mask[..., None, None]
    loss = 1 - box_ops.giou(
        boxes_from_distances(distances), ops.expand_dims(ops.expand_dims(boxes * size, -2), -2)
    )
    return _total_and_count(loss, samples)


def boxes_from_distances(distances):
    """Boxes `[..., L, L, 4]`, in cells, that distances `[..., L, L, 4]` at each pixel stand for."""
    centers = targets.pixel_centers(distances.shape[-2])
    x = ops.expand_dims(centers, 0)
    y = ops.expand_dims(centers, 1)
    left, top, right, bottom = (distances[..., i] for i in range(4))
    return ops.stack([x - left, y - top, x + right, y + bottom], axis=-1)


def smooth_l1(difference):
    """Smooth L1: `x^2 / 2` where `|x| < 1`, else `|x| - 1/2`; same shape as `difference`."""
    magnitude = ops.abs(difference)
    return ops.where(magnitude < 1, ops.square(difference) / 2, magnitude - 0.5)


def score_loss(logits, ious, valid, *, threshold):
    """Smooth L1 between predicted and true candidate scores (Eq. 8).

    Args:
        logits: predicted scores before the sigmoid, `[..., T, K]`.
        ious: IoU of each candidate with the true segment, `[..., T, K]`.
        valid: bool `[..., T]`, the steps whose candidates are valid.
        threshold: `c`; IoUs below it count as 0.

    Returns:
        the sum over valid candidates, and their number `N_c`.
    """
    loss = smooth_l1(ops.sigmoid(logits) - targets.score_targets(ious, threshold))
    mask = ops.broadcast_to(ops.expand_dims(valid, -1), ops.shape(loss))
    return _total_and_count(loss, mask)


def boundary_loss(offsets, candidates, segments, regressed):
    """Smooth L1 between predicted and true offsets of the candidates' ends (Eq. 9).

    Args:
        offsets: predicted `(begin, end)` offsets in steps, `[..., T, K, 2]`.
        candidates: the candidate segments in step coordinates, `[..., T, K, 2]`.
        segments: the true segments, `[..., 2]`.
        regressed: bool `[..., T, K]`, the candidates that take part.

    Returns:
        the sum over those candidates of both ends' losses, and their number `N_c`.
    """
    true_offsets = segments[..., None, None, :] - candidates
    return _total_and_count(ops.sum(smooth_l1(offsets - true_offsets), axis=-1), regressed)
