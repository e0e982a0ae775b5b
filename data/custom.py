"""Reads custom annotations in JSON Lines or CSV.

    annotation_dir/SPLIT.jsonl or SPLIT.csv     one sentence per line
    video_dir/VIDEO                             any video file that FFmpeg reads

A line of a `.jsonl` file is an object. A `.csv` file (UTF-8, with a header) has the same fields in
columns, with `boxes` as JSON; an empty cell is a missing field. Files in UTF-16 need a byte order
mark.

    video       path of the video below video_dir; in its shortest form (`k/01.mp4` for
                `./k//01.mp4`) also used as the video's id
    sentence    description of the object and the event to find
    begin, end  ground-truth segment: first frame and end frame (exclusive), counted from 0
    boxes       ground-truth boxes [x1, y1, x2, y2] in pixels of the upright frame: either a list
                with a box for every frame of the segment, or an object of boxes by frame,
                {"12": [...], "20": [...]}. Missing boxes are interpolated linearly; the first and
                the last box are repeated before and after.
    id          optional: id of the sentence, unique in the split; default: SPLIT-NUMBER
    qtype       optional: declarative (default) or interrogative
    clip_begin, clip_end
                optional: part of the video to search; default: the whole video
    units       optional: frames (default) or seconds. Applies to begin, end, clip_begin, clip_end
                and the keys of boxes. Seconds count from the start of the file, as in players. A
                time becomes the frame that begins nearest to it, by the time stamps of the decoded
                frames. Two boxes of the same frame are an error.

Size, frame rate and frame count are read from the video. Segments are cut to its frames. Videos
with times in seconds are decoded once more, to read their time stamps, as are videos that declare
fewer frames than the segments need.
"""

import codecs
import collections
import csv
import dataclasses
import io
import json
import math
import os
import pathlib
import posixpath
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf import tubes
from gkcmn_tf.json_fields import (
    MAX_NUMBER,
    JsonObject,
    choice,
    errors_in,
    integer,
    is_box,
    is_number,
    is_text,
    json_object,
    text,
)
from gkcmn_tf.records.clip_records import Clip, Sentence
from gkcmn_tf.video import frame_rates, reading

from . import annotations as annotated
from .annotations import Skipped, SplitAccount, SplitAnnotations, Track

ANNOTATION_FILES = ("SPLIT.jsonl", "SPLIT.csv")
NEEDED = ("video", "sentence", "begin", "end", "boxes")
OPTIONAL = ("id", "qtype", "clip_begin", "clip_end", "units")
NUMERIC = ("begin", "end", "boxes", "clip_begin", "clip_end")
UNITS = ("frames", "seconds")


@dataclasses.dataclass(frozen=True)
class _Timing:
    """Ground truth of a line, in frames and pixels.

    The segment `[begin, end)` lies inside the clip; `cut` is True if it was clipped. `unusable` is
    the number of invalid boxes, which are not part of the track.
    """

    begin: int
    end: int
    clip_begin: int
    clip_end: int
    track: Track
    cut: bool
    unusable: int


@dataclasses.dataclass(frozen=True)
class _Line:
    """The fields of a line, validated as far as possible without the video."""

    where: str
    index: int
    id: str
    video: str
    qtype: str
    text: str
    fields: dict[str, Any]


def account_split(split: str, annotation_dir: str, limit: int | None = None) -> SplitAccount:
    """Counts a split's sentences like `read_split`, without opening the videos.

    Times in seconds are not validated, since their conversion needs the video's time stamps.
    """
    return _read_lines(split, annotation_dir, limit)[0]


def read_split(
    split: str, annotation_dir: str, video_dir: str, limit: int | None = None
) -> SplitAnnotations:
    """Reads the sentences of a split with their tubes; invalid lines are skipped with a reason.

    Args:
        split: name of the split.
        annotation_dir: folder of `SPLIT.jsonl` or `SPLIT.csv`.
        video_dir: folder that video paths are relative to.
        limit: maximum number of videos to read; None for all.

    Returns:
        Clips in the order of their first sentence; `frame_count` is the number declared by the
        video file. `videos` also lists videos that cannot be opened, which have no clips.

    Raises:
        FileNotFoundError: the split has no annotation file.
        ValueError: the split has two annotation files, a required column is missing, or the file
            is not valid CSV.
    """
    account, by_video = _read_lines(split, annotation_dir, limit)
    annotations = SplitAnnotations(skipped=account.skipped, in_file_frames=set(by_video))
    clips = []
    for path, lines in by_video.items():
        annotations.videos[path] = path
        file = os.path.join(video_dir, path)
        try:
            info = reading.probe(file)
            timeline = None
            if _needs_timeline(lines, info, os.path.getsize(file)):
                timeline = reading.read_timeline(file)
        except (FileNotFoundError, reading.VideoError) as error:
            reason = f"video {path}: {error}"
            annotations.skipped += [Skipped(line.id, reason) for line in lines]
            continue
        for line in lines:
            try:
                clips.append(_clip(line, info, timeline, annotations.notices))
            except ValueError as error:
                annotations.skipped.append(Skipped(line.id, f"{line.where}: {error}"))
    annotations.clips = annotated.merge_clips(clips)
    annotations.skipped.sort(key=lambda skipped: skipped.id)
    return annotations


