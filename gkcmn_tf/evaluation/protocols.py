"""Protocols: the frames of a sentence on which the metrics are computed. Papers differ in them.

- `all_frames`: every frame of the clip that is searched;
- `sampled_5fps`: the frames of the clip sampled at 5 a second, at most 200, as TubeDETR does;
- `hcstvg`: every frame, inside the clip or not, and tIoU counts the frames with both boxes / the
  frames of the hull of the segments, as HC-STVG's official scorer does. (That scorer's ends are
  inclusive, which changes no number.)

Predicted frames outside the clip count in tIoU under every protocol, in vIoU under `hcstvg` only.

A new protocol is a new entry of `PROTOCOLS`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from gkcmn_tf.tubes import GroundTruth

SAMPLED_FPS = 5
MAX_SAMPLED_FRAMES = 200


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the frames of a sentence count.

    Attributes:
        scored_frames: the frames on which boxes are scored, int64 `[n]`, increasing; None scores
            every frame of either segment.
        tiou_needs_boxes: tIoU counts the frames in both segments with a predicted box, over the
            scored frames of the segments' hull; otherwise it is the IoU of the segments.
    """

    scored_frames: Callable[[GroundTruth], np.ndarray] | None
    tiou_needs_boxes: bool = False


def every_clip_frame(truth: GroundTruth) -> np.ndarray:
    """The frames of a sentence's clip: int64 `[n]`, increasing."""
    return np.arange(truth.clip_begin, truth.clip_end)


def sampled_clip_frames(truth: GroundTruth) -> np.ndarray:
    """The frames of a sentence's clip at 5 a second, at most 200: int64 `[n]`, increasing.

    The first frame is taken, then every frame that begins a new fifth of a second of the video; of
    more than 200, those at `j * n // 200`.
    """
    frames = every_clip_frame(truth)
    fifths = np.floor(SAMPLED_FPS * frames / truth.fps)
    sampled = frames[np.diff(fifths, prepend=-1) > 0]
    if len(sampled) > MAX_SAMPLED_FRAMES:
        sampled = sampled[np.arange(MAX_SAMPLED_FRAMES) * len(sampled) // MAX_SAMPLED_FRAMES]
    return sampled


PROTOCOLS = {
    "all_frames": Protocol(every_clip_frame),
    "sampled_5fps": Protocol(sampled_clip_frames),
    "hcstvg": Protocol(None, tiou_needs_boxes=True),
}
