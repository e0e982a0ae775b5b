"""Spatio-temporal tubes: from steps to frames, and to and from files.

Predictions file, one JSON object; a sentence without a tube is null or absent:

    {"ID": {"begin": 3, "end": 5, "boxes": {"3": [x1, y1, x2, y2], "4": [...]}, "score": 0.9}}

Ground truth file, one JSON list:

    [{"id": "ID", "vid": "VIDEO", "qtype": "declarative", "width": 640, "height": 360, "fps": 25.0,
      "frame_count": 400, "clip": {"begin": 0, "end": 300},
      "gt": {"begin": 3, "end": 5, "boxes": {"3": [x1, y1, x2, y2], "4": [...]}}}]

Segments are half-open, in frames; boxes are in pixels, one for each frame of the segment.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gkcmn_tf import steps
from gkcmn_tf.atomic_files import read_json
from gkcmn_tf.clips import QTYPES, Clip, Sentence


@dataclasses.dataclass(frozen=True, eq=False)
class Tube:
    """Frames `[begin, end)` and a box in each: float `[end - begin, 4]`, `x1 y1 x2 y2` in pixels.

    `score` is the model's confidence, 1 for a true tube. `ValueError` if the parts do not fit.
    """

    begin: int
    end: int
    boxes: np.ndarray
    score: float = 1.0

    def __post_init__(self):
        if not 0 <= self.begin < self.end:
            raise ValueError(f"expected 0 <= begin < end, got [{self.begin}, {self.end})")
        if self.boxes.shape != (self.end - self.begin, 4):
            raise ValueError(
                f"boxes: frames [{self.begin}, {self.end}) need shape "
                f"{(self.end - self.begin, 4)}, got {self.boxes.shape}"
            )
        if not np.isfinite(self.boxes).all() or not math.isfinite(self.score):
            raise ValueError("boxes, score: expected finite numbers")


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
    segment: np.ndarray,
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

    Each end goes to the nearest boundary between frames; a segment that leaves no frame gets the
    one that its middle lies in. A step's box stands at the frame nearest the step's centre; in
    between boxes are interpolated linearly, beyond the first and the last they are held.

    Args:
        segment: `[2]`, in step coordinates of the clip.
        boxes: `[T', 4]`, normalised, one for each valid step of the clip.
        begin: first frame of the clip.
        end: frame behind the clip's last.
        width: of the video, in pixels.
        height: of the video, in pixels.
        score: the model's confidence.
        frames: take these frames `[begin, end)` in place of `segment`.

    Returns:
        a tube inside the clip, with boxes inside the picture in hundredths of a pixel.

    Raises:
        ValueError: `segment` is not finite.
    """
    num_steps = len(boxes)
    first, behind = frames or _nearest_frames(segment, begin, end, num_steps)
    anchors = steps.step_frames(begin, end, num_steps)
    wanted = np.arange(first, behind)
    pixels = np.asarray(boxes, np.float64) * [width, height, width, height]
    interpolated = np.stack([np.interp(wanted, anchors, side) for side in pixels.T], axis=1)
    inside = np.clip(interpolated, 0, [width, height, width, height])
    # A hundredth of a pixel keeps files small, and what is written is what was scored.
    return Tube(first, behind, np.round(inside, 2), float(score))


def _nearest_frames(segment, begin, end, num_steps):
    """The frames `[first, behind)` nearest a segment: at least one, inside `[begin, end)`."""
    times = steps.steps_to_frames(np.asarray(segment, np.float64), begin, end, num_steps)
    if not np.isfinite(times).all():
        raise ValueError(f"segment: expected two finite step coordinates, got {segment}")
    first, behind = np.clip(np.floor(times + 0.5), begin, end).astype(int).tolist()
    if behind <= first:
        first = min(max(math.floor(times.mean()), begin), end - 1)
        behind = first + 1
    return first, behind


def ground_truth_entry(clip: Clip, sentence: Sentence) -> GroundTruth:
    """The true tube of a sentence of a clip."""
    return GroundTruth(
        id=sentence.id,
        vid=clip.video_id,
        qtype=sentence.qtype,
        width=clip.width,
        height=clip.height,
        fps=clip.fps,
        frame_count=clip.frame_count,
        clip_begin=clip.begin,
        clip_end=clip.end,
        tube=Tube(sentence.begin, sentence.end, sentence.boxes),
    )


def true_tubes(clips: Iterable[Clip]) -> list[GroundTruth]:
    """The true tubes of all sentences of some clips, in their order."""
    return [ground_truth_entry(clip, sentence) for clip in clips for sentence in clip.sentences]


def tube_to_json(tube: Tube) -> dict[str, Any]:
    """A tube as in the predictions file."""
    return _segment_to_json(tube) | {"score": tube.score}


def predictions_to_json(predictions: Mapping[str, Tube | None]) -> dict[str, Any]:
    """The contents of a predictions file, by sentence id."""
    return {
        sentence_id: None if tube is None else tube_to_json(tube)
        for sentence_id, tube in predictions.items()
    }


