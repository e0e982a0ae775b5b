"""Reader of VidSTG: sentences, tubes and all validation errors."""

import collections
import json
import os
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import annotations, vidstg

EXCERPT = pathlib.Path(__file__).with_name("vidstg_excerpt.json")


def read(folder, split="val", limit=None):
    folder.write()
    paths = vidstg.find_vidor_annotations(str(folder.vidor_dir))
    return vidstg.read_split(split, str(folder.annotation_dir), paths, limit)


def sentences_of(found):
    return {sentence.id: sentence for clip in found.clips for sentence in clip.sentences}


def reasons_of(found):
    return {skipped.id: skipped.reason for skipped in found.skipped}


@pytest.fixture
def excerpt(folder):
    """Real records, in the spelling of the real file, with generated boxes for every target."""
    records = json.loads(EXCERPT.read_text(encoding="utf-8"))
    folder.records["val"] = records
    targets = collections.defaultdict(set)
    for record in records:
        for sentence in record["captions"] + record["questions"]:
            targets[record["vid"]].add(sentence["target_id"])
    for record in records:
        count = record["frame_count"]
        folder.add_vidor(
            record["vid"],
            {tid: dict.fromkeys(range(count), (1, 2, 30, 40)) for tid in targets[record["vid"]]},
            frame_count=count,
            width=record["width"],
            height=record["height"],
        )
    return folder


def test_every_sentence_of_the_real_records_is_kept(excerpt):
    found = read(excerpt)
    sentences = sentences_of(found)
    qtypes = collections.Counter(sentence.qtype for sentence in sentences.values())
    assert qtypes == {"declarative": 19, "interrogative": 18}
    assert found.skipped == []
    assert sorted(s.index for s in sentences.values()) == list(range(37))
    assert len(found.clips) == 17
    assert len(found.videos) == 15
    for clip in found.clips:
        for sentence in clip.sentences:
            assert clip.begin <= sentence.begin < sentence.end <= clip.end <= clip.frame_count
            assert sentence.boxes.shape == (sentence.end - sentence.begin, 4)


def test_irregularities_of_the_real_records(excerpt):
    found = read(excerpt)
    sentences = sentences_of(found)
    texts = {name: sentence.text for name, sentence in sentences.items()}
    assert texts["val-00018-i0"] == "who is behind an adult standing in the middle?"
    assert texts["val-00017-i0"] == "who is next to the adult on the left?"
    assert texts["val-00008-i0"] == "who carries the green backpack on the road?"
    assert texts["val-00012-d0"].endswith("umbrella")
    assert texts["val-00013-d0"] == "the adult in red is beneath the ball/sports ball."
    assert texts["val-00014-i0"] == "who is playing (instrument) the piano?"
    assert "val-00005-i0" not in texts
    assert [sentences[f"val-00001-{k}"].target_id for k in ("d0", "i0", "i1")] == [1, 1, 3]
    assert found.notices["repeated_sentences"] == 2
    assert found.notices["sentences_with_cleaned_text"] == 6
    fps = {clip.video_id: clip.fps for clip in found.clips}
    assert (fps["8483279367"], fps["10712559773"]) == (25.0, 29.97)


def test_the_clips_of_the_first_real_video(excerpt):
    clips = [clip for clip in read(excerpt).clips if clip.video_id == "10712559773"]
    assert [(clip.begin, clip.end) for clip in clips] == [(496, 596), (495, 596), (0, 596)]
    segments = [(s.begin, s.end) for s in clips[0].sentences]
    assert segments == [(510, 556), (510, 556)]


