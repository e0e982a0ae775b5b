"""File formats of tubes: predictions, ground truth and HC-STVG submissions.

Predictions file, one JSON object:

    {"ID": {"begin": 3, "end": 5, "boxes": {"3": [x1, y1, x2, y2], "4": [...]}, "score": 0.9}}

Sentences without a tube are null or absent, or have an empty segment (begin = end). Predicted
segments may extend beyond the video, and frames may have no box. `score` is optional, 1 by default;
only the metrics of absent sentences use it.

Ground truth file, one JSON list; segments lie inside the clip and have a box in every frame:

    [{"id": "ID", "vid": "VIDEO", "qtype": "declarative", "width": 640, "height": 360, "fps": 25.0,
      "frame_count": 400, "clip": {"begin": 0, "end": 300},
      "gt": {"begin": 3, "end": 5, "boxes": {"3": [x1, y1, x2, y2], "4": [...]}}}]

A sentence that describes nothing in its clip (absent) has `"gt": null`. The first sentence of a
minimal pair has `"paired_with": {"ID": "word"}`, the kind of each pair by the id of its second
sentence, which is in the same file; see `gkcmn_tf.evaluation.minimal_pairs`.

Ids are strings. Segments are half-open, in frames. Boxes are in pixels, for frames inside the
segment only. Missing or invalid fields, duplicate keys, and frame numbers above
`json_fields.MAX_NUMBER` are errors; the message names file, sentence and field. Unknown fields are
ignored.

Submission to the HC-STVG challenge, one JSON object by file name of the video. Frames count from 1,
as in the annotations of the data set, and `ed_frame` is inclusive:

    {"VIDEO.mp4": {"st_frame": 4, "ed_frame": 5, "bbox": {"4": [x1, y1, x2, y2], "5": [...]}}}
"""

import dataclasses
import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gkcmn_tf import json_fields
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.json_fields import JsonObject
from gkcmn_tf.tubes import QTYPES, GroundTruth, Tube

# Upper bound of box coordinates, for which areas are finite.
MAX_PIXELS = 1e9
_FRAME_KEY = re.compile("0|-?[1-9][0-9]{0,6}")


@dataclasses.dataclass(frozen=True, eq=False)
class PredictedTube:
    """A tube of a predictions file; only frames with a box take memory, however long it is.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.evaluation.tube_files import PredictedTube
        >>> tube = PredictedTube(0, 1_000_000, np.array([3]), np.array([[0.0, 1, 2, 3]]))
        >>> tube.boxes_at(np.array([3, 4])).tolist()
        [[0.0, 1.0, 2.0, 3.0], [nan, nan, nan, nan]]

    Attributes:
        begin: first frame, counted from 0; may be negative.
        end: end frame (exclusive).
        frames: int64 `[n]`, the frames with a box in ascending order.
        boxes: `[n, 4]`, `x1 y1 x2 y2` in pixels.
        score: the confidence of the system; used by the metrics of absent sentences only.
    """

    begin: int
    end: int
    frames: np.ndarray
    boxes: np.ndarray
    score: float = 1.0

    @property
    def num_boxes(self) -> int:
        """Number of frames with a box."""
        return len(self.frames)

    def boxes_at(self, frames: np.ndarray) -> np.ndarray:
        """Boxes of `frames` `[m]`: `[m, 4]`, rows of NaN for frames without a box."""
        found = np.full((len(frames), 4), np.nan)
        rows = np.searchsorted(self.frames, frames)
        known = rows < self.num_boxes
        known[known] = self.frames[rows[known]] == frames[known]
        found[known] = self.boxes[rows[known]]
        return found

    def boxes_by_frame(self, *, first_frame: int = 0) -> dict[str, list[float]]:
        """Boxes by frame number, with string keys as in JSON; frames count from `first_frame`."""
        names = map(str, (self.frames + first_frame).tolist())
        return dict(zip(names, self.boxes.tolist(), strict=True))

    def to_json(self) -> dict[str, Any]:
        """Converts the tube to an entry of a predictions file."""
        return {
            "begin": self.begin,
            "end": self.end,
            "boxes": self.boxes_by_frame(),
            "score": self.score,
        }


