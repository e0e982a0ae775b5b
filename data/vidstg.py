"""Reads VidSTG annotations and VidOR trajectories.

Files as published by the authors of the data sets:

    annotation_dir/{train,val,test}_annotations.json        VidSTG: a list of records
    vidor_dir/{training,validation}/GROUP/VIDEO.json        VidOR: one file per video, up to 128 MiB
    video_dir/GROUP/VIDEO.mp4                               VidOR videos

A record has several sentences, `captions` (declarative) and `questions` (interrogative), about the
clip `used_segment`, whose end is *inclusive*. The ground truth is the segment `temporal_gt`, whose
end is exclusive, and the boxes of trajectory `target_id`, in pixels of the frame size given in the
VidOR file. Both segments are cut to the frames of the video: `frame_count`, and the frames listed
in the VidOR file. Records of the same clip are merged. Sentence `k` of record `r` has the id
`SPLIT-r-dk` or `SPLIT-r-ik`.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gkcmn_tf.files import read_json
from gkcmn_tf.json_fields import (
    JsonObject,
    errors_in,
    get,
    integer,
    is_box,
    is_integer,
    json_list,
    json_object,
    positive_number,
    text,
)
from gkcmn_tf.records.clip_records import Clip, Sentence

from . import annotations as annotated
from . import vidstg_contrasts
from .annotations import Skipped, SplitAccount, SplitAnnotations, Track, TrueSegment

ANNOTATION_FILES = ("SPLIT_annotations.json",)
VIDOR_FOLDERS = ("training", "validation")
MAX_VIDOR_BYTES = 128 * 2**20  # Python objects take about ten times the memory
LISTS = {"captions": ("declarative", "d"), "questions": ("interrogative", "i")}


@dataclasses.dataclass(frozen=True)
class _Record:
    """The validated fields of a record; `end` and `true_end` are exclusive.

    The clip `[begin, end)` lies inside the video; `cut` is True if it was clipped.
    """

    where: str
    vid: str
    fps: float
    frame_count: int
    begin: int
    end: int
    true_begin: int
    true_end: int
    cut: bool


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A sentence of the annotation file, not yet validated."""

    index: int
    id: str
    qtype: str
    field: str
    content: Any


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A validated sentence without boxes; its segment `[begin, end)` lies inside the clip."""

    record: _Record
    entry: _Entry
    text: str
    target: int
    begin: int
    end: int


@dataclasses.dataclass(frozen=True)
class _Video:
    """VidOR annotations of a video; `unusable` counts the invalid boxes of each target."""

    path: str
    width: int
    height: int
    frame_count: int
    tracks: dict[int, Track]
    unusable: collections.Counter


def find_vidor_annotations(vidor_dir: str) -> dict[str, str]:
    """Finds all VidOR annotation files below `vidor_dir`.

    Returns:
        Path by video id.

    Raises:
        FileNotFoundError: there are no annotation files.
        ValueError: a video has two annotation files.
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
        raise FileNotFoundError(f"{vidor_dir}: no VidOR annotations; expected {expected}")
    return paths


def account_split(split: str, annotation_dir: str, limit: int | None = None) -> SplitAccount:
    """Counts a split's sentences like `read_split`, without reading VidOR annotations."""
    return _read_sentences(split, annotation_dir, limit)[0]


def read_segments(
    split: str, annotation_dir: str, limit: int | None = None
) -> tuple[list[TrueSegment], list[Skipped]]:
    """Reads the ground-truth segments of a split, without VidOR annotations.

    Args:
        split: `train`, `val` or `test`.
        annotation_dir: folder of `SPLIT_annotations.json`.
        limit: maximum number of videos to read; None for all.

    Returns:
        A segment for each sentence, grouped by video; and the skipped sentences.

    Raises:
        FileNotFoundError: the split has no annotation file.
        ValueError: that file is not a JSON list.
    """
    account, by_video = _read_sentences(split, annotation_dir, limit)
    segments = [
        TrueSegment(
            vid, asked.entry.qtype, (asked.record.begin, asked.record.end), asked.begin, asked.end
        )
        for vid, sentences in by_video.items()
        for asked in sentences
    ]
    return segments, account.skipped


