"""Tubes in the formats of other programs, read by libraries for these formats."""

import csv
import io
import json
from xml.etree import ElementTree

import datumaro
import numpy as np
import pytest
import webvtt
from datumaro.components.annotation import AnnotationType
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.tube_formats import FORMATS, Absent, format_answers
from gkcmn_tf.tubes import Tube
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline

SENTENCE = 'a <b>bold</b> dog & a cat\n\n"jumps" --> 跳'


def make_video(path="clips/park.mp4", count=10):
    """Returns a video with frames of 0.1 s, except frame 4 of 0.5 s."""
    times = np.arange(count) / 10 + 0.4 * (np.arange(count) > 4)
    return SourceVideo(path, 640, 360, 10.0, Timeline(times, times[-1] + 0.1))


def moving_tube(video, sentence=SENTENCE, begin=3, score=0.75):
    """Returns four frames: right by 2, again by 2, then down by 10."""
    boxes = np.array([[10, 20, 30, 60], [12, 20, 32, 60], [14, 20, 34, 60], [14, 30, 34, 70.5]])
    return Tube(begin, begin + 4, boxes, score, sentence=sentence, video=video)


@pytest.fixture
def answers():
    video = make_video()
    still = Tube(8, 10, np.tile([1.25, 2, 3, 4], (2, 1)), 0.5, sentence="a still box", video=video)
    return [moving_tube(video), Absent("no such thing", 0.125, video), still]


def test_json_has_one_line_per_result(answers):
    lines = [json.loads(line) for line in format_answers(answers, "json").splitlines()]
    assert [line.pop("video") for line in lines] == ["clips/park.mp4"] * 3
    assert lines[0] == answers[0].to_json()
    assert lines[0]["query"] == SENTENCE and lines[0]["boxes"]["5"] == [14, 20, 34, 60]
    assert lines[1] == {"query": "no such thing", "absent": True, "score": 0.125}
    seconds = [lines[2]["begin_seconds"], lines[2]["end_seconds"]]
    assert seconds == pytest.approx([1.2, 1.4])


def test_csv_has_one_row_per_frame(answers):
    other = moving_tube(make_video("b, c.mp4"), "other")
    rows = list(csv.DictReader(io.StringIO(format_answers([*answers, other], "csv"))))
    assert [row["video"] for row in rows] == ["clips/park.mp4"] * 7 + ["b, c.mp4"] * 4
    queries = [SENTENCE] * 4 + ["no such thing"] + ["a still box"] * 2 + ["other"] * 4
    assert [row["query"] for row in rows] == queries
    assert [row["frame"] for row in rows] == [*"3456", "", *"89", *"3456"]
    assert [row["seconds"] for row in rows[:5]] == ["0.3", "0.4", "0.9", "1.0", ""]
    boxes = np.array([[float(row[name]) for name in ("x1", "y1", "x2", "y2")] for row in rows[:4]])
    np.testing.assert_array_equal(boxes, answers[0].boxes)
    assert [float(row["score"]) for row in rows[3:6]] == [0.75, 0.125, 0.5]
    assert (rows[4]["x1"], rows[4]["y2"]) == ("", "")


def test_webvtt_has_one_cue_per_tube(answers):
    text = format_answers(answers[::-1], "webvtt")
    captions = webvtt.from_string(text).captions
    assert [(c.start, c.end) for c in captions] == [
        ("00:00:00.300", "00:00:01.100"),
        ("00:00:01.200", "00:00:01.400"),
    ]
    escaped = "a &lt;b&gt;bold&lt;/b&gt; dog &amp; a cat"
    assert captions[0].raw_text == f'{escaped} "jumps" --&gt; 跳'
    assert captions[1].text == "a still box"
    assert "NOTE absent, score 0.125: no such thing\n\n" in text


def test_a_webvtt_cue_after_one_hour():
    video = SourceVideo("v.mp4", 64, 48, 0.001, Timeline(np.array([0, 3723.0456]), 3723.0457))
    tube = Tube(1, 2, np.ones((1, 4)), sentence="late", video=video)
    (caption,) = webvtt.from_string(format_answers([tube], "webvtt")).captions
    assert (caption.start, caption.end) == ("01:02:03.046", "01:02:03.047")


def boxes_of(dataset):
    """Returns `(track, label, corners, attributes)` by frame, as read by datumaro."""
    labels = dataset.categories()[AnnotationType.label]
    return {
        item.id: [
            (
                annotation.attributes["track_id"],
                labels[annotation.label].name,
                annotation.points,
                annotation.attributes,
            )
            for annotation in item.annotations
        ]
        for item in dataset
    }


def test_datumaro_reads_mot(answers, tmp_path):
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "gt.txt").write_text(format_answers(answers, "mot"))
    (tmp_path / "gt" / "labels.txt").write_text("object")
    found = boxes_of(datumaro.Dataset.import_from(str(tmp_path), "mot_seq"))
    # Frames count from 1; the track is the index of the result.
    assert {int(frame): row[0][0] for frame, row in found.items()} == {
        **dict.fromkeys((4, 5, 6, 7), 1),
        **dict.fromkeys((9, 10), 3),
    }
    for row, frame in enumerate("4567"):
        ((_, label, corners, attributes),) = found[frame]
        assert (label, attributes["ignored"], attributes["visibility"]) == ("object", False, 1)
        np.testing.assert_allclose(corners, answers[0].boxes[row])


