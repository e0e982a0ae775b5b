"""Computes statistics of a records folder."""

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
    """Measurements of a split.

    Attributes:
        num_videos: number of videos.
        vocabulary: words after standardisation.
        values: arrays by name of `MEASURES`, float `[clips]` for clip measures (`clip_steps` is
            before subsampling), else float `[sentences]`; absent sentences have no tube measures.
            `segment_share_of_clip` and `segment_middle_in_clip` are relative to the clip's length;
            `box_share_of_frame` is the mean box area of a tube relative to the frame's area.
    """

    num_videos: int
    vocabulary: frozenset[str]
    values: dict[str, np.ndarray]


def read_manifest(folder: str) -> dict:
    """Reads the manifest of a records folder; `FileNotFoundError` if it is missing."""
    path = os.path.join(folder, clip_records.MANIFEST)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file; expected a folder written by data.prepare")
    return read_json(path)


def measure(folder: str, manifest: dict) -> dict[str, SplitMeasures]:
    """Measures all clips of a records folder.

    Returns:
        `SplitMeasures` by split.

    Raises:
        FileNotFoundError: the clips of a split are missing.
        ValueError: the number of clips or sentences differs from the manifest.
    """
    measured = {}
    for split, counts in manifest["splits"].items():
        found = _measure_split(folder, split, counts["clips"])
        expected = counts["clips"], counts["sentences"]["kept"]
        got = len(found.values["clip_frames"]), len(found.values["words"])
        if got != expected:
            raise ValueError(
                f"{folder}: split {split!r} has {got[0]} clips with {got[1]} sentences, "
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
            if sentence.is_absent:
                continue
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
    """Returns all statistics of a records folder as JSON.

    Skip reasons that differ only in numbers are merged, with `#` in place of the numbers.
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
    """Returns minimum, median, mean and maximum; None if there are no values."""
    if not values.size:
        return None
    spread = {"min": values.min(), "median": np.median(values), "mean": values.mean()}
    return {name: round(float(v), 6) for name, v in (spread | {"max": values.max()}).items()}


def _count_reasons(skipped):
    # Numbers inside names such as mp4 are kept.
    reasons = (re.sub(r"(?<![A-Za-z\d])\d+", "#", entry["reason"]) for entry in skipped)
    kinds = collections.Counter(reasons)
    return dict(kinds.most_common())


def _bytes_below(folder):
    paths = (os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
    return sum(map(os.path.getsize, paths))
