"""Trivial baseline: predicts the whole clip with a mean box for every sentence.

It requires neither a model nor TensorFlow.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from gkcmn_tf.tubes import GroundTruth, Tube


def mean_box(ground_truth: Iterable[GroundTruth]) -> np.ndarray:
    """Mean box of the true tubes, averaged over frames, then sentences: `[4]`, normalised.

    Raises:
        ValueError: `ground_truth` has no tube.
    """
    means = [
        (truth.tube.boxes / [truth.width, truth.height, truth.width, truth.height]).mean(axis=0)
        for truth in ground_truth
        if truth.tube is not None
    ]
    if not means:
        raise ValueError("ground_truth: expected at least one sentence to compute a mean box")
    return np.mean(means, axis=0)


def guess_tubes(
    ground_truth: Sequence[GroundTruth], box: np.ndarray, *, temporal_ground_truth: bool = False
) -> dict[str, Tube]:
    """Predicts the whole clip with the same box in each frame.

    Args:
        ground_truth: the sentences; their true boxes are not used. Absent sentences get the same
            guess, unless the true segment is used: then they get none.
        box: `[4]`, normalised, such as `mean_box` of the training split.
        temporal_ground_truth: whether to use the true segment instead of the clip (Table 2).

    Returns:
        tubes by sentence id.
    """
    guesses = {}
    for truth in ground_truth:
        begin, end = truth.clip_begin, truth.clip_end
        if temporal_ground_truth:
            if truth.tube is None:
                continue
            begin, end = truth.tube.begin, truth.tube.end
        pixels = box * [truth.width, truth.height, truth.width, truth.height]
        guesses[truth.id] = Tube(begin, end, np.broadcast_to(pixels, (end - begin, 4)))
    return guesses