AnyTube = Tube | PredictedTube


def predictions_to_json(predictions: Mapping[str, AnyTube | None]) -> dict[str, Any]:
    """Converts predictions by sentence id to the content of a predictions file."""
    return {
        sentence_id: None if tube is None else tube.to_json()
        for sentence_id, tube in predictions.items()
    }


def ground_truth_to_json(entries: Iterable[GroundTruth]) -> list[dict[str, Any]]:
    """Converts ground truth to the content of a ground truth file."""
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
            "gt": None if entry.tube is None else _true_segment(entry.tube),
            **({"paired_with": dict(entry.paired_with)} if entry.paired_with else {}),
        }
        for entry in entries
    ]


def hcstvg_submission(
    ground_truth: Iterable[GroundTruth], predictions: Mapping[str, AnyTube | None]
) -> dict[str, Any]:
    """Converts predictions to a submission to the HC-STVG challenge, by video.

    Args:
        ground_truth: the sentences; their tubes are not used.
        predictions: tubes by sentence id. Videos without a prediction are omitted; the challenge
            scores them 0.

    Raises:
        ValueError: a video has several sentences, which the format does not support.
    """
    submission, ids = {}, {}
    for entry in ground_truth:
        if entry.vid in ids:
            raise ValueError(
                f"video {entry.vid!r} has the sentences {ids[entry.vid]!r} and {entry.id!r}, but a "
                "submission to HC-STVG has one tube per video; remove one sentence"
            )
        ids[entry.vid] = entry.id
        if tube := predictions.get(entry.id):
            submission[entry.vid] = hcstvg_entry(tube)
    return submission


def hcstvg_entry(tube: AnyTube) -> dict[str, Any]:
    """Converts a tube to an entry of an HC-STVG submission."""
    return {
        "st_frame": tube.begin + 1,
        "ed_frame": tube.end,
        "bbox": tube.boxes_by_frame(first_frame=1),
    }


def _true_segment(tube):
    fields = tube.to_json()
    return {name: fields[name] for name in ("begin", "end", "boxes")}


def load_predictions(path: str) -> dict[str, PredictedTube | None]:
    """Reads a predictions file.

    Returns:
        tubes by sentence id; None for sentences without a tube.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is invalid; the message names file, sentence and field.
    """
    content = read_json(path, object_pairs_hook=JsonObject)
    with json_fields.errors_in(path):
        json_fields.json_object(content)
    predictions = {}
    for sentence_id, fields in content.items():
        with json_fields.errors_in(f"{path}: sentence {sentence_id!r}"):
            predictions[sentence_id] = None if fields is None else _predicted(fields)
    return predictions


def write_tubes(
    folder: str, ground_truth: Iterable[GroundTruth], predictions: Mapping[str, AnyTube | None]
) -> None:
    """Writes gt.json and predictions.json to `folder`."""
    for name, content in (
        ("gt.json", ground_truth_to_json(ground_truth)),
        ("predictions.json", predictions_to_json(predictions)),
    ):
        write_json(os.path.join(folder, name), content, indent=None)


def load_ground_truth(path: str) -> list[GroundTruth]:
    """Reads a ground truth file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is invalid; the message names file, sentence and field.
    """
    content = read_json(path, object_pairs_hook=JsonObject)
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: expected a list of at least one sentence")
    entries = {}
    for number, fields in enumerate(content):
        with json_fields.errors_in(f"{path}: entry {number}"):
            sentence_id = json_fields.text(json_fields.json_object(fields), "id")
            if sentence_id in entries:
                raise ValueError(f"id {sentence_id!r} occurs twice; ids must be unique")
        with json_fields.errors_in(f"{path}: sentence {sentence_id!r}"):
            entries[sentence_id] = _ground_truth(fields)
    present = {name for name, entry in entries.items() if entry.tube is not None}
    for name, entry in entries.items():
        if unknown := sorted(entry.paired_with.keys() - present):
            raise ValueError(
                f"{path}: sentence {name!r}: paired_with: {unknown[0]!r} is not a sentence of the "
                "file with a tube; remove the pair"
            )
    return list(entries.values())


