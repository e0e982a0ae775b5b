"""Reader of custom annotations: both file formats and all validation errors."""

import csv
import fractions
import json
import logging

import numpy as np
import pytest
from absl import logging as absl_logging

from data import custom
from data.annotations import END_OF_VIDEO
from gkcmn_tf.video import reading, writing
from tests.gkcmn_tf.video.pictures import write_timed


def read(folder, suffix="jsonl", limit=None):
    folder.write(suffix)
    return custom.read_split("val", str(folder.annotation_dir), str(folder.video_dir), limit)


def account(folder, suffix="jsonl", limit=None):
    folder.write(suffix)
    return custom.account_split("val", str(folder.annotation_dir), limit).to_json()


def sentences_of(found):
    return {sentence.id: sentence for clip in found.clips for sentence in clip.sentences}


@pytest.fixture
def folder(custom_folder):
    """A folder with one valid video of 40 frames, 64x48 pixels, 25 frames per second."""
    custom_folder.add_video("a.mp4")
    return custom_folder


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_jsonl_and_csv_give_the_same_records(folder, suffix):
    folder.add_line("a.mp4")
    folder.add_line(
        "a.mp4",
        sentence="who, in all,\nruns?",
        qtype="interrogative",
        id="dog 7",
        begin=12,
        end=14,
        boxes=[[1, 2, 3, 4.5], [2, 2, 4, 4.5]],
        clip_begin=8,
        clip_end=30,
    )
    found = read(folder, suffix)
    whole, part = found.clips
    assert (whole.video_id, whole.begin, whole.end) == ("a.mp4", 0, END_OF_VIDEO)
    assert (whole.width, whole.height, whole.fps, whole.frame_count) == (64, 48, 25, 40)
    assert (part.begin, part.end) == (8, 30)
    first, second = sentences_of(found).values()
    assert (first.id, first.index, first.qtype) == ("val-00000", 0, "declarative")
    assert (first.begin, first.end, first.text) == (10, 20, "a dog runs.")
    np.testing.assert_array_equal(first.boxes, [(8, 8, 24, 32)] * 10)
    assert (second.id, second.index, second.qtype) == ("dog 7", 1, "interrogative")
    assert (second.begin, second.end, second.text) == (12, 14, "who, in all, runs?")
    np.testing.assert_array_equal(second.boxes, [[1, 2, 3, 4.5], [2, 2, 4, 4.5]])
    assert found.videos == {"a.mp4": "a.mp4"}
    assert found.skipped == []
    assert found.notices["interpolated_boxes"] == 8


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_with_a_byte_order_mark_are_read(folder, suffix, encoding):
    folder.add_line(sentence="é runs")
    path = folder.write(suffix)
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    account, by_video = custom._read_lines("val", str(folder.annotation_dir), None)
    assert account.skipped == []
    assert [line.text for line in by_video["a.mp4"]] == ["é runs"]


def test_a_damaged_file_in_utf16_is_named(folder):
    folder.add_line()
    path = folder.write()
    path.write_bytes(path.read_text().encode("utf-16")[:-1])
    with pytest.raises(ValueError, match=r"val\.jsonl: 'utf-16"):
        custom.account_split("val", str(folder.annotation_dir))


def test_whole_floats_in_cells_are_frames(folder):
    folder.add_line(begin=10.0, end=20.0, clip_begin=5.0, clip_end=30.0)
    (clip,) = read(folder, "csv").clips
    assert (clip.begin, clip.end) == (5, 30)
    assert (clip.sentences[0].begin, clip.sentences[0].end) == (10, 20)


def test_sentences_of_one_clip_are_merged(folder):
    folder.add_video("b/a.mp4")
    for path in ("a.mp4", "b/a.mp4", "a.mp4"):
        folder.add_line(path)
    found = read(folder)
    assert [(c.video_id, [s.index for s in c.sentences]) for c in found.clips] == [
        ("a.mp4", [0, 2]),
        ("b/a.mp4", [1]),
    ]


def test_spellings_of_a_path_are_one_video(folder):
    folder.add_video("k/01.mp4")
    for path in ("./k/01.mp4", "k/01.mp4", "k//01.mp4", "a/../k/./01.mp4"):
        folder.add_line(path)
    found = read(folder, limit=1)
    assert [(c.video_id, [s.index for s in c.sentences]) for c in found.clips] == [
        ("k/01.mp4", [0, 1, 2, 3])
    ]
    assert found.videos == {"k/01.mp4": "k/01.mp4"}


