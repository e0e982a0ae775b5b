"""Absent sentences and minimal pairs, from annotation files to records."""

import functools
import json

import numpy as np
import pytest
from absl.testing import flagsaver

from data import datasets, prepare, vidstg, vidstg_contrasts
from data.annotations import resample_clip
from gkcmn_tf.records import clip_records
from gkcmn_tf.records.clip_records import Clip, Pair, Sentence
from tests.data.mean_extractor import make_extractor


def absent(vid="a", clip=(0, 39), text="a cat sits.", **changes):
    segment = {"begin_fid": clip[0], "end_fid": clip[1]}
    entry = {"vid": vid, "used_segment": segment, "description": text, "qtype": "declarative"}
    return entry | changes


@pytest.fixture
def two_videos(folder, steady):
    """Videos `a` and `b` with two clips of `a` and one of `b`; one record of `b` is invalid."""
    for vid in "ab":
        folder.add_vidor(vid, {0: steady})
        folder.add_video(vid)
    folder.add_record("a", captions=("a dog runs.", "a cat runs."), questions=())
    folder.add_record("a", clip=(8, 31), questions=())
    folder.add_record("b", questions=())
    folder.add_record("b", questions=(), target=7)
    folder.write()
    return folder


def write(folder, name, content):
    (folder.annotation_dir / name).write_text(json.dumps(content), encoding="utf-8")


def read(folder, limit=None):
    paths = vidstg.find_vidor_annotations(str(folder.vidor_dir))
    found = vidstg.read_split("val", str(folder.annotation_dir), paths, limit)
    return found, vidstg_contrasts.read_absent("val", str(folder.annotation_dir), found, limit)


def test_absent_sentences_are_about_clips_of_the_split(two_videos):
    entries = [absent(clip=(8, 31)), absent("b", text="who  sits?", qtype="interrogative")]
    write(two_videos, "val_absent.json", [*entries, absent(clip=(8, 31), text="a dog sits.")])
    _, found = read(two_videos)
    first, second = found.clips
    assert [(c.video_id, c.begin, c.end) for c in found.clips] == [("a", 8, 32), ("b", 0, 40)]
    assert [s.id for s in first.sentences] == ["val-absent-00000", "val-absent-00002"]
    (asked,) = second.sentences
    assert (asked.text, asked.qtype, asked.is_absent) == ("who sits?", "interrogative", True)
    assert asked.boxes.shape == (0, 4)
    assert found.videos == {"a": "g0/a.mp4", "b": "g0/b.mp4"}
    assert found.notices["sentences_with_cleaned_text"] == 1
    assert found.skipped == []


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (absent(clip=(0, 30)), "used_segment: no sentence of the split is about video a, frames"),
        (absent("c"), "used_segment: no sentence of the split is about video c"),
        (absent(text=" "), "description: expected a sentence, got ' '"),
        (absent(qtype="song"), "qtype: expected"),
        (absent(vid=3), "vid: expected a video's id"),
        ("x", "vid: missing field"),
    ],
)
def test_invalid_absent_sentences_are_skipped_with_a_reason(two_videos, entry, reason):
    write(two_videos, "val_absent.json", [entry, absent()])
    _, found = read(two_videos)
    (skipped,) = found.skipped
    assert skipped.id == "val-absent-00000"
    assert skipped.reason.startswith(f"val_absent.json: entry 0: {reason}")
    assert [s.id for c in found.clips for s in c.sentences] == ["val-absent-00001"]


def test_a_limit_leaves_out_absent_sentences_of_other_videos(two_videos):
    write(two_videos, "val_absent.json", [absent("b"), absent()])
    _, found = read(two_videos, limit=1)
    assert [s.id for c in found.clips for s in c.sentences] == ["val-absent-00001"]
    assert found.skipped == []


def test_annotations_without_the_files_have_neither(two_videos):
    found, absent_sentences = read(two_videos)
    assert found.pairs == [] and absent_sentences is None


def test_an_invalid_pair_is_an_error_that_names_it(two_videos):
    write(two_videos, "val_pairs.json", [{"kind": "other", "first": "x", "second": "y"}])
    with pytest.raises(ValueError, match=r"val_pairs.json: entry 0: kind: expected .*word"):
        read(two_videos)


PAIRS = [
    {"kind": "word", "first": "val-00000-d0", "second": "val-00000-d1", "words": ["dog", "cat"]},
    {"kind": "moved", "first": "val-00002-d0", "second": "val-00003-d0"},  # the second is invalid
]