def _needs_timeline(lines, info, file_size):
    """Whether to decode a video for the times of its frames, or for their number."""
    # A frame takes at least one byte, so a file with fewer bytes has fewer frames than it declares.
    frame_count = info.declared_frames if info.declared_frames <= file_size else 0
    return any(
        line.fields.get("units") == "seconds" or line.fields["end"] > frame_count for line in lines
    )


def _read_lines(split, annotation_dir, limit):
    """Returns the counts of a split and its valid lines by video, in order of appearance."""
    path = annotated.find_annotation_file(split, annotation_dir, ANNOTATION_FILES)
    content = _read_text(path)
    parse = _parse_csv if path.endswith(".csv") else _parse_jsonl
    account = SplitAccount()
    by_video, first, unknown = collections.defaultdict(list), {}, set()
    for index, (place, fields) in enumerate(parse(path, content)):
        where = f"{os.path.basename(path)}: {place}"
        name = fields.get("video") if isinstance(fields, dict) else None
        beyond = limit is not None and len(by_video) >= limit
        if beyond and isinstance(name, str) and posixpath.normpath(name) not in by_video:
            continue
        account.records += 1
        qtype = fields.get("qtype") if isinstance(fields, dict) else None
        account.sentences[qtype if qtype in tubes.QTYPES else tubes.QTYPES[0]] += 1
        # An id from the position in the file, used if the line's own id is invalid.
        line_id = f"{split}-{index:05d}"
        try:
            line = _check(where, index, line_id, fields)
            if line.id in first:
                raise ValueError(f"id: {line.id!r} is already used by {first[line.id]}")
            first[line.id] = place
            by_video[line.video].append(line)
            unknown |= fields.keys() - {*NEEDED, *OPTIONAL}
        except ValueError as error:
            account.skipped.append(Skipped(line_id, f"{where}: {error}"))
    if unknown:
        logging.warning("%s: unknown fields are ignored: %s", path, ", ".join(sorted(unknown)))
    return account, by_video


def _read_text(path):
    """Reads a text in UTF-8, or in UTF-16 with a byte order mark."""
    with open(path, "rb") as file:
        marked = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    with errors_in(path):
        # Bytes that are not valid UTF-8 become surrogates, so that only their own line is invalid.
        return pathlib.Path(path).read_text(
            encoding="utf-16" if marked else "utf-8-sig",
            errors="strict" if marked else "surrogateescape",
        )


def _parse_jsonl(path: str, content: str) -> Iterator[tuple[str, Any]]:
    """Yields the position and the fields of each line, or a `ValueError` instead of the fields."""
    del path
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line, object_pairs_hook=JsonObject)
        except (ValueError, RecursionError) as error:
            fields = ValueError(f"not valid JSON: {error}")
        yield f"line {number}", fields


def _parse_csv(path: str, content: str) -> Iterator[tuple[str, Any]]:
    """Yields the position and the fields of each row, or a `ValueError` instead of the fields."""
    # The limit is global to the process, so it is only ever raised.
    csv.field_size_limit(max(len(content), csv.field_size_limit()))
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in NEEDED if name not in header]
        if missing:
            raise ValueError(
                f"{path}: missing column {', '.join(missing)}; expected {', '.join(NEEDED)} in the "
                f"first line, found {', '.join(header) or 'nothing'}"
            )
        if len(set(header)) < len(header):
            raise ValueError(f"{path}: duplicate column: {', '.join(header)}")
        begin = reader.line_num + 1
        for row in reader:
            place = f"line {begin}"
            begin = reader.line_num + 1
            if not row:
                continue
            if len(row) != len(header):
                yield place, ValueError(f"has {len(row)} cells, the first line {len(header)}")
                continue
            cells = zip(header, row, strict=True)
            yield place, JsonObject([(n, _cell(n, cell)) for n, cell in cells if cell.strip()])
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: not valid CSV: {error}") from error


def _cell(name, cell):
    """Parses a cell. Invalid JSON is returned as text and rejected when the field is validated."""
    if name not in NUMERIC:
        return cell
    try:
        value = json.loads(cell, object_pairs_hook=JsonObject)
    except (ValueError, RecursionError):
        return cell
    # Spreadsheets and data frames write whole numbers as 5.0.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check(where, index, line_id, fields):
    """Validates a line; raises `ValueError` if it is invalid."""
    if isinstance(fields, ValueError):
        raise fields
    fields = json_object(fields)
    if missing := [name for name in NEEDED if name not in fields]:
        raise ValueError(f"{missing[0]}: missing field; required: {', '.join(NEEDED)}")
    name = annotated.video_path(text(fields, "video", meaning="a path in UTF-8"), "video")
    annotated.check_video_id(name, "video")
    sentence = annotated.sentence_text(fields["sentence"], "sentence")
    qtype = choice(fields, "qtype", choices=tubes.QTYPES, default=tubes.QTYPES[0])
    own_id = fields.get("id", line_id)
    if isinstance(own_id, int) and not isinstance(own_id, bool):
        own_id = str(own_id)
    if not is_text(own_id):
        raise ValueError(f"id: expected a name in UTF-8, got {own_id!r}")
    line = _Line(where, index, own_id, name, qtype, sentence, fields)
    if choice(fields, "units", choices=UNITS, default=UNITS[0]) == "frames":
        _time(line, None)
    return line