def test_boxes_are_interpolated_extrapolated_and_clipped(folder):
    boxes = {"12": [-4, 0, 8, 8], "14": [4, 0, 16, 80], "13": None}
    folder.add_line(begin=11, end=16, boxes=boxes)
    found = read(folder)
    np.testing.assert_array_equal(
        sentences_of(found)["val-00000"].boxes,
        [[0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 12, 44], [4, 0, 16, 48], [4, 0, 16, 48]],
    )
    counts = ("held_boxes", "interpolated_boxes", "clipped_boxes", "unusable_boxes")
    assert [found.notices[name] for name in counts] == [2, 1, 4, 1]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_seconds_are_converted_to_frames_at_the_videos_frame_rate(folder, suffix):
    # 25 frames a second: frame 10 begins at 0.4 s, frame 11 at 0.44 s.
    folder.add_line(
        units="seconds",
        begin=0.41,
        end=0.8,
        clip_begin=0.2,
        clip_end=1.2,
        boxes={"0.4": [0, 0, 8, 8], "0.45": [10, 0, 18, 8], "0.8": [10, 0, 18, 8]},
    )
    found = read(folder, suffix)
    (clip,) = found.clips
    assert (clip.begin, clip.end) == (5, 30)
    sentence = sentences_of(found)["val-00000"]
    assert (sentence.begin, sentence.end) == (10, 20)
    np.testing.assert_array_equal(sentence.boxes[:3, 0], [0, 10, 10])


RATES = [
    fractions.Fraction(25),
    fractions.Fraction(30000, 1001),
    fractions.Fraction(24000, 1001),
    fractions.Fraction(60),
]


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("form", ["{:.2f}", "{:.3f}", "{!r}"])
def test_boxes_keyed_in_seconds_belong_to_the_nearest_frame(folder, rate, form):
    # Two digits differ from the exact time by at most 5 ms, less than half a frame.
    grey = np.full((16, 512, 3), 128, np.uint8)
    writing.write_video(str(folder.video_dir / "b.mp4"), [grey] * 500, float(rate))
    keys = [form.format(float(frame / rate)) for frame in range(500)]
    boxes = {key: [frame, 0, frame + 1, 8] for frame, key in enumerate(keys)}
    folder.add_line("b.mp4", units="seconds", begin=0, end=float(500 / rate), boxes=boxes)
    found = read(folder)
    assert found.skipped == [] and found.notices["interpolated_boxes"] == 0
    sentence = sentences_of(found)["val-00000"]
    assert (sentence.begin, sentence.end) == (0, 500)
    np.testing.assert_array_equal(sentence.boxes[:, 0], np.arange(500))


