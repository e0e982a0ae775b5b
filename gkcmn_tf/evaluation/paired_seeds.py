"""Comparison of two variants that were trained with the same seeds."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from gkcmn_tf.evaluation.bootstrap import CONFIDENCE_LEVEL

# A two-sided sign-flip test of n pairs cannot have a p-value below 2 / 2**n: 0.25 for 3 pairs.
MIN_SEEDS = 6


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """Difference between two variants over paired seeds.

    Example:
        >>> from gkcmn_tf.evaluation.paired_seeds import paired_difference
        >>> difference = paired_difference([3, 4, 5, 6, 7, 9], [2, 2, 2, 2, 2, 2])
        >>> round(difference.mean, 2), difference.p_value, difference.verdict
        (3.67, 0.03125, 'better')

    Attributes:
        mean: mean difference.
        interval: lower and upper bound of its 95% interval; None for one seed.
        p_value: two-sided p-value of the exact sign-flip test.
        seeds: number of pairs.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float
    seeds: int

    @property
    def verdict(self) -> str:
        """`better` or `worse` if the interval excludes 0, else `not distinguishable`."""
        if self.seeds < MIN_SEEDS:
            return f"fewer than {MIN_SEEDS} seeds: shows nothing"
        low, high = self.interval
        if low > 0:
            return "better"
        return "worse" if high < 0 else "not distinguishable"

    def __str__(self):
        """`mean [low, high], p = ...`."""
        if self.interval is None:
            return f"{self.mean:+z.2f}"
        low, high = self.interval
        return f"{self.mean:+z.2f} [{low:+z.2f}, {high:+z.2f}], p = {self.p_value:.3f}"


def paired_difference(
    values: Sequence[float], reference: Sequence[float], *, error_over_videos: float = 0.0
) -> PairedDifference:
    """Compares `values` with `reference`.

    The interval is that of Student's t for the seeds, with the standard errors over seeds and over
    videos added in squares. Each of them contains the interaction of seeds and videos, so that the
    interval is rather too wide than too narrow.

    Args:
        values: result of one variant for each seed, `[n]`.
        reference: result of the other variant for the same seeds, `[n]`.
        error_over_videos: standard error of the mean difference over videos
            (`bootstrap.clustered_error`); 0 gives an interval for these videos only.
    """
    difference = np.subtract(values, reference)
    count = len(difference)
    mean = difference.mean()
    signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    flipped = np.abs(signs @ difference) / count
    p_value = np.mean(flipped >= np.abs(mean) - 1e-12)
    interval = None
    if count > 1:
        error = np.hypot(stats.sem(difference), error_over_videos)
        half = stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, count - 1) * error
        interval = (float(mean - half), float(mean + half))
    return PairedDifference(float(mean), interval, float(p_value), count)
