"""Annotation types and operations shared by all data sets.

The readers (`data.vidstg`, `data.hcstvg`, `data.custom`) return `SplitAnnotations`, from which
`data.prepare` writes the records. Every sentence is either part of a clip or listed in `skipped`.
"""

import collections
import dataclasses
import functools
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gkcmn_tf import json_fields
from gkcmn_tf.records.clip_records import Clip, Pair
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.tubes import QTYPES
from gkcmn_tf.video.box_interpolation import interpolate_boxes
from gkcmn_tf.video.frame_rates import Timeline, segment_in_samples

SPLITS = ("train", "val", "test")

# End frame of a clip that covers the whole video; its frame count is known only after decoding.
END_OF_VIDEO = 2**31 - 1

# End of the ids of mirrored videos (`data.mirroring`).
MIRRORED = "~mirrored"

# Fractions of the frame size may leave the frame a little. No target is that small in pixels.
_LARGEST_FRACTION = 1.5


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A skipped sentence and the reason, which names the file, the record and the field."""

    id: str
    reason: str


@dataclasses.dataclass
class SplitAnnotations:
    """The annotations of a split.

    Attributes:
        clips: clips with their sentences. `Sentence.index` counts all sentences of the annotation
            files, including skipped ones.
        videos: video path relative to the video folder, by video id.
        skipped: skipped sentences.
        notices: number of corrections, by kind.
        in_file_frames: ids of the videos whose annotations count the frames of the file. The frames
            of others are those of the annotated video, which may have been re-encoded at another
            frame rate since.
        pairs: minimal pairs of sentences, of which some may be skipped.
    """

    clips: list[Clip] = dataclasses.field(default_factory=list)
    videos: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    notices: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    in_file_frames: set[str] = dataclasses.field(default_factory=set)
    pairs: list[Pair] = dataclasses.field(default_factory=list)

    @property
    def kept(self) -> int:
        """Number of sentences in `clips`."""
        return sum(len(clip.sentences) for clip in self.clips)


@dataclasses.dataclass
class SplitAccount:
    """Counts of a split's annotation files, without VidOR annotations or videos.

    Attributes:
        records: number of records, including invalid ones.
        sentences: number of sentences by `qtype`, including skipped ones.
        skipped: skipped sentences.
    """

    records: int = 0
    sentences: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict:
        """Returns the counts; `kept + skipped` equals the number of sentences of both types."""
        return {
            "records": self.records,
            **{qtype: self.sentences[qtype] for qtype in QTYPES},
            "kept": self.sentences.total() - len(self.skipped),
            "skipped": len(self.skipped),
            "reasons": dict(collections.Counter(sentence.reason for sentence in self.skipped)),
        }


@dataclasses.dataclass(frozen=True)
class TrueSegment:
    """Ground-truth segment `[begin, end)` of a sentence, in frames, inside `clip`; no boxes."""

    video_id: str
    qtype: str
    clip: tuple[int, int]
    begin: int
    end: int


def find_annotation_file(split: str, annotation_dir: str, forms: Sequence[str]) -> str:
    """Finds the annotation file of a split.

    Args:
        split: name of the split.
        annotation_dir: folder to search.
        forms: possible file names, with `SPLIT` in place of the split's name.

    Returns:
        The path of the only matching file.

    Raises:
        FileNotFoundError: no file matches.
        ValueError: more than one file matches.
    """
    names = [form.replace("SPLIT", split) for form in forms]
    paths = [os.path.join(annotation_dir, name) for name in names]
    found = [path for path in paths if os.path.exists(path)]
    if not found:
        raise FileNotFoundError(f"{' or '.join(paths)}: no such file")
    if len(found) > 1:
        raise ValueError(
            f"{annotation_dir}: contains both {' and '.join(names)}; keep one of them, or use a "
            "separate --annotation_dir for each"
        )
    return found[0]


def resample_clip(
    clip: Clip, source_frames: Sequence[int], fps: float
) -> tuple[Clip | None, list[Skipped]]:
    """Resamples a clip's segments and boxes to another frame rate.

    A resampled frame belongs to a segment if its source frame does, and takes the box of its
    source frame.

    Args:
        clip: clip inside the video.
        source_frames: source frame of each resampled frame.
        fps: target frame rate, in frames per second.

    Returns:
        The resampled clip, or None if it has no sentence left; and the skipped sentences, whose
        segments contain no resampled frame.
    """
    shown = np.asarray(source_frames)
    return _map_clip(
        clip,
        functools.partial(segment_in_samples, shown),
        lambda sentence, begin, end: sentence.boxes[shown[begin:end] - sentence.begin],
        f" contains no frame at {fps:g} frames per second",
        fps=fps,
        frame_count=len(shown),
    )


def retime_clip(clip: Clip, timeline: Timeline, fps: float) -> tuple[Clip | None, list[Skipped]]:
    """Maps a clip, annotated at `clip.fps`, by time to the frames of a file at another rate.

    Frame `f` of the annotation begins `f / clip.fps` seconds after the first frame. Boxes are
    interpolated linearly in time.

    Args:
        clip: clip in frames of the annotation.
        timeline: frame times of the file.
        fps: frame rate of the file, in frames per second.

    Returns:
        The clip in frames of the file, or None if it has no sentence left; and the skipped
        sentences, whose segments contain no frame of the file.
    """

    def segment_in_file(*frames):
        nearest = (timeline.nearest_frame(timeline.times[0] + f / clip.fps) for f in frames)
        return tuple(min(frame, timeline.frame_count) for frame in nearest)

    def boxes_in_file(sentence, begin, end):
        wanted = (timeline.times[begin:end] - timeline.times[0]) * clip.fps
        known = np.arange(sentence.begin, sentence.end)
        return interpolate_boxes(wanted, known, sentence.boxes).astype(np.float32)

    return _map_clip(
        clip,
        segment_in_file,
        boxes_in_file,
        f", annotated at {clip.fps:g} frames per second, contains no frame of the file at {fps:g}",
        fps=fps,
        frame_count=timeline.frame_count,
    )


def _map_clip(clip, map_segment, map_boxes, reason, *, fps, frame_count):
    """Maps a clip and its sentences to other frames; skips sentences without a frame."""
    kept, skipped = [], []
    for sentence in clip.sentences:
        place = clip if sentence.is_absent else sentence
        begin, end = map_segment(place.begin, place.end)
        if begin == end:
            part = f"{'clip' if sentence.is_absent else 'segment'} [{place.begin}, {place.end})"
            skipped.append(Skipped(sentence.id, f"video {clip.video_id}: {part}{reason}"))
            continue
        if sentence.is_absent:
            kept.append(sentence)
            continue
        boxes = map_boxes(sentence, begin, end)
        kept.append(dataclasses.replace(sentence, begin=begin, end=end, boxes=boxes))
    if not kept:
        return None, skipped
    begin, end = map_segment(clip.begin, clip.end)
    mapped = dataclasses.replace(
        clip, begin=begin, end=end, fps=fps, frame_count=frame_count, sentences=tuple(kept)
    )
    return mapped, skipped


def clean_text(text: str) -> str:
    """Applies Unicode NFKC normalisation, removes soft hyphens, and collapses white space."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("\u00ad", "").split())


