"""The clips of a video in which a sentence is searched.

A model sees a clip in at most `T` steps, so that in a clip much longer than those of training a
step covers seconds, and short events fall between two steps. Such a part is searched in overlapping
clips as long as those of training; of tubes that overlap in time only the best is kept.
"""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class ClipSearch:
    """How the clips of a video are chosen that a model searches.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.searched_clips import ClipSearch
        >>> from gkcmn_tf.video.frame_rates import Timeline
        >>> minute = Timeline(np.arange(600) / 10, 60.0)
        >>> ClipSearch(max_steps=4, longest=30.0, search="sliding").clips(minute)
        [(0, 300), (150, 450), (300, 600)]
        >>> ClipSearch(max_steps=4, end=10.0).windows(minute)
        array([ 3,  9, 15, 21])

    Attributes:
        max_steps: `T`, maximum number of steps of a clip.
        longest: length of the longest training clip in seconds; None if unknown.
        begin: begin of the searched part in seconds after the start of the file; None for the
            begin of the video.
        end: end of the searched part in seconds; None for the end of the video.
        search: `whole` for one clip, `sliding` for overlapping clips as long as the longest of
            training, `auto` for sliding if the part is more than `MUCH_LONGER` times as long.
    """

    max_steps: int
    longest: float | None = None
    begin: float | None = None
    end: float | None = None
    search: str = AUTO

    def clips(self, timeline: Timeline) -> list[tuple[int, int]]:
        """Returns the clips, frames `[begin, end)` of the file, each with at least one sample.

        Raises:
            ValueError: the part is not in the video, or `search` is invalid, or `longest` is
                unknown and `search` sliding.
        """
        if self.search not in SEARCHES:
            expected = ", ".join(SEARCHES)
            raise ValueError(f"search: expected one of {expected}; got {self.search!r}")
        part = queries.clip_frames(timeline, self.begin, self.end)
        longest = self.longest
        if longest is None:
            if self.search == SLIDING:
                raise ValueError(
                    "search: sliding needs the lengths of training clips, which this model does "
                    "not have; use search=whole, or ground parts of the video"
                )
            return [part]
        first, last = timeline.seconds(*part)
        most = longest * (MUCH_LONGER if self.search == AUTO else 1)
        if self.search == WHOLE or last - first <= most:
            return [part]
        count = int(np.ceil((last - first - longest) / (longest * (1 - OVERLAP)))) + 1
        begins = np.linspace(first, last - longest, count)
        clips = [timeline.frames_shown(start, start + longest) for start in begins.tolist()]
        # Frames of a low rate, or a gap, may leave a clip without a sample.
        return [clip for clip in clips if np.diff(timeline.to_samples(*clip)) > 0]

    def windows(self, timeline: Timeline) -> np.ndarray:
        """Windows that the steps of the clips use, int64, ascending; errors as `clips`."""
        used = [
            steps.step_windows(*timeline.to_samples(*clip), self.max_steps)
            for clip in self.clips(timeline)
        ]
        return np.unique(np.concatenate(used))


def longest_training_clip(about: Mapping[str, Any]) -> float | None:
    """Seconds of the longest training clip, from `TrainedModel.about`; None if unknown."""
    training = about.get("training") or {}
    return training["clips"]["seconds"]["max"] if training else None
