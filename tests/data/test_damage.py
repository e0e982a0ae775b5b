"""Records of a small data set in each format with all known kinds of damage.

Every sentence is counted, each skipped one has a reason, and valid ones are kept.
"""

import dataclasses
import json

import pytest

from data import custom, hcstvg, prepare, vidstg
from gkcmn_tf.records import clip_records
from tests.data.mean_extractor import make_extractor


def damage_videos(folder, valid):
    """Writes damaged copies of the valid video `valid` into its folder."""
    content = valid.read_bytes()
    directory = valid.parent
    (directory / "empty.mp4").write_bytes(b"")
    (directory / "text.mp4").write_text("This is not a video.")
    (directory / "header.mp4").write_bytes(content[:64])
    (directory / "folder.mp4").mkdir()
    # The index is at the beginning, so that the remaining frames can be decoded.
    (directory / "cut.mp4").write_bytes(content[: int(0.7 * len(content))])


VIDEO_REASONS = {
    "missing.mp4": "missing.mp4: no such file",
    "empty.mp4": "empty.mp4: cannot be opened as a video",
    "text.mp4": "text.mp4: cannot be opened as a video",
    "header.mp4": "header.mp4: has no video stream",
    "folder.mp4": "folder.mp4: cannot be opened as a video",
}


@dataclasses.dataclass
class Outcome:
    """Result for a split: its part of the manifest and the written records."""

    manifest: dict
    reasons: dict[str, str]
    sentences: dict[str, clip_records.Sentence]
    clips: dict[str, clip_records.Clip]
    notices: dict[str, str]


def make_records(annotations, split, dataset, video_dir, output_dir):
    manifest = prepare.prepare(
        {split: annotations},
        make_extractor,
        dataset=dataset,
        video_dir=str(video_dir),
        output_dir=str(output_dir),
        arguments={},
        fingerprint=make_extractor().fingerprint,
    )
    assert manifest == json.loads((output_dir / "manifest.json").read_text())
    part = manifest["splits"][split]
    clips = list(clip_records.read_clips(str(output_dir), split))
    return Outcome(
        manifest=part,
        reasons={skipped["id"]: skipped["reason"] for skipped in part["skipped"]},
        sentences={sentence.id: sentence for clip in clips for sentence in clip.sentences},
        clips={clip.video_id: clip for clip in clips},
        notices={notice["id"]: notice["notice"] for notice in part["video_notices"]},
    )


def check_account(outcome, total, expected):
    """`kept + skipped = total`, and each skipped sentence has the expected reason."""
    counts = outcome.manifest["sentences"]
    assert (counts["total"], counts["kept"] + counts["skipped"]) == (total, total)
    assert counts["kept"] == len(outcome.sentences) == total - len(expected)
    assert outcome.reasons.keys() == expected.keys()
    for sentence_id, reason in expected.items():
        assert reason in outcome.reasons[sentence_id]
    for sentence_id, sentence in outcome.sentences.items():
        assert sentence_id not in outcome.reasons
        assert sentence.boxes.shape == (sentence.end - sentence.begin, 4)
    for clip in outcome.clips.values():
        assert clip.end <= clip.frame_count


def damage_vidstg(folder, steady):
    """Writes the data set; returns the number of sentences and the expected skip reasons."""
    damage_videos(folder, folder.add_video("valid"))
    folder.add_video("short", frame_count=24)
    folder.add_video("other_size", width=80, height=48)
    folder.add_video("turned", width=48, height=64)
    expected, number = {}, 0

    def add(reason=None, *, vid="valid", vidor=True, **changes):
        """Adds a record with one sentence, which must be skipped if `reason` is given."""
        nonlocal number
        if vidor and ("training", vid) not in folder.vidor:
            folder.add_vidor(vid, {0: steady, 1: {30: (1, 1, 2, 2)}})
        if reason:
            expected[f"val-{number:05d}-d0"] = reason
        number += 1
        return folder.add_record(vid, questions=(), **changes)

    add()
    for name, reason in VIDEO_REASONS.items():
        add(reason, vid=name.removesuffix(".mp4"))
    add(vid="cut")
    add(vid="short", truth=(20, 30))
    add("[30, 35) begins after the 24 frames that can be decoded", vid="short", truth=(30, 35))
    add(vid="other_size")
    add("is 48x64, annotated as 64x48: width and height are swapped", vid="turned")
    add("video unknown: no VidOR annotation", vid="unknown", vidor=False)
    add("trajectories: expected a list, got None", vid="no_tracks")
    folder.vidor["training", "no_tracks"]["trajectories"] = None
    add("trajectory 7 has no valid box", target=7)
    add("trajectory 1: the target has no box in frames [10, 20)", target=1)
    add("captions[0].target_id: expected an integer, got '0'", target="0")
    add("captions[0].description: expected a sentence, got ''", captions=("",))
    add("captions[0].description: expected a sentence, got 'dog \\ud83d'", captions=("dog \ud83d",))
    add(captions=("a " * 25 + "dog runs.",))
    add("temporal_gt: [50, 60) lies outside the clip [0, 40)", truth=(50, 60))
    add(truth=(30, 60))
    add("temporal_gt: contains no frame", truth=(20, 20))
    del add("fps: missing field; expected a positive number")["fps"]
    add("fps: expected a positive number, got nan")["fps"] = float("nan")
    add("used_segment.end_fid: expected an integer", clip=(0, 39.5))
    add("frame_count: expected an integer of at least 1, got -40")["frame_count"] = -40
    add("temporal_gt.end_fid: expected an integer of at least 0 and at most", truth=(0, 10**12))
    add("captions: expected a list, got None")["captions"] = None
    add()["captions"] *= 2
    folder.write()
    return number + 1, expected


