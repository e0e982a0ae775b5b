"""Box arithmetic on tensors: boxes are `[x1, y1, x2, y2]` along the last axis."""

from keras import ops


def area(boxes):
    """Areas `[...]` of boxes `[..., 4]`; a box with `x2 < x1` or `y2 < y1` has area 0."""
    return _area(*_sides(boxes))


def _sides(boxes):
    # The gradient of `boxes[..., i]` is a tensor of zeros as large as `boxes` for each side.
    return ops.unstack(ops.convert_to_tensor(boxes), 4, axis=-1)


def _area(x1, y1, x2, y2):
    return ops.maximum(x2 - x1, 0) * ops.maximum(y2 - y1, 0)


def _ratio(numerator, denominator):
    """Safe division: 0, with gradient 0, where the denominator is 0."""
    positive = denominator > 0
    return ops.where(positive, numerator / ops.where(positive, denominator, 1), 0)


def _intersection_and_union(a, b):
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a, b
    intersection = _area(
        ops.maximum(ax1, bx1), ops.maximum(ay1, by1), ops.minimum(ax2, bx2), ops.minimum(ay2, by2)
    )
    return intersection, _area(*a) + _area(*b) - intersection


def iou(a, b):
    """Intersection over union `[...]` of paired boxes `[..., 4]`; 0 if both are empty."""
    return _ratio(*_intersection_and_union(_sides(a), _sides(b)))


def giou(a, b):
    """Generalised IoU, `IoU - (hull - union) / hull`, in `[-1, 1]`, of paired boxes `[..., 4]`.

    Value and gradient are finite for boxes with zero area.
    """
    a, b = _sides(a), _sides(b)
    intersection, union = _intersection_and_union(a, b)
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a, b
    hull = (ops.maximum(ax2, bx2) - ops.minimum(ax1, bx1)) * (
        ops.maximum(ay2, by2) - ops.minimum(ay1, by1)
    )
    return _ratio(intersection, union) - _ratio(hull - union, hull)
