"""The programs `index` and `search`, as their users run them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import gkcmn_tf
from gkcmn_tf.indexing import video_index
from gkcmn_tf.indexing.video_index import VideoIndex
from tests.gkcmn_tf.indexing import tiny_index

ROOT = pathlib.Path(__file__).parents[2]
SAMPLES = gkcmn_tf.samples()


def call(module, *arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two samples and a damaged video, indexed by two processes."""
    folder = tmp_path_factory.mktemp("videos")
    for sample in SAMPLES[:2]:
        shutil.copy(sample.video, folder)
    (folder / "broken.mp4").write_text("no video")
    done = call("gkcmn_tf.index", folder, "--processes=2")
    assert done.returncode == 1, done.stderr
    assert done.stdout == (
        f"{folder}/.gkcmn: 2 videos, 2 clips (2 encoded, 0 unchanged, 0 removed, 1 skipped)\n"
    )
    assert f"skipped: {folder}/broken.mp4: cannot be opened as a video: " in done.stderr
    return folder


@pytest.mark.slow
def test_two_processes_give_the_index_of_one(folder, tmp_path):
    grounder = gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")
    one = grounder.index(folder, index_dir=tmp_path / "index", progress=False)
    two = VideoIndex.load(folder)
    assert one.model.differences(two.model) == [] and one.skipped == two.skipped
    for a, b in zip(one.videos, two.videos, strict=True):
        assert a.key == b.key
        windows = [
            index.windows(video).view(grounder.search_network.dtype.as_numpy_dtype).astype(float)
            for index, video in ((one, a), (two, b))
        ]
        np.testing.assert_allclose(*windows, atol=0.02 * np.abs(windows[0]).max())


@pytest.mark.slow
def test_search_prints_a_table_or_json(folder):
    sentence = SAMPLES[0].sentences[0]
    grounder = gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")
    tubes = grounder.search(folder, sentence, top_k=3)
    arguments = (sentence, f"--folder={folder}", "--top_k=3")
    done = call("gkcmn_tf.search", *arguments)
    assert done.returncode == 0, done.stderr
    title, header, *rows = done.stdout.splitlines()
    assert title == sentence and header.split() == ["score", "seconds", "frames", "video"]
    for row, tube in zip(rows, tubes, strict=True):
        score, seconds, frames, path = re.split(r"  +", row.strip())
        assert float(score) == pytest.approx(tube.score, abs=2e-3)
        assert seconds == f"{tube.begin_seconds:.2f} to {tube.end_seconds:.2f}"
        assert frames == f"[{tube.begin}, {tube.end})" and path == tube.video.path
    assert "searched 2 clips of 2 videos" in done.stderr
    done = call("gkcmn_tf.search", *arguments, "a red flurble", "--json")
    assert "words that the model was not trained on: flurble" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["query"] for line in lines] == [sentence] * 3 + ["a red flurble"] * 3
    for line, tube in zip(lines, tubes, strict=False):
        assert line["video"] == tube.video.path
        assert (line["begin"], line["end"]) == (tube.begin, tube.end)
        assert line["begin_seconds"] == tube.begin / 25 and line["end_seconds"] == tube.end / 25
        assert line["score"] == pytest.approx(tube.score, abs=1e-3)
        assert list(line["boxes"]) == [str(frame) for frame in range(tube.begin, tube.end)]


@pytest.mark.slow
def test_a_changed_video_is_told(folder, tmp_path):
    copy = tmp_path / "videos"
    shutil.copytree(folder, copy)
    index = VideoIndex.load(copy)
    for video in index.videos:
        os.utime(index.path(video), (1, 1))
    done = call("gkcmn_tf.search", SAMPLES[0].sentences[0], f"--folder={copy}", "--top_k=1")
    assert "has changed since it was indexed; run gkcmn index" in done.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("gkcmn_tf.index", [], "expected one folder of videos, got 0 arguments; see python -m gk"),
        ("gkcmn_tf.index", ["none"], "none: no such folder"),
        ("gkcmn_tf.index", [".", "--preset=nono"], "--preset=nono: neither a folder nor a preset"),
        ("gkcmn_tf.search", [], 'expected a sentence, such as "a red triangle is shrinking"'),
        ("gkcmn_tf.search", [" ?"], "sentence ' ?': contains no word"),
        ("gkcmn_tf.search", ["a dog"], ".: contains no index; make one with gkcmn index"),
        ("gkcmn_tf.search", ["a dog", "--folder=empty"], "contains no videos; run gkcmn index"),
        ("gkcmn_tf.search", ["a dog", "--top_k=0"], "flag --top_k=0: "),
        (
            "gkcmn_tf.search",
            ["a dog", "--folder=.", "--index_dir=empty/.gkcmn"],
            "empty/.gkcmn: is the index of empty, not of --folder=.",
        ),
    ],
)
def test_a_mistake_is_one_line(module, arguments, message, tmp_path):
    (tmp_path / "empty").mkdir()
    tiny_index.update(tmp_path / "empty")
    done = call(module, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.slow
def test_an_index_of_another_model_is_refused_by_name(tmp_path):
    (tmp_path / "v.mp4").write_bytes(pathlib.Path(SAMPLES[0].video).read_bytes())
    tiny_index.update(tmp_path)
    before = pathlib.Path(video_index.catalogue_path(str(tmp_path / ".gkcmn"))).read_bytes()
    for module, arguments in (
        ("gkcmn_tf.index", [tmp_path]),
        ("gkcmn_tf.search", ["a dog", f"--folder={tmp_path}"]),
    ):
        done = call(module, *arguments)
        assert done.returncode == 2
        assert "was made with preset tiny, not with gkcmn_shapes" in done.stderr
    assert pathlib.Path(video_index.catalogue_path(str(tmp_path / ".gkcmn"))).read_bytes() == before
