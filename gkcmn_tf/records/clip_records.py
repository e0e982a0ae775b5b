"""Schema, writing and reading of the records on disk.

A records folder contains

    manifest.json                            counts, skipped sentences with reasons, the I3D source
    settings.json                            settings of the feature extraction; written first
    features/VIDEO.tfrecord                  features of a video, one record per window
    features/VIDEO.json                      frame count and size of the video
    clips/SPLIT-00000-of-00004.tfrecord      `Clip` records, sharded
    clips/SPLIT_absent-...tfrecord           the same with absent sentences, if the data set has any
    clips/SPLIT_pairs.json                   minimal pairs of sentences, if the data set has any

Clips are `tf.train.Example` records. Features are stored in one file per video, separate from the
sentences. Thus features are not duplicated for several sentences, extraction can be resumed per
video, and clips can be read in any order.

If `settings.json` sets `fps`, videos were resampled (`gkcmn_tf.video.frame_rates`). All frame
numbers below are then numbers of samples, and `features/VIDEO.json` maps samples to frames.

Files of features are described in `gkcmn_tf.features.feature_records`.

`Clip` keys: `video_id`, `features_file` (bytes: path in the folder), `begin`, `end` (int64: frames,
half-open), `fps`, `width`, `height`, `frame_count`; and for its `n` sentences
`sentence/index` (int64 `[n]`: number within the split), `sentence/id`, `sentence/text`,
`sentence/qtype` (bytes `[n]`: `declarative` or `interrogative`), `sentence/target_id` (int64
`[n]`), `sentence/segment` (int64 `[2n]`: the true `[begin, end)` in frames) and `sentence/boxes`
(float `[4m]`: `x1 y1 x2 y2` in pixels of the original frame, for all frames of all segments,
concatenated).

An absent sentence describes nothing in its clip: its segment is `[0, 0)`, and it has no boxes. Such
sentences are in splits of their own, so that training and the metrics of tubes do not see them.
"""

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from gkcmn_tf.features.feature_records import features_file
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.tf_examples import (
    bytes_feature,
    float_feature,
    int64_feature,
    read_records,
    serialize,
    write_records,
)
from gkcmn_tf.tubes import QTYPES

# 1 had one record per video, with the features of all windows; see `data.convert_records`.
SCHEMA_VERSION = 2
SETTINGS = "settings.json"
MANIFEST = "manifest.json"
ABSENT_SUFFIX = "_absent"
PAIR_KINDS = ("word", "moved")


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence and its true tube; an absent sentence has an empty segment and no boxes.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.records.clip_records import Sentence
        >>> boxes = np.tile(np.float32([10, 20, 30, 40]), (2, 1))
        >>> sentence = Sentence(0, "s0", "the dog runs", "declarative", 0, 3, 5, boxes)
        >>> sentence.boxes.shape
        (2, 4)

    Attributes:
        index: number of the sentence within the split.
        id: id of the sentence.
        text: the sentence.
        qtype: one of `tubes.QTYPES`.
        target_id: id of the object in the annotations.
        begin: first frame of the tube; 0 if absent.
        end: end frame (exclusive) of the tube; 0 if absent.
        boxes: float32 `[end - begin, 4]`, `x1 y1 x2 y2` in pixels.
    """

    index: int
    id: str
    text: str
    qtype: str
    target_id: int
    begin: int
    end: int
    boxes: np.ndarray

    @property
    def is_absent(self) -> bool:
        """Whether the sentence describes nothing in its clip."""
        return self.begin == self.end == 0


@dataclasses.dataclass(frozen=True)
class Pair:
    """A minimal pair: two sentences that are nearly the same and have different tubes.

    Example:
        >>> from gkcmn_tf.records.clip_records import Pair
        >>> Pair("word", "test-00000-d0", "test-00001-d0").kind
        'word'

    Attributes:
        kind: `word`, sentences about the same clip that differ in one word; or `moved`, the same
            sentence about two clips of a video.
        first: id of the first sentence.
        second: id of the second sentence.
    """

    kind: str
    first: str
    second: str


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip of a video with its sentences.

    Example:
        >>> from gkcmn_tf.records.clip_records import Clip
        >>> clip = Clip("park", 0, 100, 25.0, 640, 360, 250, sentences=())
        >>> (clip.end - clip.begin) / clip.fps
        4.0

    Attributes:
        video_id: id of the video.
        begin: first frame of the clip.
        end: end frame (exclusive) of the clip.
        fps: frames per second.
        width: width of the video in pixels.
        height: height of the video in pixels.
        frame_count: number of frames of the video.
        sentences: sentences about the clip.
    """

    video_id: str
    begin: int
    end: int
    fps: float
    width: int
    height: int
    frame_count: int
    sentences: tuple[Sentence, ...]


