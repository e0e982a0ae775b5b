"""Reading and writing of the stored features of a video.

A file has one record for the header and one for each window, its *row*. Rows have one length, so
their places are known, and only the rows that a clip needs are read; each has a checksum of its
own.

Keys of the header: `version` (int64: `VERSION`), `video_id` (bytes), `fps` (float), `width`,
`height`, `frame_count` (int64, of the decoded video), `shape` (int64 `[4]`: windows, grid height,
grid width, channels), `row_bytes` (int64), `dtype` (bytes), `low`, `scale` (float `[channels]` or
none): see `gkcmn_tf.features.quantization`. A row is the values of a window in `dtype`, without
keys.
"""

import dataclasses
import hashlib
import itertools
import math
import os
import urllib.parse
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

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

VERSION = 2
# TFRecord frames a record by its length with a checksum, and by a checksum of its data.
LENGTH_BYTES, FRAME_BYTES = 12, 16
# A graph cannot name the file in an exception of its own; see `input_pipeline.damage_named`.
FAULT_MARK = "file of features "
DAMAGED = "is damaged; delete it and run data.prepare again"
OUTDATED = "was written by an older version; run `python -m data.convert_records FOLDER`"


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
    return write_stored_features(
        folder,
        stored,
        video.features.shape,
        video.video_id,
        fps=video.fps,
        width=video.width,
        height=video.height,
        frame_count=video.frame_count,
    )


def write_stored_features(
    folder: str, stored: quantization.StoredFeatures, shape: Sequence[int], video_id: str, **fields
) -> str:
    """Writes encoded features to a records folder; returns the path.

    Args:
        folder: the records folder.
        stored: encoded features.
        shape: `[windows, S, S, C]`.
        video_id: id of the video.
        **fields: `fps`, `width`, `height` and `frame_count` as in `VideoFeatures`.
    """
    path = os.path.join(folder, features_file(video_id))
    ranges = (stored.low, stored.scale)
    header = serialize_header(shape, stored.dtype, *ranges, video_id=video_id, **fields)
    size = len(stored.data) // shape[0]
    rows = (stored.data[first : first + size] for first in range(0, len(stored.data), size))
    write_records(path, itertools.chain([header], rows))
    return path


def serialize_header(
    shape: Sequence[int],
    dtype: str,
    low: Sequence[float] = (),
    scale: Sequence[float] = (),
    *,
    video_id: str,
    fps: float,
    width: int,
    height: int,
    frame_count: int,
) -> bytes:
    """The first record of a file of features; see the keys above."""
    return serialize(
        {
            "version": int64_feature(VERSION),
            "video_id": bytes_feature(video_id),
            "fps": float_feature(fps),
            "width": int64_feature(width),
            "height": int64_feature(height),
            "frame_count": int64_feature(frame_count),
            "shape": int64_feature(shape),
            "row_bytes": int64_feature(math.prod(shape[1:]) * quantization.VALUE_BYTES[dtype]),
            "dtype": bytes_feature(dtype),
            "low": float_feature(low),
            "scale": float_feature(scale),
        }
    )


def read_header(path: tf.Tensor) -> dict[str, tf.Tensor]:
    """Reads the header of a file of features in a TensorFlow graph.

    Args:
        path: path of the file, a scalar.

    Returns:
        tensors by the keys of the header, and `first_row`, the place of the first row in the file.

    Raises:
        tf.errors.NotFoundError: there is no such file.
        tf.errors.DataLossError: the header is damaged.
        tf.errors.InvalidArgumentError: the file is empty, or of an older version.
    """
    # An empty file has no record; the empty one takes its place.
    records = _records_from(path, tf.constant(0, tf.int64)).take(1)
    record = records.concatenate(tf.data.Dataset.from_tensors(b"")).take(1).get_single_element()
    header = _parse_header(record)
    fault = tf.where(record == "", DAMAGED, OUTDATED)
    with tf.control_dependencies([check_file(header["version"] == VERSION, path, fault)]):
        first_row = tf.cast(tf.strings.length(record) + FRAME_BYTES, tf.int64)
    return header | {"first_row": first_row}


def check_file(condition: tf.Tensor, path: tf.Tensor, fault: str | tf.Tensor) -> tf.Operation:
    """Asserts a condition in a graph; see `input_pipeline.damage_named` for the message."""
    return tf.debugging.Assert(condition, [tf.strings.join([FAULT_MARK, path, ": ", fault])])


def _parse_header(record):
    scalars = {
        "version": tf.int64,
        "video_id": tf.string,
        "fps": tf.float32,
        "width": tf.int64,
        "height": tf.int64,
        "frame_count": tf.int64,
        "row_bytes": tf.int64,
        "dtype": tf.string,
    }
    empty = {tf.int64: 0, tf.string: "", tf.float32: 0.0}
    spec = {k: tf.io.FixedLenFeature([], dtype, empty[dtype]) for k, dtype in scalars.items()}
    spec["shape"] = tf.io.FixedLenFeature([4], tf.int64, [0] * 4)
    for key in ("low", "scale"):
        spec[key] = tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True)
    return tf.io.parse_single_example(record, spec)