def test_records_of_one_clip_are_merged(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_vidor("b", {0: steady})
    for vid, clip in [("a", (0, 39)), ("b", (0, 39)), ("a", (4, 39)), ("a", (0, 39))]:
        folder.add_record(vid, clip=clip)
    found = read(folder)
    ids = [(c.video_id, c.begin, c.end, [s.id for s in c.sentences]) for c in found.clips]
    assert ids == [
        ("a", 0, 40, ["val-00000-d0", "val-00000-i0", "val-00003-d0", "val-00003-i0"]),
        ("b", 0, 40, ["val-00001-d0", "val-00001-i0"]),
        ("a", 4, 40, ["val-00002-d0", "val-00002-i0"]),
    ]
    assert [[s.index for s in c.sentences] for c in found.clips] == [[0, 1, 6, 7], [2, 3], [4, 5]]
    assert found.videos == {"a": "g0/a.mp4", "b": "g0/b.mp4"}
    assert found.notices["repeated_sentences"] == 2


def test_videos_of_the_test_split_are_found_under_validation(folder, steady):
    folder.add_vidor("a", {0: steady}, folder="validation")
    folder.add_record("a", split="test")
    assert list(sentences_of(read(folder, "test"))) == ["test-00000-d0", "test-00000-i0"]


def test_boxes_are_those_of_the_target_in_the_true_segment(folder):
    tracks = {tid: {f: (f, tid, f + 2, tid + 2) for f in range(40)} for tid in (3, 4)}
    folder.add_vidor("a", tracks)
    folder.add_record("a", truth=(10, 12), target=4)
    sentence = sentences_of(read(folder))["val-00000-d0"]
    assert (sentence.begin, sentence.end, sentence.target_id) == (10, 12, 4)
    np.testing.assert_array_equal(sentence.boxes, [[10, 4, 12, 6], [11, 4, 13, 6]])
    assert sentence.boxes.dtype == np.float32


def test_gaps_are_interpolated_and_the_ends_extrapolated(folder):
    track = {12: (12, 0, 20, 8), 13: (14, 0, 22, 8), 17: (30, 8, 38, 16)}
    folder.add_vidor("a", {0: track})
    folder.add_record("a", truth=(10, 20), questions=())
    found = read(folder)
    boxes = sentences_of(found)["val-00000-d0"].boxes
    np.testing.assert_array_equal(boxes[:, 0], [12, 12, 12, 14, 18, 22, 26, 30, 30, 30])
    np.testing.assert_array_equal(boxes[:, 3], [8, 8, 8, 8, 10, 12, 14, 16, 16, 16])
    assert found.notices["interpolated_boxes"] == 3
    assert found.notices["held_boxes"] == 4


def test_a_gap_at_the_segments_edge_is_interpolated_from_boxes_outside_it(folder):
    folder.add_vidor("a", {0: {8: (0, 0, 8, 8), 12: (8, 0, 16, 8)}})
    folder.add_record("a", truth=(10, 13))
    found = read(folder)
    boxes = sentences_of(found)["val-00000-d0"].boxes
    np.testing.assert_array_equal(boxes[:, 0], [4, 6, 8])


@given(
    st.dictionaries(st.integers(0, 30), st.integers(0, 50), min_size=1),
    st.integers(0, 30),
    st.integers(1, 10),
)
def test_filled_boxes_follow_the_definition(known, begin, length):
    frames = np.array(sorted(known))
    lefts = np.array([known[frame] for frame in frames], np.float32)
    track = annotations.Track(frames, np.stack([lefts, lefts, lefts + 5, lefts + 5], axis=1))
    end = begin + length
    if max(known) < begin or min(known) >= end:
        with pytest.raises(ValueError, match="no box in frames"):
            track.boxes_between(begin, end, 100, 100)
        return
    boxes, counts = track.boxes_between(begin, end, 100, 100)
    expected, interpolated, held = [], 0, 0
    for frame in range(begin, end):
        before = [f for f in known if f <= frame]
        after = [f for f in known if f >= frame]
        if not before or not after:
            held += 1
            expected.append(known[min(after) if after else max(before)])
            continue
        left, right = max(before), min(after)
        interpolated += left != right
        share = (frame - left) / (right - left) if right > left else 0
        expected.append(known[left] + share * (known[right] - known[left]))
    np.testing.assert_allclose(boxes[:, 0], expected, rtol=1e-5, atol=1e-5)
    assert (counts["interpolated_boxes"], counts["held_boxes"]) == (interpolated, held)


def test_boxes_are_clipped_to_the_frame_and_counted(folder):
    track = {10: (-5, 4, 20, 60), 11: (60, 0, 70, 8), 12: (70, 0, 80, 8), 13: (4, 4, 4, 8)}
    folder.add_vidor("a", {0: track})
    folder.add_record("a", truth=(10, 14), questions=())
    found = read(folder)
    np.testing.assert_array_equal(
        sentences_of(found)["val-00000-d0"].boxes,
        [[0, 4, 20, 48], [60, 0, 64, 8], [64, 0, 64, 8], [4, 4, 4, 8]],
    )
    assert found.notices["clipped_boxes"] == 3
    assert found.notices["boxes_without_area"] == 2


@pytest.mark.parametrize("bad", [(9, 8, 7, 10), (1, None, 3, 4), (1, 2, "3", 4), (1, 2, 3, 1e400)])
def test_an_invalid_box_is_treated_as_a_gap(folder, steady, bad):
    folder.add_vidor("a", {0: steady | {15: bad}})
    folder.add_record("a", questions=())
    found = read(folder)
    np.testing.assert_array_equal(sentences_of(found)["val-00000-d0"].boxes, [(8, 8, 24, 32)] * 10)
    assert found.notices["unusable_boxes"] == 1
    assert found.notices["interpolated_boxes"] == 1


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\xa0dog  runs. \t\n", "a dog runs."),
        ("\u3000who?\u2003", "who?"),
        ("ﬁne dog", "fine dog"),
        (" \xa0 ", ""),
    ],
)
def test_text_is_cleaned(raw, clean):
    assert annotations.clean_text(raw) == clean