def prepare_all(folder, output_dir):
    """Runs `data.prepare` as its program does, with a fast extractor."""
    datasets_flags = {
        "dataset": "vidstg",
        "annotation_dir": str(folder.annotation_dir),
        "vidor_dir": str(folder.vidor_dir),
        "video_dir": str(folder.video_dir),
        "split": None,
        "limit": None,
    }
    with flagsaver.flagsaver(**datasets_flags):
        annotations = datasets.read_annotations()
    return prepare.prepare(
        annotations,
        make_extractor,
        fingerprint=make_extractor().fingerprint,
        dataset="vidstg",
        video_dir=str(folder.video_dir),
        output_dir=output_dir,
        arguments={},
    )


@pytest.fixture(scope="module", autouse=True)
def defined_flags():
    if "annotation_dir" not in datasets.FLAGS:
        datasets.define_flags()
    datasets.FLAGS.mark_as_parsed()


def test_a_second_run_adds_both_and_keeps_all_other_files(two_videos, tmp_path):
    output_dir = tmp_path / "records"
    prepare_all(two_videos, str(output_dir))
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns if path.parent.name == "features" else 0)
        for path in output_dir.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", ".lock")
    }
    write(two_videos, "val_absent.json", [absent(), absent("b"), absent("c")])
    write(two_videos, "val_pairs.json", PAIRS)
    manifest = prepare_all(two_videos, str(output_dir))
    for path, (content, modified) in before.items():
        assert path.read_bytes() == content
        assert not modified or path.stat().st_mtime_ns == modified
    added = {p.name for p in output_dir.rglob("*") if p.is_file()} - {p.name for p in before}
    assert added - {"manifest.json", ".lock"} == {
        "val_pairs.json",
        "val_absent-00000-of-00001.tfrecord",
    }
    assert manifest["splits"]["val"]["pairs"] == 1
    counts = manifest["splits"]["val_absent"]["sentences"]
    assert (counts["kept"], counts["skipped"]) == (2, 1)
    assert clip_records.read_pairs(str(output_dir), "val") == [
        Pair("word", "val-00000-d0", "val-00000-d1")
    ]
    assert clip_records.absent_split(str(output_dir), "val") == "val_absent"
    clips = list(clip_records.read_clips(str(output_dir), "val_absent"))
    assert [s.id for c in clips for s in c.sentences] == ["val-absent-00000", "val-absent-00001"]
    (two_videos.annotation_dir / "val_pairs.json").unlink()
    prepare_all(two_videos, str(output_dir))
    assert clip_records.read_pairs(str(output_dir), "val") == []


def test_resampling_keeps_absent_sentences(two_videos):
    write(two_videos, "val_absent.json", [absent(clip=(8, 31))])
    _, found = read(two_videos)
    clip, skipped = resample_clip(found.clips[0], np.arange(0, 40, 2), 12.5)
    assert skipped == []
    assert (clip.begin, clip.end, clip.frame_count) == (4, 16, 20)
    assert clip.sentences == found.clips[0].sentences


@pytest.mark.parametrize("fps", [None, 5])
def test_absent_sentences_about_frames_that_cannot_be_decoded_are_skipped(
    folder, steady, fps, tmp_path
):
    folder.add_vidor("a", {0: steady})
    folder.add_video("a", frame_count=20)
    folder.add_record("a", questions=())
    folder.add_record("a", clip=(25, 35), truth=(26, 30), questions=())
    folder.write()
    write(folder, "val_absent.json", [absent(), absent(clip=(25, 35))])
    found, absent_found = read(folder)
    manifest = prepare.prepare(
        {"val": found, "val_absent": absent_found},
        functools.partial(make_extractor, fps=fps),
        fingerprint=make_extractor(fps=fps).fingerprint,
        dataset="vidstg",
        video_dir=str(folder.video_dir),
        output_dir=str(tmp_path / "records"),
        arguments={},
    )
    (clip,) = clip_records.read_clips(str(tmp_path / "records"), "val_absent")
    assert [sentence.id for sentence in clip.sentences] == ["val-absent-00000"]
    (skipped,) = manifest["splits"]["val_absent"]["skipped"]
    assert skipped == {
        "id": "val-absent-00001",
        "reason": "video a: its clip [25, 36) begins after the 20 frames that can be decoded",
    }


def test_an_absent_sentence_about_a_clip_between_resampled_frames_is_skipped():
    nothing = Sentence(0, "s", "a cat.", "declarative", -1, 0, 0, np.zeros((0, 4), np.float32))
    clip, (skipped,) = resample_clip(
        Clip("a", 11, 14, 25.0, 64, 48, 40, (nothing,)), range(0, 40, 5), 5
    )
    assert clip is None
    assert skipped.reason == "video a: clip [11, 14) contains no frame at 5 frames per second"
