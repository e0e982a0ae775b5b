"""Serialization of `tf.train.Example` records and atomic writing of TFRecord files."""

import errno
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from gkcmn_tf.files import whole_file


def bytes_feature(*values):
    """Creates a `tf.train.Feature` from strings or bytes."""
    values = [v.encode() if isinstance(v, str) else v for v in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def int64_feature(values):
    """Creates a `tf.train.Feature` from integers of any shape, flattened."""
    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(values)))


def float_feature(values):
    """Creates a `tf.train.Feature` from floats of any shape, flattened."""
    return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))


def serialize(feature):
    """Serializes a dictionary of features to an `Example`, deterministically."""
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


def read_records(paths: Iterable[str]) -> list[bytes]:
    """Reads all records of TFRecord files.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    records = []
    for path in paths:
        try:
            records += _records_of([path]).numpy().tolist()
        except tf.errors.DataLossError as error:
            raise ValueError(f"{path}: is damaged; delete it and run data.prepare again") from error
    return records


def load_records(paths: Sequence[str]) -> tf.Tensor:
    """Reads all records of TFRecord files into a string tensor; raises as `read_records`.

    It takes half of the memory of `read_records`, or less, since there is only one copy.
    """
    try:
        return _records_of(paths)
    except tf.errors.DataLossError:
        read_records(paths)  # names the file
        raise


# Traced once: to build the data set anew takes 25 ms a file. Files without records have no batch.
@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _records_of(paths):
    records = tf.data.TFRecordDataset(paths).batch(np.iinfo(np.int64).max)
    none = tf.data.Dataset.from_tensors(tf.zeros([0], tf.string))
    return records.concatenate(none).take(1).get_single_element()


def write_records(path: str, serialized: Sequence[bytes]) -> None:
    """Writes a TFRecord file atomically.

    Raises:
        OSError: it cannot be written, for instance because the disk is full.
    """
    try:
        with whole_file(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
            for record in serialized:
                writer.write(record)
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, f"cannot be written: {error.message}", path) from error
