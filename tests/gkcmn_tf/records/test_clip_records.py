"""Records of clips: round trips, complete sets of shards."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gkcmn_tf import tf_examples, tubes
from gkcmn_tf.records import clip_records


def make_sentence(index=0, begin=2, end=5, **changes):
    boxes = np.arange(4 * (end - begin), dtype=np.float32).reshape(-1, 4) + 0.25
    values = {
        "index": index,
        "id": f"val-00000-d{index}",
        "text": "a dog jumps.",
        "qtype": "declarative",
        "target_id": 3,
        "begin": begin,
        "end": end,
        "boxes": boxes,
    }
    return clip_records.Sentence(**(values | changes))


def make_clip(*sentences, **changes):
    values = {
        "video_id": "v",
        "begin": 0,
        "end": 10,
        "fps": 25.0,
        "width": 64,
        "height": 48,
        "frame_count": 12,
        "sentences": sentences or (make_sentence(),),
    }
    return clip_records.Clip(**(values | changes))


def as_plain(clip):
    """Returns a clip as plain values that `==` can compare."""
    plain = dataclasses.asdict(clip)
    for sentence in plain["sentences"]:
        sentence["boxes"] = sentence["boxes"].tolist()
    return plain


SENTENCES = st.builds(
    make_sentence,
    index=st.integers(0, 2**40),
    begin=st.integers(0, 50),
    end=st.integers(51, 60),
    id=st.text(min_size=1, max_size=10),
    text=st.text(max_size=30),
    qtype=st.sampled_from(tubes.QTYPES),
    target_id=st.integers(0, 99),
)


CLIPS = st.builds(
    lambda sentences, video_id: make_clip(*sentences, video_id=video_id),
    st.lists(SENTENCES, min_size=1, max_size=3),
    st.text(min_size=1, max_size=10),
)


@settings(max_examples=25)
@given(clips=st.lists(CLIPS, max_size=4), num_shards=st.integers(1, 3))
def test_clips_are_read_as_written_for_any_number_of_shards(tmp_path_factory, clips, num_shards):
    folder = str(tmp_path_factory.mktemp("records"))
    paths = clip_records.write_clips(folder, "val", clips, num_shards)
    assert clip_records.clip_shards(folder, "val") == paths
    assert len(paths) == num_shards
    dealt = [clip for shard in range(num_shards) for clip in clips[shard::num_shards]]
    assert [as_plain(c) for c in clip_records.read_clips(folder, "val")] == [
        as_plain(c) for c in dealt
    ]


def make_absent(index=0):
    return make_sentence(index, begin=0, end=0)


def test_absent_sentences_are_read_as_written(tmp_path):
    clips = [make_clip(make_absent(), make_absent(1)), make_clip(make_sentence(2), make_absent(3))]
    (path,) = clip_records.write_clips(str(tmp_path), "val_absent", clips, 1)
    read = list(clip_records.read_clips(str(tmp_path), "val_absent"))
    assert [as_plain(c) for c in read] == [as_plain(c) for c in clips]
    assert [s.is_absent for c in read for s in c.sentences] == [True, True, False, True]
    counts = [clip_records.count_sentences(record) for record in tf_examples.read_records([path])]
    assert counts == [(2, 2), (2, 1)]


def test_splits_of_absent_sentences_are_found(tmp_path):
    folder = str(tmp_path)
    for split in ("train", "val", "val_absent", "test", "test_absent"):
        clip_records.write_clips(folder, split, [make_clip()], 1)
    assert clip_records.absent_split(folder, "train") is None
    assert clip_records.absent_split(folder, "test") == "test_absent"
    assert clip_records.absent_split(folder, "val+train+test") == "val_absent+test_absent"


def test_pairs_are_read_as_written_and_removed(tmp_path):
    folder = str(tmp_path)
    pairs = {
        "val": [clip_records.Pair("word", "a", "b")],
        "test": [clip_records.Pair("moved", "c", "d"), clip_records.Pair("word", "c", "e")],
    }
    for split, listed in pairs.items():
        clip_records.write_pairs(folder, split, listed)
    assert clip_records.read_pairs(folder, "val+train+test") == pairs["val"] + pairs["test"]
    clip_records.write_pairs(folder, "test", [])
    assert clip_records.read_pairs(folder, "test") == []


def test_several_splits_are_read_in_order(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        clips = [make_clip(make_sentence(number)) for number in range(count)]
        clip_records.write_clips(str(tmp_path), split, clips, 1)
    both = [clip_records.clip_shards(str(tmp_path), split)[0] for split in ("val", "train")]
    assert clip_records.clip_shards(str(tmp_path), "val+train") == both
    read = list(clip_records.read_clips(str(tmp_path), "val+train"))
    assert [clip.sentences[0].index for clip in read] == [0, 0, 1]
    with pytest.raises(FileNotFoundError, match="split 'test'"):
        clip_records.clip_shards(str(tmp_path), "train+test")


def test_clips_parse_in_graph(tmp_path):
    clip = make_clip(make_sentence(0), make_sentence(1, begin=4, end=6, qtype="interrogative"))
    (path,) = clip_records.write_clips(str(tmp_path), "val", [clip], 1)
    (parsed,) = tf.data.TFRecordDataset(path).map(clip_records.parse_clip)
    assert parsed["features_file"] == b"features/v.tfrecord"
    np.testing.assert_array_equal(parsed["sentence/segment"], [[2, 5], [4, 6]])
    np.testing.assert_array_equal(parsed["sentence/qtype"], [b"declarative", b"interrogative"])
    np.testing.assert_array_equal(
        parsed["sentence/boxes"], np.concatenate([s.boxes for s in clip.sentences])
    )


def test_the_same_clips_give_the_same_bytes(tmp_path):
    (first,) = clip_records.write_clips(str(tmp_path / "a"), "val", [make_clip()], 1)
    (second,) = clip_records.write_clips(str(tmp_path / "b"), "val", [make_clip()], 1)
    assert pathlib.Path(first).read_bytes() == pathlib.Path(second).read_bytes()


def test_shards_of_an_earlier_run_are_replaced(tmp_path):
    clips = [make_clip(video_id=f"v{i}") for i in range(3)]
    clip_records.write_clips(str(tmp_path), "train", clips, 1)
    clip_records.write_clips(str(tmp_path), "val", clips, 3)
    paths = clip_records.write_clips(str(tmp_path), "val", clips[:2], 2)
    assert clip_records.clip_shards(str(tmp_path), "val") == paths
    assert [clip.video_id for clip in clip_records.read_clips(str(tmp_path), "val")] == ["v0", "v1"]
    assert len(list(clip_records.read_clips(str(tmp_path), "train"))) == 3


def test_a_missing_shard_is_an_error(tmp_path):
    paths = clip_records.write_clips(str(tmp_path), "val", [make_clip()], 3)
    os.remove(paths[1])
    with pytest.raises(FileNotFoundError, match="incomplete shards of split 'val'"):
        list(clip_records.read_clips(str(tmp_path), "val"))


def test_a_split_without_records_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run data\.prepare"):
        clip_records.clip_shards(str(tmp_path), "val")


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (make_sentence(boxes=np.zeros((2, 4), np.float32)), r"\[2, 5\): expected boxes of shape"),
        (
            make_sentence(end=5, begin=5, boxes=np.zeros((0, 4), np.float32)),
            r"\[5, 5\): expected boxes",
        ),
        (make_sentence(qtype="statement"), "qtype: expected one of .*, got 'statement'"),
    ],
)
def test_invalid_sentences_are_refused(tmp_path, sentence, message):
    with pytest.raises(ValueError, match=f"sentence val-00000-d0: .*{message}"):
        clip_records.write_clips(str(tmp_path), "val", [make_clip(sentence)], 1)


def test_damaged_files_are_named(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    tf_examples.write_records(path, [b"one" * 20, b"two" * 20])
    assert tf_examples.read_records([path, path]) == [b"one" * 20, b"two" * 20] * 2
    whole = (tmp_path / "a.tfrecord").read_bytes()
    for damaged in (whole[:-5], whole[:20] + b"x" + whole[21:], b"no records at all"):
        (tmp_path / "a.tfrecord").write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"a\.tfrecord: is damaged; delete it and run data.prep"
        ):
            tf_examples.read_records([path])
        with pytest.raises(ValueError, match=r"a\.tfrecord: is damaged; delete it"):
            tf_examples.load_records([path])


def test_records_are_loaded_in_order(tmp_path):
    paths = [str(tmp_path / name) for name in "ab"]
    for path in paths:
        tf_examples.write_records(path, [])
    assert tf_examples.load_records(paths).numpy().tolist() == []
    assert tf_examples.read_records(paths) == []
    tf_examples.write_records(paths[1], [b"", b"one", b"\0\xff"])
    tf_examples.write_records(paths[0], [b"two"])
    assert tf_examples.load_records(paths).numpy().tolist() == [b"two", b"", b"one", b"\0\xff"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("video_id", {"int64_list": {"value": [1]}}),
        ("fps", {}),
        ("sentence/segment", {"int64_list": {"value": [2, 5, 7]}}),
        ("sentence/segment", {"int64_list": {"value": [5, 2]}}),
        ("sentence/segment", {"int64_list": {"value": [2, 6]}}),
        ("sentence/segment", {}),
        ("sentence/boxes", {"float_list": {"value": [1, 2, 3]}}),
        ("sentence/index", {"int64_list": {"value": [1, 2]}}),
        ("sentence/text", {"bytes_list": {"value": [b"caf\xe9"]}}),
        ("sentence/text", {}),
    ],
)
def test_a_record_that_does_not_follow_the_schema_is_named(tmp_path, key, values):
    (path,) = clip_records.write_clips(str(tmp_path), "val", [make_clip()], 1)
    (record,) = tf_examples.read_records([path])
    example = tf.train.Example.FromString(record)
    example.features.feature[key].CopyFrom(tf.train.Feature(**values))
    tf_examples.write_records(path, [record, example.SerializeToString(), b"no example"])
    clips = clip_records.read_clips(str(tmp_path), "val")
    assert next(clips).video_id == "v"
    with pytest.raises(ValueError, match=r"val-00000-of-00001\.tfrecord: record 1 is not a clip"):
        next(clips)


@pytest.mark.parametrize("version", [0, 1, 3, None, "2"])
def test_records_of_another_version_are_refused(tmp_path, version):
    clip_records.write_clips(str(tmp_path), "val", [make_clip()], 1)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"schema_version": clip_records.SCHEMA_VERSION}))
    assert len(list(clip_records.read_clips(str(tmp_path), "val"))) == 1
    settings.write_text(json.dumps({"schema_version": version}))
    remedy = "run `python -m data.convert_records" if version == 1 else "delete the folder"
    with pytest.raises(ValueError, match=rf"settings\.json: schema_version: expected 2.*{remedy}"):
        list(clip_records.read_clips(str(tmp_path), "val"))
