"""Confidence intervals: percentiles of a bootstrap over clusters of samples.

For the metrics a cluster is a *video*: the sentences of one video are about the same things, so
intervals from sentences drawn as if they were independent would be too narrow.
"""

import numpy as np

CONFIDENCE_LEVEL = 0.95
SEED = 0


def bootstrap_intervals(
    values: np.ndarray, clusters: np.ndarray, samples: int
) -> np.ndarray | None:
    """Percentile intervals, at `CONFIDENCE_LEVEL`, of the means of columns.

    Args:
        values: float `[n, m]`.
        clusters: `[n]`, the name of the cluster of each row. As many clusters as there are are
            drawn with replacement, `samples` times, always the same ones; each brings all its rows.
        samples: at least 1.

    Returns:
        `[m, 2]`, low and high; None if there are fewer than two clusters, which say nothing.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    count = len(names)
    if count < 2:
        return None
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, cluster, values)
    sizes = np.bincount(cluster)
    rng = np.random.default_rng(SEED)
    times_drawn = rng.multinomial(count, np.full(count, 1 / count), size=samples)
    means = times_drawn @ sums / (times_drawn @ sizes)[:, None]
    tail = 50 * (1 - CONFIDENCE_LEVEL)
    return np.percentile(means, [tail, 100 - tail], axis=0).T
