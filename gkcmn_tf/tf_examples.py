"""`tf.train.Example` records: features of each type, serialised, written whole or not at all."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gkcmn_tf.files import whole_file


def bytes_feature(*values):
    """A feature of strings or bytes."""
    values = [v.encode() if isinstance(v, str) else v for v in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def int64_feature(values):
    """A feature of integers, of any shape."""
    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(values)))


def float_feature(values):
    """A feature of numbers, of any shape."""
    return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))


def serialize(feature):
    """An `Example` as bytes, the same for the same features."""
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


def write_records(path: str, serialized: Sequence[bytes]) -> None:
    """Writes records as a TFRecord file, whole or not at all."""
    with whole_file(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
        for record in serialized:
            writer.write(record)
