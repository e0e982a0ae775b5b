"""The trivial guess: the whole clip with a mean box, whatever the sentence says.

What a model should beat. It needs no model and no TensorFlow.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from gkcmn_tf.tubes import GroundTruth, Tube


def mean_box(ground_truth: Iterable[GroundTruth]) -> np.ndarray:
    """The mean over sentences of each true tube's mean box: `[4]`, `x1 y1 x2 y2`, normalised.

    Raises:
        ValueError: there are no sentences.
    """
    means = [
        (truth.tube.boxes / [truth.width, truth.height, truth.width, truth.height]).mean(axis=0)
        for truth in ground_truth
    ]
    if not means:
        raise ValueError("the trivial guess needs a mean box, but there are no sentences")
    return np.mean(means, axis=0)


def guess_tubes(
    ground_truth: Sequence[GroundTruth], box: np.ndarray, *, temporal_ground_truth: bool = False
) -> dict[str, Tube]:
    """The whole clip with one box in every frame, by sentence id.

    Args:
        ground_truth: the sentences; their true boxes are not looked at.
        box: `[4]`, normalised, such as `mean_box` of the training split.
        temporal_ground_truth: take the true segment in place of the clip (Table 2).
    """
    guesses = {}
    for truth in ground_truth:
        begin, end = truth.clip_begin, truth.clip_end
        if temporal_ground_truth:
            begin, end = truth.tube.begin, truth.tube.end
        pixels = box * [truth.width, truth.height, truth.width, truth.height]
        guesses[truth.id] = Tube(begin, end, np.tile(pixels, (end - begin, 1)))
    return guesses
