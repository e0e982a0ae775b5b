"""The clips of a video in which a sentence is searched.

A model sees a clip in at most `T` steps, so that in a clip much longer than those of training a
step covers seconds, and short events fall between two steps. Such a part is searched in overlapping
clips as long as those of training; of tubes that overlap in time only the best is kept.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gkcmn_tf import queries
from gkcmn_tf.video import steps
from gkcmn_tf.video.frame_rates import Timeline

WHOLE, SLIDING, AUTO = "whole", "sliding", "auto"
SEARCHES = (AUTO, WHOLE, SLIDING)
MUCH_LONGER = 2.0  # times the longest training clip: from here on, `auto` slides
OVERLAP = 0.5  # of two neighbouring clips


def searched_clips(
    timeline: Timeline,
    begin: float | None,
    end: float | None,
    *,
    search: str = AUTO,
    longest: float | None = None,
) -> list[tuple[int, int]]:
    """Returns the clips to search, frames `[begin, end)` of the file.

    Args:
        timeline: timeline of the video.
        begin: begin of the searched part in seconds after the start of the file; None for the
            begin of the video.
        end: end of the searched part in seconds; None for the end of the video.
        search: `whole` for one clip, `sliding` for overlapping clips as long as the longest of
            training, `auto` for sliding if the part is more than `MUCH_LONGER` times as long.
        longest: length of the longest training clip in seconds; None if unknown.

    Raises:
        ValueError: the range or `search` is invalid, or `longest` is unknown and `search` sliding.
    """
    if search not in SEARCHES:
        raise ValueError(f"search: expected one of {', '.join(SEARCHES)}; got {search!r}")
    part = queries.clip_frames(timeline, begin, end)
    if longest is None:
        if search == SLIDING:
            raise ValueError(
                "search: sliding needs the lengths of training clips, which this model does not "
                "have; use search=whole, or ground parts of the video"
            )
        return [part]
    first, last = timeline.seconds(*part)
    if search == WHOLE or last - first <= longest * (MUCH_LONGER if search == AUTO else 1):
        return [part]
    count = int(np.ceil((last - first - longest) / (longest * (1 - OVERLAP)))) + 1
    begins = np.linspace(first, last - longest, count)
    clips = [timeline.frames_shown(start, start + longest) for start in begins.tolist()]
    # Frames of a low rate, or a gap, may leave a clip without a sample.
    return [clip for clip in clips if np.diff(timeline.to_samples(*clip)) > 0]


def longest_training_clip(about: Mapping[str, Any]) -> float | None:
    """Seconds of the longest training clip, from `TrainedModel.about`; None if unknown."""
    training = about.get("training") or {}
    return training["clips"]["seconds"]["max"] if training else None


def windows_of_clips(
    timeline: Timeline, clips: list[tuple[int, int]], max_steps: int
) -> np.ndarray:
    """Windows that the steps of clips use, int64, in ascending order.

    Args:
        timeline: timeline of the video.
        clips: frames `[begin, end)` of the file, each with at least one sample.
        max_steps: `T`, maximum number of steps of a clip.
    """
    return np.unique(
        np.concatenate(
            [steps.step_windows(*timeline.to_samples(*clip), max_steps) for clip in clips]
        )
    )
