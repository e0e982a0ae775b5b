"""Records of version 1, written here as that version wrote them, become those of today."""

import json
import os
import pathlib
import shutil

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from data import convert_records
from gkcmn_tf.features import feature_records
from gkcmn_tf.files import write_json
from gkcmn_tf.records import clip_records
from tests.gkcmn_tf import tiny_records


def contents(folder):
    paths = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def write_old_features(path, video_id, features, dtype, frame_count=24):
    values = features.astype(np.float32)
    low, scale, data = [], [], features.tobytes()
    if dtype == "bfloat16":
        data = values.astype(ml_dtypes.bfloat16).tobytes()
    elif dtype == "int8":
        flat = values.reshape(-1, values.shape[-1])
        low, scale = flat.min(0), (flat.max(0) - flat.min(0)) / np.float32(255)
        data = (np.rint((values - low) / scale) - 128).astype(np.int8).tobytes()
    lists = {
        "video_id": {"bytes_list": {"value": [video_id.encode()]}},
        "fps": {"float_list": {"value": [25.0]}},
        "width": {"int64_list": {"value": [64]}},
        "height": {"int64_list": {"value": [48]}},
        "frame_count": {"int64_list": {"value": [frame_count]}},
        "features": {"bytes_list": {"value": [data]}},
        "shape": {"int64_list": {"value": features.shape}},
        "dtype": {"bytes_list": {"value": [dtype.encode()]}},
        "low": {"float_list": {"value": low}},
        "scale": {"float_list": {"value": scale}},
    }
    example = tf.train.Example()
    for key, value in lists.items():
        example.features.feature[key].CopyFrom(tf.train.Feature(**value))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())


def write_versions(folder, dtype):
    """Writes the same records in this version and in version 1; returns the folders."""
    new, old = folder / "new", folder / "old"
    tiny_records.write_records(new)
    settings = {"schema_version": 2, "dataset": "vidstg", "features": {"storage_dtype": dtype}}
    write_json(str(new / "settings.json"), settings)
    write_json(str(new / "manifest.json"), settings | {"splits": {}})
    shutil.copytree(new, old)
    for name in ("settings", "manifest"):
        content = json.loads((old / f"{name}.json").read_text())
        write_json(str(old / f"{name}.json"), content | {"schema_version": 1})
    rng = np.random.default_rng(0)
    for vid in (f"v{number}" for number in range(9)):
        features = rng.normal(size=(6, 2, 2, 3)).astype(np.float16)
        video = feature_records.VideoFeatures(vid, 25.0, 64, 48, 24, features, storage_dtype=dtype)
        feature_records.write_video_features(str(new), video)
        write_old_features(old / "features" / f"{vid}.tfrecord", vid, features, dtype)
    return new, old


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_converted_records_are_those_of_this_version(tmp_path, dtype):
    new, old = write_versions(tmp_path, dtype)
    assert contents(old) != contents(new)
    assert convert_records.convert(str(old)) == 9
    assert contents(old) == contents(new)
    assert convert_records.convert(str(old)) == 0
    assert contents(old) == contents(new)


def test_old_records_are_refused_with_the_command(tmp_path):
    _, old = write_versions(tmp_path, "int8")
    with pytest.raises(ValueError, match=f"run `python -m data.convert_records {old}`"):
        clip_records.clip_shards(str(old), "train")
    with pytest.raises(ValueError, match=f"run `python -m data.convert_records {old}`"):
        feature_records.read_video_features(str(old), "v0")


@pytest.mark.parametrize("replaced", range(11))  # 9 videos, the manifest, the settings
def test_an_interrupted_conversion_is_resumed(tmp_path, monkeypatch, replaced):
    new, old = write_versions(tmp_path, "float16")
    replace = os.replace
    left = iter(range(replaced))

    def killed_later(source, target):
        if next(left, None) is None:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed_later)
        with pytest.raises(KeyboardInterrupt):
            convert_records.convert(str(old))
    with pytest.raises(ValueError, match=r"run `python -m data\.convert_records"):
        clip_records.clip_shards(str(old), "train")
    (old / "features" / "v3.tfrecord.tmp-999999999").write_bytes(b"left by a killed process")
    assert convert_records.convert(str(old)) == 9 - min(replaced, 9)
    assert contents(old) == contents(new)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other", "shape", "name"])
def test_a_damaged_file_is_named_and_the_rest_is_converted_without_it(tmp_path, damage):
    new, old = write_versions(tmp_path, "float16")
    path = old / "features" / "v4.tfrecord"
    content = bytearray(path.read_bytes())
    if damage == "shape":
        write_old_features(path, "v4", np.zeros((2, 2), np.float16), "float16")
    elif damage == "name":
        write_old_features(path, "v5", np.zeros((2, 2, 2, 3), np.float16), "float16")
    elif damage == "other":
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(b"\xff" * 9)
    else:
        content[50] ^= 1
        path.write_bytes({"cut": content[:-9], "changed": content, "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"v4\.tfrecord: is (damaged|not a record of features)"):
        convert_records.convert(str(old))
    path.unlink()
    assert convert_records.convert(str(old)) == 4
    expected = contents(new)
    del expected["features/v4.tfrecord"]
    assert contents(old) == expected


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a folder written by data\.prepare"):
        convert_records.convert(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    for version in (0, 3, None):
        write_json(str(tmp_path / "settings.json"), {"schema_version": version})
        with pytest.raises(ValueError, match="schema_version: expected 2"):
            convert_records.convert(str(tmp_path))
    write_json(str(tmp_path / "settings.json"), [])
    with pytest.raises(ValueError, match=r"settings\.json: expected an object"):
        convert_records.convert(str(tmp_path))
