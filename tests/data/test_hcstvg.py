"""Reader of HC-STVG: frames, boxes and all validation errors."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import hcstvg
from data.annotations import END_OF_VIDEO


def read(folder, split="train", limit=None):
    folder.write()
    videos = hcstvg.find_videos(str(folder.video_dir))
    return hcstvg.read_split(split, str(folder.annotation_dir), videos, limit)


def touch(folder, path):
    path = folder.video_dir / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def sentence_of(found):
    (clip,) = found.clips
    (sentence,) = clip.sentences
    return sentence


@pytest.mark.parametrize("file", ["train.json", "train_v2.json"])
def test_both_versions_give_the_same_records(hcstvg_folder, file):
    hcstvg_folder.add_record("55_vfjywN5CN0Y.mp4", file=file)
    touch(hcstvg_folder, "3/55_vfjywN5CN0Y.mp4")
    found = read(hcstvg_folder)
    (clip,) = found.clips
    assert (clip.video_id, clip.begin, clip.end) == ("55_vfjywN5CN0Y.mp4", 0, END_OF_VIDEO)
    assert (clip.width, clip.height, clip.frame_count, clip.fps) == (64, 48, 40, 2)
    (sentence,) = clip.sentences
    assert (sentence.id, sentence.index) == ("train-00000", 0)
    assert (sentence.text, sentence.qtype) == ("The man sits.", "declarative")
    assert (sentence.begin, sentence.end) == (10, 20)
    np.testing.assert_array_equal(sentence.boxes, [(8, 8, 24, 32)] * 10)
    assert found.videos == {"55_vfjywN5CN0Y.mp4": "3/55_vfjywN5CN0Y.mp4"}
    assert found.skipped == []
    assert not any(found.notices.values())


def test_a_shortened_published_record(hcstvg_folder):
    # The first and last boxes of a record of version 1, without the frames in between.
    hcstvg_folder.files["test.json"]["14_wfEOx36N4jA.mp4"] = {
        "bbox": [[339, 169, 248, 271], [389, 177, 210, 264], [386, 292, 159, 151]],
        "st_time": 0.010773748876236071,
        "ed_time": 0.12,
        "img_num": 501,
        "caption": "The girl gets up, is caught by the opposite man, and pushes her to sit down.",
        "width": 656,
        "height": 480,
        "st_frame": 1,
    }
    found = read(hcstvg_folder, "test")
    sentence = sentence_of(found)
    assert found.clips[0].fps == 25.05
    assert (sentence.begin, sentence.end) == (0, 3)
    np.testing.assert_array_equal(
        sentence.boxes, [[339, 169, 587, 440], [389, 177, 599, 441], [386, 292, 545, 443]]
    )


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 30), st.integers(0, 30))
def test_a_box_is_read_as_corner_and_size_and_clipped_to_the_frame(x, y, width, height):
    boxes, usable = hcstvg._boxes([[x, y, width, height]])
    assert usable.all()
    np.testing.assert_array_equal(boxes, [[x, y, x + width, y + height]])


def test_negative_boxes(hcstvg_folder):
    record = hcstvg_folder.add_record("a.mp4", boxes=5)
    # The first exceeds the frame; the next two have a negative size and are invalid.
    record["bbox"][0] = [-4, 0, 16, 60]
    record["bbox"][1:3] = [[-40, 0, -27, -47], [0, 0, 8, -1]]
    record["bbox"][3] = [8, 0, 16, 24]
    found = read(hcstvg_folder)
    boxes = sentence_of(found).boxes
    np.testing.assert_array_equal(
        boxes[[0, 3, 4]], [(0, 0, 12, 48), (8, 0, 24, 24), (8, 8, 24, 32)]
    )
    np.testing.assert_array_equal(boxes[[1, 2], 0], [0, 4])
    counts = ("unusable_boxes", "interpolated_boxes", "clipped_boxes")
    assert [found.notices[name] for name in counts] == [2, 2, 1]


def test_invalid_boxes_at_the_ends_repeat_the_nearest_valid_one(hcstvg_folder):
    record = hcstvg_folder.add_record("a.mp4", boxes=4)
    record["bbox"][0] = [math.nan, 0, 1, 1]
    record["bbox"][3] = None
    found = read(hcstvg_folder)
    np.testing.assert_array_equal(sentence_of(found).boxes, [(8, 8, 24, 32)] * 4)
    assert (found.notices["unusable_boxes"], found.notices["held_boxes"]) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"img_num": 12}, "segments_beyond_img_num"),
        ({"ed_time": 14.5}, "times_unlike_boxes"),
        ({"st_time": None}, "times_unlike_boxes"),
        ({"caption": "The\xa0man  sits. "}, "sentences_with_cleaned_text"),
    ],
)
def test_unusual_but_usable_records_are_counted(hcstvg_folder, changes, notice):
    hcstvg_folder.add_record("a.mp4").update(changes)
    found = read(hcstvg_folder)
    sentence = sentence_of(found)
    assert (sentence.begin, sentence.end, sentence.text) == (10, 20, "The man sits.")
    assert found.notices[notice] == 1


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("caption", " ", "caption: expected a sentence, got ' '"),
        ("caption", "man \ud83d", "caption: expected a sentence, got 'man \\ud83d'"),
        ("img_num", 0, "img_num: expected an integer of at least 1, got 0"),
        ("img_num", "40", "img_num: expected an integer of at least 1, got '40'"),
        ("st_frame", 0, "st_frame: expected an integer of at least 1, got 0"),
        ("st_frame", 1.5, "st_frame: expected an integer of at least 1, got 1.5"),
        ("width", None, "width: expected an integer of at least 1, got None"),
        ("img_size", [48], "img_size: expected [height, width], got [48]"),
        ("img_size", [0, 64], "img_size.height: expected an integer of at least 1, got 0"),
        ("bbox", [], "bbox: expected a list of boxes, got an empty list"),
        ("bbox", "boxes", "bbox: expected a list of boxes, got str"),
        (
            "bbox",
            [[0, 0, -1, 5], [1, 2, 3]],
            "bbox: none of the 2 boxes is valid; expected numbers [x, y, w, h]",
        ),
    ],
)
def test_a_bad_record_is_skipped_and_reported_with_file_record_and_field(
    hcstvg_folder, field, value, reason
):
    hcstvg_folder.add_record("a.mp4")
    hcstvg_folder.add_record("b.mp4")[field] = value
    hcstvg_folder.add_record("c.mp4")
    found = read(hcstvg_folder)
    (skipped,) = found.skipped
    assert skipped.id == "train-00001"
    assert skipped.reason.startswith(f"train.json: record 1, 'b.mp4': {reason}")
    assert [clip.sentences[0].index for clip in found.clips] == [0, 2]
    account = hcstvg.account_split("train", str(hcstvg_folder.annotation_dir))
    assert account.to_json() == {
        "records": 3,
        "declarative": 3,
        "interrogative": 0,
        "kept": 2,
        "skipped": 1,
        "reasons": {skipped.reason: 1},
    }


def write_text(folder, text):
    folder.annotation_dir.mkdir(parents=True, exist_ok=True)
    (folder.annotation_dir / "train.json").write_text(text)


def test_a_duplicate_name_is_read_once(hcstvg_folder):
    record = json.dumps(hcstvg_folder.add_record("a.mp4"))
    write_text(hcstvg_folder, f'{{"a.mp4": {record}, "b.mp4": {record}, "a.mp4": {record}}}')
    found = hcstvg.read_split("train", str(hcstvg_folder.annotation_dir), {})
    assert [clip.video_id for clip in found.clips] == ["a.mp4", "b.mp4"]
    (skipped,) = found.skipped
    assert skipped.reason == "train.json: record 2, 'a.mp4': duplicate name; record 0 is used"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("[1]", "expected an object, got [1]"),
        ('{"caption": 1, "caption": 2}', "key 'caption' occurs twice"),
    ],
)
def test_a_record_of_another_type_is_skipped(hcstvg_folder, record, reason):
    write_text(hcstvg_folder, f'{{"a.mp4": {record}}}')
    found = hcstvg.read_split("train", str(hcstvg_folder.annotation_dir), {})
    assert [skipped.reason for skipped in found.skipped] == [
        f"train.json: record 0, 'a.mp4': {reason}"
    ]


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["a.mp4"], "a.mp4"),
        (["5/a.mp4"], "5/a.mp4"),
        (["1/deep/a.mp4", "1/a.mkv"], "1/deep/a.mp4"),
        (["1/a.mkv"], "1/a.mkv"),
        (["1/a.json", "1/b.mp4"], "a.mp4"),
        ([], "a.mp4"),
    ],
)
def test_a_video_is_found_by_name_in_any_subfolder(hcstvg_folder, files, path):
    hcstvg_folder.add_record("a.mp4")
    for file in files:
        touch(hcstvg_folder, file)
    assert read(hcstvg_folder).videos == {"a.mp4": path}


def test_a_video_with_two_files_is_skipped(hcstvg_folder):
    hcstvg_folder.add_record("a.mp4")
    hcstvg_folder.add_record("b.mp4")
    for file in ("1/a.mp4", "2/a.mp4", "2/b.mp4"):
        touch(hcstvg_folder, file)
    found = read(hcstvg_folder)
    assert [(skipped.id, skipped.reason) for skipped in found.skipped] == [
        (
            "train-00000",
            "video a.mp4: found 2 files: 1/a.mp4, 2/a.mp4; remove all but one",
        )
    ]
    assert found.videos == {"b.mp4": "2/b.mp4"}


def test_links_to_a_folder_above_are_not_followed(hcstvg_folder):
    hcstvg_folder.add_record("a.mp4")
    touch(hcstvg_folder, "1/a.mp4")
    for name in "xyz":
        (hcstvg_folder.video_dir / "1" / name).symlink_to("..")
    assert read(hcstvg_folder).videos == {"a.mp4": "1/a.mp4"}


def test_a_name_with_the_end_of_mirrored_videos_is_refused(hcstvg_folder):
    hcstvg_folder.add_record("a~mirrored")
    assert [skipped.reason for skipped in read(hcstvg_folder).skipped] == [
        "train.json: record 0, 'a~mirrored': name: 'a~mirrored' ends in ~mirrored, as the ids of "
        "mirrored videos do; rename the video"
    ]


def test_a_video_outside_of_the_folder_is_not_read(hcstvg_folder):
    hcstvg_folder.add_record("../a.mp4")
    found = read(hcstvg_folder)
    assert found.videos == {}
    assert [skipped.reason for skipped in found.skipped] == [
        "video: '../a.mp4' is outside of --video_dir; expected a path below it"
    ]


def test_the_limit_is_a_number_of_videos(hcstvg_folder):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        hcstvg_folder.add_record(name)
    assert [clip.video_id for clip in read(hcstvg_folder, limit=2).clips] == ["a.mp4", "b.mp4"]


def test_a_file_without_a_json_object_is_an_error(hcstvg_folder):
    write_text(hcstvg_folder, "[]")
    with pytest.raises(ValueError, match=r"train\.json: expected an object of records by video"):
        read(hcstvg_folder)


def test_a_split_in_both_versions_is_an_error(hcstvg_folder):
    hcstvg_folder.add_record("a.mp4")
    hcstvg_folder.add_record("a.mp4", file="train_v2.json")
    with pytest.raises(ValueError, match=r"contains both train\.json and train_v2\.json; keep one"):
        read(hcstvg_folder)


def test_a_split_without_a_file_is_an_error(hcstvg_folder):
    with pytest.raises(FileNotFoundError, match=r"test\.json or .*test_v2\.json: no such file"):
        read(hcstvg_folder, "test")