def read_rows(path: tf.Tensor, header: dict[str, tf.Tensor], windows: tf.Tensor) -> tf.Tensor:
    """Reads the features of some windows in a TensorFlow graph, and no other part of the file.

    Args:
        path: path of the file, a scalar.
        header: its header (`read_header`).
        windows: int64 `[n]`, ascending, at least one; some may be the same.

    Returns:
        float16 `[n, S, S, C]`, for every storage dtype.

    Raises:
        tf.errors.DataLossError: a row is damaged.
        tf.errors.InvalidArgumentError: the file ends before a row, or the rows have another length.
    """
    distinct, places = tf.unique(windows)
    count = tf.size(distinct, tf.int64)
    is_first = tf.concat([[True], distinct[1:] != distinct[:-1] + 1], 0)
    firsts = tf.where(is_first)[:, 0]
    lengths = tf.concat([firsts[1:], [count]], 0) - firsts
    stride = header["row_bytes"] + FRAME_BYTES
    offsets = header["first_row"] + tf.gather(distinct, firsts) * stride
    records = tf.data.Dataset.from_tensor_slices((offsets, lengths)).flat_map(
        lambda offset, length: _records_from(path, offset).take(length)
    )
    missing = tf.data.Dataset.from_tensors(b"").repeat(count)  # if the file ends too early
    rows = records.concatenate(missing).take(count).batch(count).get_single_element()
    sizes = tf.cast(tf.strings.length(rows), tf.int64)
    are_whole = tf.reduce_all(sizes == header["row_bytes"])
    with tf.control_dependencies([check_file(are_whole, path, DAMAGED)]):
        values = quantization.decode(rows, *(header[key] for key in ("dtype", "low", "scale")))
    features = tf.reshape(values, tf.concat([[count], header["shape"][1:]], 0))
    return tf.cond(
        count == tf.size(windows, tf.int64), lambda: features, lambda: tf.gather(features, places)
    )


def is_damaged_at(path: str, offset: int) -> bool:
    """Whether the record of a file of features that begins at `offset`, or its header, is damaged.

    Args:
        path: path of the file.
        offset: the beginning of a record, or of its data, as in TensorFlow's errors.
    """
    try:
        record = _record_at(path, 0).numpy()
        header = _parse_header(record)
        row, beyond = divmod(
            offset - len(record) - FRAME_BYTES, int(header["row_bytes"]) + FRAME_BYTES
        )
        if row >= 0 and beyond in (0, LENGTH_BYTES):
            _record_at(path, offset - beyond)
    except tf.errors.DataLossError:
        return True
    except (ValueError, tf.errors.InvalidArgumentError):  # no header, or no such record
        return False
    return False


def is_current(path: str) -> bool:
    """Whether a file of features begins with a header of this version; reads only this record."""
    try:
        header = _parse_header(_record_at(path, 0))
    except (ValueError, tf.errors.DataLossError, tf.errors.InvalidArgumentError):
        return False
    return bool(header["version"] == VERSION)


# Traced once, as in `tf_examples`.
@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)])
def _record_at(path, offset):
    return _records_from(path, offset).take(1).get_single_element()


def _records_from(path, offset):
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=tf.constant(0, tf.int64),  # else it reads past the records that are taken
        byte_offsets=[offset],
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))


def read_video_features(folder: str, video_id: str) -> VideoFeatures:
    """Reads all features of a video.

    Raises:
        FileNotFoundError: the folder has no features of the video.
        ValueError: the file is damaged, or of an older version.
    """
    path = os.path.join(folder, features_file(video_id))
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no features for video {video_id}; run data.prepare")
    records = read_records([path])
    invalid = f"{path}: is not a file of features; delete it and run data.prepare again"
    try:
        header = {key: value.numpy() for key, value in _parse_header((records or [b""])[0]).items()}
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(invalid) from error
    if header["version"] == 0 and header["shape"].any():
        raise ValueError(f"{path}: {OUTDATED.replace('FOLDER', folder)}")
    try:
        return _read_video(video_id, header, records[1:])
    except ValueError as error:
        raise ValueError(invalid) from error


def _read_video(video_id, header, rows):
    """Reads the rows of a file; `ValueError` if they do not fit the header."""
    dtype = header["dtype"].decode()
    shape = header["shape"].tolist()
    sizes = {len(row) for row in rows}
    if header["version"] != VERSION or len(rows) != shape[0] or sizes != {header["row_bytes"]}:
        raise ValueError(f"{len(rows)} rows do not fit the header {header}")
    stored = quantization.StoredFeatures(b"".join(rows), dtype, header["low"], header["scale"])
    return VideoFeatures(
        video_id=video_id,
        fps=float(header["fps"]),
        width=int(header["width"]),
        height=int(header["height"]),
        frame_count=int(header["frame_count"]),
        features=quantization.restore(stored, shape),
        storage_dtype=dtype,
    )
