"""Trivial baseline: predicts one tube, relative to clip and frame, for every sentence.

Its box is a mean box; its segment is the whole clip, or the part that suits the training data best.

It requires neither a model nor TensorFlow.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from gkcmn_tf.tubes import GroundTruth, Tube

SEGMENT_GRID = 40  # parts of a clip, at whose ends the best segment may begin and end


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


def best_segment(ground_truth: Sequence[GroundTruth]) -> tuple[float, float]:
    """Part of the clip with the highest mean tIoU with the true segments.

    Returns:
        begin and end as shares of the clip, multiples of 1 / `SEGMENT_GRID`. Of equally good parts,
        the one that begins first, and of these the shortest.

    Raises:
        ValueError: `ground_truth` has no tube.
    """
    true = np.array(
        [
            [(frame - truth.clip_begin) / (truth.clip_end - truth.clip_begin) for frame in ends]
            for truth in ground_truth
            if truth.tube is not None
            for ends in [(truth.tube.begin, truth.tube.end)]
        ]
    )
    if not len(true):
        raise ValueError("ground_truth: expected at least one sentence to compute a segment")
    begin, end = true.T
    places = np.arange(SEGMENT_GRID + 1) / SEGMENT_GRID
    best, chosen = -1.0, (0.0, 1.0)
    for i, low in enumerate(places):
        for high in places[i + 1 :]:
            shared = np.maximum(np.minimum(end, high) - np.maximum(begin, low), 0)
            mean = (shared / (np.maximum(end, high) - np.minimum(begin, low))).mean()
            if mean > best:
                best, chosen = mean, (float(low), float(high))
    return chosen


def guess_tubes(
    ground_truth: Sequence[GroundTruth],
    box: np.ndarray,
    *,
    segment: tuple[float, float] = (0.0, 1.0),
    temporal_ground_truth: bool = False,
) -> dict[str, Tube]:
    """Predicts the same part of each clip with the same box in each frame.

    Args:
        ground_truth: the sentences; their true boxes are not used. Absent sentences get the same
            guess, unless the true segment is used: then they get none.
        box: `[4]`, normalised, such as `mean_box` of the training split.
        segment: begin and end of the predicted segment as shares of the clip, such as
            `best_segment` of the training split.
        temporal_ground_truth: whether to use the true segment instead of the clip (Table 2).

    Returns:
        tubes by sentence id.
    """
    guesses = {}
    for truth in ground_truth:
        length = truth.clip_end - truth.clip_begin
        begin = truth.clip_begin + min(int(segment[0] * length + 0.5), length - 1)
        end = max(truth.clip_begin + int(segment[1] * length + 0.5), begin + 1)
        if temporal_ground_truth:
            if truth.tube is None:
                continue
            begin, end = truth.tube.begin, truth.tube.end
        pixels = box * [truth.width, truth.height, truth.width, truth.height]
        guesses[truth.id] = Tube(begin, end, np.broadcast_to(pixels, (end - begin, 4)))
    return guesses