@given(st.text())
def test_clean_text_is_stable_and_single_spaced(text):
    clean = annotations.clean_text(text)
    assert annotations.clean_text(clean) == clean
    assert clean == " ".join(clean.split())


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("vid",), None, "vid: expected a video's id, got None"),
        (("vid",), 12, "vid: expected a video's id, got 12"),
        (("vid",), "a~mirrored", "vid: 'a~mirrored' ends in ~mirrored, as the ids of"),
        (("fps",), 0, "fps: expected a positive number, got 0"),
        (("fps",), "25", "fps: expected a positive number, got '25'"),
        (("frame_count",), 0, "frame_count: expected an integer of at least 1, got 0"),
        (("used_segment",), None, "used_segment.begin_fid: missing field; expected an integer"),
        (("used_segment", "end_fid"), 39.5, "used_segment.end_fid: expected an integer"),
        (("used_segment", "end_fid"), -1, "used_segment.end_fid: expected an integer"),
        (("used_segment", "begin_fid"), 40, "used_segment: contains no frame"),
        (("temporal_gt", "begin_fid"), True, "temporal_gt.begin_fid: expected an integer"),
        (("temporal_gt", "end_fid"), 10, "temporal_gt: contains no frame"),
        (("temporal_gt",), {"begin_fid": 50, "end_fid": 60}, r"temporal_gt: [50, 60) lies outside"),
    ],
)
def test_a_bad_record_is_skipped_and_reported_with_file_record_and_field(
    folder, steady, path, value, reason
):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    place = folder.add_record("a", questions=("who?", "what?"))
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    folder.add_record("a")
    found = read(folder)
    ids = ["val-00001-d0", "val-00001-i0", "val-00001-i1"]
    assert list(reasons_of(found)) == ids
    for skipped in found.skipped:
        assert skipped.reason.startswith(f"val_annotations.json: record 1: {reason}")
    assert found.kept == 4
    assert [s.index for s in sentences_of(found).values()] == [0, 1, 5, 6]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"description": " \xa0", "target_id": 0}, "description: expected a sentence, got"),
        ({"description": None, "target_id": 0}, "description: expected a sentence, got None"),
        ({"target_id": 0}, "description: expected a sentence, got None"),
        ({"description": "a dog."}, "target_id: expected an integer, got None"),
        ({"description": "a dog.", "target_id": [0]}, r"target_id: expected an integer, got [0]"),
        ({"description": "a dog.", "target_id": 9}, "target_id: trajectory 9 has no valid box"),
        (
            {"description": "a dog.", "target_id": 1},
            r"target_id: trajectory 1: the target has no box in frames [10, 20)",
        ),
    ],
)
def test_a_bad_sentence_skips_only_that_sentence(folder, steady, entry, reason):
    folder.add_vidor("a", {0: steady, 1: {30: (1, 1, 2, 2)}})
    folder.add_record("a")["captions"].append(entry)
    found = read(folder)
    (skipped,) = found.skipped
    assert skipped.id == "val-00000-d1"
    assert skipped.reason.startswith(f"val_annotations.json: record 0: captions[1].{reason}")
    assert list(sentences_of(found)) == ["val-00000-d0", "val-00000-i0"]


