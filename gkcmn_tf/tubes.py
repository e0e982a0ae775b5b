"""Spatio-temporal tubes, and how the steps of a model's output become frames and pixels."""

import dataclasses
import math
import os
from typing import Any

import numpy as np

from gkcmn_tf.video import steps
from gkcmn_tf.video.box_interpolation import interpolate_boxes
from gkcmn_tf.video.frame_rates import SourceVideo

QTYPES = ("declarative", "interrogative")


@dataclasses.dataclass(frozen=True, eq=False)
class Tube:
    """Where and when: a segment of a video, and a box in each of its frames.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf import Tube
        >>> tube = Tube(3, 5, np.array([[10, 20, 30, 40], [12, 20, 32, 40]]), score=0.9)
        >>> tube.to_json()["boxes"]
        {'3': [10, 20, 30, 40], '4': [12, 20, 32, 40]}

    Attributes:
        begin: first frame, counted from 0.
        end: end frame (exclusive).
        boxes: `[end - begin, 4]`, `x1 y1 x2 y2` in pixels; a row of NaN for a frame without a box,
            which only a tube from a file can have.
        score: the model's confidence from 0 to 1; 1 for a true tube.
        sentence: the sentence that the tube answers, empty if unknown.
        video: the video that the frames are of, None if unknown.

    Raises:
        ValueError: the parts do not fit together.
    """

    begin: int
    end: int
    boxes: np.ndarray
    score: float = 1.0
    sentence: str = dataclasses.field(default="", kw_only=True)
    video: SourceVideo | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self):
        if not self.begin < self.end:
            raise ValueError(f"expected begin < end, got [{self.begin}, {self.end})")
        if self.boxes.shape != (self.end - self.begin, 4):
            raise ValueError(
                f"boxes: frames [{self.begin}, {self.end}) need shape "
                f"{(self.end - self.begin, 4)}, got {self.boxes.shape}"
            )
        if not np.isfinite(self.boxes[self.has_box]).all() or not math.isfinite(self.score):
            raise ValueError("boxes, score: expected finite numbers")

    def __repr__(self):
        seconds = f", {self.begin_seconds:.2f} to {self.end_seconds:.2f} s" if self.video else ""
        sentence = f"{self.sentence!r}, " if self.sentence else ""
        return f"Tube({sentence}frames [{self.begin}, {self.end}){seconds}, score {self.score:.2f})"

    @property
    def has_box(self) -> np.ndarray:
        """Which of the frames have a box: bool `[end - begin]`."""
        return ~np.isnan(self.boxes).all(axis=1)

    @property
    def begin_seconds(self) -> float | None:
        """When the first frame appears; None without `video`."""
        return None if self.video is None else self.video.timeline.seconds(self.begin, self.end)[0]

    @property
    def end_seconds(self) -> float | None:
        """When the last frame disappears; None without `video`."""
        return None if self.video is None else self.video.timeline.seconds(self.begin, self.end)[1]

    def to_json(self) -> dict[str, Any]:
        """The tube as `gkcmn_tf.ground` prints it; without sentence and video, as in files.

        `query`, `begin`, `end` (frames, half-open), `boxes` by frame number, `score`,
        `begin_seconds`, `end_seconds`.
        """
        query = {"query": self.sentence} if self.sentence else {}
        seconds = {"begin_seconds": self.begin_seconds, "end_seconds": self.end_seconds}
        return {
            **query,
            "begin": int(self.begin),
            "end": int(self.end),
            "boxes": self.boxes_by_frame(),
            "score": self.score,
            **(seconds if self.video else {}),
        }

    def draw(
        self, path: str, *, strip_path: str | None = None, true_tube: "Tube | None" = None
    ) -> None:
        """Draws the tube into a copy of its video: an MP4 with the video's sound.

        Args:
            path: the MP4 to write, whole or not at all.
            strip_path: a PNG with a strip of stills to write as well.
            true_tube: drawn in another colour.

        Raises:
            ValueError: the tube has no `video`, or `path` is the video itself.
            FileNotFoundError: the video's file is not there.
        """
        # Tubes need neither FFmpeg nor Pillow, pictures do.
        from gkcmn_tf.visualization import overlays  # noqa: PLC0415

        if self.video is None:
            raise ValueError("the tube has no video to draw it into; make it with `video=`")
        overlays.draw_tubes(
            self.video.path,
            self,
            num_frames=self.video.timeline.frame_count,
            overlay_path=path,
            strip_path=strip_path,
            true_tube=true_tube,
        )

    def _repr_html_(self) -> str | None:
        """The drawn video for notebooks, scaled down; None without a video."""
        from gkcmn_tf.visualization import inline  # noqa: PLC0415

        if self.video is None or not os.path.exists(self.video.path):
            return None
        return inline.tube_html(self)

    def boxes_by_frame(self, *, first_frame: int = 0) -> dict[str, list[float]]:
        """The boxes by frame number, as JSON has them; frames count from `first_frame`."""
        frames = self.begin + first_frame + np.flatnonzero(self.has_box)
        return dict(zip(map(str, frames.tolist()), self.boxes[self.has_box].tolist(), strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class GroundTruth:
    """A sentence's true tube in frames `[clip_begin, clip_end)` of a video."""

    id: str
    vid: str
    qtype: str
    width: int
    height: int
    fps: float
    frame_count: int
    clip_begin: int
    clip_end: int
    tube: Tube


def tube_from_steps(
    segment: np.ndarray | None,
    boxes: np.ndarray,
    *,
    begin: int,
    end: int,
    width: int,
    height: int,
    score: float,
    frames: tuple[int, int] | None = None,
) -> Tube:
    """Turns what a model decodes into frames and pixels.

    The segment becomes its `nearest_frames`. A step's box stands at the frame nearest the step's
    centre; in between boxes are interpolated linearly, beyond the first and the last they are held.

    Args:
        segment: `[2]`, in step coordinates of the clip; None if `frames` are given.
        boxes: `[T', 4]`, normalised, one for each valid step of the clip.
        begin: first frame of the clip.
        end: end frame (exclusive) of the clip.
        width: of the video, in pixels.
        height: of the video, in pixels.
        score: the model's confidence.
        frames: take these frames `[begin, end)` in place of `segment`.

    Returns:
        a tube inside the clip, with boxes inside the picture in hundredths of a pixel.

    Raises:
        ValueError: `segment` or a box is not finite.
    """
    if not np.isfinite(boxes).all():
        raise ValueError("boxes: expected finite numbers")
    num_steps = len(boxes)
    first, last = frames or nearest_frames(segment, begin, end, num_steps).tolist()
    anchors = steps.step_frames(begin, end, num_steps)
    wanted = np.arange(first, last)
    pixels = np.asarray(boxes, np.float64) * [width, height, width, height]
    interpolated = interpolate_boxes(wanted, anchors, pixels)
    inside = np.clip(interpolated, 0, [width, height, width, height])
    # A hundredth of a pixel keeps files small, and what is written is what was scored.
    return Tube(first, last, np.round(inside, 2), float(score))


def nearest_frames(segments: np.ndarray, begin: int, end: int, num_steps: int) -> np.ndarray:
    """The frames nearest segments of a clip: int64 `[..., 2]`, begin and end (exclusive).

    Each end goes to the nearest boundary between frames; a segment that leaves no frame gets the
    one that its middle lies in.

    Args:
        segments: `[..., 2]`, in step coordinates of the clip.
        begin: first frame of the clip.
        end: end frame (exclusive) of the clip.
        num_steps: steps of the clip.

    Raises:
        ValueError: a segment is not finite.
    """
    times = steps.steps_to_frames(np.asarray(segments, np.float64), begin, end, num_steps)
    if not np.isfinite(times).all():
        raise ValueError(f"segment: expected two finite step coordinates, got {segments}")
    frames = np.clip(np.floor(times + 0.5), begin, end).astype(np.int64)
    middle = np.clip(np.floor(times.mean(axis=-1)), begin, end - 1).astype(np.int64)
    empty = frames[..., :1] >= frames[..., 1:]
    return np.where(empty, np.stack([middle, middle + 1], axis=-1), frames)