def _serialize_clip(clip: Clip) -> bytes:
    for sentence in clip.sentences:
        expected = (sentence.end - sentence.begin, 4)
        empty = sentence.end <= sentence.begin and not sentence.is_absent
        if sentence.boxes.shape != expected or empty:
            raise ValueError(
                f"sentence {sentence.id}: segment [{sentence.begin}, {sentence.end}): expected "
                f"boxes of shape {expected}, got {sentence.boxes.shape}"
            )
        if sentence.qtype not in QTYPES:
            raise ValueError(
                f"sentence {sentence.id}: qtype: expected one of {QTYPES}, got {sentence.qtype!r}"
            )
    sentences = clip.sentences
    return serialize(
        {
            "video_id": bytes_feature(clip.video_id),
            "features_file": bytes_feature(features_file(clip.video_id)),
            "begin": int64_feature(clip.begin),
            "end": int64_feature(clip.end),
            "fps": float_feature(clip.fps),
            "width": int64_feature(clip.width),
            "height": int64_feature(clip.height),
            "frame_count": int64_feature(clip.frame_count),
            "sentence/index": int64_feature([s.index for s in sentences]),
            "sentence/id": bytes_feature(*(s.id for s in sentences)),
            "sentence/text": bytes_feature(*(s.text for s in sentences)),
            "sentence/qtype": bytes_feature(*(s.qtype for s in sentences)),
            "sentence/target_id": int64_feature([s.target_id for s in sentences]),
            "sentence/segment": int64_feature([[s.begin, s.end] for s in sentences]),
            "sentence/boxes": float_feature(np.concatenate([s.boxes for s in sentences])),
        }
    )


def _found_shards(folder, split):
    # The names of the folder and the split may contain signs of patterns.
    pattern = os.path.join(
        glob.escape(folder), "clips", f"{glob.escape(split)}-?????-of-?????.tfrecord"
    )
    return sorted(glob.glob(pattern))


def _splits(folder):
    names = os.listdir(clips) if os.path.isdir(clips := os.path.join(folder, "clips")) else []
    return sorted(
        {name[: -len("-00000-of-00000.tfrecord")] for name in names if name.endswith(".tfrecord")}
    )


def _shard_paths(folder, split, num_shards):
    names = [f"{split}-{i:05d}-of-{num_shards:05d}.tfrecord" for i in range(num_shards)]
    return [os.path.join(folder, "clips", name) for name in names]


def check_schema(folder: str) -> None:
    """Checks the version of the records, if the folder has settings.

    Raises:
        ValueError: it is another one, or the settings are damaged; the message says what to do.
    """
    path = os.path.join(folder, SETTINGS)
    if not os.path.exists(path):
        return
    settings = read_json(path)
    version = settings.get("schema_version") if isinstance(settings, dict) else None
    if version == SCHEMA_VERSION:
        return
    remedy = "delete the folder and run data.prepare again"
    if version == 1:
        remedy = f"run `python -m data.convert_records {folder}`"
    raise ValueError(
        f"{path}: schema_version: expected {SCHEMA_VERSION}, got {version!r}; {remedy}"
    )


def has_split(folder: str, split: str) -> bool:
    """Whether the folder has any shard of the split, even if others are missing."""
    return bool(_found_shards(folder, split))


def clip_shards(folder: str, split: str) -> list[str]:
    """Paths of the clip shards of a split, in order.

    Args:
        folder: the records folder.
        split: name of the split, or several names joined by `+`, such as `train+train_mirrored`.

    Raises:
        FileNotFoundError: shards are missing.
        ValueError: the records are of another version.
    """
    check_schema(folder)
    return [path for name in split.split("+") for path in _complete_shards(folder, name)]


def _complete_shards(folder, split):
    found = _found_shards(folder, split)
    if not found:
        existing = ", ".join(_splits(folder)) or "none"
        raise FileNotFoundError(
            f"{folder}: has no split {split!r} (existing splits: {existing}); run "
            "data.prepare for it"
        )
    if found != _shard_paths(folder, split, len(found)):
        raise FileNotFoundError(
            f"{os.path.join(folder, 'clips')}: incomplete shards of split {split!r}, found "
            f"{[os.path.basename(path) for path in found]}; run data.prepare for this split"
        )
    return found


def write_clips(folder: str, split: str, clips: Sequence[Clip], num_shards: int) -> list[str]:
    """Writes the clips of a split to `num_shards` files in round-robin order.

    Existing shards of the split are replaced.

    Returns:
        paths of the shards.
    """
    paths = _shard_paths(folder, split, num_shards)
    for path in set(_found_shards(folder, split)) - set(paths):
        os.remove(path)
    for shard, path in enumerate(paths):
        write_records(path, [_serialize_clip(clip) for clip in clips[shard::num_shards]])
    return paths


def write_pairs(folder: str, split: str, pairs: Sequence[Pair]) -> None:
    """Writes the minimal pairs of a split, or removes its file if there are none."""
    path = _pairs_path(folder, split)
    if pairs:
        write_json(path, [dataclasses.asdict(pair) for pair in pairs])
    elif os.path.exists(path):
        os.remove(path)


