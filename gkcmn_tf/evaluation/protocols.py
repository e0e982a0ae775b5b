"""Evaluation protocols: the frames on which the metrics are computed, which differ between papers.

- `all_frames`: every frame of the clip;
- `sampled_5fps`: the frames of the clip but its last, sampled at 5 fps, at most 200, as in
  TubeDETR, which takes VidSTG's inclusive end of the clip for an exclusive one;
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

SAMPLED_FPS = 5
MAX_SAMPLED_FRAMES = 200


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


def sampled_clip_frames(truth: GroundTruth) -> np.ndarray:
    """Frames of the clip sampled at 5 fps, at most 200: int64 `[n]`, in ascending order.

    The last frame of the clip is left out, unless it is the only one. The samples are the first
    frame and each frame that begins a new fifth of a second of the video. If there are more than
    200, the samples at `j * n // 200` are used.
    """
    begin, end = truth.clip_begin, max(truth.clip_end - 1, truth.clip_begin + 1)

    def fifths(frames):
        return np.floor(SAMPLED_FPS * frames / truth.fps).astype(np.int64)

    every_frame = truth.fps <= SAMPLED_FPS
    count = end - begin if every_frame else int(fifths(end - 1) - fifths(begin)) + 1
    kept = min(count, MAX_SAMPLED_FRAMES)
    samples = np.arange(kept) * count // kept
    if every_frame:
        return begin + samples
    wanted = fifths(begin) + samples
    frames = np.ceil(wanted * truth.fps / SAMPLED_FPS).astype(np.int64)
    # The product may be rounded to the frame before or after.
    frames -= fifths(frames - 1) >= wanted
    frames += fifths(frames) < wanted
    return np.maximum(frames, begin)


PROTOCOLS = {
    "all_frames": Protocol(every_clip_frame),
    "sampled_5fps": Protocol(sampled_clip_frames),
    "hcstvg": Protocol(None, tiou_needs_boxes=True),
}
