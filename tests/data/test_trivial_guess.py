"""Whole-clip baseline on VidSTG annotations."""

import json
import pathlib

import pytest
from absl import flags, logging

from data import trivial_guess, vidstg

EXCERPT = pathlib.Path(__file__).with_name("vidstg_excerpt.json")
FLAG_NAMES = ("dataset", "annotation_dir", "split", "bootstrap_samples")


@pytest.fixture
def run(folder, capsys):
    """Runs the program on a folder; the flags are removed after the test."""
    trivial_guess.define_flags()

    def run(*arguments):
        folder.write()
        common = ("--dataset=vidstg", f"--annotation_dir={folder.annotation_dir}")
        flags.FLAGS(["program", *common, *arguments])
        trivial_guess.main(["program"])
        return capsys.readouterr().out

    yield run
    for name in FLAG_NAMES:
        delattr(flags.FLAGS, name)


@pytest.fixture
def by_hand(folder):
    """Two videos; a clip's last frame is inclusive, a true segment's end is exclusive."""
    folder.add_record("a", clip=(0, 39), truth=(10, 20), questions=())  # 10 of 40 frames
    folder.add_record("a", clip=(5, 24), truth=(5, 25), questions=())  # all 20
    folder.add_record("b", clip=(0, 19), truth=(0, 10), captions=())  # 10 of 20
    return folder


def test_scores_by_hand(by_hand, run):
    by_hand.write()
    segments, skipped = vidstg.read_segments("val", str(by_hand.annotation_dir))
    assert skipped == []
    scores = trivial_guess.score_whole_clips(segments)
    assert scores == {
        "all": {"sentences": 3, "m_tIoU": pytest.approx(1.75 / 3), "interval": None},
        "declarative": {"sentences": 2, "m_tIoU": 0.625, "interval": None},
        "interrogative": {"sentences": 1, "m_tIoU": 0.5, "interval": None},
    }


def test_the_table(by_hand, run):
    text = run("--split=val", "--bootstrap_samples=0")
    assert text.splitlines() == [
        "Whole clip as prediction, split val, 2 videos:",
        "| %                   | m_tIoU |",
        "| ------------------- | -----: |",
        "| all (n=3)           |  58.33 |",
        "| declarative (n=2)   |  62.50 |",
        "| interrogative (n=1) |  50.00 |",
    ]


def test_intervals_are_between_the_means_of_the_two_videos(by_hand, run):
    lines = run("--split=val").splitlines()
    assert "95% bootstrap intervals over videos in brackets" in lines[0]
    # Resampled sets of two videos: a twice, b twice, or both.
    assert "| all (n=3)           | 58.33 [50.00, 62.50] |" in lines
    assert lines[-1].endswith(" 50.00 |")  # one video has no interval


def test_the_real_records(folder):
    records = json.loads(EXCERPT.read_text(encoding="utf-8"))
    folder.records["val"] = records
    folder.write()
    expected = {}
    for qtype, field in (("declarative", "captions"), ("interrogative", "questions")):
        shares = []
        for record in records:
            clip, true = record["used_segment"], record["temporal_gt"]
            # All true segments of the excerpt are inside their clips.
            length = clip["end_fid"] - clip["begin_fid"] + 1
            share = (true["end_fid"] - true["begin_fid"]) / length
            shares += [share] * len(record[field])
        expected[qtype] = sum(shares) / len(shares)
    segments, _ = vidstg.read_segments("val", str(folder.annotation_dir))
    scores = trivial_guess.score_whole_clips(segments)
    assert {name: scores[name]["m_tIoU"] for name in expected} == pytest.approx(expected)
    assert scores["all"]["sentences"] == 37


def test_skipped_sentences_are_reported(by_hand, run, caplog):
    by_hand.add_record("c", truth=(50, 60), questions=())
    logging.get_absl_logger().addHandler(caplog.handler)
    text = run("--split=val", "--bootstrap_samples=0")
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert "val-00003-d0 is skipped: val_annotations.json: record 3: temporal_gt: " in caplog.text
    assert "| all (n=3) " in text


def test_a_split_without_sentences_is_an_error(folder, run):
    folder.add_record("a", captions=(), questions=())
    with pytest.raises(ValueError, match="split 'val' has no sentences"):
        run("--split=val")


def test_other_data_sets_are_refused(run):
    with pytest.raises(flags.IllegalFlagValueError, match="vidstg"):
        run("--dataset=hcstvg")
