"""Reads absent sentences and minimal pairs, which may accompany annotations in VidSTG's format.

    annotation_dir/{train,val,test}_absent.json     a list of sentences that describe nothing
    annotation_dir/{train,val,test}_pairs.json      a list of pairs of sentence ids

An absent sentence has `vid`, `used_segment` (a clip of `SPLIT_annotations.json`; its end is
inclusive), `description` and `qtype`. Sentence `k` of the file has the id `SPLIT-absent-k`. A pair
has `kind` (one of `clip_records.PAIR_KINDS`), `first` and `second`. The shapes data set has both
files in its long setting; VidSTG has none.
"""

import collections
import dataclasses
import os

import numpy as np

from gkcmn_tf.files import read_json
from gkcmn_tf.json_fields import JsonObject, choice, errors_in, get, integer, json_list, text
from gkcmn_tf.records.clip_records import PAIR_KINDS, Clip, Pair, Sentence
from gkcmn_tf.tubes import QTYPES

from . import annotations as annotated
from .annotations import Skipped, SplitAnnotations

ABSENT_FILE = "SPLIT_absent.json"
PAIRS_FILE = "SPLIT_pairs.json"


def read_absent(
    split: str, annotation_dir: str, annotations: SplitAnnotations, limit: int | None = None
) -> SplitAnnotations | None:
    """Reads the absent sentences of a split; invalid ones are skipped with a reason.

    Args:
        split: name of the split.
        annotation_dir: folder of the annotation files.
        annotations: annotations of the split, for the properties of clips and videos.
        limit: the limit with which `annotations` was read; sentences about other videos are
            ignored.

    Returns:
        Clips with absent sentences; None if the split has no such file.

    Raises:
        ValueError: the file is not a JSON list.
    """
    listed = _read_list(ABSENT_FILE, split, annotation_dir)
    if listed is None:
        return None
    path, entries = listed
    known = {(clip.video_id, clip.begin, clip.end): clip for clip in annotations.clips}
    frame_counts = {clip.video_id: clip.frame_count for clip in annotations.clips}
    found = SplitAnnotations()
    clips = []
    for number, fields in enumerate(entries):
        sentence_id = f"{split}-absent-{number:05d}"
        try:
            vid = text(fields, "vid", meaning="a video's id")
            if limit is not None and vid not in annotations.videos:
                continue
            begin = integer(fields, "used_segment", "begin_fid")
            end = integer(fields, "used_segment", "end_fid") + 1
            clip = known.get((vid, begin, min(end, frame_counts.get(vid, end))))
            if clip is None:
                raise ValueError(
                    f"used_segment: no sentence of the split is about video {vid}, frames "
                    f"[{begin}, {end})"
                )
            clips.append(_clip(clip, number, sentence_id, fields, found.notices))
            found.videos[vid] = annotations.videos[vid]
        except ValueError as error:
            reason = f"{os.path.basename(path)}: entry {number}: {error}"
            found.skipped.append(Skipped(sentence_id, reason))
    found.clips = annotated.merge_clips(clips)
    return found


def _clip(clip: Clip, number: int, sentence_id: str, fields: dict, notices: collections.Counter):
    """Returns the clip with an absent sentence alone."""
    qtype = choice(fields, "qtype", choices=QTYPES)
    description = annotated.sentence_text(get(fields, "description"), "description")
    notices["sentences_with_cleaned_text"] += description != fields["description"]
    sentence = Sentence(
        index=number,
        id=sentence_id,
        text=description,
        qtype=qtype,
        target_id=-1,
        begin=0,
        end=0,
        boxes=np.zeros((0, 4), np.float32),
    )
    return dataclasses.replace(clip, sentences=(sentence,))


def read_pairs(split: str, annotation_dir: str) -> list[Pair]:
    """Reads the minimal pairs of a split; none if the split has no such file.

    Raises:
        ValueError: the file is invalid; the message names file, entry and field.
    """
    listed = _read_list(PAIRS_FILE, split, annotation_dir)
    if listed is None:
        return []
    path, entries = listed
    pairs = []
    for number, fields in enumerate(entries):
        with errors_in(f"{path}: entry {number}"):
            kind = choice(fields, "kind", choices=PAIR_KINDS)
            pairs.append(Pair(kind, text(fields, "first"), text(fields, "second")))
    return pairs


def _read_list(name, split, annotation_dir):
    """Returns path and content of a file; None if it does not exist."""
    path = os.path.join(annotation_dir, name.replace("SPLIT", split))
    if not os.path.exists(path):
        return None
    content = read_json(path, object_pairs_hook=JsonObject)
    with errors_in(path):
        return path, json_list(content)