def _predicted(fields):
    fields = json_fields.json_object(fields)
    score = json_fields.number(fields, "score") if "score" in fields else 1.0
    begin, end, frames, boxes = _segment_and_boxes(fields)
    return None if begin == end else PredictedTube(begin, end, frames, boxes, score)


def _ground_truth(fields):
    """Parses an entry with a valid `id`."""
    video = {
        "vid": json_fields.text(fields, "vid"),
        "width": json_fields.integer(fields, "width", at_least=1),
        "height": json_fields.integer(fields, "height", at_least=1),
        "fps": json_fields.positive_number(fields, "fps"),
        "frame_count": json_fields.integer(fields, "frame_count"),
    }
    qtype = json_fields.choice(fields, "qtype", choices=QTYPES)
    clip_begin, clip_end = _segment(fields, "clip")
    if not 0 <= clip_begin < clip_end <= video["frame_count"]:
        raise ValueError(
            f"clip: expected 0 <= begin < end <= frame_count={video['frame_count']}, "
            f"got [{clip_begin}, {clip_end})"
        )
    paired_with = {}
    if "paired_with" in fields:
        paired_with = json_fields.json_object(fields, "paired_with")
        for other in paired_with:
            json_fields.text(fields, "paired_with", other)
    if fields.get("gt", False) is None:
        if paired_with:
            raise ValueError("paired_with: a sentence without a tube (gt) is in no pair")
        tube = None
    else:
        tube = _true_tube(fields, clip_begin, clip_end)
    return GroundTruth(
        id=fields["id"],
        qtype=qtype,
        clip_begin=clip_begin,
        clip_end=clip_end,
        tube=tube,
        paired_with=dict(paired_with),
        **video,
    )


def _true_tube(fields, clip_begin, clip_end):
    begin, end, frames, boxes = _segment_and_boxes(fields, "gt")
    if not clip_begin <= begin < end <= clip_end:
        raise ValueError(
            "gt: expected a segment of at least one frame in the clip "
            f"[{clip_begin}, {clip_end}), got [{begin}, {end})"
        )
    if len(frames) < end - begin:
        filled = begin + np.arange(len(frames))
        frame = begin + int(np.append(frames == filled, False).argmin())
        raise ValueError(
            f"gt.boxes: frame {frame}: missing box; every frame of [{begin}, {end}) needs one"
        )
    return Tube(begin, end, boxes)


def _segment(fields, *path):
    json_fields.json_object(fields, *path)
    begin = json_fields.integer(fields, *path, "begin", at_least=None)
    end = json_fields.integer(fields, *path, "end", at_least=None)
    if begin > end:
        raise ValueError(f"{'.'.join([*path, 'end'])}: expected begin <= end, got [{begin}, {end})")
    return begin, end


def _segment_and_boxes(fields, *path):
    """Parses begin, end, the frames with a box in ascending order, `[n]`, and their boxes."""
    begin, end = _segment(fields, *path)
    boxes = json_fields.json_object(fields, *path, "boxes")
    name = ".".join([*path, "boxes"])
    outside = [key for key in boxes if not _FRAME_KEY.fullmatch(key) or not begin <= int(key) < end]
    if outside:
        raise ValueError(
            f"{name}: key {min(outside)!r} is not a frame of [{begin}, {end}); remove boxes "
            "outside the segment"
        )
    for frame, box in boxes.items():
        if not json_fields.is_box(box, most=MAX_PIXELS):
            raise ValueError(
                f"{name}: frame {frame}: expected [x1, y1, x2, y2] in pixels with x1 <= x2 and "
                f"y1 <= y2, got {reprlib.repr(box)}"
            )
    frames = np.array(list(map(int, boxes)), np.int64)
    order = np.argsort(frames)
    rows = np.array(list(boxes.values()), np.float64).reshape(-1, 4)
    return begin, end, frames[order], rows[order]