def read_pairs(folder: str, split: str) -> list[Pair]:
    """Reads the minimal pairs of one or several splits (see `clip_shards`); often none."""
    paths = (_pairs_path(folder, name) for name in split.split("+"))
    return [Pair(**fields) for path in paths if os.path.exists(path) for fields in read_json(path)]


def _pairs_path(folder, split):
    return os.path.join(folder, "clips", f"{split}_pairs.json")


def absent_split(folder: str, split: str) -> str | None:
    """Name of the split (see `clip_shards`) of the absent sentences of a split; None without any.

    Args:
        folder: the records folder.
        split: name of the split, or several names joined by `+`.
    """
    names = (name + ABSENT_SUFFIX for name in split.split("+"))
    return "+".join(name for name in names if has_split(folder, name)) or None


def parse_clip(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses a `Clip` record in a TensorFlow graph.

    Returns:
        tensors by the keys of the schema; `sentence/segment` is `[n, 2]` and `sentence/boxes` is
        `[m, 4]`, the boxes of all sentences concatenated.
    """
    scalar = {
        "video_id": tf.string,
        "features_file": tf.string,
        "begin": tf.int64,
        "end": tf.int64,
        "fps": tf.float32,
        "width": tf.int64,
        "height": tf.int64,
        "frame_count": tf.int64,
    }
    sequence = {
        "sentence/index": tf.int64,
        "sentence/id": tf.string,
        "sentence/text": tf.string,
        "sentence/qtype": tf.string,
        "sentence/target_id": tf.int64,
        "sentence/segment": tf.int64,
        "sentence/boxes": tf.float32,
    }
    spec = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalar.items()}
    for key, dtype in sequence.items():
        spec[key] = tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True)
    parsed = tf.io.parse_single_example(serialized, spec)
    parsed["sentence/segment"] = tf.reshape(parsed["sentence/segment"], [-1, 2])
    parsed["sentence/boxes"] = tf.reshape(parsed["sentence/boxes"], [-1, 4])
    return parsed


def count_sentences(serialized: bytes) -> tuple[int, int]:
    """Numbers of all and of absent sentences in a `Clip` record."""
    fields = tf.train.Example.FromString(serialized).features.feature
    ends = fields["sentence/segment"].int64_list.value[1::2]
    return len(ends), sum(end == 0 for end in ends)


def video_id(serialized: bytes) -> str:
    """Id of the video of a `Clip` record."""
    fields = tf.train.Example.FromString(serialized).features.feature
    return fields["video_id"].bytes_list.value[0].decode()


def read_clips(folder: str, split: str) -> Iterator[Clip]:
    """Yields the clips of one or several splits (see `clip_shards`), shard by shard.

    Raises:
        FileNotFoundError: shards are missing.
        ValueError: a shard is damaged; the message names it and the record.
    """
    for path in clip_shards(folder, split):
        for number, record in enumerate(read_records([path])):
            try:
                clip = _read_clip(record)
            except (ValueError, tf.errors.InvalidArgumentError) as error:
                raise ValueError(
                    f"{path}: record {number} is not a clip; run data.prepare for this split"
                ) from error
            yield clip


def _read_clip(record):
    """Reads a `Clip` record; `ValueError` or `InvalidArgumentError` if it is none."""
    parsed = {key: value.numpy() for key, value in parse_clip(record).items()}
    segments, boxes = parsed["sentence/segment"], parsed["sentence/boxes"]
    lengths = segments[:, 1] - segments[:, 0]
    names = ("index", "id", "text", "qtype", "target_id", "segment")
    if len({len(parsed[f"sentence/{name}"]) for name in names}) > 1:
        raise ValueError("the numbers of the sentences' fields differ")
    absent = (segments == 0).all(axis=1)
    if (lengths[~absent] <= 0).any() or lengths.sum() != len(boxes):
        raise ValueError(f"{len(boxes)} boxes for segments {segments.tolist()}")
    boxes = np.split(boxes, np.cumsum(lengths)[:-1])
    sentences = tuple(
        Sentence(
            index=int(parsed["sentence/index"][i]),
            id=parsed["sentence/id"][i].decode(),
            text=parsed["sentence/text"][i].decode(),
            qtype=parsed["sentence/qtype"][i].decode(),
            target_id=int(parsed["sentence/target_id"][i]),
            begin=int(segments[i, 0]),
            end=int(segments[i, 1]),
            boxes=boxes[i],
        )
        for i in range(len(segments))
    )
    return Clip(
        video_id=parsed["video_id"].decode(),
        begin=int(parsed["begin"]),
        end=int(parsed["end"]),
        fps=float(parsed["fps"]),
        width=int(parsed["width"]),
        height=int(parsed["height"]),
        frame_count=int(parsed["frame_count"]),
        sentences=sentences,
    )
