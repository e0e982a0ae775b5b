"""Stored features: round trips, safe names, atomic writes."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf import tf_examples
from gkcmn_tf.features import feature_records
from gkcmn_tf.features.quantization import STORAGE_DTYPES


def make_video(dtype="float16", storage_dtype="float16"):
    features = np.linspace(0, 1, 3 * 2 * 2 * 4).reshape(3, 2, 2, 4).astype(dtype)
    return feature_records.VideoFeatures(
        "v", 25.0, 64, 48, 12, features, storage_dtype=storage_dtype
    )


@pytest.mark.parametrize("storage_dtype", STORAGE_DTYPES)
def test_video_features_are_read_as_stored(tmp_path, storage_dtype):
    video = make_video(storage_dtype=storage_dtype)
    path = feature_records.write_video_features(str(tmp_path), video)
    assert path == str(tmp_path / "features" / "v.tfrecord")
    read = feature_records.read_video_features(str(tmp_path), "v")
    np.testing.assert_array_equal(read.features, video.as_stored().features)
    assert dataclasses.replace(read, features=None) == dataclasses.replace(video, features=None)


@pytest.mark.parametrize("storage_dtype", STORAGE_DTYPES)
def test_video_features_are_float16_in_graph(tmp_path, storage_dtype):
    video = make_video(storage_dtype=storage_dtype)
    path = feature_records.write_video_features(str(tmp_path), video)
    (parsed,) = tf.data.TFRecordDataset(path).map(feature_records.parse_video_features)
    assert parsed["features"].dtype == tf.float16
    np.testing.assert_array_equal(parsed["features"], video.as_stored().features)
    assert parsed["frame_count"] == 12
    assert parsed["video_id"] == b"v"


def test_features_of_another_dtype_are_refused(tmp_path):
    with pytest.raises(ValueError, match="video v: expected float16 features"):
        feature_records.write_video_features(str(tmp_path), make_video("float32"))


def test_the_error_for_missing_features_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"features/v.tfrecord: no features for video v"):
        feature_records.read_video_features(str(tmp_path), "v")


def test_long_ids_have_files_of_their_own(tmp_path):
    ids = ["狗" * 80 + end for end in ("", "a", "b")] + ["a" * 230, "a" * 231, "a" * 232]
    for video_id in ids:
        feature_records.write_video_features(
            str(tmp_path), dataclasses.replace(make_video(), video_id=video_id)
        )
    for video_id in ids:
        assert feature_records.read_video_features(str(tmp_path), video_id).video_id == video_id
    assert feature_records.features_file("狗/1") == "features/%E7%8B%97%2F1.tfrecord"


@given(st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=5))
def test_every_video_id_has_a_unique_file_name_inside_the_folder(ids):
    names = [feature_records.features_file(video_id) for video_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert os.path.dirname(name) == "features"
        assert os.path.basename(name) not in ("", ".", "..")


def test_a_failed_write_keeps_the_existing_file(tmp_path, monkeypatch):
    path = feature_records.write_video_features(str(tmp_path), make_video())
    before = pathlib.Path(path).read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        feature_records.write_video_features(str(tmp_path), make_video(storage_dtype="int8"))
    assert pathlib.Path(path).read_bytes() == before


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("shape", {"int64_list": {"value": [2, 7, 7, 5]}}),
        ("features", {"int64_list": {"value": [1]}}),
        ("dtype", {"bytes_list": {"value": [b"float8"]}}),
        ("dtype", {"bytes_list": {"value": [b"\xff"]}}),
        ("low", {"bytes_list": {"value": [b"1"]}}),
        ("fps", {}),
    ],
)
def test_a_record_that_does_not_follow_the_schema_is_named(tmp_path, key, values):
    path = feature_records.write_video_features(str(tmp_path), make_video())
    (record,) = tf_examples.read_records([path])
    example = tf.train.Example.FromString(record)
    example.features.feature[key].CopyFrom(tf.train.Feature(**values))
    # The last content is no message, which protobuf and TensorFlow report differently.
    for content in (example.SerializeToString(), b"\xff" * 9, record + b"\x03"):
        tf_examples.write_records(path, [content])
        with pytest.raises(
            ValueError, match=r"v\.tfrecord: is not a record of features; delete it"
        ):
            feature_records.read_video_features(str(tmp_path), make_video().video_id)
