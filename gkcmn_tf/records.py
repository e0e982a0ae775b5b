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

Where `settings.json` gives features an `fps`, videos were resampled (`gkcmn_tf.frame_rates`): all
frames below are resampled ones, and `features/VIDEO.json` tells which frame of the file each shows.

`VideoFeatures` keys: `video_id` (bytes), `fps` (float), `width`, `height`, `frame_count` (int64, of
the decoded video), `features`, `dtype` (bytes), `low`, `scale` (float `[channels]` or none): see
`gkcmn_tf.feature_storage`; `shape` (int64 `[4]`: windows, grid height, grid width, channels).

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
import urllib.parse
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from gkcmn_tf import feature_storage
from gkcmn_tf.tubes import QTYPES

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class VideoFeatures:
    """The features of one video: `features` is float16 `[windows, S, S, C]`."""

    video_id: str
    fps: float
    width: int
    height: int
    frame_count: int
    features: np.ndarray
    storage_dtype: str = dataclasses.field(default="float16", kw_only=True)

    def as_stored(self) -> "VideoFeatures":
        """The same with the features that reading gives back after writing."""
        rounded = feature_storage.as_stored(self.features, self.storage_dtype)
        return dataclasses.replace(self, features=rounded)


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


def features_file(video_id: str) -> str:
    """Path of a video's features inside a records folder; any id gives a safe, unique name."""
    return f"features/{urllib.parse.quote(video_id, safe='')}.tfrecord"


def _bytes(*values):
    values = [v.encode() if isinstance(v, str) else v for v in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(values)))


def _floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))


def _serialize(feature):
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


def _write(path: str, serialized: Sequence[bytes]) -> None:
    """Writes records to a temporary name and renames it, so that `path` is never half a file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    with tf.io.TFRecordWriter(temporary) as writer:
        for record in serialized:
            writer.write(record)
    os.replace(temporary, path)


def write_video_features(folder: str, video: VideoFeatures) -> str:
    """Writes one video's features under `folder`; returns the path."""
    try:
        stored = feature_storage.encode(video.features, video.storage_dtype)
    except ValueError as error:
        raise ValueError(f"video {video.video_id}: {error}") from error
    path = os.path.join(folder, features_file(video.video_id))
    record = _serialize(
        {
            "video_id": _bytes(video.video_id),
            "fps": _floats(video.fps),
            "width": _ints(video.width),
            "height": _ints(video.height),
            "frame_count": _ints(video.frame_count),
            "features": _bytes(stored.data),
            "shape": _ints(video.features.shape),
            "dtype": _bytes(stored.dtype),
            "low": _floats(stored.low),
            "scale": _floats(stored.scale),
        }
    )
    _write(path, [record])
    return path


def parse_video_features(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses a `VideoFeatures` record in graph.

    Returns:
        `video_id`, `fps`, `width`, `height`, `frame_count`, and `features` `[windows, S, S, C]` in
        float16, whatever they are stored in.
    """
    scalar = {
        "video_id": tf.string,
        "fps": tf.float32,
        "width": tf.int64,
        "height": tf.int64,
        "frame_count": tf.int64,
        "features": tf.string,
        "dtype": tf.string,
    }
    spec = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalar.items()}
    spec["shape"] = tf.io.FixedLenFeature([4], tf.int64)
    for key in ("low", "scale"):
        spec[key] = tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True)
    parsed = tf.io.parse_single_example(serialized, spec)
    shape = parsed.pop("shape")
    stored = [parsed.pop(key) for key in ("features", "dtype", "low", "scale")]
    return parsed | {"features": tf.reshape(feature_storage.decode(*stored), shape)}


def read_video_features(folder: str, video_id: str) -> VideoFeatures:
    """Reads one video's features; `FileNotFoundError` if the folder has none for it."""
    path = os.path.join(folder, features_file(video_id))
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no features for video {video_id}; run data.prepare")
    record = next(iter(tf.data.TFRecordDataset(path)))
    fields = {key: value.numpy() for key, value in parse_video_features(record).items()}
    stored = tf.train.Example.FromString(record.numpy()).features.feature["dtype"]
    return VideoFeatures(
        video_id=video_id,
        fps=float(fields["fps"]),
        width=int(fields["width"]),
        height=int(fields["height"]),
        frame_count=int(fields["frame_count"]),
        features=fields["features"],
        storage_dtype=stored.bytes_list.value[0].decode(),
    )


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
    return _serialize(
        {
            "video_id": _bytes(clip.video_id),
            "features_file": _bytes(features_file(clip.video_id)),
            "begin": _ints(clip.begin),
            "end": _ints(clip.end),
            "fps": _floats(clip.fps),
            "width": _ints(clip.width),
            "height": _ints(clip.height),
            "frame_count": _ints(clip.frame_count),
            "sentence/index": _ints([s.index for s in sentences]),
            "sentence/id": _bytes(*(s.id for s in sentences)),
            "sentence/text": _bytes(*(s.text for s in sentences)),
            "sentence/qtype": _bytes(*(s.qtype for s in sentences)),
            "sentence/target_id": _ints([s.target_id for s in sentences]),
            "sentence/segment": _ints([[s.begin, s.end] for s in sentences]),
            "sentence/boxes": _floats(np.concatenate([s.boxes for s in sentences])),
        }
    )


def _found_shards(folder, split):
    pattern = os.path.join(folder, "clips", f"{split}-?????-of-?????.tfrecord")
    return sorted(tf.io.gfile.glob(pattern))


def _shard_paths(folder, split, num_shards):
    names = [f"{split}-{i:05d}-of-{num_shards:05d}.tfrecord" for i in range(num_shards)]
    return [os.path.join(folder, "clips", name) for name in names]


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
        _write(path, [_serialize_clip(clip) for clip in clips[shard::num_shards]])
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