def sentence_text(value: Any, field: str) -> str:
    """Returns the cleaned text of a sentence.

    Raises:
        ValueError: `value` is not a text with a word; the message names `field`.
    """
    text = clean_text(value) if json_fields.is_text(value) else ""
    if not standardize(text):
        raise ValueError(f"{field}: expected a sentence, got {value!r}")
    return text


def video_path(value: str, field: str) -> str:
    """Returns the shortest form of a video's path relative to the video folder.

    Raises:
        ValueError: the path leads out of the folder; the message names `field`.
    """
    path = posixpath.normpath(value)
    if posixpath.isabs(path) or path.split("/")[0] == "..":
        raise ValueError(f"{field}: {value!r} is outside of --video_dir; expected a path below it")
    return path


def check_video_id(video_id: str, field: str) -> None:
    """Checks that no mirrored video has the id; `ValueError` that names `field` if one may have."""
    if video_id.endswith(MIRRORED):
        raise ValueError(
            f"{field}: {video_id!r} ends in {MIRRORED}, as the ids of mirrored videos do; rename "
            "the video"
        )


def cut_to_clip(
    begin: int, end: int, clip_begin: int, clip_end: int, field: str
) -> tuple[int, int]:
    """Clips a ground-truth segment to its clip; all segments are half-open, in frames.

    Raises:
        ValueError: the segment does not overlap the clip; the message names `field`.
    """
    inside = max(begin, clip_begin), min(end, clip_end)
    if inside[0] >= inside[1]:
        raise ValueError(
            f"{field}: [{begin}, {end}) lies outside the clip [{clip_begin}, {clip_end})"
        )
    return inside


def merge_clips(clips: Iterable[Clip]) -> list[Clip]:
    """Merges clips with the same video and segment, ordered by each clip's first sentence."""
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
    """A trajectory: boxes float32 `[n, 4]` in pixels at increasing frames int64 `[n]`."""

    frames: np.ndarray
    boxes: np.ndarray

    def boxes_between(
        self, begin: int, end: int, width: int, height: int
    ) -> tuple[np.ndarray, collections.Counter]:
        """Returns a box for every frame of `[begin, end)`, clipped to the frame area.

        Gaps inside the trajectory are interpolated linearly, also if the segment lies entirely in
        a gap. The first and the last box are repeated before and after the trajectory. Boxes
        without area after clipping are kept, since a tube has a box at every frame.

        Args:
            begin: first frame.
            end: end frame (exclusive).
            width: frame width in pixels.
            height: frame height in pixels.

        Returns:
            Boxes, float32 `[end - begin, 4]`; and the numbers of interpolated, repeated and
            clipped boxes, and of boxes without area.

        Raises:
            ValueError: the trajectory ends before or begins after `[begin, end)`, or its boxes are
                fractions of the frame size instead of pixels.
        """
        if self.frames[0] >= end or self.frames[-1] < begin:
            raise ValueError(f"the target has no box in frames [{begin}, {end})")
        if self.boxes.any() and np.abs(self.boxes - 0.5).max() <= _LARGEST_FRACTION - 0.5:
            raise ValueError(
                f"expected pixels, got fractions of the frame size, such as "
                f"{self.boxes[0].round(4).tolist()}; multiply by width and height"
            )
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
