"""Confidence intervals of a cluster bootstrap, and the standard error over clusters.

For the metrics, a cluster is a *video*. The sentences of a video are not independent; resampling
individual sentences would give intervals that are too narrow.
"""

import numpy as np

DEFAULT_SAMPLES = 1000
CONFIDENCE_LEVEL = 0.95
SEED = 0


def bootstrap_intervals(
    values: np.ndarray, clusters: np.ndarray, samples: int
) -> np.ndarray | None:
    """Percentile intervals of the column means, at `CONFIDENCE_LEVEL`.

    Args:
        values: float `[n, m]`.
        clusters: `[n]`, name of the cluster of each row. Whole clusters are resampled with
            replacement, with a fixed seed.
        samples: number of bootstrap samples, at least 1.

    Returns:
        `[m, 2]`, lower and upper bound; None if there are fewer than two clusters.
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


def clustered_error(means: np.ndarray, sizes: np.ndarray) -> float:
    """Standard error, over clusters, of the mean of all rows; linearised, without resampling.

    Args:
        means: mean of the rows of each cluster, float `[clusters]`.
        sizes: number of rows of each cluster, `[clusters]`.

    Returns:
        the standard error; infinity for one cluster.
    """
    count, total = len(means), np.sum(sizes)
    if count < 2:
        return float("inf")
    deviations = sizes * (means - np.dot(sizes, means) / total)
    return float(np.sqrt(count / (count - 1) * np.sum(deviations**2)) / total)
