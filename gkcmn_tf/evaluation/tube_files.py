"""Files of tubes: predictions, ground truth, and submissions to HC-STVG.

Predictions file, one JSON object:

    {"ID": {"begin": 3, "end": 5, "boxes": {"3": [x1, y1, x2, y2], "4": [...]}, "score": 0.9}}

A sentence without a tube is null or absent, or its segment is empty (begin = end). A predicted
segment may lie anywhere, even beyond the video, and frames of it may lack a box.

Ground truth file, one JSON list; a box in every frame of a segment that lies in the clip:

    [{"id": "ID", "vid": "VIDEO", "qtype": "declarative", "width": 640, "height": 360, "fps": 25.0,
      "frame_count": 400, "clip": {"begin": 0, "end": 300},
      "gt": {"begin": 3, "end": 5, "boxes": {"3": [x1, y1, x2, y2], "4": [...]}}}]

Ids are strings, as JSON's keys are. Segments are half-open, in frames; boxes are in pixels, in
frames of the segment only. A missing field, or one of another form, is an error that names the
file, the sentence and the field; so is a key that occurs twice in an object, of which a JSON parser
would keep the last. Further fields are left alone.

Submission to HC-STVG's challenge, one JSON object by the video's file name; frames count from 1, as
in the data set's annotations, and `ed_frame` is the last one:

    {"VIDEO.mp4": {"st_frame": 4, "ed_frame": 5, "bbox": {"4": [x1, y1, x2, y2], "5": [...]}}}
"""

import reprlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gkcmn_tf.files import read_json
from gkcmn_tf.tubes import QTYPES, GroundTruth, Tube

# No video has more frames (11 hours at 25 a second): an array for what a faulty file names beyond
# this would not fit into memory.
MAX_FRAME = 1_000_000
# No picture is larger, and the areas of such boxes are still finite.
MAX_PIXELS = 1e9


def predictions_to_json(predictions: Mapping[str, Tube | None]) -> dict[str, Any]:
    """The contents of a predictions file, by sentence id."""
    return {
        sentence_id: None if tube is None else tube.to_json()
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
            "gt": _true_segment(entry.tube),
        }
        for entry in entries
    ]


def hcstvg_submission(
    ground_truth: Iterable[GroundTruth], predictions: Mapping[str, Tube | None]
) -> dict[str, Any]:
    """The contents of a submission to HC-STVG's challenge, in which a sentence is its video.

    Args:
        ground_truth: the sentences; their tubes are not looked at.
        predictions: by sentence id. A video without one is left out, which the challenge scores 0.

    Raises:
        ValueError: a video has several sentences, for which the form has no place.
    """
    submission, ids = {}, {}
    for entry in ground_truth:
        if entry.vid in ids:
            raise ValueError(
                f"video {entry.vid!r} has the sentences {ids[entry.vid]!r} and {entry.id!r}, but a "
                "submission to HC-STVG holds one tube a video; leave one sentence out"
            )
        ids[entry.vid] = entry.id
        if tube := predictions.get(entry.id):
            submission[entry.vid] = hcstvg_entry(tube)
    return submission


def hcstvg_entry(tube: Tube) -> dict[str, Any]:
    """A tube as a submission to HC-STVG's challenge has it."""
    return {
        "st_frame": tube.begin + 1,
        "ed_frame": tube.end,
        "bbox": tube.boxes_by_frame(first_frame=1),
    }


def _true_segment(tube):
    fields = tube.to_json()
    return {name: fields[name] for name in ("begin", "end", "boxes")}


def load_predictions(path: str) -> dict[str, Tube | None]:
    """Reads a predictions file: tubes by sentence id, None where there is none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a predictions file; names the file, the id and the field.
    """
    content = read_json(path, object_pairs_hook=_Object)
    return {
        sentence_id: None if fields is None else _predicted(fields, path, sentence_id)
        for sentence_id, fields in _object(content, path).items()
    }


def load_ground_truth(path: str) -> list[GroundTruth]:
    """Reads a ground truth file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a ground truth file; names the file, the id and the field.
    """
    content = read_json(path, object_pairs_hook=_Object)
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: expected a list of at least one sentence")
    entries, ids = [], set()
    for number, fields in enumerate(content):
        entry = _ground_truth(fields, path, number)
        if entry.id in ids:
            raise ValueError(f"{path}: id {entry.id!r} occurs twice; ids must differ")
        ids.add(entry.id)
        entries.append(entry)
    return entries