def read_split(
    split: str, annotation_dir: str, vidor_paths: Mapping[str, str], limit: int | None = None
) -> SplitAnnotations:
    """Reads the sentences of a split with their tubes; invalid records are skipped with a reason.

    Args:
        split: `train`, `val` or `test`.
        annotation_dir: folder of `SPLIT_annotations.json`.
        vidor_paths: result of `find_vidor_annotations`.
        limit: maximum number of videos to read; None for all.

    Returns:
        Clips in the order of their first sentence; `frame_count` is the annotated number.

    Raises:
        FileNotFoundError: the split has no annotation file.
        ValueError: that file is not a JSON list, or the minimal pairs are invalid.
    """
    account, by_video = _read_sentences(split, annotation_dir, limit)
    annotations = SplitAnnotations(skipped=account.skipped)
    clips = []
    for vid, sentences in by_video.items():
        try:
            video = _read_vidor(vid, vidor_paths, {asked.target for asked in sentences})
        except (FileNotFoundError, ValueError) as error:
            annotations.skipped += [Skipped(asked.entry.id, str(error)) for asked in sentences]
            continue
        for asked in sentences:
            try:
                clips.append(_clip(asked, video, annotations.notices))
                annotations.videos[vid] = video.path
            except ValueError as error:
                reason = f"{asked.record.where}: {error}"
                annotations.skipped.append(Skipped(asked.entry.id, reason))
    annotations.clips = annotated.merge_clips(clips)
    annotations.notices["repeated_sentences"] = _count_repeated(annotations.clips)
    annotations.skipped.sort(key=lambda skipped: skipped.id)
    annotations.pairs = vidstg_contrasts.read_pairs(split, annotation_dir)
    return annotations


def _read_sentences(split, annotation_dir, limit):
    """Returns the counts of a split and its valid sentences by video, in order of appearance."""
    path = annotated.find_annotation_file(split, annotation_dir, ANNOTATION_FILES)
    records = read_json(path, object_pairs_hook=JsonObject)
    with errors_in(path):
        json_list(records)
    numbered = list(enumerate(records))
    if limit is not None:
        numbered = _records_of_first_videos(numbered, limit)
    account = SplitAccount(records=len(numbered))
    by_video = collections.defaultdict(list)
    for number, fields in numbered:
        where = f"{os.path.basename(path)}: record {number}"
        entries = _entries(f"{split}-{number:05d}", fields, where, account)
        try:
            record = _read_record(fields, where) if entries else None
        except ValueError as error:
            account.skipped += [Skipped(entry.id, f"{where}: {error}") for entry in entries]
            continue
        for entry in entries:
            try:
                by_video[record.vid].append(_check(record, entry))
            except ValueError as error:
                account.skipped.append(Skipped(entry.id, f"{where}: {error}"))
    return account, by_video


def _records_of_first_videos(numbered, limit):
    vids = [str(get(fields, "vid")) for _, fields in numbered]
    first = set(list(dict.fromkeys(vids))[:limit])
    return [record for record, vid in zip(numbered, vids, strict=True) if vid in first]


def _entries(record_id, fields, where, account):
    """Returns the sentences of a record and adds them to the counts."""
    entries = []
    for name, (qtype, letter) in LISTS.items():
        try:
            listed = json_list(fields, name)
        except ValueError as error:
            # The number of sentences is unknown; count one.
            account.skipped.append(Skipped(f"{record_id}-{letter}0", f"{where}: {error}"))
            account.sentences[qtype] += 1
            continue
        for k, content in enumerate(listed):
            index = account.sentences.total()
            entry_id = f"{record_id}-{letter}{k}"
            entries.append(_Entry(index, entry_id, qtype, f"{name}[{k}]", content))
            account.sentences[qtype] += 1
    return entries


