r"""Converts a records folder of an older version, without the videos.

Example:
    python -m data.convert_records runs/vidstg/records

Version 1 stored the features of a video as one record; now each window has a record of its own, so
that training reads only those that it needs. Features keep their values and clips their bytes, so a
run that was trained on the folder can be continued.

Files are replaced one by one, so a single copy of one video is all the room it takes. To resume an
interrupted conversion, repeat the command; other programs refuse the folder until it is complete.
"""

import json
import os

import tensorflow as tf
import tqdm
from absl import app, logging
from google.protobuf.message import DecodeError

from gkcmn_tf import program
from gkcmn_tf.features import feature_records, quantization
from gkcmn_tf.files import read_json, remove_temporary_files, write_json
from gkcmn_tf.folder_lock import folder_lock
from gkcmn_tf.json_fields import JsonObject
from gkcmn_tf.records import clip_records
from gkcmn_tf.tf_examples import read_records

RESUMES = True
OLD_VERSION = 1
_SIZES = ("width", "height", "frame_count")


def main(argv):
    """Converts the folder and prints the number of videos."""
    if len(argv) != 2:
        raise app.UsageError(f"expected one folder written by data.prepare, got {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    print(json.dumps({"records_dir": argv[1], "converted_videos": convert(argv[1])}))


def convert(folder: str) -> int:
    """Converts a records folder; does nothing if it is of this version.

    Returns:
        the number of files of features that were converted.

    Raises:
        FileNotFoundError: it is not a records folder.
        ValueError: it is of an unknown version, in use, or a file is damaged.
    """
    settings_path = os.path.join(folder, clip_records.SETTINGS)
    if not os.path.exists(settings_path):
        raise FileNotFoundError(
            f"{settings_path}: no such file; expected a folder written by data.prepare"
        )
    with folder_lock(folder):
        settings = _read_object(settings_path)
        if settings.get("schema_version") != OLD_VERSION:
            clip_records.check_schema(folder)
            return 0
        converted = _convert_features(folder)
        manifest_path = os.path.join(folder, clip_records.MANIFEST)
        version = {"schema_version": clip_records.SCHEMA_VERSION}
        if os.path.exists(manifest_path):
            write_json(manifest_path, _read_object(manifest_path) | version)
        # Last: it says that everything is converted.
        write_json(settings_path, settings | version)
    return converted


def _read_object(path):
    content = read_json(path, object_pairs_hook=JsonObject)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object, got {content!r}")
    return content


def _convert_features(folder):
    features = os.path.join(folder, "features")
    names = sorted(os.listdir(features)) if os.path.isdir(features) else []
    if names:
        remove_temporary_files(features, (".tfrecord",))
    paths = [os.path.join(features, name) for name in names if name.endswith(".tfrecord")]
    return sum(convert_features(folder, path) for path in tqdm.tqdm(paths, unit="video"))


def convert_features(folder: str, path: str) -> bool:
    """Replaces a file of features by one of this version, with the same values.

    Args:
        folder: the records folder.
        path: path of the file.

    Returns:
        whether the file was of version 1; one that is converted already is left as it is.

    Raises:
        ValueError: the file is damaged.
    """
    if feature_records.is_current(path):
        return False
    records = read_records([path])
    try:
        (record,) = records
        fields = tf.train.Example.FromString(record).features.feature
        shape = list(fields["shape"].int64_list.value)
        (video_id,) = fields["video_id"].bytes_list.value
        (fps,) = fields["fps"].float_list.value
        sizes = {name: fields[name].int64_list.value[0] for name in _SIZES}
        (data,) = fields["features"].bytes_list.value
        (dtype,) = fields["dtype"].bytes_list.value
        ranges = [list(fields[name].float_list.value) for name in ("low", "scale")]
        stored = quantization.StoredFeatures(data, dtype.decode(), *ranges)
        quantization.check(stored, shape)
        if len(shape) != 4:
            raise ValueError(f"shape: expected 4 sizes, got {shape}")
        name = feature_records.features_file(video_id.decode())
        if os.path.join(folder, name) != path:
            raise ValueError(f"the record is that of video {video_id.decode()}")
    except (ValueError, IndexError, DecodeError) as error:
        raise ValueError(
            f"{path}: is not a record of features ({error}); delete it, convert the folder, and "
            "run data.prepare again"
        ) from error
    feature_records.write_stored_features(
        folder, stored, shape, video_id.decode(), fps=fps, **sizes
    )
    return True


if __name__ == "__main__":
    program.run(main)