def test_vidstg(folder, steady, tmp_path):
    total, expected = damage_vidstg(folder, steady)
    annotations = vidstg.read_split(
        "val", str(folder.annotation_dir), vidstg.find_vidor_annotations(str(folder.vidor_dir))
    )
    outcome = make_records(annotations, "val", "vidstg", folder.video_dir, tmp_path / "records")
    check_account(outcome, total, expected)
    assert outcome.notices["short"] == "24 of 40 frames can be decoded"
    assert outcome.notices["other_size"] == "is 80x48, annotated as 64x48"
    assert outcome.notices["cut"].endswith("of 40 frames can be decoded")
    assert outcome.manifest["notices"]["sentences_over_20_words"] == 1
    assert outcome.manifest["notices"]["segments_cut_to_clip"] == 1
    assert outcome.manifest["notices"]["repeated_sentences"] == 4


def damage_hcstvg(hcstvg_folder):
    """Writes the data set; returns the number of sentences and the expected skip reasons."""
    damage_videos(hcstvg_folder, hcstvg_folder.add_video("valid.mp4"))
    expected, number = {}, 0

    def add(name, reason=None, **changes):
        """Adds a record, by default of a valid video."""
        nonlocal number
        if not (hcstvg_folder.video_dir / "1" / name).exists() and name not in VIDEO_REASONS:
            hcstvg_folder.add_video(name)
        if reason:
            expected[f"train-{number:05d}"] = reason
        number += 1
        return hcstvg_folder.add_record(name, **changes)

    add("valid.mp4")
    # A folder is not mistaken for a video when videos are found by name.
    for name, reason in (VIDEO_REASONS | {"folder.mp4": "folder.mp4: no such file"}).items():
        add(name, reason)
    add("cut.mp4")
    add("img_num_too_large.mp4", img_num=48)
    add("img_num_too_small.mp4", img_num=12)
    add("behind.mp4", "[45, 55) begins after the 40 frames that can be decoded", st_frame=46)
    add("over_the_end.mp4", st_frame=36)
    add("twice.mp4", "video twice.mp4: found 2 files: 1/twice.mp4, 2/twice.mp4")
    hcstvg_folder.add_video("twice.mp4", part="2")
    negative = add("negative.mp4")["bbox"]
    negative[:2] = [[-4, -4, 16, 24], [-40, 0, -27, -47]]
    add("all_negative.mp4", "bbox: none of the 10 boxes")["bbox"] = [[-40, 0, -27, -47]] * 10
    add("short_boxes.mp4")["bbox"] = [[8, 8, 16, 24]] * 4
    add("no_boxes.mp4", "bbox: expected a list of boxes, got an empty list", boxes=0)
    add("nan.mp4")["bbox"][3] = [float("nan"), 0, 1, 1]
    del add("no_size.mp4", "width: missing field; expected an integer of at least 1")["width"]
    add("text_size.mp4", "height: expected an integer of at least 1, got '48'")["height"] = "48"
    add("first_frame_0.mp4", "st_frame: expected an integer of at least 1, got 0", st_frame=0)
    del add("no_caption.mp4", "caption: expected a sentence, got None")["caption"]
    add("white.mp4", "caption: expected a sentence, got '\\xa0'")["caption"] = "\xa0"
    add("long.mp4")["caption"] = "The man " + "slowly " * 25 + "sits."
    add("list.mp4", "expected an object, got []")
    hcstvg_folder.files["train.json"]["list.mp4"] = []
    hcstvg_folder.write()
    path = hcstvg_folder.annotation_dir / "train.json"
    once_more = json.dumps(hcstvg_folder.files["train.json"]["valid.mp4"])
    path.write_text(f'{path.read_text()[:-1]}, "valid.mp4": {once_more}}}')
    expected[f"train-{number:05d}"] = "'valid.mp4': duplicate name; record 0 is used"
    return number + 1, expected