@pytest.mark.parametrize(
    ("times", "rate", "sound", "seconds", "segment"),
    [
        # A browser's recording that declares 60 frames a second and holds 30.
        (np.arange(90) * 1000 // 30, 60, None, (0.5, 1.5), (15, 45)),
        (np.arange(90) * 1000 // 30, 1000, None, (0.5, 1.5), (15, 45)),
        # The sound begins 0.6 s before the picture, at which frame 0 appears.
        (600 + 40 * np.arange(75), 25, "pcm_s16le", (1.0, 2.0), (10, 35)),
        # The frame rate changes from 30 to 10 after a second.
        ([*(np.arange(30) * 1000 // 30), *range(1000, 4000, 100)], 30, None, (0.5, 2.0), (15, 40)),
    ],
)
def test_seconds_are_those_of_a_player(folder, times, rate, sound, seconds, segment):
    write_timed(folder.video_dir / "b.mkv", times, rate=rate, sound=sound)
    begin, end = seconds
    boxes = {str(begin): [8, 8, 24, 32], str(end): [8, 8, 24, 32]}
    folder.add_line("b.mkv", units="seconds", begin=begin, end=end, boxes=boxes)
    sentence = sentences_of(read(folder))["val-00000"]
    assert (sentence.begin, sentence.end) == segment


@pytest.mark.parametrize(
    ("units", "keys", "frame"),
    [
        ("frames", ("15", "015"), 15),
        ("frames", ("15", "15.0"), 15),
        ("seconds", ("0.6", "0.60"), 15),
        ("seconds", ("0.6", "0.61"), 15),
    ],
)
def test_two_boxes_of_one_frame_are_an_error(folder, units, keys, frame):
    times = {"begin": 0.4, "end": 0.8} if units == "seconds" else {}
    folder.add_line(units=units, boxes={key: [8, 8, 24, 32] for key in keys}, **times)
    (skipped,) = read(folder).skipped
    first, second = keys
    assert skipped.reason == (
        f"val.jsonl: line 1: boxes: {first!r} and {second!r} are both frame {frame}; keep one"
    )


def test_a_segment_that_exceeds_its_clip_is_cut_and_counted(folder):
    folder.add_line(clip_begin=15, clip_end=30, boxes=[[i, 0, i + 8, 8] for i in range(10)])
    found = read(folder)
    sentence = sentences_of(found)["val-00000"]
    assert (sentence.begin, sentence.end) == (15, 20)
    np.testing.assert_array_equal(sentence.boxes[:, 0], range(5, 10))
    assert found.notices["segments_cut_to_clip"] == 1


@pytest.mark.parametrize("declares", [True, False])
def test_a_segment_is_cut_to_the_frames_of_the_video(custom_folder, declares):
    # Matroska declares no number of frames.
    name = "a.mp4" if declares else "a.mkv"
    custom_folder.add_video(name)
    boxes = {"39": [0, 0, 8, 8], "41": [4, 0, 12, 8]}
    custom_folder.add_line(name, begin=38, end=1_000_000, boxes=boxes)
    custom_folder.add_line(name, begin=40, end=1_000_000)
    found = read(custom_folder)
    sentence = sentences_of(found)["val-00000"]
    assert (sentence.begin, sentence.end) == (38, 40)
    np.testing.assert_array_equal(sentence.boxes, [[0, 0, 8, 8], [0, 0, 8, 8]])
    assert found.notices["segments_cut_to_video"] == 1
    (skipped,) = found.skipped
    assert skipped.reason == (
        "val.jsonl: line 2: begin, end: [40, 1000000) begins after the 40 frames of the video"
    )


def test_more_frames_than_bytes_are_not_believed(folder, monkeypatch):
    declared = reading.VideoInfo(64, 48, 25.0, declared_frames=900_000)
    monkeypatch.setattr(reading, "probe", lambda path: declared)
    folder.add_line(end=900_000)
    (sentence,) = sentences_of(read(folder)).values()
    assert (sentence.begin, sentence.end) == (10, 40)


def test_a_name_with_the_end_of_mirrored_videos_is_refused(folder):
    folder.add_line("k/../a.mp4~mirrored")
    assert [skipped.reason for skipped in read(folder).skipped] == [
        "val.jsonl: line 1: video: 'a.mp4~mirrored' ends in ~mirrored, as the ids of mirrored "
        "videos do; rename the video"
    ]


@pytest.mark.parametrize("name", ["../a.mp4", "k/../../a.mp4", "/videos/a.mp4", ".."])
def test_a_video_outside_of_the_folder_is_not_read(folder, name):
    folder.add_line(name)
    found = read(folder)
    assert found.videos == {}
    assert [skipped.reason for skipped in found.skipped] == [
        f"val.jsonl: line 1: video: {name!r} is outside of --video_dir; expected a path below it"
    ]


BAD = [
    ({"video": None}, "video: missing field; required: video, sentence, begin, end, boxes"),
    ({"begin": None}, "begin: missing field"),
    ({"begin": -1}, "begin: expected an integer of at least 0, got -1"),
    ({"begin": "ten"}, "begin: expected an integer of at least 0, got 'ten'"),
    ({"end": 10}, "begin, end: [10, 10) contains no frame"),
    ({"end": 20.5}, "end: expected an integer of at least 0, got 20.5"),
    ({"end": 10**9}, "end: expected an integer of at least 0 and at most 1000000, got 1000000000"),
    ({"end": float("nan")}, "end: expected an integer of at least 0, got"),
    ({"clip_begin": 20}, "begin, end: [10, 20) lies outside the clip [20, "),
    ({"clip_begin": 9, "clip_end": 9}, "clip_begin, clip_end: [9, 9) contains no frame"),
    ({"boxes": [[0, 0, 8, 8]] * 9}, "boxes: 9 boxes for 10 frames [10, 20); give a box for each"),
    ({"boxes": 7}, "boxes: expected a list or an object, got 7"),
    ({"boxes": {}}, "boxes: no valid box; expected numbers [x1, y1, x2, y2]"),
    ({"boxes": {"10": [9, 0, 8, 8]}}, "boxes: no valid box; expected numbers [x1, y1, x2, y2]"),
    ({"boxes": {"ten": [0, 0, 8, 8]}}, "boxes: expected a frame number as key, got 'ten'"),
    ({"boxes": {"9.5": [0, 0, 8, 8]}}, "boxes: expected a frame number as key, got '9.5'"),
    ({"boxes": {"inf": [0, 0, 8, 8]}}, "boxes: expected a frame number as key, got 'inf'"),
    ({"qtype": "question"}, "qtype: expected one of declarative | interrogative, got 'question'"),
    ({"units": "minutes"}, "units: expected one of frames | seconds, got 'minutes'"),
]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize(("changes", "reason"), BAD)
def test_a_bad_line_is_skipped_and_reported_with_file_line_and_field(
    folder, suffix, changes, reason
):
    folder.add_line()
    folder.add_line(**changes)
    folder.add_line()
    found = read(folder, suffix)
    (skipped,) = found.skipped
    line = 2 if suffix == "jsonl" else 3
    assert skipped.id == "val-00001"
    assert skipped.reason.startswith(f"val.{suffix}: line {line}: {reason}")
    assert [s.index for s in sentences_of(found).values()] == [0, 2]
    assert account(folder, suffix) == {
        "records": 3,
        "declarative": 3,
        "interrogative": 0,
        "kept": 2,
        "skipped": 1,
        "reasons": {skipped.reason: 1},
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"boxes": {"30": [0, 0, 8, 8]}}, "boxes: the target has no box in frames [10, 20)"),
        ({"units": "seconds", "begin": 0.41, "end": 0.42}, "begin, end: [0.41, 0.42) contains no"),
        ({"units": "seconds", "begin": "0:10"}, "begin: expected a time in seconds"),
        ({"units": "seconds", "begin": 0.4, "end": 1e5}, "end: expected a time in seconds"),
        (
            {"units": "seconds", "begin": 0.4, "end": 0.8, "boxes": {"-1": [0, 0, 8, 8]}},
            "boxes: expected a time in seconds as key, got '-1'",
        ),
    ],
)
def test_an_error_that_requires_the_video_to_detect_is_skipped_too(folder, changes, reason):
    folder.add_line(**changes)
    found = read(folder)
    (skipped,) = found.skipped
    assert skipped.reason.startswith(f"val.jsonl: line 1: {reason}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON: Expecting property name"),
        ("[" * 100_000, "not valid JSON: maximum recursion"),
        ("9" * 5000, "not valid JSON: Exceeds the limit"),
        ("[1]", "expected an object, got [1]"),
        ('{"end": 1, "end": 2}', "key 'end' occurs twice"),
        ('{"video": ["a"]}', "sentence: missing field"),
        (
            '{"video": "a.mp4", "sentence": " \xa0", "begin": 0, "end": 1, "boxes": []}',
            "sentence: expected a sentence, got ' \\xa0'",
        ),
    ],
)
def test_a_line_that_is_not_a_json_object_is_skipped(folder, line, reason):
    folder.add_line()
    folder.lines["val"] += [line, " "]
    folder.add_line()
    found = read(folder, limit=1)
    (skipped,) = found.skipped
    assert skipped.reason.startswith(f"val.jsonl: line 2: {reason}")
    assert [s.index for s in sentences_of(found).values()] == [0, 2]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.mp4,a dog.,10", "has 3 cells, the first line 5"),
        ("a.mp4,a dog.,10,20,[],7", "has 6 cells, the first line 5"),
        ("a.mp4,a dog.,,20,[]", "begin: missing field"),
        ('a.mp4,a dog.,10,20,"[[1, 2"', "boxes: expected a list or an object, got '[[1, 2'"),
    ],
)
def test_a_csv_file_with_a_bad_row_skips_only_that_row(folder, row, reason):
    valid = 'a.mp4,a dog.,10,11,"[[1, 2, 3, 4]]"'
    folder.annotation_dir.mkdir(parents=True)
    header = "video, sentence ,begin,end,boxes"
    text = "\r\n".join([f"\ufeff{header}", valid, "", row, valid])
    (folder.annotation_dir / "val.csv").write_text(text, encoding="utf-8", newline="")
    found = custom.read_split("val", str(folder.annotation_dir), str(folder.video_dir))
    (skipped,) = found.skipped
    assert skipped.reason.startswith(f"val.csv: line 4: {reason}")
    assert [s.index for s in sentences_of(found).values()] == [0, 2]