class _Object(dict):
    """A JSON object that knows of its keys which ones occur twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.twice = []
        if len(self) < len(pairs):
            self.twice = [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]


def _object(value, where):
    """`value`, which must be an object whose keys differ."""
    if not isinstance(value, _Object):
        raise ValueError(f"{where}: expected an object, got {reprlib.repr(value)}")
    if value.twice:
        raise ValueError(f"{where}: key {value.twice[0]!r} occurs twice; keys must differ")
    return value


def _predicted(fields, path, sentence_id):
    where = f"{path}: sentence {sentence_id!r}"
    fields = _object(fields, where)
    score = _field(fields, "score", float, where)
    begin, end, boxes = _segment_and_boxes(fields, where)
    return None if begin == end else Tube(begin, end, boxes, score)


def _ground_truth(fields, path, number):
    where = f"{path}: entry {number}"
    fields = _object(fields, where)
    sentence_id = _field(fields, "id", str, where)
    where = f"{path}: sentence {sentence_id!r}"
    video = {"vid": str, "width": int, "height": int, "fps": float, "frame_count": int}
    video = {name: _field(fields, name, kind, where) for name, kind in video.items()}
    for name in ("width", "height", "fps"):
        if video[name] <= 0:
            raise ValueError(f"{where}, {name}: expected more than 0, got {video[name]}")
    qtype = _field(fields, "qtype", str, where)
    if qtype not in QTYPES:
        raise ValueError(f"{where}, qtype: expected one of {QTYPES}, got {qtype!r}")
    clip_begin, clip_end = _segment(_field(fields, "clip", dict, where), f"{where}, clip")
    if not 0 <= clip_begin < clip_end <= video["frame_count"]:
        raise ValueError(
            f"{where}, clip: expected 0 <= begin < end <= frame_count={video['frame_count']}, "
            f"got [{clip_begin}, {clip_end})"
        )
    begin, end, boxes = _segment_and_boxes(_field(fields, "gt", dict, where), f"{where}, gt")
    if not clip_begin <= begin < end <= clip_end:
        raise ValueError(
            f"{where}, gt: expected a segment of at least one frame in the clip "
            f"[{clip_begin}, {clip_end}), got [{begin}, {end})"
        )
    tube = Tube(begin, end, boxes)
    if not tube.has_box.all():
        frame = begin + int(tube.has_box.argmin())
        raise ValueError(
            f"{where}, gt, boxes: frame {frame} has none; every frame of [{begin}, {end}) needs one"
        )
    return GroundTruth(
        id=sentence_id,
        qtype=qtype,
        clip_begin=clip_begin,
        clip_end=clip_end,
        tube=tube,
        **video,
    )


_JSON_TYPES = {int: "an integer", float: "a number", str: "a string"}


def _field(fields, name, kind, where):
    """`fields[name]`, which must be a `kind`; an integer counts as a number."""
    if name not in fields:
        raise ValueError(f"{where}: has no field {name!r}, only {sorted(fields)}")
    value = fields[name]
    if kind is dict:
        return _object(value, f"{where}, {name}")
    kinds = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"{where}, {name}: expected {_JSON_TYPES[kind]}, got {value!r}")
    if kind is float and not abs(value) <= sys.float_info.max:
        raise ValueError(f"{where}, {name}: expected a finite number, got {value!r}")
    return value


def _segment(fields, where):
    begin = _field(fields, "begin", int, where)
    end = _field(fields, "end", int, where)
    if not -MAX_FRAME <= begin <= end <= MAX_FRAME:
        raise ValueError(
            f"{where}: expected begin <= end, in frames of at most {MAX_FRAME}, "
            f"got [{begin}, {end})"
        )
    return begin, end


def _segment_and_boxes(fields, where):
    """Begin, end and boxes `[end - begin, 4]`, NaN in the frames without one."""
    begin, end = _segment(fields, where)
    boxes = _field(fields, "boxes", dict, where)
    if surplus := boxes.keys() - set(map(str, range(begin, end))):
        raise ValueError(
            f"{where}, boxes: key {min(surplus)!r} is no frame of [{begin}, {end}); a box outside "
            "the segment cannot be scored"
        )
    rows = np.full((end - begin, 4), np.nan)
    if boxes:
        rows[np.array(list(map(int, boxes))) - begin] = _box_array(boxes, where)
    return begin, end, rows


def _box_array(boxes, where):
    """All boxes as float64 `[n, 4]`, in their order."""
    listed = list(boxes.values())
    sound = [
        type(box) is list
        and len(box) == 4
        and {*map(type, box)} <= {int, float}
        and max(map(abs, box)) <= MAX_PIXELS
        for box in listed
    ]
    if all(sound):
        array = np.array(listed, np.float64)
        sound = np.isfinite(array).all(axis=1) & (array[:, 2:] >= array[:, :2]).all(axis=1)
    if not np.all(sound):
        frame = list(boxes)[np.argmin(sound)]
        raise ValueError(
            f"{where}, boxes, frame {frame}: expected [x1, y1, x2, y2] in pixels with x1 <= x2 and "
            f"y1 <= y2, got {reprlib.repr(boxes[frame])}"
        )
    return array
