"""Mapping between the frames of a video and the samples of the same video at another frame rate.

At a target rate of `fps` frames per second, *sample* `j` is the frame shown `j / fps` seconds after
the first frame appears, that is, the last frame with a time stamp up to that time. Samples
end with the appearance of the last frame. A low rate skips frames and a high rate repeats them.
Samples are evenly spaced in time even if the frames of the video are not. Time stamps are compared
with a tolerance of one millisecond, since containers round them to milliseconds. The number of
samples is limited by `gkcmn_tf.video.reading.MAX_RESAMPLED_FRAMES`.

All other seconds of a video count from the start of the file, as in players: if the sound starts
before the picture, the first frame appears after 0 s.

Frames `[begin, end)` map to the samples that show one of them; there may be none. Samples
`[begin, end)` map to the frames from that of sample `begin` up to that of sample `end` (exclusive).
"""

import dataclasses
import fractions
import math

import numpy as np

from gkcmn_tf.video.box_interpolation import interpolate_boxes

ROUNDING = fractions.Fraction(1, 1000)  # seconds


def as_rate(fps: float) -> fractions.Fraction:
    """Converts `fps` to a fraction; raises `ValueError` unless it is finite and above 0."""
    rate = fractions.Fraction(fps).limit_denominator(1001) if math.isfinite(fps) else 0
    if rate <= 0:
        raise ValueError(f"fps: expected a frame rate above 0, got {fps}")
    return rate


def first_sample(time: fractions.Fraction, rate: fractions.Fraction) -> int:
    """Index of the first sample at or after `time`, in seconds."""
    return max(math.ceil((time - ROUNDING) * rate), 0)


def count_samples(last_time: fractions.Fraction, rate: fractions.Fraction) -> int:
    """Number of samples of a video with its last frame at `last_time` seconds."""
    return math.floor((last_time + ROUNDING) * rate) + 1


def segment_in_samples(source_frames: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """Maps frames `[begin, end)` to the samples that show one of them.

    Args:
        source_frames: `[samples]`, the frame that each sample shows, in ascending order.
        begin: first frame.
        end: end frame (exclusive).

    Returns:
        the first sample and the end sample (exclusive); equal if no sample shows these frames.
    """
    first_sample, end_sample = np.searchsorted(source_frames, [begin, end]).tolist()
    return first_sample, end_sample


@dataclasses.dataclass(frozen=True, eq=False)
class Timeline:
    """Frame times of a video and, if it was resampled, the frame that each sample shows.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.video.frame_rates import Timeline
        >>> # Four frames at 2 frames per second, resampled to 1 frame per second.
        >>> timeline = Timeline(np.arange(4) / 2, 2.0, source_frames=np.array([0, 2]))
        >>> timeline.seconds(1, 3)
        (0.5, 1.5)
        >>> timeline.to_samples(1, 3), timeline.to_frames(0, 1)
        ((1, 2), (0, 2))

    Attributes:
        times: float64 `[frames]`, when each frame appears, in seconds after the start of the file,
            in ascending order.
        end_time: end of the last frame, in seconds after the start of the file.
        source_frames: int64 `[samples]`, the frame that each sample shows; None if the video was
            not resampled.
    """

    times: np.ndarray
    end_time: float
    source_frames: np.ndarray | None = None

    @property
    def frame_count(self) -> int:
        """Number of frames of the video."""
        return len(self.times)

    @property
    def sample_count(self) -> int:
        """Number of samples; of frames, if the video was not resampled."""
        return self.frame_count if self.source_frames is None else len(self.source_frames)

    def seconds(self, begin: int, end: int) -> tuple[float, float]:
        """Begin and end of the frames `[begin, end)`, in seconds."""
        bounds = np.append(self.times, self.end_time)
        return float(bounds[begin]), float(bounds[end])

    def nearest_frame(self, seconds: float) -> int:
        """Number of the frame that begins nearest to a time.

        The end of the video counts as the begin of a frame. Before and after the video, frames are
        counted on at its mean rate; the result may be negative, or `frame_count` and more.
        """
        bounds = np.append(self.times, self.end_time)
        if bounds[0] <= seconds <= bounds[-1]:
            return int(np.abs(bounds - seconds).argmin())
        edge = 0 if seconds < bounds[0] else self.frame_count
        rate = self.frame_count / (bounds[-1] - bounds[0])
        return edge + round((seconds - bounds[edge]) * rate)

    def frames_shown(self, begin: float, end: float) -> tuple[int, int]:
        """Frames `[begin, end)` on the screen between two times in seconds; at least one frame."""
        rounding = float(ROUNDING)
        first = int(np.searchsorted(self.times, begin + rounding, side="right")) - 1
        last = int(np.searchsorted(self.times, end - rounding, side="left"))
        first = max(first, 0)
        return first, max(last, first + 1)

    def to_samples(self, begin: int, end: int) -> tuple[int, int]:
        """Maps frames `[begin, end)` to the samples `[begin, end)` that show them; may be empty."""
        if self.source_frames is None:
            return begin, end
        return segment_in_samples(self.source_frames, begin, end)

    def to_frames(self, begin: int, end: int) -> tuple[int, int]:
        """Maps samples `[begin, end)` to frames `[begin, end)`; at least one frame."""
        if self.source_frames is None:
            return begin, end
        shown = np.append(self.source_frames, self.frame_count)
        return int(shown[begin]), int(max(shown[end], shown[end - 1] + 1))

    def boxes_in_frames(self, boxes: np.ndarray, begin: int, end: int) -> np.ndarray:
        """Interpolates the boxes of samples to the frames `to_frames(begin, end)`.

        Boxes are interpolated linearly in time; after the last sampled frame the last box is used.

        Args:
            boxes: `[end - begin, 4]`, one per sample.
            begin: first sample.
            end: end sample (exclusive).

        Returns:
            `[frames, 4]`, one per frame.
        """
        if self.source_frames is None:
            return boxes
        shown, first_showing = np.unique(self.source_frames[begin:end], return_index=True)
        times = self.times[slice(*self.to_frames(begin, end))]
        return interpolate_boxes(times, self.times[shown], boxes[first_showing])


@dataclasses.dataclass(frozen=True, eq=False)
class SourceVideo:
    """Path, size and frame times of a video file.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
        >>> video = SourceVideo("clip.mp4", 640, 360, 25.0, Timeline(np.arange(50) / 25, 2.0))
        >>> video.timeline.frame_count
        50

    Attributes:
        path: path of the file.
        width: width in pixels after rotation to upright.
        height: height in pixels after rotation to upright.
        fps: frames per second, by the time stamps.
        timeline: times of the frames that can be decoded.
    """

    path: str
    width: int
    height: int
    fps: float
    timeline: Timeline