def test_reading_a_csv_file_does_not_lower_the_cell_limit_of_other_csv_readers(folder):
    folder.add_line()
    before = csv.field_size_limit()
    read(folder, "csv")
    assert csv.field_size_limit() >= before


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_invalid_utf8_invalidates_only_its_line(folder, suffix):
    folder.add_line()
    folder.add_line(sentence="a cafe.")
    folder.add_line("cafe.mp4")
    path = folder.write(suffix)
    path.write_bytes(path.read_bytes().replace(b"cafe", b"caf\xe9"))
    found = custom.read_split("val", str(folder.annotation_dir), str(folder.video_dir))
    first = 2 if suffix == "jsonl" else 3
    assert [skipped.reason for skipped in found.skipped] == [
        f"val.{suffix}: line {first}: sentence: expected a sentence, got 'a caf\\udce9.'",
        f"val.{suffix}: line {first + 1}: video: expected a path in UTF-8, got 'caf\\udce9.mp4'",
    ]
    assert list(sentences_of(found)) == ["val-00000"]


def test_a_duplicate_id_is_skipped(folder):
    for line_id in ("dog", "cat", "dog", 7, [7]):
        folder.add_line(id=line_id)
    found = read(folder)
    assert list(sentences_of(found)) == ["dog", "cat", "7"]
    assert [(skipped.id, skipped.reason) for skipped in found.skipped] == [
        ("val-00002", "val.jsonl: line 3: id: 'dog' is already used by line 1"),
        ("val-00004", "val.jsonl: line 5: id: expected a name in UTF-8, got [7]"),
    ]


