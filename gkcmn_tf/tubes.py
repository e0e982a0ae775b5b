"""Spatio-temporal tubes, and their conversion from steps of the model to frames and pixels."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from gkcmn_tf.video import steps
from gkcmn_tf.video.box_interpolation import interpolate_boxes
from gkcmn_tf.video.frame_rates import SourceVideo

QTYPES = ("declarative", "interrogative")


@dataclasses.dataclass(frozen=True, eq=False)
class Tube:
    """A spatio-temporal tube: a segment of a video with a box in each frame.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf import Tube
        >>> tube = Tube(3, 5, np.array([[10, 20, 30, 40], [12, 20, 32, 40]]), score=0.9)
        >>> tube.to_json()["boxes"]
        {'3': [10, 20, 30, 40], '4': [12, 20, 32, 40]}

    Attributes:
        begin: first frame, counted from 0.
        end: end frame (exclusive).
        boxes: `[end - begin, 4]`, `x1 y1 x2 y2` in pixels; a row of NaN for a frame without a box.
        score: the model's confidence from 0 to 1; 1 for a true tube.
        sentence: the sentence that the tube answers, empty if unknown.
        video: the video that the frames are of, None if unknown.
        clip: the clip in which the tube was found, frames `[begin, end)`; None if unknown.

    Raises:
        ValueError: begin >= end, the number of boxes does not match, or a value is not finite.
    """

    begin: int
    end: int
    boxes: np.ndarray
    score: float = 1.0
    sentence: str = dataclasses.field(default="", kw_only=True)
    video: SourceVideo | None = dataclasses.field(default=None, kw_only=True)
    clip: tuple[int, int] | None = dataclasses.field(default=None, kw_only=True)

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
        """Mask of the frames with a box: bool `[end - begin]`."""
        return ~np.isnan(self.boxes).all(axis=1)

    @property
    def num_boxes(self) -> int:
        """Number of frames with a box."""
        return int(np.count_nonzero(self.has_box))

    def boxes_at(self, frames: np.ndarray) -> np.ndarray:
        """Boxes of `frames` `[n]` inside the segment: `[n, 4]`, rows of NaN without a box."""
        return self.boxes[frames - self.begin]

    @property
    def begin_seconds(self) -> float | None:
        """Begin of the first frame in seconds; None without `video`."""
        return None if self.video is None else self.video.timeline.seconds(self.begin, self.end)[0]

    @property
    def end_seconds(self) -> float | None:
        """End of the last frame in seconds; None without `video`."""
        return None if self.video is None else self.video.timeline.seconds(self.begin, self.end)[1]

    def to_json(self) -> dict[str, Any]:
        """Converts the tube to a JSON object.

        The keys are `query` (if `sentence` is set), `begin`, `end` (frames, half-open), `boxes` by
        frame number, `score`, `begin_seconds` and `end_seconds` (if `video` is set), and `clip`,
        the frames `[begin, end]` of the searched clip (if it is set).
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
            **({"clip": list(self.clip)} if self.clip else {}),
        }

    def draw(
        self, path: str, *, strip_path: str | None = None, true_tube: "Tube | None" = None
    ) -> None:
        """Draws the tube into a copy of its video, including audio.

        Of a video longer than a minute, only the part around the tube is copied, without audio.

        Args:
            path: path of the MP4 to write.
            strip_path: path of a PNG with a strip of still images to write as well.
            true_tube: true tube, drawn in another colour.

        Raises:
            ValueError: the tube has no `video`, or `path` is the video itself.
            FileNotFoundError: the video file does not exist.
        """
        # Imported here since only drawing requires FFmpeg and Pillow.
        from gkcmn_tf.visualization import overlays  # noqa: PLC0415

        if self.video is None:
            raise ValueError("the tube has no video; create it with `video=`")
        overlays.draw_tubes(
            self.video.path,
            self,
            num_frames=self.video.timeline.frame_count,
            overlay_path=path,
            strip_path=strip_path,
            true_tube=true_tube,
            excerpt=overlays.excerpt_around(self),
        )

    def _repr_html_(self) -> str | None:
        """Renders the tube in its video for notebooks; None without a video."""
        from gkcmn_tf.visualization import inline  # noqa: PLC0415

        if self.video is None or not os.path.exists(self.video.path):
            return None
        return inline.tube_html(self)

    def boxes_by_frame(self, *, first_frame: int = 0) -> dict[str, list[float]]:
        """Boxes by frame number, with string keys as in JSON; frames count from `first_frame`."""
        frames = self.begin + first_frame + np.flatnonzero(self.has_box)
        return dict(zip(map(str, frames.tolist()), self.boxes[self.has_box].tolist(), strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class GroundTruth:
    """A sentence with its true tube, if it has one.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.tubes import GroundTruth, Tube
        >>> tube = Tube(3, 5, np.array([[10, 20, 30, 40], [12, 20, 32, 40]]))
        >>> truth = GroundTruth("s0", "park", "declarative", 640, 360, 25.0, 400, 0, 300, tube)
        >>> truth.clip_begin <= truth.tube.begin < truth.tube.end <= truth.clip_end
        True

    Attributes:
        id: id of the sentence.
        vid: id of the video.
        qtype: one of `QTYPES`.
        width: width of the video in pixels.
        height: height of the video in pixels.
        fps: frames per second.
        frame_count: number of frames of the video.
        clip_begin: first frame of the clip.
        clip_end: end frame (exclusive) of the clip.
        tube: the true tube, inside the clip; None if the sentence is absent: it describes nothing
            in the clip.
        paired_with: for each minimal pair that this sentence is the first of, the kind (such as
            `word`) by the id of the second one (see `gkcmn_tf.evaluation.minimal_pairs`).
    """

    id: str
    vid: str
    qtype: str
    width: int
    height: int
    fps: float
    frame_count: int
    clip_begin: int
    clip_end: int
    tube: Tube | None
    paired_with: Mapping[str, str] = dataclasses.field(default_factory=dict, kw_only=True)


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
    """Converts the decoded output of a model to frames and pixels.

    The segment is rounded by `nearest_frames`. The box of a step applies to the frame at the centre
    of the step. Boxes of other frames are interpolated linearly, or copied before the first and
    after the last centre.

    Args:
        segment: `[2]`, in step coordinates of the clip; None if `frames` are given.
        boxes: `[T', 4]`, normalised, one per valid step of the clip.
        begin: first frame of the clip.
        end: end frame (exclusive) of the clip.
        width: width of the video in pixels.
        height: height of the video in pixels.
        score: confidence of the model.
        frames: frames `[begin, end)` to use instead of `segment`.

    Returns:
        a tube inside the clip, with boxes clipped to the frame and rounded to 0.01 pixels.

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
    # Rounding keeps files small; metrics use the same rounded boxes.
    return Tube(first, last, np.round(inside, 2), float(score))


def nearest_frames(
    segments: np.ndarray,
    begin: int | np.ndarray,
    end: int | np.ndarray,
    num_steps: int | np.ndarray,
) -> np.ndarray:
    """Rounds segments of a clip, or each of its own clip, to frames.

    Both ends are rounded to the nearest frame boundary. If no frame remains, the frame at the
    centre of the segment is returned.

    Args:
        segments: `[..., 2]`, in step coordinates of the clip.
        begin: first frame of the clip; for several clips `[..., 1]`, as the next two.
        end: end frame (exclusive) of the clip.
        num_steps: number of steps of the clip.

    Returns:
        int64 `[..., 2]`, begin and end (exclusive).

    Raises:
        ValueError: a segment is not finite.
    """
    times = steps.steps_to_frames(np.asarray(segments, np.float64), begin, end, num_steps)
    if not np.isfinite(times).all():
        raise ValueError(f"segment: expected two finite step coordinates, got {segments}")
    frames = np.clip(np.floor(times + 0.5), begin, end).astype(np.int64)
    centre = np.floor(times.mean(axis=-1, keepdims=True))
    middle = np.clip(centre, begin, end - 1).astype(np.int64)
    empty = frames[..., :1] >= frames[..., 1:]
    return np.where(empty, np.concatenate([middle, middle + 1], axis=-1), frames)
