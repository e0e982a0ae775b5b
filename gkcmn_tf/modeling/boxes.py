"""Box arithmetic on tensors: boxes are `[x1, y1, x2, y2]` along the last axis."""

from keras import ops


def area(boxes):
    """Areas `[...]` of boxes `[..., 4]`; a box with `x2 < x1` or `y2 < y1` has area 0."""
    return ops.maximum(boxes[..., 2] - boxes[..., 0], 0) * ops.maximum(
        boxes[..., 3] - boxes[..., 1], 0
    )


def _intersection_and_union(a, b):
    corners = [
        ops.maximum(a[..., 0], b[..., 0]),
        ops.maximum(a[..., 1], b[..., 1]),
        ops.minimum(a[..., 2], b[..., 2]),
        ops.minimum(a[..., 3], b[..., 3]),
    ]
    intersection = area(ops.stack(corners, axis=-1))
    return intersection, area(a) + area(b) - intersection


def _ratio(numerator, denominator):
    """Safe division: 0, with gradient 0, where the denominator is 0."""
    positive = denominator > 0
    return ops.where(positive, numerator / ops.where(positive, denominator, 1), 0)


def iou(a, b):
    """Intersection over union `[...]` of paired boxes `[..., 4]`; 0 if both are empty."""
    return _ratio(*_intersection_and_union(a, b))


def giou(a, b):
    """Generalised IoU, `IoU - (hull - union) / hull`, in `[-1, 1]`, of paired boxes `[..., 4]`.

    Value and gradient are finite for boxes with zero area.
    """
    intersection, union = _intersection_and_union(a, b)
    hull = (ops.maximum(a[..., 2], b[..., 2]) - ops.minimum(a[..., 0], b[..., 0])) * (
        ops.maximum(a[..., 3], b[..., 3]) - ops.minimum(a[..., 1], b[..., 1])
    )
    return _ratio(intersection, union) - _ratio(hull - union, hull)
