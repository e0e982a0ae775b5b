"""Reading and writing of the stored features of a video.

`VideoFeatures` keys: `video_id` (bytes), `fps` (float), `width`, `height`, `frame_count` (int64, of
the decoded video), `features`, `dtype` (bytes), `low`, `scale` (float `[channels]` or none): see
`gkcmn_tf.features.quantization`; `shape` (int64 `[4]`: windows, grid height, grid width, channels).
"""

import dataclasses
import hashlib
import os
import urllib.parse

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from gkcmn_tf.features import quantization
from gkcmn_tf.tf_examples import (
    bytes_feature,
    float_feature,
    int64_feature,
    read_records,
    serialize,
    write_records,
)

# File systems allow 255 bytes, including the suffix and that of a temporary file.
_LONGEST_STEM = 230
_HASH_DIGITS = 32


@dataclasses.dataclass(frozen=True)
class VideoFeatures:
    """The features of one video.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.features.feature_records import VideoFeatures
        >>> features = np.ones([2, 7, 7, 4], np.float16)
        >>> video = VideoFeatures("park", 25.0, 640, 360, 8, features, storage_dtype="int8")
        >>> video.as_stored().features.shape
        (2, 7, 7, 4)

    Attributes:
        video_id: id of the video.
        fps: frames per second.
        width: width of the video in pixels.
        height: height of the video in pixels.
        frame_count: number of decoded frames.
        features: float16 `[windows, S, S, C]`.
        storage_dtype: one of `quantization.STORAGE_DTYPES`.
    """

    video_id: str
    fps: float
    width: int
    height: int
    frame_count: int
    features: np.ndarray
    storage_dtype: str = dataclasses.field(default="float16", kw_only=True)

    def as_stored(self) -> "VideoFeatures":
        """Returns a copy with the features rounded as by writing and reading them."""
        rounded = quantization.as_stored(self.features, self.storage_dtype)
        return dataclasses.replace(self, features=rounded)


def file_stem(video_id: str) -> str:
    """File name of a video in a records folder, without suffix: the URL-encoded id.

    A long id is cut, and a hash is added to it.
    """
    name = urllib.parse.quote(video_id, safe="")
    if len(name) <= _LONGEST_STEM:
        return name
    digits = hashlib.sha256(video_id.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{name[: _LONGEST_STEM - _HASH_DIGITS - 1]}-{digits}"


def features_file(video_id: str) -> str:
    """Relative path of the features of a video in a records folder; see `file_stem`."""
    return f"features/{file_stem(video_id)}.tfrecord"


def write_video_features(folder: str, video: VideoFeatures) -> str:
    """Writes the features of a video to a records folder; returns the path."""
    try:
        stored = quantization.encode(video.features, video.storage_dtype)
    except ValueError as error:
        raise ValueError(f"video {video.video_id}: {error}") from error
    path = os.path.join(folder, features_file(video.video_id))
    record = serialize(
        {
            "video_id": bytes_feature(video.video_id),
            "fps": float_feature(video.fps),
            "width": int64_feature(video.width),
            "height": int64_feature(video.height),
            "frame_count": int64_feature(video.frame_count),
            "features": bytes_feature(stored.data),
            "shape": int64_feature(video.features.shape),
            "dtype": bytes_feature(stored.dtype),
            "low": float_feature(stored.low),
            "scale": float_feature(stored.scale),
        }
    )
    write_records(path, [record])
    return path


def parse_video_features(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses a `VideoFeatures` record in a TensorFlow graph.

    Returns:
        `video_id`, `fps`, `width`, `height`, `frame_count`, and `features`, float16
        `[windows, S, S, C]`, for every storage dtype.
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
    return parsed | {"features": tf.reshape(quantization.decode(*stored), shape)}


def read_video_features(folder: str, video_id: str) -> VideoFeatures:
    """Reads the features of a video.

    Raises:
        FileNotFoundError: the folder has no features of the video.
        ValueError: the file is damaged.
    """
    path = os.path.join(folder, features_file(video_id))
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no features for video {video_id}; run data.prepare")
    records = read_records([path])
    if len(records) != 1:
        raise ValueError(
            f"{path}: expected one record, got {len(records)}; delete it and run data.prepare again"
        )
    try:
        return _read_video(video_id, records[0])
    except (ValueError, DecodeError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            f"{path}: is not a record of features; delete it and run data.prepare again"
        ) from error


def _read_video(video_id, record):
    """Reads a `VideoFeatures` record; raises any of the errors above if it is none."""
    fields = {key: value.numpy() for key, value in parse_video_features(record).items()}
    (stored,) = tf.train.Example.FromString(record).features.feature["dtype"].bytes_list.value
    if stored.decode() not in quantization.STORAGE_DTYPES:
        raise ValueError(f"dtype: {stored.decode()}")
    return VideoFeatures(
        video_id=video_id,
        fps=float(fields["fps"]),
        width=int(fields["width"]),
        height=int(fields["height"]),
        frame_count=int(fields["frame_count"]),
        features=fields["features"],
        storage_dtype=stored.decode(),
    )
