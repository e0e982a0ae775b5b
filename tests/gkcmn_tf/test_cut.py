"""The program that writes moments as videos: its input and its files."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import gkcmn_tf
from gkcmn_tf import tube_formats
from gkcmn_tf.video.frame_rates import SourceVideo
from gkcmn_tf.video.reading import decode_frames, read_timeline

ROOT = pathlib.Path(__file__).parents[2]
SAMPLE = gkcmn_tf.samples()[0]


@pytest.fixture
def cut(tmp_path):
    def run(*arguments, text=""):
        return subprocess.run(
            [sys.executable, "-m", "gkcmn_tf.cut", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            input=text.encode(),
            capture_output=True,
            check=False,
        )

    return run


@pytest.fixture
def found(tmp_path):
    """JSON Lines of two moments of a video, as `gkcmn search` prints them."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 1.mp4")
    shutil.copy(SAMPLE.video, path)
    video = SourceVideo(path, 256, 256, 25.0, read_timeline(path))
    tubes = [
        gkcmn_tf.Tube(
            *part, np.tile([20.0, 20, 90, 90], (10, 1)), 0.5, sentence="a dog", video=video
        )
        for part in ((5, 15), (30, 40))
    ]
    absent = tube_formats.Absent("a cat", 0.1, video)
    return tube_formats.format_answers([*tubes, absent], "json")


def test_moments_are_cut_from_a_file_or_the_standard_input(cut, found, tmp_path):
    (tmp_path / "found.jsonl").write_text(found)
    done = cut("--tubes=found.jsonl", "--output_dir=o")
    assert (done.returncode, done.stderr) == (0, b"")
    paths = [tmp_path / os.fsdecode(line) for line in done.stdout.splitlines()]
    assert [path.name.rpartition("-a-dog-")[2][11:] for path in paths] == ["5-15.mp4", "30-40.mp4"]
    source = np.array(list(decode_frames(SAMPLE.video, None)), int)
    for path, begin in zip(paths, (5, 30), strict=True):
        frames = np.array(list(decode_frames(str(path), None)), int)
        assert len(frames) == 10
        distances = [np.abs(frames - source[n : n + 10]).mean() for n in range(39)]
        assert np.argmin(distances) == begin and distances[begin] < 3
    before = [path.read_bytes() for path in paths]
    # With boxes, other files are written.
    done = cut("--tubes=-", "--output_dir=o", "--boxes", text=found)
    assert done.returncode == 0 and len(list((tmp_path / "o").iterdir())) == 4
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": 3}, "video: expected a path, got 3"),
        ({"video": "none.mp4"}, "none.mp4: no such file; run gkcmn index again"),
        ({"begin": -1}, "stdin, line 1: begin: expected an integer of at least 0"),
        ({"end": 5}, "end: expected an integer of at least 6"),
        ({"boxes": {"20": [0, 0, 1, 1]}}, "boxes: expected frames from 5 to 14, got '20'"),
        ({"boxes": {"5": [0, 0, 1]}}, "boxes: 5: expected [x1, y1, x2, y2], got [0, 0, 1]"),
        ({"score": None}, "score: expected a finite number"),
        ({"begin": 45, "end": 60, "boxes": {}}, "has 48 frames, expected at least 60"),
    ],
)
def test_damaged_lines_are_told(cut, found, tmp_path, change, message):
    line = json.loads(found.splitlines()[0]) | change
    done = cut("--tubes=-", "--output_dir=o", text=json.dumps(line))
    error = done.stderr.decode()
    assert (done.returncode, done.stdout, error.count("\n")) == (2, b"", 1)
    assert error.startswith("error: ") and message in error
    assert not list(tmp_path.glob("o/*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected sentences or --tubes"),
        (["a dog", "--tubes=x"], "expected sentences or --tubes"),
        (["--tubes=none.jsonl"], "--tubes=none.jsonl: no such file"),
        (["a dog"], ".: contains no index; make one with gkcmn index"),
        (["..."], "sentence '...': contains no word"),
    ],
)
def test_arguments_are_checked_before_tensorflow_is_imported(cut, arguments, message):
    done = cut(*arguments)
    error = done.stderr.decode()
    assert (done.returncode, done.stdout, error.count("\n")) == (2, b"", 1)
    assert error.startswith("error: ") and message in error