def test_a_sentence_that_is_not_a_json_object_is_skipped(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")["captions"].append("a dog.")
    assert list(reasons_of(read(folder))) == ["val-00000-d1"]


@pytest.mark.parametrize("record", [None, [], "record", {}])
def test_a_record_with_malformed_lists_counts_one_sentence_for_each_list(folder, steady, record):
    folder.add_vidor("a", {0: steady})
    folder.records["val"].append(record)
    folder.add_record("a")
    found = read(folder)
    assert reasons_of(found) == {
        "val-00000-d0": "val_annotations.json: record 0: captions: missing field; expected a list",
        "val-00000-i0": "val_annotations.json: record 0: questions: missing field; expected a list",
    }
    assert found.kept == 2


def test_a_record_with_a_repeated_key_is_skipped(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a", questions=())
    folder.add_record("a", questions=())
    folder.write()
    path = folder.annotation_dir / "val_annotations.json"
    path.write_text(path.read_text().replace('"fps"', '"fps": 3, "fps"', 1))
    found = vidstg.read_split(
        "val", str(folder.annotation_dir), vidstg.find_vidor_annotations(str(folder.vidor_dir))
    )
    assert reasons_of(found) == {
        "val-00000-d0": "val_annotations.json: record 0: key 'fps' occurs twice"
    }
    assert found.kept == 1


def test_a_segment_that_exceeds_the_clip_is_cut_and_counted(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a", clip=(12, 15), truth=(10, 20), questions=())
    found = read(folder)
    sentence = sentences_of(found)["val-00000-d0"]
    assert (sentence.begin, sentence.end, len(sentence.boxes)) == (12, 16, 4)
    assert found.notices["segments_cut_to_clip"] == 1


def test_segments_are_cut_to_the_annotated_frames_of_the_video(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_vidor("b", {0: steady})
    for record in (
        folder.add_record("a", clip=(0, 999_999), truth=(36, 1_000_000), questions=()),
        folder.add_record("b", clip=(30, 999_999), truth=(38, 1_000_000), questions=()),
    ):
        assert record["frame_count"] == 40
    folder.records["val"][1]["frame_count"] = 1_000_000  # VidOR lists 40 frames
    found = read(folder)
    assert [(c.video_id, c.begin, c.end) for c in found.clips] == [
        ("a", 0, 40),
        ("b", 30, 1_000_000),
    ]
    segments = {name: (s.begin, s.end, len(s.boxes)) for name, s in sentences_of(found).items()}
    assert segments == {"val-00000-d0": (36, 40, 4), "val-00001-d0": (38, 40, 2)}
    assert found.notices["clips_cut_to_video"] == 1
    assert found.notices["segments_cut_to_clip"] == 2


def test_a_clip_after_the_end_of_the_video_is_skipped(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a", clip=(40, 59), truth=(45, 50), questions=())
    assert reasons_of(read(folder)) == {
        "val-00000-d0": "val_annotations.json: record 0: used_segment: [40, 60) begins after the "
        "40 frames of the video"
    }


@pytest.mark.parametrize("path", ["../a.mp4", "g0/../../a.mp4", "/videos/a.mp4"])
def test_a_video_outside_of_the_folder_is_not_read(folder, steady, path):
    folder.add_vidor("a", {0: steady})["video_path"] = path
    folder.add_record("a", questions=())
    found = read(folder)
    assert found.videos == {}
    assert reasons_of(found) == {
        "val-00000-d0": f"{folder.vidor_dir}/training/g0/a.json: video_path: {path!r} is outside "
        "of --video_dir; expected a path below it"
    }


def test_a_video_without_vidor_annotation_skips_only_its_own_sentences(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("gone")
    folder.add_record("a")
    found = read(folder)
    assert reasons_of(found) == dict.fromkeys(
        ["val-00000-d0", "val-00000-i0"], "video gone: no VidOR annotation"
    )
    assert found.kept == 2


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("video_path", None, "video_path: expected a path, got None"),
        ("width", 0, "width: expected an integer of at least 1, got 0"),
        ("trajectories", None, "trajectories: expected a list, got None"),
        ("trajectories", [None], r"trajectories[0]: expected a list, got None"),
    ],
)
def test_a_bad_vidor_file_skips_only_its_own_sentences(folder, steady, field, value, reason):
    folder.add_vidor("a", {0: steady})[field] = value
    folder.add_vidor("b", {0: steady})
    folder.add_record("a")
    folder.add_record("b")
    found = read(folder)
    assert list(reasons_of(found)) == ["val-00000-d0", "val-00000-i0"]
    assert all(f"g0/a.json: {reason}" in skipped.reason for skipped in found.skipped)
    assert found.kept == 2


def test_a_vidor_file_that_is_too_large_is_not_read(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    folder.write()
    paths = vidstg.find_vidor_annotations(str(folder.vidor_dir))
    os.truncate(paths["a"], vidstg.MAX_VIDOR_BYTES + 1)  # a hole takes no space on the disk
    found = vidstg.read_split("val", str(folder.annotation_dir), paths)
    (reason,) = set(reasons_of(found).values())
    assert f"{paths['a']}: has 134217729 bytes, expected at most 134217728" in reason


def test_a_vidor_file_that_is_not_json_skips_only_its_own_sentences(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    folder.write()
    path = folder.vidor_dir / "training" / "g0" / "a.json"
    path.write_text(path.read_text()[:100])
    paths = vidstg.find_vidor_annotations(str(folder.vidor_dir))
    found = vidstg.read_split("val", str(folder.annotation_dir), paths)
    assert found.clips == []
    assert all("a.json: not valid JSON" in skipped.reason for skipped in found.skipped)
    assert len(found.skipped) == 2


def test_objects_that_no_sentence_uses_may_be_malformed(folder, steady):
    annotation = folder.add_vidor("a", {0: steady})
    annotation["trajectories"][12] += [None, {"tid": [0]}, {"tid": 7, "bbox": None}]
    folder.add_record("a")
    assert read(folder).kept == 2


def test_the_limit_is_a_number_of_videos(folder, steady):
    for vid in "abc":
        folder.add_vidor(vid, {0: steady})
    for vid in "abac":
        folder.add_record(vid, questions=())
    found = read(folder, limit=2)
    assert list(sentences_of(found)) == ["val-00000-d0", "val-00002-d0", "val-00001-d0"]
    assert set(found.videos) == {"a", "b"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("[{", "not valid JSON"), ('{"a": 1}', "expected a list, got {'a': 1}")],
)
def test_a_malformed_annotation_file_is_an_error(folder, steady, content, message):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    folder.write()
    (folder.annotation_dir / "val_annotations.json").write_text(content)
    with pytest.raises(ValueError, match=rf"val_annotations\.json: {message}"):
        vidstg.read_split("val", str(folder.annotation_dir), {})


def test_a_missing_annotation_file_is_an_error(folder):
    with pytest.raises(FileNotFoundError, match=r"train_annotations\.json: no such file"):
        vidstg.read_split("train", str(folder.annotation_dir), {})


def test_a_folder_without_vidor_annotations_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no VidOR annotations; expected training/GROUP"):
        vidstg.find_vidor_annotations(str(tmp_path))


def test_two_annotations_of_one_video_are_an_error(folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_vidor("a", {0: steady}, folder="validation")
    folder.write()
    with pytest.raises(ValueError, match="video a has two annotations"):
        vidstg.find_vidor_annotations(str(folder.vidor_dir))
