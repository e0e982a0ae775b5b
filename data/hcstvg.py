"""Reads HC-STVG annotations, versions 1 and 2.

Files as published by the authors of the data set:

    annotation_dir/{train,test}.json            version 1
    annotation_dir/{train_v2,val_v2}.json       version 2
    video_dir/.../VIDEO                         videos in any subfolder, found by file name

An annotation file maps the file name of a video to its record. In version 1:

    "55_vfjywN5CN0Y.mp4": {"caption": "The man ...", "bbox": [[x, y, w, h], ...], "st_frame": 157,
        "st_time": 6.5, "ed_time": 11.95, "img_num": 480, "width": 480, "height": 360}

Version 2 has `English` instead of `caption`, and `img_size` ([height, width]) instead of `width`
and `height`. `bbox` has one box per frame, starting at `st_frame`, which counts from 1; the times
are redundant. The clip is the whole decodable video, since `img_num` is often wrong. All sentences
are declarative. Record `r` has the id `SPLIT-r`; the video's id is its file name.
"""

import collections
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gkcmn_tf.files import read_json
from gkcmn_tf.json_fields import JsonObject, get, integer, is_number, is_text, json_object
from gkcmn_tf.records.clip_records import Clip, Sentence

from . import annotations as annotated
from .annotations import Skipped, SplitAccount, SplitAnnotations, Track

ANNOTATION_FILES = ("SPLIT.json", "SPLIT_v2.json")
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
SECONDS = 20  # duration of every video; `img_num` = frame rate * SECONDS
QTYPE = "declarative"

# In valid records the times match the boxes within one frame; one more frame for rounding.
TOLERATED_FRAMES = 2


def find_videos(video_dir: str) -> dict[str, list[str]]:
    """Returns the paths of all videos, relative to `video_dir`, by file name without suffix."""
    found, seen = collections.defaultdict(list), set()
    for folder, folders, names in os.walk(video_dir, followlinks=True):
        # Links may lead back to a folder above.
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in VIDEO_SUFFIXES:
                path = os.path.relpath(os.path.join(folder, name), video_dir)
                found[stem].append(path)
    return dict(found)


def account_split(split: str, annotation_dir: str, limit: int | None = None) -> SplitAccount:
    """Counts a split's sentences like `read_split`, without searching for the videos."""
    return _read_records(split, annotation_dir, limit)[0]


def read_split(
    split: str,
    annotation_dir: str,
    videos: Mapping[str, Sequence[str]],
    limit: int | None = None,
) -> SplitAnnotations:
    """Reads the sentences of a split with their tubes; invalid records are skipped with a reason.

    Args:
        split: `train` or `test` in version 1, `train` or `val` in version 2.
        annotation_dir: folder of the annotation file.
        videos: result of `find_videos`. A file with the name of the record is preferred to one
            that differs only in its suffix. A missing video is listed under its name.
        limit: maximum number of videos to read; None for all.

    Returns:
        One clip per sentence; `frame_count` is the annotated number.

    Raises:
        FileNotFoundError: the split has no annotation file.
        ValueError: the split has annotation files of both versions, or the file is not a JSON
            object.
    """
    account, clips, notices, in_file_frames = _read_records(split, annotation_dir, limit)
    annotations = SplitAnnotations(
        skipped=account.skipped, notices=notices, in_file_frames=in_file_frames
    )
    for clip in clips:
        try:
            annotations.videos[clip.video_id] = _video_path(clip.video_id, videos)
            annotations.clips.append(clip)
        except ValueError as error:
            annotations.skipped += [Skipped(s.id, str(error)) for s in clip.sentences]
    annotations.skipped.sort(key=lambda skipped: skipped.id)
    return annotations


def _video_path(name, videos):
    stem, _ = os.path.splitext(name)
    similar = videos.get(stem, [])
    paths = [path for path in similar if os.path.basename(path) == name] or similar
    if len(paths) > 1:
        raise ValueError(
            f"video {name}: found {len(paths)} files: {', '.join(paths)}; remove all but one"
        )
    return paths[0] if paths else annotated.video_path(name, "video")


