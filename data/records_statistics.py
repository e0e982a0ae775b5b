"""The numbers that describe a records folder."""

import collections
import dataclasses
import itertools
import os
import re

import numpy as np
import tqdm

from gkcmn_tf.files import read_json
from gkcmn_tf.records import clip_records
from gkcmn_tf.text import standardization
from gkcmn_tf.video.windows import windows_in

CLIP_MEASURES = ("clip_frames", "clip_seconds", "clip_steps")
TUBE_MEASURES = (
    "segment_frames",
    "segment_seconds",
    "segment_share_of_clip",
    "segment_middle_in_clip",
    "box_share_of_frame",
)
MEASURES = (*CLIP_MEASURES, *TUBE_MEASURES, "words")


@dataclasses.dataclass(frozen=True)
class SplitMeasures:
    """A split, measured.

    Attributes:
        num_videos: its videos.
        vocabulary: its words, as the model reads them.
        values: float by name of `MEASURES`: `[clips]` for what is measured of a clip (`clip_steps`
            are those before thinning), else `[sentences]`. The true segment's length, and its
            middle's place, are shares of the clip; the box's area is a share of the frame's, mean
            over the tube.
    """

    num_videos: int
    vocabulary: frozenset[str]
    values: dict[str, np.ndarray]


def read_manifest(folder: str) -> dict:
    """The manifest of a records folder; `FileNotFoundError` if it has none."""
    path = os.path.join(folder, clip_records.MANIFEST)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file; expected a folder made by data.prepare")
    return read_json(path)


def measure(folder: str, manifest: dict) -> dict[str, SplitMeasures]:
    """Reads all clips of a records folder.

    Returns:
        `SplitMeasures` by split.

    Raises:
        FileNotFoundError: a split's clips are not there.
        ValueError: they are not those that the manifest counts.
    """
    measured = {}
    for split, counts in manifest["splits"].items():
        found = _measure_split(folder, split, counts["clips"])
        expected = counts["clips"], counts["sentences"]["kept"]
        got = len(found.values["clip_frames"]), len(found.values["words"])
        if got != expected:
            raise ValueError(
                f"{folder}: split {split!r} holds {got[0]} clips with {got[1]} sentences, "
                f"{clip_records.MANIFEST} counts {expected[0]} with {expected[1]}; run data.prepare"
            )
        measured[split] = found
    return measured


def _measure_split(folder, split, num_clips):
    videos, texts, clip_rows, tube_rows = set(), [], [], []
    clips = clip_records.read_clips(folder, split)
    for clip in tqdm.tqdm(clips, desc=split, unit="clip", total=num_clips):
        videos.add(clip.video_id)
        length = clip.end - clip.begin
        clip_rows.append((length, length / clip.fps, windows_in(length)))
        for sentence in clip.sentences:
            texts.append(sentence.text)
            frames = sentence.end - sentence.begin
            middle = (sentence.begin + sentence.end) / 2 - clip.begin
            sides = np.float64(sentence.boxes[:, 2:]) - sentence.boxes[:, :2]
            area = sides.prod(axis=1).mean() / (clip.width * clip.height)
            tube_rows.append((frames, frames / clip.fps, frames / length, middle / length, area))
    words = standardization.split_words(texts)
    values = _columns(CLIP_MEASURES, clip_rows) | _columns(TUBE_MEASURES, tube_rows)
    return SplitMeasures(
        num_videos=len(videos),
        vocabulary=frozenset(itertools.chain(*words)),
        values=values | {"words": np.array([len(sentence) for sentence in words], np.float64)},
    )


def _columns(names, rows):
    return dict(zip(names, np.array(rows, np.float64).reshape(-1, len(names)).T, strict=True))


def summarise(folder: str, manifest: dict, measured: dict[str, SplitMeasures]) -> dict:
    """All statistics of a records folder, as JSON.

    Reasons for skipping are put together where they differ in numbers only, written `#`.
    """
    splits = {
        split: {
            "videos": found.num_videos,
            "clips": manifest["splits"][split]["clips"],
            "sentences": manifest["splits"][split]["sentences"],
            "vocabulary": len(found.vocabulary),
            **{name: _spread(found.values[name]) for name in MEASURES},
            "skipped": _count_reasons(manifest["splits"][split]["skipped"]),
            "notices": manifest["splits"][split]["notices"],
        }
        for split, found in measured.items()
    }
    vocabulary = frozenset().union(*(found.vocabulary for found in measured.values()))
    return {
        "folder": folder,
        "dataset": manifest["dataset"],
        "features": manifest["features"],
        "bytes": {part: _bytes_below(os.path.join(folder, part)) for part in ("features", "clips")},
        "vocabulary": len(vocabulary),
        "splits": splits,
    }


def _spread(values):
    """Least, median, mean and greatest; None if there are no values."""
    if not values.size:
        return None
    spread = {"min": values.min(), "median": np.median(values), "mean": values.mean()}
    return {name: round(float(v), 6) for name, v in (spread | {"max": values.max()}).items()}


def _count_reasons(skipped):
    # Numbers tell records apart, but not those in names such as mp4.
    reasons = (re.sub(r"(?<![A-Za-z\d])\d+", "#", entry["reason"]) for entry in skipped)
    kinds = collections.Counter(reasons)
    return dict(kinds.most_common())


def _bytes_below(folder):
    paths = (os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
    return sum(map(os.path.getsize, paths))
