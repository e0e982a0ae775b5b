"""Feature extraction of many videos: output files after success, failure and interruption."""

import errno
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from data import extract_features
from gkcmn_tf.features import extraction, feature_records
from tests.data.mean_extractor import make_extractor

ROOT = pathlib.Path(__file__).parents[2]
KILLS = 3


def contents(root):
    """Bytes of every file, by path."""
    paths = (path for path in pathlib.Path(root).rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture
def paths(folder):
    return {vid: str(folder.add_video(vid, frame_count=8 + 5 * i)) for i, vid in enumerate("abc")}


def extract(paths, output_dir, *beam_options):
    return extract_features.extract_videos(make_extractor, paths, str(output_dir), beam_options)


def test_every_video_gives_features_and_metadata(paths, tmp_path):
    videos, failures = extract(paths, tmp_path / "out")
    assert failures == {}
    assert {vid: known.frame_count for vid, known in videos.items()} == {"a": 8, "b": 13, "c": 18}
    assert videos["b"].windows == 4
    assert sorted(contents(tmp_path / "out")) == sorted(
        f"features/{vid}.{suffix}" for vid in paths for suffix in ("json", "tfrecord")
    )


def test_a_mirrored_video_gets_separate_features(paths, tmp_path):
    both = {"a": paths["a"], "a~mirrored": paths["a"]}
    videos, failures = extract(both, tmp_path)
    assert (sorted(videos), failures) == (sorted(both), {})
    # The extractor computes means, so its features are mirrored.
    plain, mirrored = (
        feature_records.read_video_features(str(tmp_path), vid).features for vid in both
    )
    np.testing.assert_allclose(mirrored, plain[:, :, ::-1], atol=2e-4)
    assert np.abs(mirrored - plain).max() > 0.01


def test_a_bad_video_is_recorded_with_its_reason_and_retried(paths, tmp_path, monkeypatch):
    content = pathlib.Path(paths["b"]).read_bytes()
    pathlib.Path(paths["b"]).write_bytes(b"no video")
    original = extraction.FeatureExtractor.extract

    def extract_or_fail(self, path, video_id, **kwargs):
        if video_id == "c":
            raise IndexError("an unexpected error")
        return original(self, path, video_id, **kwargs)

    monkeypatch.setattr(extraction.FeatureExtractor, "extract", extract_or_fail)
    videos, failures = extract(paths, tmp_path / "out")
    assert list(videos) == ["a"]
    assert "b.mp4: cannot be opened as a video" in failures["b"]
    assert failures["c"] == "video c: an unexpected error"
    assert json.loads((tmp_path / "out/failures/c.json").read_text())["reason"] == failures["c"]

    monkeypatch.setattr(extraction.FeatureExtractor, "extract", original)
    pathlib.Path(paths["b"]).write_bytes(content)
    videos, failures = extract(paths, tmp_path / "out")
    assert (sorted(videos), failures) == (["a", "b", "c"], {})
    assert not (tmp_path / "out/failures").exists()


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.UnknownError(None, None, "File too large"),
        OSError(errno.EFBIG, "File too large", "x.json"),
    ],
)
def test_a_write_that_fails_is_no_fault_of_the_video(paths, tmp_path, monkeypatch, caplog, error):
    class FailingWriter(tf.io.TFRecordWriter):
        def write(self, record):
            raise error

    monkeypatch.setattr(tf.io, "TFRecordWriter", FailingWriter)
    written = r"(a\.tfrecord: cannot be written|x\.json): File too large$"
    with pytest.raises(ValueError, match=written):
        extract(paths, tmp_path / "out")
    assert not (tmp_path / "out/failures").exists()
    assert "Traceback" not in caplog.text