def _read_records(split, annotation_dir, limit):
    """Returns counts, a clip for each valid record, notices, and `in_file_frames` of a split."""
    path = annotated.find_annotation_file(split, annotation_dir, ANNOTATION_FILES)
    content = read_json(path, object_pairs_hook=JsonObject)
    if not isinstance(content, JsonObject):
        raise ValueError(
            f"{path}: expected an object of records by video, got {type(content).__name__}"
        )
    records = content.pairs[:limit]
    account = SplitAccount(len(records), collections.Counter({QTYPE: len(records)}))
    clips, notices, in_file_frames, first = [], collections.Counter(), set(), {}
    for number, (name, fields) in enumerate(records):
        sentence_id = f"{split}-{number:05d}"
        try:
            if name in first:
                raise ValueError(f"duplicate name; record {first[name]} is used")
            first[name] = number
            if not is_text(name):
                raise ValueError("expected the file name of a video")
            annotated.check_video_id(name, "name")
            clip, counts = _read_record(name, number, sentence_id, fields)
        except ValueError as error:
            reason = f"{os.path.basename(path)}: record {number}, {name!r}: {error}"
            account.skipped.append(Skipped(sentence_id, reason))
        else:
            clips.append(clip)
            notices.update(counts)
            if counts["times_unlike_boxes"]:
                # The times contradict `img_num`, so the annotated frame rate is unknown.
                in_file_frames.add(name)
    return account, clips, notices, in_file_frames


def _read_record(name, number, sentence_id, fields):
    fields = json_object(fields)
    caption = "English" if "English" in fields else "caption"
    text = annotated.sentence_text(fields.get(caption), caption)
    width, height = _size(fields)
    frame_count = integer(fields, "img_num", at_least=1)
    begin = integer(fields, "st_frame", at_least=1) - 1
    boxes, usable = _boxes(fields.get("bbox"))
    end = begin + len(boxes)
    track = Track(begin + np.flatnonzero(usable), boxes[usable])
    filled, notices = track.boxes_between(begin, end, width, height)
    fps = frame_count / SECONDS
    notices["unusable_boxes"] = int((~usable).sum())
    notices["sentences_with_cleaned_text"] = int(text != fields[caption])
    notices["segments_beyond_img_num"] = int(end > frame_count)
    notices["times_unlike_boxes"] = int(not _times_agree(fields, begin, end, fps))
    clip = Clip(
        video_id=name,
        begin=0,
        end=annotated.END_OF_VIDEO,
        fps=fps,
        width=width,
        height=height,
        frame_count=frame_count,
        sentences=(Sentence(number, sentence_id, text, QTYPE, 0, begin, end, filled),),
    )
    return clip, notices


def _size(fields):
    if "img_size" not in fields:
        return integer(fields, "width", at_least=1), integer(fields, "height", at_least=1)
    size = fields["img_size"]
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError(f"img_size: expected [height, width], got {size!r}")
    named = {"img_size": dict(zip(("height", "width"), size, strict=True))}
    return tuple(integer(named, "img_size", side, at_least=1) for side in ("width", "height"))


def _boxes(listed: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the boxes `x1 y1 x2 y2` of a `bbox`, float32 `[n, 4]`, and a mask of valid ones."""
    if not isinstance(listed, list) or not listed:
        got = "an empty list" if listed == [] else type(listed).__name__
        raise ValueError(f"bbox: expected a list of boxes, got {got}")
    numbers = [
        box
        if isinstance(box, list) and len(box) == 4 and all(map(is_number, box))
        else [math.nan] * 4
        for box in listed
    ]
    corner, size = np.split(np.array(numbers, np.float32), 2, axis=1)
    usable = (size >= 0).all(axis=1)
    if not usable.any():
        raise ValueError(
            f"bbox: none of the {len(listed)} boxes is valid; expected numbers [x, y, w, h] with "
            f"w, h >= 0; the first is {listed[0]!r}"
        )
    return np.concatenate([corner, corner + size], axis=1), usable


def _times_agree(fields, begin, end, fps):
    times = [get(fields, name) for name in ("st_time", "ed_time")]
    if not all(map(is_number, times)):
        return False
    return all(
        abs(time * fps - frame) <= TOLERATED_FRAMES
        for time, frame in zip(times, (begin, end), strict=True)
    )
