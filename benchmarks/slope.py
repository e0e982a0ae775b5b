"""Growth of a measured quantity, such as the memory of a process."""

from collections.abc import Sequence

import numpy as np


def slope_of_second_half(hours: Sequence[float], values: Sequence[float]) -> float:
    """Slope per hour of a least-squares line through the second half; NaN below two values."""
    half = len(values) // 2
    if len(values) - half < 2:
        return float("nan")
    return float(np.polyfit(hours[half:], values[half:], 1)[0])
