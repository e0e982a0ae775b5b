"""Evaluation protocols: the frames on which the metrics are computed, which differ between papers.

- `all_frames`: every frame of the clip;
- `sampled_5fps`: the frames of the clip but its last, sampled at 5 fps, at most 200, as in
  TubeDETR, which takes VidSTG's inclusive end of the clip for an exclusive one;
- `sampled_64`: 64 frames of the clip at even distances, its first and last among them, which is how
  STCAT's successors such as TA-STVG thin a clip in training; every frame of a shorter clip;
- `sampled_2fps`: the frames of the clip sampled at 2 fps, at most 64, as for video language models;
- `hcstvg`: every frame, inside or outside the clip; tIoU is the number of frames with both boxes /
  frames of the hull of the segments, as in the official HC-STVG scorer. (Its inclusive segment ends
  do not change the results.)

Predicted frames outside the clip count in tIoU under every protocol, in vIoU under `hcstvg` only.

To add a protocol, add an entry to `PROTOCOLS`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from gkcmn_tf.tubes import GroundTruth

TUBEDETR_FPS, TUBEDETR_FRAMES = 5, 200
THINNED_FRAMES = 64
SLOW_FPS = 2


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Rules for scoring the frames of a sentence.

    Example:
        >>> from gkcmn_tf.evaluation.protocols import PROTOCOLS
        >>> PROTOCOLS["hcstvg"]
        Protocol(scored_frames=None, tiou_needs_boxes=True)

    Attributes:
        scored_frames: returns the frames for scoring boxes, a range or int64 `[n]`, in ascending
            order; None scores all frames of both segments.
        tiou_needs_boxes: if True, tIoU is the number of frames in both segments with a predicted
            box / scored frames of the hull of the segments. Otherwise it is the segment IoU.
    """

    scored_frames: Callable[[GroundTruth], range | np.ndarray] | None
    tiou_needs_boxes: bool = False


def every_clip_frame(truth: GroundTruth) -> range:
    """All frames of the clip of a sentence."""
    return range(truth.clip_begin, truth.clip_end)


def tubedetr_frames(truth: GroundTruth) -> np.ndarray:
    """Frames of the clip sampled at 5 fps, at most 200: int64 `[n]`, in ascending order.

    The last frame of the clip is left out, unless it is the only one.
    """
    end = max(truth.clip_end - 1, truth.clip_begin + 1)
    return _at_rate(truth.clip_begin, end, truth.fps, TUBEDETR_FPS, TUBEDETR_FRAMES)


def slow_frames(truth: GroundTruth) -> np.ndarray:
    """Frames of the clip sampled at 2 fps, at most 64: int64 `[n]`, in ascending order."""
    return _at_rate(truth.clip_begin, truth.clip_end, truth.fps, SLOW_FPS, THINNED_FRAMES)


def thinned_frames(truth: GroundTruth) -> np.ndarray:
    """At most 64 frames of the clip, evenly from the first to the last: int64 `[n]`, ascending."""
    last = truth.clip_end - truth.clip_begin - 1
    kept = min(last + 1, THINNED_FRAMES)
    return truth.clip_begin + np.arange(kept) * last // max(kept - 1, 1)


def _at_rate(begin, end, fps, rate, most):
    """Frames of `[begin, end)` that begin a new interval of `1 / rate` seconds, and the first one.

    If there are more than `most`, the samples at `j * n // most` are used.
    """

    def intervals(frames):
        return np.floor(rate * frames / fps).astype(np.int64)

    every_frame = fps <= rate
    count = end - begin if every_frame else int(intervals(end - 1) - intervals(begin)) + 1
    kept = min(count, most)
    samples = np.arange(kept) * count // kept
    if every_frame:
        return begin + samples
    wanted = intervals(begin) + samples
    frames = np.ceil(wanted * fps / rate).astype(np.int64)
    # The product may be rounded to the frame before or after.
    frames -= intervals(frames - 1) >= wanted
    frames += intervals(frames) < wanted
    return np.maximum(frames, begin)


PROTOCOLS = {
    "all_frames": Protocol(every_clip_frame),
    "sampled_5fps": Protocol(tubedetr_frames),
    "sampled_64": Protocol(thinned_frames),
    "sampled_2fps": Protocol(slow_frames),
    "hcstvg": Protocol(None, tiou_needs_boxes=True),
}
