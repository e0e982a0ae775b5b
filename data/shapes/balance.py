"""Keeps the words of chosen sentences independent of where and when their tubes are.

A table counts, for each word, how its tubes are spread over bins of five properties of a tube. The
next sentence is chosen such that the spread is nearly the same for all words.
"""

import collections
from collections.abc import Sequence

import numpy as np

PROPERTIES = ("begin", "length", "x", "y", "size")
BINS = 5  # of each property
# Inner edges of the bins, and the share of tubes that each bin should have. `begin` is a share of
# the clip, `length` is in frames, `x` and `y` are the mean centre as a share of the frame, `size`
# is the mean of the square root of the box's area, as a share of the shorter side.
EDGES = np.array(
    [
        [0.3, 0.4, 0.5, 0.6],
        [18, 26, 38, 60],
        [0.32, 0.44, 0.56, 0.68],
        [0.32, 0.44, 0.56, 0.68],
        [0.175, 0.2, 0.225, 0.25],
    ]
)
SHARES = np.array(
    [
        [0.09, 0.25, 0.28, 0.23, 0.15],
        [0.25, 0.21, 0.2, 0.19, 0.15],
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [0.2, 0.2, 0.2, 0.2, 0.2],
    ]
)
# How much a deviation counts: by nature, words of order tell of the begin, directions of the place.
WEIGHTS = np.array([2.0, 1.2, 1.5, 1.5, 1.2])
FEW = 6.0  # tubes a bin, below which a deviation counts less
FIRST_BEGIN, LAST_BEGIN = 0.2, 0.7  # share of the clip; other events are never described


def bins(properties: np.ndarray) -> np.ndarray:
    """Returns the bin of each property, int `[5]`."""
    return (properties[:, None] >= EDGES).sum(axis=1)


def words(text: str) -> list[str]:
    """Returns the words of a sentence, sorted and each once."""
    return sorted(set(text.rstrip(".?").split()))


class Balance:
    """Counts of the tubes of each word; create one for each split."""

    def __init__(self):
        self._counts = collections.defaultdict(lambda: np.zeros([len(PROPERTIES), BINS]))

    def add(self, named: Sequence[str], places: np.ndarray) -> None:
        """Counts a sentence with the given words and `bins` of its tube."""
        for word in named:
            self._counts[word][np.arange(len(PROPERTIES)), places] += 1

    def excess(self, named: Sequence[str], places: np.ndarray) -> float:
        """Returns by how much a sentence would overfill the bins of its words.

        It is the maximum over words and properties, plus the mean as a tie-break, of the
        difference between a count and its share, in standard deviations of a random count.
        """
        rows = np.arange(len(PROPERTIES))
        counts = np.array([self._counts[word] for word in named])
        expected = (counts[:, 0].sum(axis=1)[:, None] + 1) * SHARES[rows, places]
        deviation = (counts[:, rows, places] + 1 - expected) / np.sqrt(expected + FEW) * WEIGHTS
        return float(deviation.max() + deviation.mean())