def test_hcstvg(hcstvg_folder, tmp_path):
    total, expected = damage_hcstvg(hcstvg_folder)
    annotations = hcstvg.read_split(
        "train",
        str(hcstvg_folder.annotation_dir),
        hcstvg.find_videos(str(hcstvg_folder.video_dir)),
    )
    outcome = make_records(
        annotations, "train", "hcstvg", hcstvg_folder.video_dir, tmp_path / "records"
    )
    check_account(outcome, total, expected)
    # The clip is the decodable part, regardless of the annotation.
    assert outcome.notices["img_num_too_large.mp4"] == "40 of 48 frames can be decoded"
    assert outcome.notices["img_num_too_small.mp4"] == "has 40 frames, annotated as 12"
    for name in ("img_num_too_large.mp4", "img_num_too_small.mp4"):
        clip = outcome.clips[name]
        assert (clip.begin, clip.end, clip.frame_count) == (0, 40, 40)
        assert (clip.sentences[0].begin, clip.sentences[0].end) == (10, 20)
    (cut,) = outcome.clips["over_the_end.mp4"].sentences
    assert (cut.begin, cut.end) == (35, 40)
    notices = outcome.manifest["notices"]
    assert notices["sentences_over_20_words"] == 1
    assert notices["unusable_boxes"] == 2
    # From the short list of boxes and the frame rates implied by the wrong img_num.
    assert notices["times_unlike_boxes"] == 3
    assert notices["segments_beyond_img_num"] == 3


def damage_custom(custom_folder):
    """Writes the data set; returns the number of sentences and the expected skip reasons."""
    damage_videos(custom_folder, custom_folder.add_video("valid.mp4"))
    expected, number = {}, 0

    def add(reason=None, path="valid.mp4", **changes):
        nonlocal number
        if reason:
            expected[f"val-{number:05d}"] = reason
        number += 1
        return custom_folder.add_line(path, **changes)

    def add_text(reason, line):
        nonlocal number
        expected[f"val-{number:05d}"] = reason
        number += 1
        custom_folder.lines["val"].append(line)

    add()
    for name, reason in VIDEO_REASONS.items():
        add(reason, name)
    add(None, "cut.mp4")
    add("[40, 50) begins after the 40 frames", begin=40, end=50, boxes=[[1, 1, 8, 8]] * 10)
    add(begin=35, end=45, boxes=[[1, 1, 8, 8]] * 10)
    add("begin, end: [10, 20) lies outside the clip [20, 30)", clip_begin=20, clip_end=30)
    add("boxes: 9 boxes for 10 frames", boxes=[[1, 1, 8, 8]] * 9)
    add(boxes={"9": [-8, -8, 99, 99], "12": [1, 2, float("nan"), 4], "15": [8, 8, 24, 32]})
    add("end: missing field", end=None)
    add("begin: expected an integer of at least 0, got '10'", begin="10")
    add("end: expected an integer of at least 0, got inf", end=float("inf"))
    add("sentence: expected a sentence, got ''", sentence="")
    add(sentence="a " * 25 + "dog runs.")
    add("qtype: expected one of", qtype="exclamation")
    add(id="mine")
    add(f"id: 'mine' is already used by line {number}", id="mine")
    add_text("not valid JSON: Unterminated string", '{"video": "valid.m')
    add_text("expected an object, got 'a dog runs'", '"a dog runs"')
    add_text("video: missing field", "{}")
    add("sentence: expected a sentence, got 'caf\\udce9'", sentence="cafe")
    path = custom_folder.write()
    path.write_bytes(path.read_bytes().replace(b"cafe", b"caf\xe9"))
    return number, expected


def test_custom(custom_folder, tmp_path):
    total, expected = damage_custom(custom_folder)
    annotations = custom.read_split(
        "val", str(custom_folder.annotation_dir), str(custom_folder.video_dir)
    )
    outcome = make_records(
        annotations, "val", "custom", custom_folder.video_dir, tmp_path / "records"
    )
    check_account(outcome, total, expected)
    assert outcome.notices.keys() == {"cut.mp4"}
    assert outcome.manifest["notices"]["sentences_over_20_words"] == 1
    assert outcome.manifest["notices"]["unusable_boxes"] == 1
    assert (outcome.clips["valid.mp4"].begin, outcome.clips["valid.mp4"].end) == (0, 40)


def test_a_csv_file_with_a_missing_column_is_refused(custom_folder):
    custom_folder.add_line(boxes=None)
    custom_folder.write("csv")
    with pytest.raises(ValueError, match=r"val\.csv: missing column boxes; expected video, "):
        custom.read_split("val", str(custom_folder.annotation_dir), str(custom_folder.video_dir))


def test_a_wrong_video_folder_is_an_error_for_each_data_set(
    folder, steady, hcstvg_folder, custom_folder, tmp_path
):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    hcstvg_folder.add_record("a.mp4")
    custom_folder.add_line()
    for written in (folder, hcstvg_folder, custom_folder):
        written.write()
    nowhere = str(tmp_path / "nowhere")
    vidor_paths = vidstg.find_vidor_annotations(str(folder.vidor_dir))
    videos = hcstvg.find_videos(nowhere)
    for split, found in (
        ("val", vidstg.read_split("val", str(folder.annotation_dir), vidor_paths)),
        ("train", hcstvg.read_split("train", str(hcstvg_folder.annotation_dir), videos)),
        ("val", custom.read_split("val", str(custom_folder.annotation_dir), nowhere)),
    ):
        with pytest.raises(ValueError, match="not one of 1 videos can be read; is --video_dir="):
            make_records(found, split, "any", nowhere, tmp_path / "records")