def ground_truth_to_json(entries: Iterable[GroundTruth]) -> list[dict[str, Any]]:
    """The contents of a ground truth file."""
    return [
        {
            "id": entry.id,
            "vid": entry.vid,
            "qtype": entry.qtype,
            "width": entry.width,
            "height": entry.height,
            "fps": entry.fps,
            "frame_count": entry.frame_count,
            "clip": {"begin": entry.clip_begin, "end": entry.clip_end},
            "gt": _segment_to_json(entry.tube),
        }
        for entry in entries
    ]


def _segment_to_json(tube):
    frames = map(str, range(tube.begin, tube.end))
    boxes = dict(zip(frames, tube.boxes.tolist(), strict=True))
    return {"begin": int(tube.begin), "end": int(tube.end), "boxes": boxes}


def load_predictions(path: str) -> dict[str, Tube | None]:
    """Reads a predictions file: tubes by sentence id, None where there is none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a predictions file; names the file, the id and the field.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object of tubes by sentence id")
    predictions = {}
    for sentence_id, entry in content.items():
        where = f"{path}: prediction {sentence_id!r}"
        if entry is None:
            predictions[sentence_id] = None
            continue
        predictions[sentence_id] = _tube(entry, where, _field(entry, "score", float, where))
    return predictions


def load_ground_truth(path: str) -> list[GroundTruth]:
    """Reads a ground truth file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a ground truth file; names the file, the id and the field.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path}: expected a list of sentences")
    entries, ids = [], set()
    for number, fields in enumerate(content):
        entry = _ground_truth(fields, path, number)
        if entry.id in ids:
            raise ValueError(f"{path}: id {entry.id!r} occurs twice; ids must differ")
        ids.add(entry.id)
        entries.append(entry)
    return entries


def _ground_truth(fields, path, number):
    where = f"{path}: entry {number}"
    sentence_id = _field(fields, "id", str, where)
    where = f"{path}: sentence {sentence_id!r}"
    clip = _field(fields, "clip", dict, where)
    entry = GroundTruth(
        id=sentence_id,
        vid=_field(fields, "vid", str, where),
        qtype=_field(fields, "qtype", str, where),
        width=_field(fields, "width", int, where),
        height=_field(fields, "height", int, where),
        fps=_field(fields, "fps", float, where),
        frame_count=_field(fields, "frame_count", int, where),
        clip_begin=_field(clip, "begin", int, f"{where}, clip"),
        clip_end=_field(clip, "end", int, f"{where}, clip"),
        tube=_tube(_field(fields, "gt", dict, where), f"{where}, gt", score=1.0),
    )
    if entry.qtype not in QTYPES:
        raise ValueError(f"{where}, qtype: expected one of {QTYPES}, got {entry.qtype!r}")
    for name in ("width", "height", "fps"):
        if getattr(entry, name) <= 0:
            raise ValueError(f"{where}, {name}: expected more than 0, got {getattr(entry, name)}")
    if not 0 <= entry.clip_begin < entry.clip_end <= entry.frame_count:
        raise ValueError(
            f"{where}, clip: expected 0 <= begin < end <= frame_count={entry.frame_count}, "
            f"got [{entry.clip_begin}, {entry.clip_end})"
        )
    if not entry.clip_begin <= entry.tube.begin < entry.tube.end <= entry.clip_end:
        raise ValueError(
            f"{where}, gt: segment [{entry.tube.begin}, {entry.tube.end}) does not lie in the clip "
            f"[{entry.clip_begin}, {entry.clip_end})"
        )
    return entry


_JSON_TYPES = {int: "an integer", float: "a number", str: "a string", dict: "an object"}


def _field(fields, name, kind, where):
    """`fields[name]`, which must be a `kind`; an integer counts as a number."""
    if not isinstance(fields, dict):
        raise ValueError(f"{where}: expected an object, got {fields!r}")
    if name not in fields:
        raise ValueError(f"{where}: has no field {name!r}, only {sorted(fields)}")
    value = fields[name]
    kinds = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"{where}, {name}: expected {_JSON_TYPES[kind]}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{where}, {name}: expected a finite number, got {value!r}")
    return value


def _tube(fields, where, score):
    begin = _field(fields, "begin", int, where)
    end = _field(fields, "end", int, where)
    boxes = _field(fields, "boxes", dict, where)
    if not 0 <= begin < end:
        raise ValueError(f"{where}: expected 0 <= begin < end, got [{begin}, {end})")
    missing = next((frame for frame in range(begin, end) if str(frame) not in boxes), None)
    if missing is not None:
        raise ValueError(
            f"{where}, boxes: frame {missing} has none; every frame of [{begin}, {end}) needs one"
        )
    if surplus := boxes.keys() - {str(frame) for frame in range(begin, end)}:
        raise ValueError(
            f"{where}, boxes: key {min(surplus)!r} is no frame of [{begin}, {end}); a box outside "
            "the segment cannot be scored"
        )
    array = np.array([_box(boxes[str(frame)], frame, where) for frame in range(begin, end)])
    return Tube(begin, end, array, score)


def _box(box, frame, where):
    numbers = isinstance(box, list) and len(box) == 4
    numbers = numbers and all(type(side) in (int, float) and math.isfinite(side) for side in box)
    if not numbers or box[2] < box[0] or box[3] < box[1]:
        raise ValueError(
            f"{where}, boxes, frame {frame}: expected [x1, y1, x2, y2] in pixels with x1 <= x2 and "
            f"y1 <= y2, got {box!r}"
        )
    return [float(side) for side in box]