def test_an_unreadable_video_skips_only_its_own_sentences(folder):
    folder.add_line()
    folder.add_line("gone.mp4")
    (folder.video_dir / "text.mp4").write_text("no video")
    folder.add_line("text.mp4")
    found = read(folder)
    gone, text = found.skipped
    assert gone.reason == f"video gone.mp4: {folder.video_dir}/gone.mp4: no such file"
    assert "text.mp4: cannot be opened as a video" in text.reason
    # They are still listed, to distinguish a wrong video folder from an empty split.
    assert list(found.videos) == ["a.mp4", "gone.mp4", "text.mp4"]
    assert account(folder)["kept"] == 3


def test_unknown_fields_are_reported(folder, caplog):
    folder.add_line(qtpye="interrogative", notes="windy")
    absl_logging.get_absl_logger().addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        found = read(folder)
    absl_logging.get_absl_logger().removeHandler(caplog.handler)
    assert found.kept == 1
    assert "unknown fields are ignored: notes, qtpye" in caplog.text


def test_the_limit_is_a_number_of_videos(folder):
    folder.add_video("b.mp4")
    for path in ("a.mp4", "b.mp4", "c.mp4", "a.mp4"):
        folder.add_line(path)
    found = read(folder, limit=2)
    assert list(sentences_of(found)) == ["val-00000", "val-00003", "val-00001"]
    assert account(folder, limit=2)["records"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "video,sentence,begin,end\n",
            r"val\.csv: missing column boxes; expected video, sentence,",
        ),
        ("", r"val\.csv: missing column video, .*, found nothing"),
        ("video,sentence,begin,end,boxes,end\n", r"val\.csv: duplicate column"),
        ('video,sentence,begin,end,boxes\na.mp4,"a dog', r"val\.csv: line 2: not valid CSV"),
    ],
)
def test_a_csv_file_with_a_bad_header_or_quoting_is_an_error(folder, text, message):
    folder.annotation_dir.mkdir(parents=True)
    (folder.annotation_dir / "val.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        custom.account_split("val", str(folder.annotation_dir))


def test_a_split_in_both_formats_or_neither_is_an_error(folder):
    with pytest.raises(FileNotFoundError, match=r"val\.jsonl or .*val\.csv: no such file"):
        custom.account_split("val", str(folder.annotation_dir))
    folder.add_line()
    folder.write("csv")
    with pytest.raises(ValueError, match=r"contains both val\.jsonl and val\.csv"):
        read(folder)


def test_long_cells_are_read(folder):
    folder.add_line(begin=0, end=20_000, boxes=[[0.125, 0, 8, 8]] * 20_000)
    assert len(json.dumps(folder.lines["val"][0])) > 131_072
    assert read(folder, "csv").kept == 1
