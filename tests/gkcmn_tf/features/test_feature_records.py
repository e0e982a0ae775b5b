"""Stored features: round trips, safe names, atomic writes."""

import dataclasses
import os
import pathlib
import re

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
    header, features = read_in_graph(path, [0, 1, 1, 2])
    assert features.dtype == tf.float16
    np.testing.assert_array_equal(features, video.as_stored().features[[0, 1, 1, 2]])
    assert header["frame_count"] == 12
    assert header["video_id"] == b"v"


@pytest.mark.parametrize("storage_dtype", STORAGE_DTYPES)
@given(places=st.lists(st.integers(0, 29), min_size=1, max_size=40).map(sorted))
def test_any_rows_are_those_of_the_whole_file(many_rows, storage_dtype, places):
    features, paths = many_rows
    _, rows = read_in_graph(paths[storage_dtype], places)
    np.testing.assert_array_equal(rows, features[storage_dtype][places])


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory):
    """Features as they are read, by storage dtype, and paths of their files."""
    values = np.random.default_rng(0).normal(size=(30, 2, 3, 4)).astype(np.float16)
    features, paths = {}, {}
    for dtype in STORAGE_DTYPES:
        video = feature_records.VideoFeatures("v", 25.0, 64, 48, 120, values, storage_dtype=dtype)
        folder = str(tmp_path_factory.mktemp(dtype))
        paths[dtype] = feature_records.write_video_features(folder, video)
        features[dtype] = feature_records.read_video_features(folder, "v").features
    return features, paths


@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([None], tf.int64)])
def read_in_graph(path, windows):
    header = feature_records.read_header(path)
    return header, feature_records.read_rows(path, header, windows)


def test_the_file_is_a_header_and_the_rows_as_they_are(tmp_path):
    video = make_video()
    path = feature_records.write_video_features(str(tmp_path), video)
    header, *rows = tf.data.TFRecordDataset(path).as_numpy_iterator()
    fields = tf.train.Example.FromString(header).features.feature
    assert fields["shape"].int64_list.value == [3, 2, 2, 4]
    assert rows == [row.tobytes() for row in video.features]


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 8, 12, 43, 47])  # length, its checksum, data, theirs
def test_damage_is_noticed_by_those_that_read_the_row(tmp_path, row, place):
    video = make_video()
    path = pathlib.Path(feature_records.write_video_features(str(tmp_path), video))
    content = bytearray(path.read_bytes())
    row_bytes = 2 * 2 * 4 * 2 + 16
    content[len(content) - (3 - row) * row_bytes + place] ^= 0x10
    path.write_bytes(content)
    for others in ([0, 1], [1, 2], [0, 2]):
        if row in others:
            with pytest.raises(tf.errors.DataLossError, match="corrupted record at") as caught:
                read_in_graph(str(path), others)
            offset = int(re.search(r"record at (\d+)", caught.value.message)[1])
            assert feature_records.is_damaged_at(str(path), offset)
        else:
            np.testing.assert_array_equal(
                read_in_graph(str(path), others)[1], video.features[others]
            )
    with pytest.raises(ValueError, match=r"v\.tfrecord: is damaged; delete it and run data\.prep"):
        feature_records.read_video_features(str(tmp_path), "v")


def test_every_cut_of_a_file_is_noticed(tmp_path):
    path = pathlib.Path(feature_records.write_video_features(str(tmp_path), make_video()))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises((tf.errors.DataLossError, tf.errors.InvalidArgumentError)) as caught:
            read_in_graph(str(path), [0, 2])
        found = re.search(r"record at (\d+)", caught.value.message)
        if found:
            assert feature_records.is_damaged_at(str(path), int(found[1]))
        else:
            assert f"{path}: is damaged; delete it" in caught.value.message
        with pytest.raises(ValueError, match=r"v\.tfrecord: is (damaged|not a file of features)"):
            feature_records.read_video_features(str(tmp_path), "v")


def test_no_place_of_a_whole_file_is_damaged(tmp_path):
    path = feature_records.write_video_features(str(tmp_path), make_video())
    places = range(os.path.getsize(path) + 100)
    assert not any(feature_records.is_damaged_at(path, place) for place in places)


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="counts the bytes as Linux does")
@pytest.mark.parametrize("windows", [[5], [3, 4, 5, 6], [0, 99, 99, 199]])
def test_only_the_rows_asked_for_are_read(tmp_path, windows):
    values = np.zeros((200, 7, 7, 64), np.float16)
    video = feature_records.VideoFeatures("v", 25.0, 64, 48, 800, values, storage_dtype="int8")
    path = feature_records.write_video_features(str(tmp_path), video)
    header_bytes = os.path.getsize(path) - 200 * (7 * 7 * 64 + 16)
    read_in_graph(path, windows)  # traced
    before = _bytes_read()
    read_in_graph(path, windows)
    count = _bytes_read() - before
    expected = header_bytes + len(set(windows)) * (7 * 7 * 64 + 16)
    # Reading the counter is counted, too.
    assert expected <= count < expected + 500


def _bytes_read():
    text = pathlib.Path("/proc/self/io").read_text()
    return int(re.search(r"rchar: (\d+)", text)[1])


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
        ("shape", {"int64_list": {"value": [3, 2, 4, 4]}}),
        ("shape", {"int64_list": {"value": [3, -2, -2, 4]}}),
        ("row_bytes", {"int64_list": {"value": [16]}}),
        ("version", {"int64_list": {"value": [3]}}),
        ("low", {"float_list": {"value": [1]}}),
        ("dtype", {"bytes_list": {"value": [b"float8"]}}),
        ("dtype", {"bytes_list": {"value": [b"\xff"]}}),
        ("low", {"bytes_list": {"value": [b"1"]}}),
    ],
)
def test_a_record_that_does_not_follow_the_schema_is_named(tmp_path, key, values):
    path = feature_records.write_video_features(str(tmp_path), make_video())
    record, *rows = tf_examples.read_records([path])
    example = tf.train.Example.FromString(record)
    example.features.feature[key].CopyFrom(tf.train.Feature(**values))
    # The last content is no message, which protobuf and TensorFlow report differently.
    for content in (example.SerializeToString(), b"\xff" * 9, record + b"\x03"):
        tf_examples.write_records(path, [content, *rows])
        with pytest.raises(ValueError, match=r"v\.tfrecord: is not a file of features; delete it"):
            feature_records.read_video_features(str(tmp_path), make_video().video_id)
