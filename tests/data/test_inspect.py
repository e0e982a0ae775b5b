"""Statistics, plots and drawn tubes of a records folder."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data import inspect, mirroring, records_statistics
from gkcmn_tf.files import write_json
from gkcmn_tf.records import clip_records
from gkcmn_tf.video import reading, writing
from gkcmn_tf.visualization import drawing

ROOT = pathlib.Path(__file__).parents[2]
BOX = (120, 80, 180, 140)


def sentence(sentence_id, begin, end):
    boxes = np.tile(np.float32(BOX), (end - begin, 1))
    return clip_records.Sentence(0, sentence_id, "a dog runs.", "declarative", 4, begin, end, boxes)


def clip(video_id, *sentences, width=240):
    return clip_records.Clip(video_id, 0, 20, 10.0, width, 180, 20, sentences)


TRAIN = [clip("a", sentence("train-0", 4, 10), sentence("train-1", 0, 20))]
TEST = [clip("b/c", sentence("test-0", 2, 3), width=120)]


@pytest.fixture
def folder(tmp_path):
    """A records folder with splits of two, one and no sentences."""
    folder = tmp_path / "records"
    splits = {}
    for split, clips in {"train": TRAIN, "test": TEST, "val": []}.items():
        clip_records.write_clips(str(folder), split, clips, 1)
        kept = sum(len(c.sentences) for c in clips)
        skipped = [{"id": f"{split}-9", "reason": "video 12: no such file"}] * (split == "train")
        splits[split] = {
            "clips": len(clips),
            "sentences": {"total": kept + len(skipped), "kept": kept, "skipped": len(skipped)},
            "notices": {"held_boxes": 1234 * kept},
            "skipped": skipped,
        }
    manifest = {"dataset": "vidstg", "features": {"i3d_source": "random:0"}, "splits": splits}
    write_json(str(folder / "manifest.json"), manifest)
    return str(folder)


@pytest.fixture
def videos(tmp_path):
    """20 grey frames of 240 x 180 for each video."""
    for name in ("a.mp4", "x/b/c.mp4"):
        path = tmp_path / "videos" / name
        writing.write_video(str(path), [np.full((180, 240, 3), 128, np.uint8)] * 20, 10)
    return str(tmp_path / "videos")


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data.inspect", *arguments],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_markdown_table(folder):
    manifest = records_statistics.read_manifest(folder)
    measured = records_statistics.measure(folder, manifest)
    shown = inspect.format_statistics(records_statistics.summarise(folder, manifest, measured))
    lines = shown.splitlines()
    for line in (
        "Features: i3d_source random:0",
        "Vocabulary of all splits: 3 words",
        "|  | train | test | val |",
        "| videos | 1 | 1 | 0 |",
        "| sentences, skipped | 1 | 0 | 0 |",
        "| clip, seconds | 2 / 2 / 2 | 2 / 2 / 2 | - |",
        "| true segment, frames | 6 / 13 / 20 | 1 / 1 / 1 | - |",
        "| true segment, % of its clip | 30 / 65 / 100 | 5 / 5 / 5 | - |",
        # 60 x 60 pixels of 240 x 180, and of 120 x 180.
        "| box, % of the frame | 8.3 / 8.3 / 8.3 | 16.7 / 16.7 / 16.7 | - |",
        "train, sentences skipped:",
        "- 1: video #: no such file",
        "train, notices:",
        "- 2,468: held_boxes",
        "test, notices:",
    ):
        assert line in lines
    assert "val, notices:" not in lines


def test_rare_skip_reasons_are_only_in_the_manifest():
    lines = inspect._format_counts("skipped", {f"reason {i}": 1 for i in range(25)})
    assert len(lines) == 2 + inspect.SHOWN_REASONS + 1
    assert lines[-1] == "- and 5 other kinds; see manifest.json"


def test_histograms_have_one_curve_per_split(folder, tmp_path):
    measured = records_statistics.measure(folder, records_statistics.read_manifest(folder))
    path = tmp_path / "pictures" / "histograms.png"
    inspect.draw_histograms(str(path), measured, title="a title")
    assert os.listdir(path.parent) == ["histograms.png"]
    picture = np.asarray(Image.open(path))[..., :3]
    assert picture.shape[:2] == (700, 1300)
    for color in inspect.COLORS[:2]:
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (picture == rgb).all(axis=-1).sum() > 100


def test_a_sentence_is_found_in_any_split(folder):
    manifest = records_statistics.read_manifest(folder)
    for wanted, video_id in (("train-1", "a"), ("test-0", "b/c")):
        found, sentence = inspect.find_sentence(folder, manifest, wanted)
        assert (found.video_id, sentence.id) == (video_id, wanted)


@pytest.mark.parametrize(
    ("sentence_id", "message"),
    [
        ("dog", "no sentence 'dog'; example ids: train-0, test-0$"),
        ("train-9", "train-9: skipped by data.prepare: video 12: no such file"),
    ],
)
def test_an_unknown_sentence_is_an_error(folder, sentence_id, message):
    with pytest.raises(ValueError, match=message):
        inspect.find_sentence(folder, records_statistics.read_manifest(folder), sentence_id)


@pytest.mark.parametrize(
    ("video_id", "found"),
    [
        ("a", "a.mp4"),
        ("a.mp4", "a.mp4"),
        ("c", "x/b/c.mp4"),
        ("b/c", "x/b/c.mp4"),
        ("v1.5", "v1.5.avi"),
        ("odd[1]", "odd[1].mkv"),
    ],
)
def test_a_video_is_found_by_its_id(tmp_path, video_id, found):
    for name in ("a.mp4", "aa.mp4", "x/b/c.mp4", "x/bc.mp4", "v1.5.avi", "odd[1].mkv", "d/e.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a").mkdir()
    assert inspect.find_video(str(tmp_path), video_id) == str(tmp_path / found)


def test_a_missing_or_ambiguous_video_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file a\.\* in or below it \(--video_dir\)"):
        inspect.find_video(str(tmp_path), "a")
    for name in ("a.mp4", "x/a.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"several files for video a: .*a\.mp4, .*x/a\.avi; give"):
        inspect.find_video(str(tmp_path), "a")


def test_the_tube_is_scaled_to_the_pixels_of_the_file(videos, tmp_path):
    # Annotated at twice the width: the box is half as far to the right and half as wide.
    wide = clip("a", sentence("odd/id", 4, 10), width=480)
    inspect.draw_sentence(f"{videos}/a.mp4", wide, wide.sentences[0], str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path / "out")) == ["odd%2Fid.mp4", "odd%2Fid.png"]
    frames = list(reading.decode_frames(str(tmp_path / "out" / "odd%2Fid.mp4"), size=None))
    for number, frame in enumerate(frames):
        near = np.abs(frame[60:150].astype(int) - drawing.TRUE).max(axis=-1) < 40
        columns = np.flatnonzero(near.any(axis=0))
        assert (columns.size > 0) == (4 <= number < 10)
        if columns.size:
            np.testing.assert_allclose([columns[0], columns[-1]], [60, 90], atol=4)


def test_a_mirrored_sentence_is_drawn_in_the_mirrored_video(tmp_path):
    path = str(tmp_path / "a.mp4")
    frame = np.full((180, 240, 3), 128, np.uint8)
    frame[:, 200:] = 255
    writing.write_video(path, [frame] * 20, 10)
    plain = clip("a", sentence("s", 4, 10))
    for shown in (plain, mirroring.mirror_clip(plain)):
        inspect.draw_sentence(path, shown, shown.sentences[0], str(tmp_path))
    # Below the text and above the bar, up to compression artifacts.
    drawn, mirrored = (
        np.stack(list(reading.decode_frames(f"{tmp_path}/{name}.mp4", size=None)))[:, 60:150]
        for name in ("s", "s~mirrored")
    )
    assert np.abs(drawn[:, :, ::-1].astype(int) - mirrored).mean() < 2
    assert np.abs(drawn.astype(int) - mirrored).mean() > 20


@pytest.mark.slow
def test_the_program(folder, videos, tmp_path):
    done = call(folder, "--json")
    assert done.returncode == 0, done.stderr
    statistics = json.loads(done.stdout)
    assert statistics["splits"]["train"]["sentences"]["kept"] == 2
    assert os.listdir(os.path.join(folder, "inspect")) == ["histograms.png"]
    output = f"--output_dir={tmp_path / 'out'}"
    done = call(folder, "--sentence=train-0", f"--video_dir={videos}", output)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["text"], shown["segment"], shown["seconds"]) == ("a dog runs.", [4, 10], [0.4, 1])
    assert sorted(os.listdir(tmp_path / "out")) == ["train-0.mp4", "train-0.png"]


@pytest.mark.slow
def test_a_sentence_without_its_videos_is_a_usage_error(folder):
    done = call(folder, "--sentence=train-0")
    assert done.returncode == 2
    assert "--sentence and --video_dir must be given together" in done.stderr


def test_an_absent_sentence_has_no_tube_to_draw(tmp_path):
    none = np.zeros((0, 4), "float32")
    absent = clip_records.Sentence(0, "test-absent-00000", "a", "declarative", -1, 0, 0, none)
    clip = clip_records.Clip("v", 0, 40, 25.0, 64, 48, 40, (absent,))
    with pytest.raises(ValueError, match="test-absent-00000: the sentence describes nothing"):
        inspect.draw_sentence("v.mp4", clip, absent, str(tmp_path))