def _time(line: _Line, timeline: frame_rates.Timeline | None) -> _Timing:
    """Reads the segment, clip and boxes of a line in frames.

    Args:
        line: the line.
        timeline: frame times of the video; used only if the line's units are seconds.

    Raises:
        ValueError: a field is invalid.
    """
    fields = line.fields
    seconds = fields.get("units") == "seconds"

    def boundary(name):
        return _boundary(fields, name, timeline) if seconds else integer(fields, name)

    begin, end = boundary("begin"), boundary("end")
    if begin >= end:
        raise ValueError(f"begin, end: [{fields['begin']}, {fields['end']}) contains no frame")
    clip_begin = boundary("clip_begin") if "clip_begin" in fields else 0
    clip_end = boundary("clip_end") if "clip_end" in fields else annotated.END_OF_VIDEO
    if clip_begin >= clip_end:
        raise ValueError(f"clip_begin, clip_end: [{clip_begin}, {clip_end}) contains no frame")
    inside = annotated.cut_to_clip(begin, end, clip_begin, clip_end, "begin, end")
    listed = _listed_boxes(fields["boxes"], begin, end, timeline if seconds else None)
    usable = {frame: box for frame, box in listed if is_box(box)}
    if not usable:
        raise ValueError(
            "boxes: no valid box; expected numbers [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2: "
            f"{fields['boxes']!r:.100}"
        )
    frames = sorted(usable)
    return _Timing(
        *inside,
        clip_begin,
        clip_end,
        track=Track(np.array(frames), np.array([usable[f] for f in frames], np.float32)),
        cut=inside != (begin, end),
        unusable=sum(not is_box(box) for _, box in listed),
    )


def _boundary(fields, name, timeline):
    """Converts a time in seconds to the nearest frame boundary."""
    value = fields[name]
    if is_number(value) and value >= 0:
        frame = timeline.nearest_frame(value)
        if frame <= MAX_NUMBER:
            return max(frame, 0)
    raise ValueError(f"{name}: expected a time in seconds, at least 0, got {value!r}")


def _listed_boxes(boxes, begin, end, timeline):
    """Returns `(frame, box)` pairs, boxes not validated; with `timeline`, keys are in seconds."""
    if isinstance(boxes, list):
        if len(boxes) != end - begin:
            raise ValueError(
                f"boxes: {len(boxes)} boxes for {end - begin} frames [{begin}, {end}); give a box "
                'for each frame, or an object of boxes by frame, {"12": [x1, y1, x2, y2], ...}'
            )
        return list(zip(range(begin, end), boxes, strict=True))
    if not isinstance(boxes, dict):
        raise ValueError(f"boxes: expected a list or an object, got {boxes!r:.100}")
    with errors_in("boxes"):
        json_object(boxes)
    keys = {}
    for key in boxes:
        frame = _frame(key, timeline)
        if frame in keys:
            raise ValueError(f"boxes: {keys[frame]!r} and {key!r} are both frame {frame}; keep one")
        keys[frame] = key
    return [(frame, boxes[key]) for frame, key in keys.items()]


def _frame(key, timeline):
    try:
        number = float(key)
    except ValueError:
        number = math.nan
    if 0 <= number <= MAX_NUMBER:
        frame = int(number) if timeline is None else timeline.nearest_frame(number)
        if frame <= MAX_NUMBER and (timeline is not None or frame == number):
            return frame
    unit = "a frame number" if timeline is None else "a time in seconds"
    raise ValueError(f"boxes: expected {unit} as key, got {key!r}")


def _clip(line, info, timeline, notices):
    """Creates a clip with the sentence and tube of a line; `ValueError` if they are invalid."""
    timing = _time(line, timeline)
    frame_count = info.declared_frames if timeline is None else timeline.frame_count
    begin, end = timing.begin, min(timing.end, frame_count)
    if begin >= end:
        raise ValueError(
            f"begin, end: [{begin}, {timing.end}) begins after the {frame_count} frames of the "
            "video"
        )
    with errors_in("boxes"):
        boxes, counts = timing.track.boxes_between(begin, end, info.width, info.height)
    notices.update(counts)
    notices["unusable_boxes"] += timing.unusable
    notices["segments_cut_to_clip"] += timing.cut
    notices["segments_cut_to_video"] += end < timing.end
    notices["sentences_with_cleaned_text"] += line.text != line.fields["sentence"]
    sentence = Sentence(line.index, line.id, line.text, line.qtype, 0, begin, end, boxes)
    return Clip(
        video_id=line.video,
        begin=timing.clip_begin,
        end=timing.clip_end,
        fps=info.fps,
        width=info.width,
        height=info.height,
        frame_count=info.declared_frames,
        sentences=(sentence,),
    )
