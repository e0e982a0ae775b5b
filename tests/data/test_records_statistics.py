"""Statistics of a small records folder, computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import records_statistics
from gkcmn_tf.records import clip_records


def sentence(number, begin, end, box, words):
    boxes = np.tile(np.float32(box), (end - begin, 1))
    return clip_records.Sentence(number, f"s{number}", words, "declarative", 0, begin, end, boxes)


def manifest(train=(2, 3), val=(0, 0)):
    """Returns a manifest as of `data.prepare`, from (clips, sentences) by split."""
    skipped = [
        {"id": "s9", "reason": "video 12: no such file"},
        {"id": "s8", "reason": "record 3: contains no frame"},
        {"id": "s7", "reason": "video 7: no such file"},
    ]
    splits = {
        name: {
            "clips": clips,
            "sentences": {"total": kept, "kept": kept, "skipped": 0},
            "notices": {"held_boxes": 2},
            "skipped": skipped if name == "train" else [],
        }
        for name, (clips, kept) in {"train": train, "val": val}.items()
    }
    return {"dataset": "vidstg", "features": {"i3d_source": "random:0"}, "splits": splits}


@pytest.fixture
def folder(tmp_path):
    """Two clips of one video, 20 x 10 pixels, in `train`; none in `val`."""
    clips = [
        clip_records.Clip(
            *("a", 10, 50, 10.0, 20, 10, 90),
            (
                sentence(0, 10, 20, (0, 0, 10, 5), "A dog, it runs!"),
                sentence(1, 30, 50, (0, 0, 20, 10), "a dog"),
            ),
        ),
        clip_records.Clip("a", 0, 81, 10.0, 20, 10, 90, (sentence(2, 0, 81, (3, 3, 3, 9), "Dog"),)),
    ]
    clip_records.write_clips(str(tmp_path), "train", clips, 2)
    clip_records.write_clips(str(tmp_path), "val", [], 1)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "a.tfrecord").write_bytes(bytes(123))
    return str(tmp_path)


def test_measures(folder):
    measured = records_statistics.measure(folder, manifest())
    train, val = measured["train"], measured["val"]
    assert (train.num_videos, val.num_videos) == (1, 0)
    assert train.vocabulary == {"a", "dog", "it", "runs"}
    expected = {
        "clip_frames": [40, 81],
        "clip_seconds": [4, 8.1],
        "clip_steps": [10, 21],
        "segment_frames": [10, 20, 81],
        "segment_seconds": [1, 2, 8.1],
        "segment_share_of_clip": [0.25, 0.5, 1],
        "segment_middle_in_clip": [0.125, 0.75, 0.5],
        "box_share_of_frame": [0.25, 1, 0],
        "words": [4, 2, 1],
    }
    assert set(train.values) == set(val.values) == set(expected) == set(records_statistics.MEASURES)
    for name, values in expected.items():
        np.testing.assert_allclose(train.values[name], values)
        assert val.values[name].size == 0


def test_absent_sentences_have_words_but_no_tube(tmp_path):
    absent = sentence(0, 0, 0, (0, 0, 0, 0), "a cat")
    clip = clip_records.Clip("a", 10, 50, 10.0, 20, 10, 90, (absent,))
    clip_records.write_clips(str(tmp_path), "test_absent", [clip], 1)
    counted = {"clips": 1, "sentences": {"kept": 1}}
    measured = records_statistics.measure(str(tmp_path), {"splits": {"test_absent": counted}})
    values = measured["test_absent"].values
    assert values["words"].tolist() == [2] and values["clip_frames"].tolist() == [40]
    assert not any(values[name].size for name in records_statistics.TUBE_MEASURES)


def test_the_summary(folder):
    found = manifest()
    measured = records_statistics.measure(folder, found)
    statistics = records_statistics.summarise(folder, found, measured)
    assert statistics["dataset"] == "vidstg"
    assert statistics["features"] == {"i3d_source": "random:0"}
    assert statistics["bytes"]["features"] == 123
    assert statistics["vocabulary"] == 4
    train, val = statistics["splits"]["train"], statistics["splits"]["val"]
    assert (train["videos"], train["clips"], train["sentences"]["kept"]) == (1, 2, 3)
    assert train["segment_frames"] == {"min": 10, "median": 20, "mean": 37, "max": 81}
    assert val["segment_frames"] is None
    assert train["notices"] == {"held_boxes": 2}
    # Reasons that differ only in numbers are counted as one.
    assert train["skipped"] == {"video #: no such file": 2, "record #: contains no frame": 1}


def test_a_number_of_clips_that_differs_from_the_manifest_is_an_error(folder):
    message = "'train' has 2 clips with 3 sentences, manifest.json counts 2 with 4"
    with pytest.raises(ValueError, match=message):
        records_statistics.measure(folder, manifest(train=(2, 4)))


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: no such file; expected a folder"):
        records_statistics.read_manifest(str(tmp_path))


@settings(max_examples=30)
@given(
    begin=st.integers(0, 50),
    before=st.integers(0, 20),
    length=st.integers(1, 60),
    after=st.integers(0, 20),
    box=st.tuples(*[st.floats(0, 1, width=32)] * 4),
)
def test_shares_are_between_0_and_1(tmp_path_factory, begin, before, length, after, box):
    folder = str(tmp_path_factory.mktemp("records"))
    x1, x2, y1, y2 = (*sorted(box[:2]), *sorted(box[2:]))
    truth = begin + before, begin + before + length
    pixels = (30 * x1, 20 * y1, 30 * x2, 20 * y2)
    one = sentence(0, *truth, pixels, "a dog")
    clip = clip_records.Clip("a", begin, truth[1] + after, 25.0, 30, 20, 200, (one,))
    clip_records.write_clips(folder, "train", [clip], 1)
    clip_records.write_clips(folder, "val", [], 1)
    values = records_statistics.measure(folder, manifest(train=(1, 1)))["train"].values
    for name in ("segment_share_of_clip", "segment_middle_in_clip", "box_share_of_frame"):
        assert 0 <= values[name][0] <= 1 + 1e-6
