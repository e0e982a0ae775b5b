"""The one map between the frames of a video and those of the same video at another frame rate.

At `fps` frames a second, *sample* `j` shows what is on the screen `j / fps` seconds after the
video's first frame appears: the last frame that has appeared by then. There is a sample for every
such moment up to the one at which the last frame appears. So a sparse sampling leaves frames out,
a dense one repeats them, and each sample stands for the same time in every video, whether or not
its own frames are evenly spaced. A frame may come a millisecond late, since containers round time
stamps to milliseconds.

Frames `[begin, end)` become the samples that show one of them, which may be none. Samples become
the frames that appear from the first sample's moment up to that of the sample behind the last.
"""

import dataclasses
import fractions
import math

import numpy as np

from gkcmn_tf.video.box_interpolation import interpolate_boxes

ROUNDING = fractions.Fraction(1, 1000)  # seconds


def as_rate(fps: float) -> fractions.Fraction:
    """`fps` as a fraction; `ValueError` unless it is a number greater than 0."""
    rate = fractions.Fraction(fps).limit_denominator(1001) if math.isfinite(fps) else 0
    if rate <= 0:
        raise ValueError(f"fps: expected frames a second, more than 0, got {fps}")
    return rate


def first_sample(time: fractions.Fraction, rate: fractions.Fraction) -> int:
    """The first sample that shows a frame which appears at `time` seconds, or a later one."""
    return max(math.ceil((time - ROUNDING) * rate), 0)


def count_samples(last_time: fractions.Fraction, rate: fractions.Fraction) -> int:
    """How many samples a video has whose last frame appears at `last_time` seconds."""
    return math.floor((last_time + ROUNDING) * rate) + 1


def segment_in_samples(source_frames: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """The samples `[begin, end)` that show one of the frames `[begin, end)`; may be empty.

    Args:
        source_frames: `[samples]`, the frame that each sample shows; it never decreases.
        begin: first frame.
        end: frame behind the last.
    """
    first, behind = np.searchsorted(source_frames, [begin, end]).tolist()
    return first, behind


@dataclasses.dataclass(frozen=True, eq=False)
class Timeline:
    """When the frames of a video appear, and which of them its samples show.

    Attributes:
        times: float64 `[frames]`, in seconds after the first frame; never decreases.
        end_time: when the last frame disappears.
        source_frames: int64 `[samples]`, the frame that each sample shows; None if the samples
            are the frames.
    """

    times: np.ndarray
    end_time: float
    source_frames: np.ndarray | None = None

    @property
    def frame_count(self) -> int:
        """Frames of the video."""
        return len(self.times)

    def seconds(self, begin: int, end: int) -> tuple[float, float]:
        """When the first of the frames `[begin, end)` appears, and when the last disappears."""
        bounds = np.append(self.times, self.end_time)
        return float(bounds[begin]), float(bounds[end])

    def to_samples(self, begin: int, end: int) -> tuple[int, int]:
        """The samples `[begin, end)` that show one of the frames `[begin, end)`; may be empty."""
        if self.source_frames is None:
            return begin, end
        return segment_in_samples(self.source_frames, begin, end)

    def to_frames(self, begin: int, end: int) -> tuple[int, int]:
        """The frames `[begin, end)` of the samples `[begin, end)`: at least one."""
        if self.source_frames is None:
            return begin, end
        shown = np.append(self.source_frames, self.frame_count)
        return int(shown[begin]), int(max(shown[end], shown[end - 1] + 1))

    def boxes_in_frames(self, boxes: np.ndarray, begin: int, end: int) -> np.ndarray:
        """Boxes of the samples `[begin, end)`, for each frame of `to_frames(begin, end)`.

        Between the frames that the samples show they are interpolated linearly in time; behind
        the last one they are held.

        Args:
            boxes: `[end - begin, 4]`.
            begin: first sample.
            end: sample behind the last.

        Returns:
            `[frames, 4]`.
        """
        if self.source_frames is None:
            return boxes
        shown, first_showing = np.unique(self.source_frames[begin:end], return_index=True)
        times = self.times[slice(*self.to_frames(begin, end))]
        return interpolate_boxes(times, self.times[shown], boxes[first_showing])


@dataclasses.dataclass(frozen=True, eq=False)
class SourceVideo:
    """A video file: its path, upright size in pixels, frame rate, and when frames appear.

    `timeline.frame_count` is the number of frames that can be decoded.
    """

    path: str
    width: int
    height: int
    fps: float
    timeline: Timeline
