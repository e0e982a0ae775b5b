r"""Output formats of tubes: JSON Lines, CSV, WebVTT, MOTChallenge, CVAT, HC-STVG.

| format   | content                                            | absent sentences       |
|----------|----------------------------------------------------|------------------------|
| `json`   | one JSON object per line and answer                | `{"absent": true}`     |
| `csv`    | one row per frame of each tube                     | a row without a frame  |
| `webvtt` | subtitles: one cue per tube, in seconds            | a comment (`NOTE`)     |
| `mot`    | MOTChallenge: one row per box                      | omitted                |
| `cvat`   | CVAT for video 1.1, XML: one track per tube        | omitted                |
| `hcstvg` | submission to the HC-STVG challenge, a JSON object | omitted                |

`webvtt`, `mot` and `cvat` support a single video. `hcstvg` supports one sentence per video.

Frames count from 0; in `mot` and `hcstvg`, from 1. Boxes are in pixels of the upright frame. In
`mot`, track ids are positions in the list of answers, counted from 1; class and visibility are 1,
and the confidence is the score. In `cvat`, tracks have the label `object` and the attributes
`sentence` and `score`; boxes between keyframes are interpolated linearly.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from gkcmn_tf.evaluation.tube_files import hcstvg_entry
from gkcmn_tf.tubes import Tube
from gkcmn_tf.video.frame_rates import SourceVideo

LABEL = "object"
KEYFRAME_TOLERANCE = 0.02  # pixels; boxes are rounded to 0.01
CSV_FIELDS = ("video", "query", "frame", "seconds", "x1", "y1", "x2", "y2", "score")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, eq=False)
class Absent:
    """Result for a sentence without a tube above the score threshold.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.tube_formats import Absent
        >>> from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
        >>> video = SourceVideo("clip.mp4", 640, 360, 25.0, Timeline(np.arange(8) / 25, 0.32))
        >>> Absent("the dog runs", 0.1, video).to_json()
        {'query': 'the dog runs', 'absent': True, 'score': 0.1}

    Attributes:
        sentence: the query.
        score: score of the best tube, below the threshold.
        video: the searched video.
    """

    sentence: str
    score: float
    video: SourceVideo

    def to_json(self) -> dict[str, Any]:
        """Converts to a JSON object with `query`, `absent` (true) and `score`."""
        return {"query": self.sentence, "absent": True, "score": self.score}


Answer = Tube | Absent


def format_answers(answers: Iterable[Answer], name: str) -> str:
    """Formats answers as text.

    Args:
        answers: tubes with sentence and video, or `Absent`.
        name: name of the format, in `FORMATS`.

    Raises:
        ValueError: the format is unknown, a tube has no video, or the format does not support
            several videos or several sentences per video.
    """
    if name not in FORMATS:
        raise ValueError(f"format {name!r}: expected one of {', '.join(FORMATS)}")
    answers = list(answers)
    for number, answer in enumerate(answers):
        if answer.video is None:
            raise ValueError(f"answer {number}: the tube has no video; create it with `video=`")
    return FORMATS[name](answers)


def _json_lines(answers):
    lines = ({"video": answer.video.path, **answer.to_json()} for answer in answers)
    return "".join(json.dumps(line) + "\n" for line in lines)


def _csv(answers):
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for answer in answers:
        common = {"video": answer.video.path, "query": answer.sentence, "score": answer.score}
        if isinstance(answer, Absent):
            writer.writerow(common)
            continue
        for frame, box in _boxes(answer):
            seconds = round(float(answer.video.timeline.times[frame]), 6)
            corners = dict(zip(("x1", "y1", "x2", "y2"), box.tolist(), strict=True))
            writer.writerow({**common, "frame": frame, "seconds": seconds, **corners})
    return file.getvalue()


def _webvtt(answers):
    _single_video(answers, "webvtt")
    notes = [
        f"NOTE absent, score {answer.score:.3f}: {_escaped(answer.sentence)}"
        for answer in answers
        if isinstance(answer, Absent)
    ]
    cues = sorted(_tubes(answers), key=lambda tube: tube.begin_seconds)
    return "\n\n".join(["WEBVTT", *notes, *map(_cue, cues)]) + "\n"


def _cue(tube):
    begin = round(1000 * tube.begin_seconds)
    # Cues must have a positive duration.
    end = max(round(1000 * tube.end_seconds), begin + 1)
    return f"{_timestamp(begin)} --> {_timestamp(end)}\n{_escaped(tube.sentence)}"


def _timestamp(milliseconds):
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"


def _escaped(sentence):
    """Escapes a sentence for a WebVTT cue, on a single line."""
    line = " ".join(sentence.split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mot(answers):
    _single_video(answers, "mot")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for track, answer in enumerate(answers, 1):
        if isinstance(answer, Absent):
            continue
        for frame, (x1, y1, x2, y2) in _boxes(answer):
            size = [round(float(side), 6) for side in (x1, y1, x2 - x1, y2 - y1)]
            writer.writerow([frame + 1, track, *size, answer.score, 1, 1])
    return file.getvalue()


def _cvat(answers):
    video = _single_video(answers, "cvat")
    root = ElementTree.Element("annotations")
    _child(root, "version", "1.1")
    task = _child(_child(root, "meta"), "task")
    if video is not None:
        _child(task, "name", os.path.basename(video.path))
        _child(task, "size", video.timeline.frame_count)
    _child(task, "mode", "interpolation")
    label = _child(_child(task, "labels"), "label")
    _child(label, "name", LABEL)
    attributes = _child(label, "attributes")
    for name in ("sentence", "score"):
        attribute = _child(attributes, "attribute")
        _child(attribute, "name", name)
        _child(attribute, "mutable", "False")
        _child(attribute, "input_type", "text")
        _child(attribute, "default_value", "")
        _child(attribute, "values", "")
    if video is not None:
        size = _child(task, "original_size")
        _child(size, "width", video.width)
        _child(size, "height", video.height)
    for number, tube in enumerate(_tubes(answers)):
        track = ElementTree.SubElement(
            root, "track", {"id": str(number), "label": LABEL, "source": "auto"}
        )
        _add_boxes(track, tube)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _add_boxes(track, tube):
    """Adds the boxes; after each run of boxes, repeats the last one with `outside` set."""
    filled = np.flatnonzero(tube.has_box)
    runs = np.split(filled, np.flatnonzero(np.diff(filled) > 1) + 1) if filled.size else []
    for run in runs:
        boxes = tube.boxes[run]
        keyframes = _keyframes(boxes)
        for row, box in enumerate(boxes):
            _add_box(track, tube, tube.begin + run[row], box, keyframe=row in keyframes)
        after = tube.begin + run[-1] + 1
        if after < tube.video.timeline.frame_count:
            _add_box(track, tube, after, boxes[-1], outside=True)


def _add_box(track, tube, frame, box, *, keyframe=True, outside=False):
    flags = {"outside": outside, "occluded": False, "keyframe": keyframe}
    corners = zip(("xtl", "ytl", "xbr", "ybr"), box.tolist(), strict=True)
    element = ElementTree.SubElement(
        track,
        "box",
        {
            "frame": str(frame),
            **{name: str(int(flag)) for name, flag in flags.items()},
            **{name: str(corner) for name, corner in corners},
            "z_order": "0",
        },
    )
    for name, value in (("sentence", tube.sentence), ("score", str(tube.score))):
        _child(element, "attribute", value).set("name", name)


def _keyframes(boxes):
    """Selects keyframes of boxes `[n, 4]` by the Ramer-Douglas-Peucker algorithm.

    The other boxes are within `KEYFRAME_TOLERANCE` of the linear interpolation.
    """
    kept, open_spans = {0, len(boxes) - 1}, [(0, len(boxes) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        share = np.linspace(0, 1, last - first + 1)[:, None]
        line = (1 - share) * boxes[first] + share * boxes[last]
        distance = np.abs(boxes[first : last + 1] - line).max(axis=1)
        if distance.max() > KEYFRAME_TOLERANCE:
            middle = first + int(distance.argmax())
            kept.add(middle)
            open_spans += [(first, middle), (middle, last)]
    return kept


def _child(parent, tag, text=None):
    child = ElementTree.SubElement(parent, tag)
    child.text = None if text is None else _NOT_IN_XML.sub("", str(text))
    return child


def _hcstvg(answers):
    submission, sentences = {}, {}
    for answer in answers:
        name = os.path.basename(answer.video.path)
        if name in sentences:
            raise ValueError(
                f"video {name!r} has the answers to {sentences[name]!r} and {answer.sentence!r}, "
                "but format hcstvg has one tube per video; use one sentence per video and distinct "
                "file names"
            )
        sentences[name] = answer.sentence
        if isinstance(answer, Tube):
            submission[name] = hcstvg_entry(answer)
    return json.dumps(submission) + "\n"


def _single_video(answers: Sequence[Answer], name: str) -> SourceVideo | None:
    """Returns the video of all answers, None if there are no answers."""
    videos = {answer.video.path: answer.video for answer in answers}
    if len(videos) > 1:
        raise ValueError(
            f"format {name} supports one video, got {', '.join(sorted(videos))}; write one file "
            "per video"
        )
    return next(iter(videos.values()), None)


def _tubes(answers):
    return [answer for answer in answers if isinstance(answer, Tube)]


def _boxes(tube):
    """Yields frame number and box of each frame with a box."""
    for row in np.flatnonzero(tube.has_box).tolist():
        yield tube.begin + row, tube.boxes[row]


FORMATS: dict[str, Callable[[Sequence[Answer]], str]] = {
    "json": _json_lines,
    "csv": _csv,
    "webvtt": _webvtt,
    "mot": _mot,
    "cvat": _cvat,
    "hcstvg": _hcstvg,
}