def modify(path, content):
    """Writes other content with a time of its own, as file systems may have coarse times."""
    before = os.stat(path).st_mtime_ns
    pathlib.Path(path).write_bytes(content)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_video_that_was_replaced_gets_new_features(paths, tmp_path):
    extract(paths, tmp_path / "out")
    before = contents(tmp_path / "out")
    modify(paths["a"], pathlib.Path(paths["c"]).read_bytes())
    videos, _ = extract(paths, tmp_path / "out")
    assert videos["a"].frame_count == 18
    after = contents(tmp_path / "out")
    assert sorted(name for name in before if after[name] != before[name]) == [
        "features/a.json",
        "features/a.tfrecord",
    ]
    # A replacement that cannot be read must not leave the old features.
    modify(paths["a"], b"no video")
    videos, failures = extract(paths, tmp_path / "out")
    assert sorted(videos) == ["b", "c"] and list(failures) == ["a"]


def test_a_copied_or_removed_video_keeps_its_features(paths, tmp_path):
    extract(paths, tmp_path / "out")
    before = contents(tmp_path / "out")
    modify(paths["a"], pathlib.Path(paths["a"]).read_bytes())
    os.remove(paths["b"])
    facts = tmp_path / "out/features/c.json"
    old = json.loads(facts.read_text())
    del old["file"]  # as in records of older versions
    facts.write_text(json.dumps(old))
    modify(paths["c"], b"other")

    def no_network():
        raise AssertionError("made features")

    videos, failures = extract_features.extract_videos(no_network, paths, str(tmp_path / "out"))
    assert (sorted(videos), failures) == (["a", "b", "c"], {})
    after = contents(tmp_path / "out")
    assert {name for name in before if after[name] != before[name]} == {
        "features/a.json",  # the time
        "features/c.json",
    }


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {"file": "x"},
        {"file": {}},
        {"frame_count": "9"},
        {"frame_count": 1_000_000},
        {"times": [0.0]},
        {"width": None},
        {"notices": 3},
        {"fps": 0},
        {"source_frames": [0.5]},
    ],
    ids=str,
)
def test_damaged_facts_are_named(paths, tmp_path, changes):
    extract(paths, tmp_path / "out")
    path = tmp_path / "out/features/a.json"
    path.write_text(json.dumps(changes and json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=r"features/a\.json: does not describe a video; delete it"):
        extract(paths, tmp_path / "out")


def test_partial_files_of_a_killed_run_are_removed(paths, tmp_path):
    extract(paths, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out/features/a.tfrecord.tmp-123").write_bytes(b"half")
    extract(paths, tmp_path / "out")
    assert contents(tmp_path / "out") == before


@pytest.mark.slow
def test_two_processes_give_the_same_bytes_as_one(paths, tmp_path):
    extract(paths, tmp_path / "one")
    extract(
        paths,
        tmp_path / "two",
        "--runner=DirectRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


PROGRAM = """
import sys
from data import prepare, vidstg
from tests.data.mean_extractor import make_extractor
root, output_dir = sys.argv[1:]
paths = vidstg.find_vidor_annotations(root + "/vidor")
found = vidstg.read_split("val", root + "/annotations", paths)
prepare.prepare({"val": found}, make_extractor, fingerprint=make_extractor().fingerprint,
                dataset="vidstg", video_dir=root + "/videos", output_dir=output_dir, arguments={})
"""


def start(root, output_dir):
    command = [sys.executable, "-c", PROGRAM, str(root), str(output_dir)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )


@pytest.mark.slow
def test_a_run_killed_at_random_times_gives_the_same_bytes_as_an_uninterrupted_one(
    folder, steady, tmp_path
):
    vids = [f"v{i:02d}" for i in range(40)]
    for vid in vids:
        folder.add_vidor(vid, {0: steady})
        folder.add_record(vid)
        folder.add_video(vid)
    pathlib.Path(folder.video_dir / "g0" / "v07.mp4").write_bytes(b"no video")
    folder.write()
    root = folder.annotation_dir.parent
    assert start(root, tmp_path / "undisturbed").wait() == 0

    output_dir = tmp_path / "killed"
    moments = sorted(random.Random(0).sample(range(2, 2 * len(vids)), KILLS))
    for files in moments:
        process = start(root, output_dir)
        while len(list((output_dir / "features").glob("*"))) < files:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (output_dir / "manifest.json").exists()
    assert start(root, output_dir).wait() == 0
    assert contents(output_dir) == contents(tmp_path / "undisturbed")
