"""What every data set's annotations become before their videos are looked at.

A data set's own module (`data.vidstg`, `data.hcstvg`, `data.custom`) reads its files into
`SplitAnnotations`; `data.prepare` does the rest. Every sentence is either in a clip or in
`skipped`.
"""

import collections
import dataclasses
import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gkcmn_tf import json_fields
from gkcmn_tf.records.clip_records import Clip
from gkcmn_tf.tubes import QTYPES
from gkcmn_tf.video.box_interpolation import interpolate_boxes
from gkcmn_tf.video.frame_rates import segment_in_samples

SPLITS = ("train", "val", "test")

# The end of a clip that is the whole video, however many frames can be decoded of it.
END_OF_VIDEO = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A sentence that is left out, and why: file, record and field."""

    id: str
    reason: str


@dataclasses.dataclass
class SplitAnnotations:
    """A split as its annotation files describe it.

    Attributes:
        clips: with sentences whose `index` counts all sentences of the files, left out or not.
        videos: path of each clip's video below the folder of videos, by video id.
        skipped: sentences left out.
        notices: how often something was put right on the way in.
    """

    clips: list[Clip] = dataclasses.field(default_factory=list)
    videos: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    notices: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def kept(self) -> int:
        """Sentences in `clips`."""
        return sum(len(clip.sentences) for clip in self.clips)


@dataclasses.dataclass
class SplitAccount:
    """What a split's annotation files hold, before VidOR or any video is looked at.

    Attributes:
        records: entries of the files, whatever became of them.
        sentences: how many they ask, skipped ones too, by `qtype`.
        skipped: sentences left out.
    """

    records: int = 0
    sentences: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict:
        """The numbers; `kept + skipped` is the sum of the sentences of both types."""
        return {
            "records": self.records,
            **{qtype: self.sentences[qtype] for qtype in QTYPES},
            "kept": self.sentences.total() - len(self.skipped),
            "skipped": len(self.skipped),
            "reasons": dict(collections.Counter(sentence.reason for sentence in self.skipped)),
        }


@dataclasses.dataclass(frozen=True)
class TrueSegment:
    """When a sentence happens, without boxes: frames `[begin, end)` of the clip `clip`."""

    video_id: str
    qtype: str
    clip: tuple[int, int]
    begin: int
    end: int


def find_annotation_file(split: str, annotation_dir: str, forms: Sequence[str]) -> str:
    """Path of a split's annotation file, the one of `forms` (`SPLIT.json`) that is there.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are two.
    """
    names = [form.replace("SPLIT", split) for form in forms]
    paths = [os.path.join(annotation_dir, name) for name in names]
    found = [path for path in paths if os.path.exists(path)]
    if not found:
        raise FileNotFoundError(f"{' or '.join(paths)}: no such file")
    if len(found) > 1:
        raise ValueError(
            f"{annotation_dir}: holds both {' and '.join(names)}; keep one of them, or give each "
            "an --annotation_dir of its own"
        )
    return found[0]


def resample_clip(
    clip: Clip, source_frames: Sequence[int], fps: float
) -> tuple[Clip | None, list[Skipped]]:
    """A clip of a video in the frames of the same video at `fps` frames a second.

    Clip and segments become the resampled frames that show one of theirs; each has the box of the
    frame that it shows.

    Args:
        clip: inside the video.
        source_frames: the frame that each resampled frame shows.
        fps: of the resampled frames.

    Returns:
        the clip, None if no sentence is left, and the sentences left out, since their segment is
        so short that no resampled frame falls into it.
    """
    shown = np.asarray(source_frames)
    kept, skipped = [], []
    for sentence in clip.sentences:
        begin, end = segment_in_samples(shown, sentence.begin, sentence.end)
        if begin == end:
            reason = (
                f"video {clip.video_id}: its segment [{sentence.begin}, {sentence.end}) holds none "
                f"of the frames at {fps:g} frames a second"
            )
            skipped.append(Skipped(sentence.id, reason))
            continue
        boxes = sentence.boxes[shown[begin:end] - sentence.begin]
        kept.append(dataclasses.replace(sentence, begin=begin, end=end, boxes=boxes))
    if not kept:
        return None, skipped
    begin, end = segment_in_samples(shown, clip.begin, clip.end)
    resampled = dataclasses.replace(
        clip, begin=begin, end=end, fps=fps, frame_count=len(shown), sentences=tuple(kept)
    )
    return resampled, skipped


def clean_text(text: str) -> str:
    """Compatibility characters (no-break spaces, ligatures) made plain, white space made single."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def sentence_text(value: Any, field: str) -> str:
    """The clean text of a sentence; `ValueError` names `field` if `value` holds none."""
    text = clean_text(value) if json_fields.is_text(value) else ""
    if not text:
        raise ValueError(f"{field}: expected a sentence, got {value!r}")
    return text


def cut_to_clip(
    begin: int, end: int, clip_begin: int, clip_end: int, field: str
) -> tuple[int, int]:
    """The part of a true segment inside its clip, all in frames, half-open.

    Raises:
        ValueError: there is none; names `field`.
    """
    inside = max(begin, clip_begin), min(end, clip_end)
    if inside[0] >= inside[1]:
        raise ValueError(
            f"{field}: [{begin}, {end}) lies outside the clip [{clip_begin}, {clip_end})"
        )
    return inside


def merge_clips(clips: Iterable[Clip]) -> list[Clip]:
    """Puts the sentences of one clip together; in the order of each clip's first sentence."""
    found = collections.defaultdict(list)
    for clip in clips:
        found[clip.video_id, clip.begin, clip.end].append(clip)
    merged = [
        dataclasses.replace(
            same[0], sentences=tuple(sentence for clip in same for sentence in clip.sentences)
        )
        for same in found.values()
    ]
    return sorted(merged, key=lambda clip: clip.sentences[0].index)


@dataclasses.dataclass(frozen=True)
class Track:
    """A trajectory: `boxes` float32 `[n, 4]` in pixels, at the increasing `frames` int64 `[n]`."""

    frames: np.ndarray
    boxes: np.ndarray

    def boxes_between(
        self, begin: int, end: int, width: int, height: int
    ) -> tuple[np.ndarray, collections.Counter]:
        """A box for every frame of `[begin, end)`, inside the picture.

        A gap inside the trajectory is interpolated linearly; before its first and after its last
        box, that box is held. Boxes are clipped to the picture; one that has no area left is kept,
        since a tube has a box at every frame.

        Returns:
            float32 `[end - begin, 4]`, and how many were interpolated, held, clipped, or have no
            area.

        Raises:
            ValueError: the trajectory has no box between `begin` and `end`.
        """
        inside = (self.frames >= begin) & (self.frames < end)
        if not inside.any():
            raise ValueError(f"the target has no box in frames [{begin}, {end})")
        wanted = np.arange(begin, end)
        filled = interpolate_boxes(wanted, self.frames, self.boxes).astype(np.float32)
        boxes = np.clip(filled, 0, np.float32([width, height, width, height]))
        held = (wanted < self.frames[0]) | (wanted > self.frames[-1])
        counts = collections.Counter(
            interpolated_boxes=int((~np.isin(wanted, self.frames) & ~held).sum()),
            held_boxes=int(held.sum()),
            clipped_boxes=int((boxes != filled).any(axis=1).sum()),
            boxes_without_area=int((boxes[:, 2:] <= boxes[:, :2]).any(axis=1).sum()),
        )
        return boxes, counts
