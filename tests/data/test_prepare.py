"""Creating a records folder: counts, damage, resuming."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import logging

from data import custom, hcstvg, prepare, vidstg
from data.annotations import SplitAnnotations
from gkcmn_tf.features import extraction, feature_records
from gkcmn_tf.folder_lock import folder_lock
from gkcmn_tf.records import clip_records
from tests.data.mean_extractor import make_extractor
from tests.gkcmn_tf.video.pictures import set_display_matrix, write_timed

ARGUMENTS = {"dataset": "vidstg"}


@pytest.fixture
def output_dir(tmp_path):
    return str(tmp_path / "records")


def run(folder, output_dir, splits=("val",), **made):
    """Runs `prepare.prepare` on the folder; `made` are arguments of `make_extractor`."""
    folder.write()
    paths = vidstg.find_vidor_annotations(str(folder.vidor_dir))
    annotations = {
        split: vidstg.read_split(split, str(folder.annotation_dir), paths) for split in splits
    }
    return run_on(annotations, folder, output_dir, **made)


def run_on(annotations, folder, output_dir, dataset="vidstg", **made):
    return prepare.prepare(
        annotations,
        functools.partial(make_extractor, **made),
        fingerprint=make_extractor(**made).fingerprint,
        dataset=dataset,
        video_dir=str(folder.video_dir),
        output_dir=output_dir,
        arguments=ARGUMENTS,
    )


def contents(output_dir):
    """Bytes of every file, by path."""
    root = pathlib.Path(output_dir)
    paths = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def count_extractions(monkeypatch):
    """Returns a list that receives the ids of videos whose features are extracted."""
    made = []
    original = extraction.FeatureExtractor.extract

    def extract(self, path, video_id=None, **kwargs):
        made.append(video_id)
        return original(self, path, video_id, **kwargs)

    monkeypatch.setattr(extraction.FeatureExtractor, "extract", extract)
    return made


@pytest.fixture
def two_videos(folder, steady):
    """Videos `a` (two clips) and `b` (one), all valid."""
    for vid in "ab":
        folder.add_vidor(vid, {0: steady})
        folder.add_video(vid)
    folder.add_record("a")
    folder.add_record("b", questions=("who?", "what?"))
    folder.add_record("a", clip=(8, 31))
    return folder


def test_records_contain_every_sentence_and_the_features_of_each_video_once(two_videos, output_dir):
    manifest = run(two_videos, output_dir)
    clips = list(clip_records.read_clips(output_dir, "val"))
    assert [(c.video_id, c.begin, c.end) for c in clips] == [
        ("a", 0, 40),
        ("b", 0, 40),
        ("a", 8, 32),
    ]
    assert [s.id for c in clips for s in c.sentences] == [
        "val-00000-d0",
        "val-00000-i0",
        "val-00001-d0",
        "val-00001-i0",
        "val-00001-i1",
        "val-00002-d0",
        "val-00002-i0",
    ]
    assert (clips[0].frame_count, clips[0].width, clips[0].height, clips[0].fps) == (40, 64, 48, 25)
    np.testing.assert_array_equal(clips[0].sentences[0].boxes, [(8, 8, 24, 32)] * 10)
    for vid in "ab":
        made = feature_records.read_video_features(output_dir, vid)
        path = str(two_videos.video_dir / "g0" / f"{vid}.mp4")
        np.testing.assert_array_equal(made.features, make_extractor().extract(path).features)
    assert json.loads(pathlib.Path(output_dir, "manifest.json").read_text()) == manifest
    assert manifest["features"] == make_extractor().fingerprint
    assert manifest["splits"]["val"] == {
        "videos": 2,
        "clips": 3,
        "sentences": {
            "total": 7,
            "kept": 7,
            "skipped": 0,
            "declarative": 3,
            "interrogative": 4,
        },
        "shards": ["clips/val-00000-of-00001.tfrecord"],
        "notices": {
            "boxes_without_area": 0,
            "clipped_boxes": 0,
            "clips_cut_to_video": 0,
            "held_boxes": 0,
            "interpolated_boxes": 0,
            "repeated_sentences": 0,
            "segments_cut_to_clip": 0,
            "sentences_with_cleaned_text": 0,
            "unusable_boxes": 0,
            "sentences_over_20_words": 0,
            "hdr_videos": 0,
            "videos_with_notice": 0,
        },
        "video_notices": [],
        "skipped": [],
        "arguments": ARGUMENTS,
    }


def test_the_summary_is_a_short_form_of_the_manifest(two_videos, output_dir):
    summary = prepare.summarise(run(two_videos, output_dir), output_dir)
    assert summary["output_dir"] == output_dir
    assert summary["splits"]["val"]["clips"] == 3
    assert summary["splits"]["val"]["sentences"]["total"] == 7


def test_every_kind_of_damage_is_counted(folder, steady, output_dir, caplog):
    for vid in ("valid", "missing", "broken", "short", "cut"):
        folder.add_vidor(vid, {0: steady})
        folder.add_record(vid, truth=(10, 20))
    folder.add_record("short", truth=(16, 30), questions=())
    folder.add_record("short", truth=(30, 35), questions=())
    folder.add_record("valid", captions=("a " * 20 + "dog.", " \xa0 "), questions=())
    folder.add_record("valid", target=5, questions=())
    folder.records["val"].append("not a record")
    for vid in ("valid", "broken", "short", "cut"):
        folder.add_video(vid, frame_count=24 if vid == "short" else 40)
    video_dir = folder.video_dir / "g0"
    (video_dir / "broken.mp4").write_bytes(b"broken")
    cut = (video_dir / "cut.mp4").read_bytes()
    (video_dir / "cut.mp4").write_bytes(cut[: int(0.8 * len(cut))])
    logging.get_absl_logger().addHandler(caplog.handler)
    manifest = run(folder, output_dir)
    logging.get_absl_logger().removeHandler(caplog.handler)
    split = manifest["splits"]["val"]
    reasons = {skipped["id"]: skipped["reason"] for skipped in split["skipped"]}
    expected = {
        "val-00001-d0": "missing.mp4: no such file",
        "val-00001-i0": "missing.mp4: no such file",
        "val-00002-d0": "broken.mp4: cannot be opened as a video",
        "val-00002-i0": "broken.mp4: cannot be opened as a video",
        "val-00006-d0": "[30, 35) begins after the 24 frames that can be decoded",
        "val-00007-d1": "captions[1].description: expected a sentence",
        "val-00008-d0": "trajectory 5 has no valid box",
        "val-00009-d0": "record 9: captions: missing field; expected a list",
        "val-00009-i0": "record 9: questions: missing field; expected a list",
    }
    assert list(reasons) == list(expected)
    for name, reason in expected.items():
        assert reason in reasons[name]
        assert reasons[name] in caplog.text
    kept = {s.id: s for c in clip_records.read_clips(output_dir, "val") for s in c.sentences}
    assert split["sentences"] == {
        "total": 17,
        "kept": len(kept),
        "skipped": len(expected),
        "declarative": 5,
        "interrogative": 3,
    }
    assert len(kept) == 8
    assert (kept["val-00005-d0"].begin, kept["val-00005-d0"].end) == (16, 24)
    assert split["notices"]["sentences_over_20_words"] == 1
    notices = {notice["id"]: notice["notice"] for notice in split["video_notices"]}
    assert sorted(notices) == ["cut", "short"]
    assert notices["short"] == "24 of 40 frames can be decoded"
    clips = {clip.video_id: clip for clip in clip_records.read_clips(output_dir, "val")}
    assert (clips["short"].end, clips["short"].frame_count) == (24, 24)
    assert (
        clips["cut"].end == feature_records.read_video_features(output_dir, "cut").frame_count < 40
    )


def test_a_video_of_another_size_than_annotated_is_listed(folder, steady, output_dir):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    folder.add_video("a", width=80, height=48)
    split = run(folder, output_dir)["splits"]["val"]
    assert split["video_notices"] == [{"id": "a", "notice": "is 80x48, annotated as 64x48"}]
    (clip,) = clip_records.read_clips(output_dir, "val")
    assert (clip.width, clip.height) == (64, 48)


def test_a_video_with_width_and_height_swapped_is_left_out(folder, steady, output_dir):
    for vid in "ab":
        folder.add_vidor(vid, {0: steady})
        folder.add_record(vid, questions=())
    folder.add_video("a", width=48, height=64)
    folder.add_video("b")
    split = run(folder, output_dir)["splits"]["val"]
    assert split["skipped"] == [
        {
            "id": "val-00000-d0",
            "reason": "video a: is 48x64, annotated as 64x48: width and height are swapped, so "
            "boxes do not fit",
        }
    ]
    assert [clip.video_id for clip in clip_records.read_clips(output_dir, "val")] == ["b"]


def test_annotated_sizes_are_those_of_the_upright_frame(folder, steady, output_dir):
    for vid, size in (("a", {"width": 48, "height": 64}), ("b", {})):
        folder.add_vidor(vid, {0: steady}, **size)
        folder.add_record(vid, questions=())
        folder.add_video(vid)
        # Stored as 64x48, shown as 48x64.
        set_display_matrix(folder.video_dir / "g0" / f"{vid}.mp4", (0, 1, -1, 0))
    (skipped,) = run(folder, output_dir)["splits"]["val"]["skipped"]
    assert skipped["reason"].startswith("video b: is 48x64, annotated as 64x48: width and height")
    (clip,) = clip_records.read_clips(output_dir, "val")
    assert (clip.video_id, clip.width, clip.height) == ("a", 48, 64)


@pytest.mark.parametrize(
    ("fps", "frame_count", "segment", "left"),
    [
        # 0.4 to 2 seconds; the box moves by one pixel in a 25th of a second.
        (25, 60, (10, 50), range(10, 50)),
        (5, 12, (2, 10), range(10, 50, 5)),
        (50, 120, (20, 100), np.minimum(np.arange(20, 100) / 2, 49)),
    ],
)
def test_annotations_follow_a_video_that_was_re_encoded_at_another_frame_rate(
    folder, output_dir, fps, frame_count, segment, left
):
    tracks = {0: {frame: (frame, 8, frame + 16, 32) for frame in range(60)}}
    folder.add_vidor("a", tracks, frame_count=60, width=80)
    folder.add_record("a", clip=(5, 59), truth=(10, 50), questions=())["frame_count"] = 60
    folder.add_video("a", frame_count, width=80, fps=fps)
    split = run(folder, output_dir)["splits"]["val"]
    (clip,) = clip_records.read_clips(output_dir, "val")
    assert (clip.begin, clip.end) == (fps // 5, frame_count)
    assert (clip.fps, clip.frame_count) == (fps, frame_count)
    (sentence,) = clip.sentences
    assert (sentence.begin, sentence.end) == segment
    np.testing.assert_allclose(sentence.boxes[:, 0], left, atol=1e-4)
    np.testing.assert_allclose(sentence.boxes[:, 2], np.array(left) + 16, atol=1e-4)
    notice = (
        f"has {frame_count} frames at {fps} frames per second, annotated as 60 at 25; "
        "mapped by time"
    )
    expected = [] if fps == 25 else [{"id": "a", "notice": notice}]
    assert split["video_notices"] == expected


@pytest.mark.parametrize(
    ("fps", "times", "segment"),
    [
        # Frames [10, 20) at 40 frames in 20 seconds: 5 to 10 seconds.
        (2, (5, 10), (10, 20)),
        (1, (5, 10), (5, 10)),
        (4, (5, 10), (20, 40)),
        # Times that contradict the 40 frames, since these boxes are of 4 frames a second.
        (4, (2.5, 5), (10, 20)),
    ],
)
def test_hcstvg_follows_a_video_that_was_re_encoded(hcstvg_folder, output_dir, fps, times, segment):
    record = hcstvg_folder.add_record("a.mp4", st_frame=11, boxes=10, img_num=40)
    record["st_time"], record["ed_time"] = times
    hcstvg_folder.add_video("a.mp4", 20 * fps, fps=fps)
    hcstvg_folder.write()
    videos = hcstvg.find_videos(str(hcstvg_folder.video_dir))
    found = hcstvg.read_split("train", str(hcstvg_folder.annotation_dir), videos)
    run_on({"train": found}, hcstvg_folder, output_dir, "hcstvg")
    (clip,) = clip_records.read_clips(output_dir, "train")
    assert (clip.begin, clip.end) == (0, 20 * fps)
    assert (clip.sentences[0].begin, clip.sentences[0].end) == segment


def test_a_frame_rate_that_is_declared_wrongly_is_listed(custom_folder, output_dir):
    path = custom_folder.video_dir / "a.mkv"
    path.parent.mkdir(parents=True)
    write_timed(path, np.arange(90) * 1000 // 30, rate=1000)
    custom_folder.add_line("a.mkv", units="seconds", begin=0.5, end=1.5, boxes={"1": [0, 0, 8, 8]})
    custom_folder.write()
    found = custom.read_split(
        "val", str(custom_folder.annotation_dir), str(custom_folder.video_dir)
    )
    split = run_on({"val": found}, custom_folder, output_dir, "custom")["splits"]["val"]
    (clip,) = clip_records.read_clips(output_dir, "val")
    assert (clip.sentences[0].begin, clip.sentences[0].end) == (15, 45)
    assert clip.fps == pytest.approx(30, rel=1e-3)
    (notice,) = split["video_notices"]
    assert notice["notice"].startswith(
        "declares 1000 frames per second, but its time stamps say 30"
    )


def test_videos_of_high_dynamic_range_are_counted(folder, steady, output_dir):
    for vid in "ab":
        folder.add_vidor(vid, {0: steady})
        folder.add_record(vid)
        folder.add_video(vid)
    path = folder.video_dir / "g0" / "b.mp4"
    write_timed(path, 40 * np.arange(40), options={"x264-params": "transfer=smpte2084"})
    split = run(folder, output_dir)["splits"]["val"]
    assert split["notices"]["hdr_videos"] == 1
    (notice,) = split["video_notices"]
    assert notice["id"] == "b" and "is HDR (PQ) and decoded as if it were SDR" in notice["notice"]


def test_a_short_segment_between_the_frames_of_a_re_encoded_video_is_left_out(folder, output_dir):
    folder.add_vidor("a", {0: {frame: (8, 8, 24, 32) for frame in range(60)}}, frame_count=60)
    folder.add_record("a", clip=(0, 59), truth=(11, 12), questions=())["frame_count"] = 60
    folder.add_record("a", clip=(0, 59), truth=(10, 20), questions=())["frame_count"] = 60
    folder.add_video("a", 12, fps=5)
    (skipped,) = run(folder, output_dir)["splits"]["val"]["skipped"]
    assert skipped["reason"] == (
        "video a: segment [11, 12), annotated at 25 frames per second, contains no frame of the "
        "file at 5"
    )


def test_a_video_of_another_rate_and_another_length_is_left_out(folder, output_dir):
    folder.add_vidor("a", {0: {frame: (8, 8, 24, 32) for frame in range(60)}}, frame_count=60)
    folder.add_record("a", clip=(0, 59), truth=(10, 50))["frame_count"] = 60
    folder.add_video("a", 30, fps=5)
    split = run(folder, output_dir)["splits"]["val"]
    assert split["sentences"]["kept"] == 0
    reasons = {skipped["reason"] for skipped in split["skipped"]}
    assert reasons == {
        "video a: has 30 frames at 5 frames per second, annotated as 60 at 25, so the frames that "
        "the annotation means are unknown; use the file that was annotated"
    }
    assert split["video_notices"] == [
        {
            "id": "a",
            "notice": "has 30 frames at 5 frames per second, annotated as 60 at 25; left out",
        }
    ]


def test_a_second_run_extracts_and_changes_nothing(two_videos, output_dir, monkeypatch):
    run(two_videos, output_dir)
    before = contents(output_dir)
    made = count_extractions(monkeypatch)
    run(two_videos, output_dir)
    assert made == []
    assert contents(output_dir) == before


def test_a_run_without_missing_features_builds_no_network(two_videos, output_dir):
    manifest = run(two_videos, output_dir)

    def no_network():
        raise AssertionError("built a network")

    paths = vidstg.find_vidor_annotations(str(two_videos.vidor_dir))
    again = prepare.prepare(
        {"val": vidstg.read_split("val", str(two_videos.annotation_dir), paths)},
        no_network,
        fingerprint=manifest["features"],
        dataset="vidstg",
        video_dir=str(two_videos.video_dir),
        output_dir=output_dir,
        arguments=ARGUMENTS,
    )
    assert again == manifest


@pytest.mark.parametrize("suffix", ["tfrecord", "json"])
def test_deleted_files_are_recreated_with_the_same_bytes(
    two_videos, output_dir, monkeypatch, suffix
):
    run(two_videos, output_dir)
    before = contents(output_dir)
    os.remove(os.path.join(output_dir, "features", f"b.{suffix}"))
    made = count_extractions(monkeypatch)
    run(two_videos, output_dir)
    assert made == ["b"]
    assert contents(output_dir) == before


def test_a_run_that_failed_on_a_full_disk_is_resumed(two_videos, output_dir, monkeypatch):
    run(two_videos, output_dir)
    undisturbed = contents(output_dir)
    other = f"{output_dir}-killed"
    original = feature_records.write_video_features

    def full_at_b(folder, video):
        if video.video_id == "b":
            raise OSError(28, "No space left on device")
        return original(folder, video)

    monkeypatch.setattr(feature_records, "write_video_features", full_at_b)
    with pytest.raises(ValueError, match=f"{other}: No space left"):
        run(two_videos, other)
    assert sorted(contents(other)) == [
        "features/a.json",
        "features/a.tfrecord",
        "features/b.json",
        "settings.json",
    ]
    monkeypatch.setattr(feature_records, "write_video_features", original)
    made = count_extractions(monkeypatch)
    run(two_videos, other)
    assert made == ["b"]
    assert contents(other) == undisturbed


def test_a_video_that_was_missing_is_retried(two_videos, output_dir):
    path = two_videos.video_dir / "g0" / "b.mp4"
    content = path.read_bytes()
    path.unlink()
    assert run(two_videos, output_dir)["splits"]["val"]["sentences"]["skipped"] == 3
    path.write_bytes(content)
    assert run(two_videos, output_dir)["splits"]["val"]["sentences"]["skipped"] == 0


def test_splits_can_be_added_separately(two_videos, steady, output_dir, monkeypatch):
    two_videos.add_record("a", split="train")
    together = run(two_videos, f"{output_dir}-together", ("train", "val"))
    run(two_videos, output_dir, ("train",))
    made = count_extractions(monkeypatch)
    assert run(two_videos, output_dir, ("val",)) == together
    assert made == ["b"]
    assert contents(output_dir) == contents(f"{output_dir}-together")


def test_a_folder_with_other_features_is_refused(two_videos, output_dir):
    run(two_videos, output_dir)
    before = contents(output_dir)
    with pytest.raises(
        ValueError, match=r"created with other settings \(i3d_sha256: '000.*use anoth"
    ):
        run(two_videos, output_dir, sha256="1" * 64)
    assert contents(output_dir) == before


def test_resampling_also_applies_to_the_annotations(folder, steady, output_dir):
    moving = {frame: (frame, 0, frame + 8, 8) for frame in range(40)}
    folder.add_vidor("a", {0: moving})
    folder.add_vidor("short", {0: steady})
    folder.add_video("a")
    folder.add_video("short", frame_count=24)
    folder.add_record("a", clip=(3, 39), truth=(10, 20))
    folder.add_record("a", truth=(11, 14), questions=())
    folder.add_record("short", truth=(16, 30), questions=())
    folder.add_record("short", truth=(30, 35), questions=())
    manifest = run(folder, output_dir, fps=5)
    # From 25 to 5 frames per second: the frames 0, 5, 10, ..., 35.
    first, cut = clip_records.read_clips(output_dir, "val")
    assert (first.begin, first.end, first.frame_count, first.fps) == (1, 8, 8, 5)
    for sentence in first.sentences:
        assert (sentence.begin, sentence.end) == (2, 4)
        np.testing.assert_array_equal(sentence.boxes, [(10, 0, 18, 8), (15, 0, 23, 8)])
    assert (cut.end, cut.frame_count) == (5, 5)
    assert (cut.sentences[0].begin, cut.sentences[0].end) == (4, 5)
    split = manifest["splits"]["val"]
    assert split["sentences"]["total"] == 5 and split["sentences"]["kept"] == 3
    reasons = {skipped["id"]: skipped["reason"] for skipped in split["skipped"]}
    assert sorted(reasons) == ["val-00001-d0", "val-00003-d0"]
    assert reasons["val-00001-d0"] == (
        "video a: segment [11, 14) contains no frame at 5 frames per second"
    )
    assert "after the 24 frames" in reasons["val-00003-d0"]
    assert split["notices"]["sentences_between_resampled_frames"] == 1
    assert split["video_notices"] == [{"id": "short", "notice": "24 of 40 frames can be decoded"}]
    assert manifest["features"]["fps"] == 5
    made = feature_records.read_video_features(output_dir, "a")
    assert (made.frame_count, made.fps, len(made.features)) == (8, 5, 2)


def test_a_resampled_run_is_resumed(two_videos, output_dir, monkeypatch):
    run(two_videos, output_dir, fps=5)
    before = contents(output_dir)
    made = count_extractions(monkeypatch)
    run(two_videos, output_dir, fps=5)
    assert made == [] and contents(output_dir) == before


@pytest.mark.parametrize(("before", "now"), [(None, 5), (5, None), (5, 6)])
def test_a_folder_with_another_frame_rate_is_refused(two_videos, output_dir, before, now):
    run(two_videos, output_dir, fps=before)
    with pytest.raises(ValueError, match=f"fps: {before} there, {now} now.*and --fps"):
        run(two_videos, output_dir, fps=now)


@pytest.mark.parametrize("content", ["[]", "{}", '{"features": [], "splits": 3}'])
@pytest.mark.parametrize(
    ("name", "field"), [("settings.json", "features"), ("manifest.json", "splits")]
)
def test_damaged_files_of_the_folder_are_named(folder, steady, output_dir, name, field, content):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    folder.add_video("a")
    run(folder, output_dir)
    pathlib.Path(output_dir, name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name}: {field}: .*expected an object"):
        run(folder, output_dir)


def test_a_folder_with_features_of_unknown_settings_is_refused(two_videos, output_dir):
    run(two_videos, output_dir)
    os.remove(os.path.join(output_dir, "settings.json"))
    with pytest.raises(ValueError, match=r"is not empty and has no settings\.json"):
        run(two_videos, output_dir)


def test_a_folder_of_other_files_is_refused_and_left_as_it_is(two_videos, tmp_path):
    (tmp_path / "home" / "failures").mkdir(parents=True)
    for name in ("failures/a.txt", "thesis.tmp-1"):
        (tmp_path / "home" / name).write_text("mine")
    before = contents(tmp_path / "home")
    with pytest.raises(ValueError, match=r"home: is not empty and has no settings\.json"):
        run(two_videos, str(tmp_path / "home"))
    assert contents(tmp_path / "home") == before


def test_other_files_in_a_records_folder_stay(two_videos, output_dir):
    run(two_videos, output_dir)
    own = ("inspect/a.tmp-1", "failures/a.txt", "notes.tmp-x", "notes.tmp-1", "clips/b.tmp-1")
    for name in own:
        path = pathlib.Path(output_dir, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    before = contents(output_dir)
    run(two_videos, output_dir)
    assert contents(output_dir) == before


def test_a_folder_in_use_is_refused(two_videos, output_dir):
    with (
        folder_lock(output_dir),
        pytest.raises(ValueError, match=f"in use by process {os.getpid()} on"),
    ):
        run(two_videos, output_dir)
    assert not os.path.exists(output_dir)


def test_a_folder_with_signs_of_patterns_holds_every_clip(two_videos, tmp_path):
    folder = str(tmp_path / "records [a-c] *?")
    assert run(two_videos, folder)["splits"]["val"]["clips"] == 3
    assert len(list(clip_records.read_clips(folder, "val"))) == 3


def test_a_wrong_video_folder_is_an_error(two_videos, output_dir):
    two_videos.video_dir = two_videos.video_dir / "elsewhere"
    with pytest.raises(
        ValueError, match=r"not one of 2 videos can be read; is --video_dir=.*elsewh"
    ):
        run(two_videos, output_dir)
    assert "manifest.json" not in contents(output_dir)


def test_a_split_without_sentences_is_warned_of(output_dir, caplog):
    logging.get_absl_logger().addHandler(caplog.handler)
    manifest = prepare.prepare(
        {"train": SplitAnnotations()},
        make_extractor,
        fingerprint=make_extractor().fingerprint,
        dataset="custom",
        video_dir="none",
        output_dir=output_dir,
        arguments=ARGUMENTS,
    )
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert manifest["splits"]["train"]["clips"] == 0
    assert "train: no sentence can be used" in caplog.text


@pytest.mark.slow
def test_the_program_prints_only_its_summary(two_videos, output_dir):
    two_videos.write()
    command = [
        *(sys.executable, "-m", "data.prepare", "--dataset=vidstg", "--split=val", "--limit=1"),
        f"--annotation_dir={two_videos.annotation_dir}",
        f"--vidor_dir={two_videos.vidor_dir}",
        f"--video_dir={two_videos.video_dir}",
        f"--output_dir={output_dir}",
        "--i3d_weights=random:0",
        "--mirror=val",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert summary["splits"]["val"]["videos"] == 1
    assert summary["splits"]["val"]["sentences"]["kept"] == 4
    assert feature_records.read_video_features(output_dir, "a").features.shape == (10, 7, 7, 1024)
    manifest = json.loads(pathlib.Path(output_dir, "manifest.json").read_text())
    assert manifest["splits"]["val"]["arguments"]["i3d_weights"] == "random:0"
    assert manifest["splits"]["val"]["arguments"]["limit"] == 1
    assert "windows/s" in done.stderr
    # Both splits have the same sentences, of videos that are mirror images of each other.
    sentences = {"total": 4, "kept": 4, "skipped": 0, "declarative": 2, "interrogative": 2}
    assert manifest["splits"]["val_mirrored"]["sentences"] == sentences
    clips = list(clip_records.read_clips(output_dir, "val+val_mirrored"))
    assert [clip.video_id for clip in clips] == ["a", "a", "a~mirrored", "a~mirrored"]
    path = str(two_videos.video_dir / "g0" / "a.mp4")
    extractor = extraction.FeatureExtractor.from_source("random:0")
    np.testing.assert_array_equal(
        feature_records.read_video_features(output_dir, "a~mirrored").features,
        extractor.extract(path, mirrored=True).features,
    )

    done = subprocess.run([*command, "--mirror=train"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "--mirror: ['train'] not among the splits ['val']" in done.stderr
    command.append("--beam_options='half")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--beam_options='half: No closing quotation; see " in done.stderr


@pytest.mark.slow
def test_counting_prints_one_line_and_needs_no_videos_or_vidor_annotations(folder):
    folder.add_record("a", questions=("who?", "what?"))
    folder.add_record("b", captions=("",), questions=())
    folder.write()
    command = [
        *(sys.executable, "-m", "data.prepare", "--annotations_only", "--dataset", "vidstg"),
        *("--annotation_dir", str(folder.annotation_dir), "--split", "val"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (reason,) = json.loads(done.stdout).pop("reasons")
    assert reason.startswith("val_annotations.json: record 1: captions[0].description")
    assert json.loads(done.stdout) == {
        "split": "val",
        "records": 2,
        "declarative": 2,
        "interrogative": 2,
        "kept": 3,
        "skipped": 1,
        "reasons": {reason: 1},
    }