def _read_record(fields, where):
    json_object(fields)
    vid = text(fields, "vid", meaning="a video's id")
    annotated.check_video_id(vid, "vid")
    frame_count = integer(fields, "frame_count", at_least=1)
    begin = integer(fields, "used_segment", "begin_fid")
    end = integer(fields, "used_segment", "end_fid") + 1
    record = _Record(
        where=where,
        vid=vid,
        fps=positive_number(fields, "fps"),
        frame_count=frame_count,
        begin=begin,
        end=min(end, frame_count),
        true_begin=integer(fields, "temporal_gt", "begin_fid"),
        true_end=integer(fields, "temporal_gt", "end_fid"),
        cut=end > frame_count,
    )
    for name, first, last in (
        ("used_segment", begin, end),
        ("temporal_gt", record.true_begin, record.true_end),
    ):
        if first >= last:
            raise ValueError(f"{name}: contains no frame: {fields[name]}")
    if begin >= frame_count:
        raise ValueError(
            f"used_segment: [{begin}, {end}) begins after the {frame_count} frames of the video"
        )
    return record


def _check(record, entry):
    """Validates a sentence; raises `ValueError` if it is invalid."""
    sentence = annotated.sentence_text(
        get(entry.content, "description"), f"{entry.field}.description"
    )
    target = get(entry.content, "target_id")
    if not is_integer(target):
        raise ValueError(f"{entry.field}.target_id: expected an integer, got {target!r}")
    begin, end = annotated.cut_to_clip(
        record.true_begin, record.true_end, record.begin, record.end, "temporal_gt"
    )
    return _Asked(record, entry, sentence, target, begin, end)


def _read_vidor(vid, vidor_paths, targets):
    if vid not in vidor_paths:
        raise FileNotFoundError(f"video {vid}: no VidOR annotation")
    path = vidor_paths[vid]
    if os.path.getsize(path) > MAX_VIDOR_BYTES:
        raise ValueError(
            f"{path}: has {os.path.getsize(path)} bytes, expected at most {MAX_VIDOR_BYTES}; is it "
            "the annotation of one video?"
        )
    fields = read_json(path)
    with errors_in(path):
        video_path = annotated.video_path(
            text(fields, "video_path", meaning="a path"), "video_path"
        )
        width = integer(fields, "width", at_least=1)
        height = integer(fields, "height", at_least=1)
        trajectories = json_list(fields, "trajectories")
    found = collections.defaultdict(dict)
    unusable = collections.Counter()
    for frame, objects in enumerate(trajectories):
        if not isinstance(objects, list):
            raise ValueError(f"{path}: trajectories[{frame}]: expected a list, got {objects!r}")
        for entry in objects:
            target = get(entry, "tid")
            if not is_integer(target) or target not in targets:
                continue
            box = [get(entry, "bbox", side) for side in ("xmin", "ymin", "xmax", "ymax")]
            if is_box(box):
                found[target][frame] = box
            else:
                unusable[target] += 1
    tracks = {
        target: Track(np.array(list(boxes)), np.array(list(boxes.values()), np.float32))
        for target, boxes in found.items()
    }
    return _Video(video_path, width, height, len(trajectories), tracks, unusable)


def _clip(asked, video, notices):
    """Creates a clip with one sentence and its tube; `ValueError` if the tube is invalid."""
    record, entry, target = asked.record, asked.entry, asked.target
    if target not in video.tracks:
        raise ValueError(f"{entry.field}.target_id: trajectory {target} has no valid box")
    begin, end = asked.begin, min(asked.end, video.frame_count)
    with errors_in(f"{entry.field}.target_id: trajectory {target}"):
        boxes, counts = video.tracks[target].boxes_between(begin, end, video.width, video.height)
    notices.update(counts)
    notices["unusable_boxes"] += video.unusable[target]
    notices["clips_cut_to_video"] += record.cut
    notices["segments_cut_to_clip"] += (begin, end) != (record.true_begin, record.true_end)
    notices["sentences_with_cleaned_text"] += asked.text != entry.content["description"]
    sentence = Sentence(entry.index, entry.id, asked.text, entry.qtype, target, begin, end, boxes)
    return Clip(
        video_id=record.vid,
        begin=record.begin,
        end=record.end,
        fps=record.fps,
        width=video.width,
        height=video.height,
        frame_count=record.frame_count,
        sentences=(sentence,),
    )


def _count_repeated(clips):
    repeated = 0
    for clip in clips:
        asked = [(s.text, s.target_id) for s in clip.sentences]
        repeated += len(asked) - len(set(asked))
    return repeated
