"""Linear interpolation of boxes over time."""

import numpy as np


def interpolate_boxes(wanted: np.ndarray, known: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Interpolates boxes linearly; outside the known range the nearest known box is used.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.video.box_interpolation import interpolate_boxes
        >>> boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10]])
        >>> interpolate_boxes(np.array([1, 3, 9]), np.array([2, 4]), boxes)[:, 0].tolist()
        [0.0, 2.0, 4.0]

    Args:
        wanted: `[m]`, frame numbers or seconds, in any order.
        known: `[n]`, increasing, in the same unit; `n >= 1`.
        boxes: `[n, 4]`, the boxes at `known`.

    Returns:
        float64 `[m, 4]`, the boxes at `wanted`.
    """
    return np.stack([np.interp(wanted, known, side) for side in boxes.T], axis=1)
