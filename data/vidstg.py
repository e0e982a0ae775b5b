"""VidSTG's sentences and VidOR's trajectories.

Annotations, as the data set's authors publish them:

    annotation_dir/{train,val,test}_annotations.json        VidSTG: a list of records
    vidor_dir/{training,validation}/GROUP/VIDEO.json        VidOR: one file a video
    video_dir/GROUP/VIDEO.mp4                               VidOR's videos

A record asks several sentences, `captions` (declarative) and `questions` (interrogative), about the
clip `used_segment`, whose last frame is *inclusive*; their truth is the segment `temporal_gt`,
whose end is exclusive, and the boxes of trajectory `target_id`, in pixels of the size that VidOR's
file declares. Records of one clip are merged. Sentence `k` of record `r` gets the id `SPLIT-r-dk`
or `SPLIT-r-ik`.
"""

import collections
import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from data.annotations import Skipped, SplitAnnotations, Track, clean_text
from gkcmn_tf.atomic_files import read_json
from gkcmn_tf.records import Clip, Sentence

SPLITS = ("train", "val", "test")
VIDOR_FOLDERS = ("training", "validation")
LISTS = {"captions": ("declarative", "d"), "questions": ("interrogative", "i")}


@dataclasses.dataclass(frozen=True)
class _Record:
    """A record's fields, checked; `end` and `true_end` are exclusive."""

    where: str
    vid: str
    fps: float
    frame_count: int
    begin: int
    end: int
    true_begin: int
    true_end: int


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A sentence as the file has it, before its text and target are looked at."""

    index: int
    id: str
    qtype: str
    field: str
    entry: Any


@dataclasses.dataclass(frozen=True)
class _Video:
    """What VidOR says of a video; `unusable` counts the boxes of each target left out."""

    path: str
    width: int
    height: int
    tracks: dict[int, Track]
    unusable: collections.Counter


def find_vidor_annotations(vidor_dir: str) -> dict[str, str]:
    """Path of every VidOR annotation below `vidor_dir`, by video id.

    Raises:
        FileNotFoundError: the folder has none.
        ValueError: a video has two.
    """
    paths = {}
    for folder in VIDOR_FOLDERS:
        for path in sorted(pathlib.Path(vidor_dir, folder).glob("*/*.json")):
            if path.stem in paths:
                raise ValueError(
                    f"video {path.stem} has two annotations: {paths[path.stem]}, {path}"
                )
            paths[path.stem] = str(path)
    if not paths:
        expected = " or ".join(f"{folder}/GROUP/VIDEO.json" for folder in VIDOR_FOLDERS)
        raise FileNotFoundError(f"{vidor_dir}: no VidOR annotations; expected {expected} there")
    return paths


def read_split(
    split: str, annotation_dir: str, vidor_paths: Mapping[str, str], limit: int | None = None
) -> SplitAnnotations:
    """Reads a split's sentences with their tubes; a bad record is skipped, with the reason.

    Args:
        split: `train`, `val` or `test`.
        annotation_dir: where `SPLIT_annotations.json` is.
        vidor_paths: what `find_vidor_annotations` found.
        limit: reads the records of the first so many videos only.

    Returns:
        clips in the order of their first sentence. `frame_count` is still the annotated one.

    Raises:
        FileNotFoundError: the split has no annotation file.
        ValueError: that file is not a JSON list.
    """
    path = os.path.join(annotation_dir, f"{split}_annotations.json")
    records = read_json(path)
    if not isinstance(records, list):
        raise ValueError(f"{path}: expected a list of records, got {type(records).__name__}")
    numbered = list(enumerate(records))
    if limit is not None:
        numbered = _records_of_first_videos(numbered, limit)
    annotations = SplitAnnotations()
    by_video = _read_records(split, os.path.basename(path), numbered, annotations)
    sentences = collections.defaultdict(list)
    for vid, asked_by_record in by_video.items():
        targets = {
            _object_number(asked.entry, "target_id")
            for _, all_asked in asked_by_record
            for asked in all_asked
        }
        try:
            video = _read_vidor(vid, vidor_paths, targets)
        except (FileNotFoundError, ValueError) as error:
            _skip(annotations, [asked for _, group in asked_by_record for asked in group], error)
            continue
        for record, all_asked in asked_by_record:
            for asked in all_asked:
                try:
                    sentence = _sentence(record, asked, video, annotations.notices)
                except ValueError as error:
                    _skip(annotations, [asked], f"{record.where}: {error}")
                    continue
                key = (record.vid, record.begin, record.end)
                sentences[key].append((record, video, sentence))
                annotations.videos[vid] = video.path
    annotations.clips = _merge(sentences)
    annotations.notices["repeated_sentences"] = _count_repeated(annotations.clips)
    annotations.skipped.sort(key=lambda skipped: skipped.id)
    return annotations


def _records_of_first_videos(numbered, limit):
    vids = [str(_get(fields, "vid")) for _, fields in numbered]
    first = set(list(dict.fromkeys(vids))[:limit])
    return [record for record, vid in zip(numbered, vids, strict=True) if vid in first]


def _skip(annotations, all_asked, reason):
    annotations.skipped.extend(Skipped(asked.id, str(reason)) for asked in all_asked)


def _read_records(split, file_name, numbered, annotations):
    """Checked records with what they ask, by video in order of appearance."""
    by_video = collections.defaultdict(list)
    index = 0
    for number, fields in numbered:
        where = f"{file_name}: record {number}"
        all_asked = []
        for name, (qtype, letter) in LISTS.items():
            entries = _get(fields, name)
            if not isinstance(entries, list):
                # How many sentences it held cannot be known: it counts as one.
                reason = f"{where}: {name}: expected a list, got {entries!r}"
                annotations.skipped.append(Skipped(f"{split}-{number:05d}-{letter}0", reason))
                index += 1
                continue
            for k, entry in enumerate(entries):
                sentence_id = f"{split}-{number:05d}-{letter}{k}"
                all_asked.append(_Asked(index, sentence_id, qtype, f"{name}[{k}]", entry))
                index += 1
        try:
            if all_asked:
                record = _read_record(fields, where)
                by_video[record.vid].append((record, all_asked))
        except ValueError as error:
            _skip(annotations, all_asked, f"{where}: {error}")
    return by_video


def _read_record(fields, where):
    vid = fields.get("vid")
    if not isinstance(vid, str) or not vid:
        raise ValueError(f"vid: expected a video's id, got {vid!r}")
    record = _Record(
        where=where,
        vid=vid,
        fps=_number(fields, "fps"),
        frame_count=_integer(fields, "frame_count", at_least=1),
        begin=_integer(fields, "used_segment", "begin_fid"),
        end=_integer(fields, "used_segment", "end_fid") + 1,
        true_begin=_integer(fields, "temporal_gt", "begin_fid"),
        true_end=_integer(fields, "temporal_gt", "end_fid"),
    )
    for name, begin, end in (
        ("used_segment", record.begin, record.end),
        ("temporal_gt", record.true_begin, record.true_end),
    ):
        if begin >= end:
            raise ValueError(f"{name}: holds no frame: {fields[name]}")
    return record


def _get(fields, *path):
    value = fields
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _integer(fields, *path, at_least=0):
    value = _get(fields, *path)
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(
            f"{'.'.join(path)}: expected an integer of at least {at_least}, got {value!r}"
        )
    return value


def _number(fields, *path):
    value = _get(fields, *path)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{'.'.join(path)}: expected a positive number, got {value!r}")
    return float(value)


def _object_number(entry, name):
    number = _get(entry, name)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _read_vidor(vid, vidor_paths, targets):
    if vid not in vidor_paths:
        raise FileNotFoundError(f"video {vid}: has no VidOR annotation")
    path = vidor_paths[vid]
    fields = read_json(path)
    video_path = _get(fields, "video_path")
    if not isinstance(video_path, str) or not video_path:
        raise ValueError(f"{path}: video_path: expected a path, got {video_path!r}")
    try:
        width = _integer(fields, "width", at_least=1)
        height = _integer(fields, "height", at_least=1)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    trajectories = fields.get("trajectories")
    if not isinstance(trajectories, list):
        raise ValueError(f"{path}: trajectories: expected a list, got {trajectories!r}")
    found = collections.defaultdict(dict)
    unusable = collections.Counter()
    for frame, objects in enumerate(trajectories):
        if not isinstance(objects, list):
            raise ValueError(f"{path}: trajectories[{frame}]: expected a list, got {objects!r}")
        for entry in objects:
            target = _object_number(entry, "tid")
            if target is None or target not in targets:
                continue
            box = [_get(entry, "bbox", side) for side in ("xmin", "ymin", "xmax", "ymax")]
            if _is_box(box):
                found[target][frame] = box
            else:
                unusable[target] += 1
    tracks = {
        target: Track(np.array(list(boxes)), np.array(list(boxes.values()), np.float32))
        for target, boxes in found.items()
    }
    return _Video(video_path, width, height, tracks, unusable)


def _is_box(box):
    numbers = all(
        isinstance(side, (int, float)) and not isinstance(side, bool) and math.isfinite(side)
        for side in box
    )
    return numbers and box[0] <= box[2] and box[1] <= box[3]


def _sentence(record, asked, video, notices):
    """The sentence with its tube; `ValueError` says why there is none."""
    description = _get(asked.entry, "description")
    text = clean_text(description) if isinstance(description, str) else ""
    if not text:
        raise ValueError(f"{asked.field}.description: expected a sentence, got {description!r}")
    target = _object_number(asked.entry, "target_id")
    if target is None:
        got = _get(asked.entry, "target_id")
        raise ValueError(f"{asked.field}.target_id: expected an integer, got {got!r}")
    begin, end = max(record.true_begin, record.begin), min(record.true_end, record.end)
    if begin >= end:
        raise ValueError(
            f"temporal_gt: [{record.true_begin}, {record.true_end}) lies outside the clip "
            f"[{record.begin}, {record.end})"
        )
    if target not in video.tracks:
        raise ValueError(f"{asked.field}.target_id: trajectory {target} has no box in the video")
    try:
        boxes, counts = video.tracks[target].boxes_between(begin, end, video.width, video.height)
    except ValueError as error:
        raise ValueError(f"{asked.field}.target_id: trajectory {target}: {error}") from error
    notices.update(counts)
    notices["unusable_boxes"] += video.unusable[target]
    notices["segments_cut_to_clip"] += (begin, end) != (record.true_begin, record.true_end)
    notices["sentences_with_cleaned_text"] += text != description
    return Sentence(asked.index, asked.id, text, asked.qtype, target, begin, end, boxes)


def _merge(sentences):
    clips = []
    for found in sentences.values():
        record, video, _ = found[0]
        clips.append(
            Clip(
                video_id=record.vid,
                begin=record.begin,
                end=record.end,
                fps=record.fps,
                width=video.width,
                height=video.height,
                frame_count=record.frame_count,
                sentences=tuple(sentence for _, _, sentence in found),
            )
        )
    return sorted(clips, key=lambda clip: clip.sentences[0].index)


def _count_repeated(clips):
    repeated = 0
    for clip in clips:
        asked = [(s.text, s.target_id) for s in clip.sentences]
        repeated += len(asked) - len(set(asked))
    return repeated
