"""The four losses (Eq. 6 to 9), summed over their samples.

The caller divides each sum by the number of samples in the *global* batch. `...` in a shape stands
for any leading axes.
"""

from keras import ops

from gkcmn_tf.modeling import boxes as box_ops
from gkcmn_tf.modeling import targets


def _total(loss, samples):
    """Sum of `loss` over its samples; other values are ignored, including NaN."""
    return ops.sum(ops.where(samples, loss, 0))


def heatmap_loss(logits, heatmaps, samples, *, alpha, beta, gamma):
    """Modified focal loss of heatmap logits (Eq. 6).

    Args:
        logits: predicted heatmaps before the sigmoid, `[..., L, L]`.
        heatmaps: true heatmaps in `[0, 1]`, `[..., L, L]`.
        samples: bool `[...]`, the annotated steps; their number is `M_foc`.
        alpha: exponent that reduces the weight of well-predicted pixels.
        beta: exponent that reduces the weight of negative pixels near a peak.
        gamma: threshold; a pixel is positive if its true heat exceeds it.

    Returns:
        the sum over all pixels of annotated steps.
    """
    log_p = -ops.softplus(-logits)
    log_not_p = -ops.softplus(logits)
    positive = -ops.exp(alpha * log_not_p) * log_p
    negative = -((1 - heatmaps) ** beta) * ops.exp(alpha * log_p) * log_not_p
    loss = ops.sum(ops.where(heatmaps > gamma, positive, negative), axis=(-2, -1))
    return _total(loss, samples)


def size_loss(distances, boxes, samples):
    """GIoU loss of the boxes predicted at the pixels inside each annotated box (Eq. 7).

    Args:
        distances: predicted (left, top, right, bottom) in cells, `[..., L, L, 4]`.
        boxes: true boxes, normalised, `[..., 4]`.
        samples: bool `[..., L, L]`, the pixels of the annotated areas; their number is `M_iou`.

    Returns:
        the sum of `1 - GIoU` over the samples.
    """
    size = distances.shape[-2]
    loss = 1 - box_ops.giou(
        boxes_from_distances(distances), ops.expand_dims(ops.expand_dims(boxes * size, -2), -2)
    )
    return _total(loss, samples)


def boxes_from_distances(distances):
    """Converts distances `[..., L, L, 4]` at each pixel to boxes `[..., L, L, 4]`, in cells."""
    L = distances.shape[-2]
    centers = targets.pixel_centers(L)
    x, y = ops.tile(centers, (L, 1)), ops.repeat(centers[:, None], L, axis=1)
    signs = ops.convert_to_tensor([-1.0, -1.0, 1.0, 1.0])
    return ops.stack([x, y, x, y], axis=-1) + signs * distances


def smooth_l1(difference):
    """Smooth L1: `x^2 / 2` where `|x| < 1`, else `|x| - 1/2`; same shape as `difference`."""
    magnitude = ops.abs(difference)
    return ops.where(magnitude < 1, ops.square(difference) / 2, magnitude - 0.5)


def score_loss(logits, ious, samples, *, threshold, cross_entropy=False):
    """Smooth L1 between predicted and true candidate scores (Eq. 8), or their cross-entropy.

    Args:
        logits: predicted scores before the sigmoid, `[..., T, K]`.
        ious: IoU of each candidate with the true segment, `[..., T, K]`.
        samples: bool `[..., T, K]`, the valid candidates; their number is `N_c`.
        threshold: `c`; IoUs below it count as 0.
        cross_entropy: whether to use cross-entropy, whose gradient does not vanish at a confident
            wrong score.

    Returns:
        the sum over the samples.
    """
    true_scores = targets.score_targets(ious, threshold)
    if cross_entropy:
        return _total(ops.softplus(logits) - true_scores * logits, samples)
    return _total(smooth_l1(ops.sigmoid(logits) - true_scores), samples)


def boundary_loss(offsets, candidates, segments, samples, unit=1.0):
    """Smooth L1 between predicted and true offsets of the candidates' ends (Eq. 9).

    Args:
        offsets: predicted `(begin, end)` offsets in steps, `[..., T, K, 2]`.
        candidates: the candidate segments in step coordinates, `[..., T, K, 2]`.
        segments: the true segments, `[..., 2]`.
        samples: bool `[..., T, K]`, the regressed candidates; their number is `N_c`.
        unit: divisor of the offset errors, in steps: a scalar or `[K]`.

    Returns:
        the sum over the samples and both ends.
    """
    true_offsets = segments[..., None, None, :] - candidates
    differences = ops.divide(offsets - true_offsets, ops.expand_dims(unit, -1))
    return _total(ops.sum(smooth_l1(differences), axis=-1), samples)
