"""The on-disk records: their schema, and how they are written and read.

A records folder holds

    manifest.json                            counts, what was skipped and why, the I3D source
    settings.json                            how the features are made; written first
    features/VIDEO.tfrecord                  one `VideoFeatures` record a video
    features/VIDEO.json                      its frame count and size, for whoever needs no more
    clips/SPLIT-00000-of-00004.tfrecord      `Clip` records, sharded

Every record is a `tf.train.Example`. Features stand apart from sentences, one file a video,
because a video has many sentences: nothing is stored twice, a file is the unit of resuming, and any
clip can be read in any order.

Where `settings.json` gives features an `fps`, videos were resampled (`gkcmn_tf.video.frame_rates`):
all frames below are resampled ones, and `features/VIDEO.json` tells which frame of the file each
shows.

`VideoFeatures` records are described in `gkcmn_tf.features.feature_storage`.

`Clip` keys: `video_id`, `features_file` (bytes: relative to the folder), `begin`, `end` (int64:
frames, half-open), `fps`, `width`, `height`, `frame_count`; and for its `n` sentences
`sentence/index` (int64 `[n]`: number within the split), `sentence/id`, `sentence/text`,
`sentence/qtype` (bytes `[n]`: `declarative` or `interrogative`), `sentence/target_id` (int64
`[n]`), `sentence/segment` (int64 `[2n]`: the true `[begin, end)` in frames) and `sentence/boxes`
(float `[4m]`: `x1 y1 x2 y2` in pixels of the original frame, for each frame of each segment in
turn).
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from gkcmn_tf.features.feature_storage import features_file
from gkcmn_tf.tf_examples import (
    bytes_feature,
    float_feature,
    int64_feature,
    serialize,
    write_records,
)
from gkcmn_tf.tubes import QTYPES

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence and its true tube: frames `[begin, end)`, `boxes` float32 `[end - begin, 4]`."""

    index: int
    id: str
    text: str
    qtype: str
    target_id: int
    begin: int
    end: int
    boxes: np.ndarray


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames `[begin, end)` of a video, with the sentences asked about them."""

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
        if sentence.boxes.shape != expected or sentence.end <= sentence.begin:
            raise ValueError(
                f"sentence {sentence.id}: segment [{sentence.begin}, {sentence.end}) needs boxes "
                f"of shape {expected}, got {sentence.boxes.shape}"
            )
        if sentence.qtype not in QTYPES:
            raise ValueError(f"sentence {sentence.id}: qtype {sentence.qtype!r}, not in {QTYPES}")
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
    pattern = os.path.join(folder, "clips", f"{split}-?????-of-?????.tfrecord")
    return sorted(tf.io.gfile.glob(pattern))


def _shard_paths(folder, split, num_shards):
    names = [f"{split}-{i:05d}-of-{num_shards:05d}.tfrecord" for i in range(num_shards)]
    return [os.path.join(folder, "clips", name) for name in names]


def has_split(folder: str, split: str) -> bool:
    """Whether the folder holds clips of the split of this name, complete or not."""
    return bool(_found_shards(folder, split))


def clip_shards(folder: str, split: str) -> list[str]:
    """Paths of a split's clip shards in order.

    Args:
        folder: the records folder.
        split: its name, or several (`train+train_mirrored`), one after the other.

    Raises:
        FileNotFoundError: there are none, or some are missing.
    """
    return [path for name in split.split("+") for path in _complete_shards(folder, name)]


def _complete_shards(folder, split):
    found = _found_shards(folder, split)
    if found != _shard_paths(folder, split, len(found)) or not found:
        raise FileNotFoundError(
            f"{os.path.join(folder, 'clips')}: no complete set of shards of split {split!r}, but "
            f"{[os.path.basename(path) for path in found]}; run data.prepare for it"
        )
    return found


def write_clips(folder: str, split: str, clips: Sequence[Clip], num_shards: int) -> list[str]:
    """Writes a split's clips, dealt in order over `num_shards` files, in place of any before.

    Returns:
        their paths.
    """
    paths = _shard_paths(folder, split, num_shards)
    for path in set(_found_shards(folder, split)) - set(paths):
        os.remove(path)
    for shard, path in enumerate(paths):
        write_records(path, [_serialize_clip(clip) for clip in clips[shard::num_shards]])
    return paths


def parse_clip(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses a `Clip` record in graph.

    Returns:
        the keys of the schema; `sentence/segment` is `[n, 2]` and `sentence/boxes` `[m, 4]`, where
        the boxes of sentence `i` begin at row `sum of (end - begin) over sentences before i`.
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


def count_sentences(serialized: bytes) -> int:
    """How many sentences a `Clip` record holds."""
    fields = tf.train.Example.FromString(serialized).features.feature
    return len(fields["sentence/index"].int64_list.value)


def read_clips(folder: str, split: str) -> Iterator[Clip]:
    """Yields the clips of a split, or of several (see `clip_shards`), shard after shard."""
    for record in tf.data.TFRecordDataset(clip_shards(folder, split)):
        parsed = {key: value.numpy() for key, value in parse_clip(record).items()}
        segments = parsed["sentence/segment"]
        lengths = segments[:, 1] - segments[:, 0]
        boxes = np.split(parsed["sentence/boxes"], np.cumsum(lengths)[:-1])
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
        yield Clip(
            video_id=parsed["video_id"].decode(),
            begin=int(parsed["begin"]),
            end=int(parsed["end"]),
            fps=float(parsed["fps"]),
            width=int(parsed["width"]),
            height=int(parsed["height"]),
            frame_count=int(parsed["frame_count"]),
            sentences=sentences,
        )