def test_mot_contains_the_score_as_confidence(answers):
    rows = list(csv.reader(io.StringIO(format_answers(answers, "mot"))))
    assert rows[0] == ["4", "1", "10.0", "20.0", "20.0", "40.0", "0.75", "1", "1"]
    assert {row[6] for row in rows[4:]} == {"0.5"}


def test_datumaro_reads_cvat(answers, tmp_path):
    (tmp_path / "annotations.xml").write_text(format_answers(answers, "cvat"), encoding="utf-8")
    dataset = datumaro.Dataset.import_from(str(tmp_path), "cvat")
    found = boxes_of(dataset)
    assert sorted(found) == [f"frame_{frame:06}" for frame in range(3, 10)]
    for row in range(4):
        ((track, label, corners, attributes),) = found[f"frame_{3 + row:06}"]
        assert (track, label, attributes["sentence"]) == (0, "object", SENTENCE)
        assert (attributes["score"], attributes["outside"]) == ("0.75", False)
        # Frame 4 is interpolated linearly between frames 3 and 5.
        assert attributes["keyframe"] == (row != 1)
        np.testing.assert_allclose(corners, answers[0].boxes[row])
    ((_, _, corners, attributes),) = found["frame_000007"]
    assert attributes["outside"] and attributes["keyframe"]
    np.testing.assert_allclose(corners, answers[0].boxes[-1])
    # The video ends with the second tube.
    assert [found[f"frame_{f:06}"][0][3]["outside"] for f in (8, 9)] == [False, False]


def test_cvat_describes_its_task(answers):
    root = ElementTree.fromstring(format_answers(answers, "cvat"))
    task = {path: root.findtext(f"meta/task/{path}") for path in ("name", "size", "mode")}
    assert task == {"name": "park.mp4", "size": "10", "mode": "interpolation"}
    size = [root.findtext(f"meta/task/original_size/{side}") for side in ("width", "height")]
    assert (root.findtext("version"), size) == ("1.1", ["640", "360"])


@given(
    st.lists(
        st.lists(st.integers(0, 400).map(lambda n: n / 4), min_size=4, max_size=4),
        min_size=1,
        max_size=30,
    )
)
def test_interpolating_cvat_keyframes_restores_the_boxes(boxes):
    boxes = np.array(boxes)
    video = make_video(count=len(boxes))
    root = ElementTree.fromstring(
        format_answers([Tube(0, len(boxes), boxes, sentence="s", video=video)], "cvat")
    )
    keyframes = [box.attrib for box in root.iter("box") if box.attrib["keyframe"] == "1"]
    frames = [int(box["frame"]) for box in keyframes]
    for side, name in enumerate(("xtl", "ytl", "xbr", "ybr")):
        values = [float(box[name]) for box in keyframes]
        interpolated = np.interp(np.arange(len(boxes)), frames, values)
        np.testing.assert_allclose(interpolated, boxes[:, side], atol=0.02)


def test_frames_without_a_box_are_outside_in_cvat_and_left_out_elsewhere():
    boxes = np.array([[0, 0, 5, 5], [np.nan] * 4, [np.nan] * 4, [1, 1, 6, 6]])
    tube = Tube(2, 6, boxes, sentence="s", video=make_video())
    root = ElementTree.fromstring(format_answers([tube], "cvat"))
    shown = [(int(box.get("frame")), box.get("outside")) for box in root.iter("box")]
    assert shown == [(2, "0"), (3, "1"), (5, "0"), (6, "1")]
    for name in ("csv", "mot"):
        rows = format_answers([tube], name).splitlines()
        assert len(rows) == 2 + (name == "csv")


def test_a_control_character_does_not_break_the_xml():
    tube = moving_tube(make_video(), sentence="a\x00b\x1b\ud800c")
    root = ElementTree.fromstring(format_answers([tube], "cvat"))
    assert root.findtext("track/box/attribute") == "abc"


def test_hcstvg_has_one_entry_per_video(answers):
    other = Absent("nothing", 0.1, make_video("b.mp4"))
    content = json.loads(format_answers([answers[0], other], "hcstvg"))
    # Frames count from 1, and the end is inclusive.
    boxes = dict(zip("4567", answers[0].boxes.tolist(), strict=True))
    assert content == {"park.mp4": {"st_frame": 4, "ed_frame": 7, "bbox": boxes}}


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_list_of_results(name):
    empty = {
        "json": "",
        "csv": "video,query,frame,seconds,x1,y1,x2,y2,score\n",
        "webvtt": "WEBVTT\n",
        "mot": "",
        "hcstvg": "{}\n",
    }
    text = format_answers([], name)
    assert (
        text == empty[name] if name in empty else not ElementTree.fromstring(text).findall("track")
    )


@pytest.mark.parametrize("name", ["webvtt", "mot", "cvat"])
def test_two_videos_in_a_format_for_one_are_an_error(answers, name):
    other = moving_tube(make_video("b.mp4"))
    with pytest.raises(ValueError, match=rf"format {name} supports one video, got .*b\.mp4, clips"):
        format_answers([*answers, other], name)


def test_two_sentences_of_one_video_are_an_error_in_hcstvg(answers):
    with pytest.raises(ValueError, match=r"'park\.mp4' has the answers to .*one tube per video"):
        format_answers(answers, "hcstvg")


def test_an_unknown_format_and_a_tube_without_a_video_are_errors():
    with pytest.raises(ValueError, match="'xml': expected one of json, csv, webvtt, mot, cvat"):
        format_answers([], "xml")
    with pytest.raises(ValueError, match="answer 0: the tube has no video"):
        format_answers([Tube(0, 1, np.ones((1, 4)))], "json")
