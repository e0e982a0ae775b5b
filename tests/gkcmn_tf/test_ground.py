"""Arguments of `gkcmn_tf.ground` that are refused before TensorFlow is imported."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import gkcmn_tf

ROOT = pathlib.Path(__file__).parents[2]
SAMPLE = gkcmn_tf.samples()[0]


@pytest.fixture
def ground(tmp_path):
    """Runs the program in a folder with inputs of several kinds; returns the process."""
    shutil.copy(SAMPLE.video, tmp_path / "clip.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "utf16.txt").write_text("what moves?", encoding="utf-16")
    (tmp_path / "blank.txt").write_text("\n \n")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "gkcmn_tf.ground", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": "text.mp4"}, "text.mp4: cannot be opened as a video: "),
        ({"preset": "gkcmn_shape"}, "--preset=gkcmn_shape: neither a folder nor a preset of this "),
        ({"query": b"caf\xe9"}, "sentence 'caf\\udce9': expected text in UTF-8"),
        ({"queries_file": "utf16.txt"}, "--queries_file=utf16.txt: expected text in UTF-8: "),
        ({"queries_file": "blank.txt"}, "--queries_file=blank.txt: holds no sentence"),
        ({"queries_file": "folder"}, "folder: Is a directory"),
        ({"begin": "nan"}, "--begin=nan: expected seconds"),
        ({"end": "nan"}, "--begin=0 --end=nan: expected begin < end"),
        ({"threshold": "nan"}, "--threshold=nan: expected a number from 0 to 1"),
        ({"output": "folder"}, "--output=folder: is a folder"),
        ({"output": "./clip.mp4"}, "--output=./clip.mp4: is an input"),
        ({"output": "file/tubes.json"}, "--output: the folder file cannot be made: File exists"),
        ({"cache_dir": "file"}, "--cache_dir: the folder file cannot be made: File exists"),
        ({"output_dir": "file/x"}, "--output_dir: the folder file/x cannot be made: Not a dir"),
        ({"output_dir": 300 * "x"}, "cannot be made: File name too long"),
    ],
)
def test_arguments_are_checked_before_weights_are_loaded(ground, tmp_path, changes, message):
    before = (tmp_path / "clip.mp4").read_bytes()
    flags = {"video": "clip.mp4", "query": "what moves?"} | changes
    done = ground(*(b"--%s=%s" % (k.encode(), os.fsencode(v)) for k, v in flags.items()))
    error = done.stderr.decode()
    assert (done.returncode, done.stdout, error.count("\n")) == (2, b"", 1)
    assert error.startswith("error: ") and message in error
    assert (tmp_path / "clip.mp4").read_bytes() == before


@pytest.mark.slow
def test_each_sentence_gets_its_line_and_is_drawn_once(ground, tmp_path):
    os.rename(tmp_path / "clip.mp4", os.path.join(os.fsencode(tmp_path), b"12:30 caf\xe9.mp4"))
    done = ground(
        b"--video=12:30 caf\xe9.mp4", "--query=what moves?", "--query=what moves?", "--format=csv"
    )
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.startswith(b"video,query,frame") and rows[0].startswith(b"12:30 caf\xe9.mp4,")
    half = len(rows) // 2
    assert half > 0 and rows[:half] == rows[half:]
    drawn = sorted(os.listdir(tmp_path / "ground"))
    assert [os.path.splitext(name)[1] for name in drawn] == [".mp4", ".png"]
    assert json.dumps(drawn[0]).startswith('"12-30-caf-what-moves-')
