"""Training targets of the heads: heatmaps, box areas, candidate segments and their scores.

`...` in a shape stands for any leading axes, `[B, Q]` in training.
"""

from keras import ops

from gkcmn_tf.modeling import boxes as box_ops


def pixel_centers(size):
    """Centres `0.5, 1.5, ...` of `size` pixels, in cells: float32 `[size]`."""
    return ops.arange(size, dtype="float32") + 0.5


def _center_distances(boxes, size):
    """Distances along x and y from the box centres to the pixel centres, `[..., size]` each."""
    boxes = boxes * size
    centers = pixel_centers(size)
    x = (boxes[..., 0] + boxes[..., 2]) / 2
    y = (boxes[..., 1] + boxes[..., 3]) / 2
    return centers - ops.expand_dims(x, -1), centers - ops.expand_dims(y, -1)


def gaussian_heatmaps(boxes, size, sigma, relative_sigma=0.0):
    """Gaussian heatmaps at the box centres (Eq. 5).

    Args:
        boxes: `[..., 4]`, normalised.
        size: `L`, height and width of the heatmap in pixels.
        sigma: minimum standard deviation, in cells.
        relative_sigma: the standard deviation along x (y) is `relative_sigma` times the box width
            (height) if that exceeds `sigma`.

    Returns:
        `[..., L, L]` in `[0, 1]`, indexed `[y, x]`.
    """
    sigmas = ops.maximum(sigma, relative_sigma * size * (boxes[..., 2:] - boxes[..., :2]))
    dx, dy = (
        ops.exp(-ops.square(distances) / (2 * ops.square(sigmas[..., axis, None])))
        for axis, distances in enumerate(_center_distances(boxes, size))
    )
    return ops.expand_dims(dy, -1) * ops.expand_dims(dx, -2)


def point_heatmaps(boxes, size):
    """One-hot heatmaps: 1 at the pixel that contains the box centre (Table 3, "w/o SK").

    Shapes are as in `gaussian_heatmaps`. A centre at coordinate 1 belongs to the last pixel.
    """

    def one_hot(low, high):
        index = ops.floor((low + high) / 2 * size)
        return ops.one_hot(ops.cast(ops.clip(index, 0, size - 1), "int32"), size)

    columns = one_hot(boxes[..., 0], boxes[..., 2])
    rows = one_hot(boxes[..., 1], boxes[..., 3])
    return ops.expand_dims(rows, -1) * ops.expand_dims(columns, -2)


def inside_box(boxes, size):
    """Mask of the pixels inside each box, the area `a_t` of Eq. 7.

    Args:
        boxes: `[..., 4]`, normalised.
        size: `L`.

    Returns:
        bool `[..., L, L]`: True if the pixel centre is inside the box or the pixel contains the box
        centre. Thus a small box between pixel centres has one sample.
    """
    cells = ops.expand_dims(boxes * size, -1)
    centers = pixel_centers(size)
    columns = (centers >= cells[..., 0, :]) & (centers <= cells[..., 2, :])
    rows = (centers >= cells[..., 1, :]) & (centers <= cells[..., 3, :])
    inside = ops.expand_dims(rows, -1) & ops.expand_dims(columns, -2)
    return inside | (point_heatmaps(boxes, size) > 0)


def is_present(segments):
    """Whether a sentence is not absent, bool `[...]`; `segments` `[..., 2]` are its true ones."""
    return segments[..., 0] < segments[..., 1]


def segment_iou(a, b):
    """Intersection over union `[...]` of paired segments `[..., 2]`; 0 if both are empty."""
    intersection = ops.maximum(
        ops.minimum(a[..., 1], b[..., 1]) - ops.maximum(a[..., 0], b[..., 0]), 0
    )
    union = a[..., 1] - a[..., 0] + b[..., 1] - b[..., 0] - intersection
    return ops.where(union > 0, intersection / ops.where(union > 0, union, 1), 0)


def segment_giou(a, b):
    """Generalised IoU `[...]`, in `[-1, 1]`, of paired segments `[..., 2]`."""

    def bars(segments):
        begin, end = segments[..., 0], segments[..., 1]
        return ops.stack([begin, ops.zeros_like(begin), end, ops.ones_like(end)], axis=-1)

    return box_ops.giou(bars(a), bars(b))


def score_targets(ious, threshold):
    """Sets IoUs below the confidence threshold `c` to 0 (section 2.4)."""
    return ops.where(ious >= threshold, ious, 0)


def regression_candidates(ious, valid, high_score_ratio):
    """Mask of the candidates with a high IoU, for which offsets are trained (section 2.4).

    Args:
        ious: `[..., T, K]`, IoU of each candidate with the true segment.
        valid: bool `[..., T]`.
        high_score_ratio: `delta`.

    Returns:
        bool `[..., T, K]`: True if valid, with an IoU above 0 and at least `delta` times the
        highest IoU of the clip.
    """
    ious = ops.where(ops.expand_dims(valid, -1), ious, 0)
    best = ops.max(ious, axis=(-2, -1), keepdims=True)
    return (ious > 0) & (ious >= high_score_ratio * best)
