"""The index follows its folder: new, changed, renamed, removed and damaged videos, faults."""

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from gkcmn_tf import folder_lock
from gkcmn_tf.indexing import updating
from gkcmn_tf.indexing.video_index import VideoIndex
from tests.gkcmn_tf.indexing import tiny_index
from tests.gkcmn_tf.indexing.conftest import write_grey_video

ROOT = pathlib.Path(__file__).parents[3]
# Writes of a run on two videos: index.json, two files for each, index.json.
WRITES = 6


def contents(folder):
    """Bytes of the files of an index by name."""
    index_dir = folder / ".gkcmn"
    return {
        str(path.relative_to(index_dir)): path.read_bytes()
        for path in sorted(index_dir.rglob("*"))
        if path.is_file()
    }


def update(folder, **settings):
    index, changes = tiny_index.update(folder, **settings)
    return index, dataclasses.astuple(changes)


def test_videos_of_all_folders_are_encoded_once(videos):
    index, changes = update(videos)
    assert changes == (2, 0, 0, 0)
    assert [video.name for video in index.videos] == ["a.mp4", "b/c.mp4"]
    # 8 frames are 2 windows; 4 s are 7 clips of 1 s, each of 4 steps.
    assert [len(video.clips) for video in index.videos] == [1, 7]
    assert index.videos[1].clips[[0, 1, -1]].tolist() == [[0, 25], [12, 38], [75, 100]]
    windows = index.windows(index.videos[0])
    assert windows.shape == (2, 1, 1, 3) and isinstance(windows, np.memmap)
    # Frames 0, 0, 0 to 5 and 2 to 7, 7, 7 of levels 0, 10, 20, ...
    np.testing.assert_allclose(
        windows[:, 0, 0, 0], [150 / 8, (20 + 30 + 40 + 50 + 60 + 210) / 8], 0.1
    )
    before = contents(videos)
    index, changes = update(videos)
    assert changes == (0, 2, 0, 0) and contents(videos) == before
    assert index.videos[1].clips.tolist() == VideoIndex.load(videos).videos[1].clips.tolist()


def test_only_changed_videos_are_encoded(videos):
    encoded = []

    def encode(path):
        encoded.append(os.path.relpath(path, videos))
        return tiny_index.encode(path)

    update(videos, encode=encode)
    assert encoded == ["a.mp4", os.path.join("b", "c.mp4")]
    del encoded[:]
    before = contents(videos)
    write_grey_video(videos / "a.mp4", range(0, 120, 10))
    index, changes = update(videos, encode=encode)
    assert changes == (1, 1, 0, 0) and encoded == ["a.mp4"]
    assert index.videos[0].frame_count == 12
    # The files of the video as it was are gone.
    after = contents(videos)
    assert len(after) == len(before) and len(before.keys() & after.keys()) == 3


def test_a_renamed_or_touched_video_is_not_encoded_again(videos):
    update(videos)
    (videos / "a.mp4").rename(videos / "b" / "A.MP4")
    os.utime(videos / "b" / "c.mp4", (1, 1))

    def fail(path):
        raise AssertionError(path)

    index, changes = update(videos, encode=fail)
    assert changes == (2, 0, 1, 0)
    assert [video.name for video in index.videos] == ["b/A.MP4", "b/c.mp4"]
    assert all(index.is_current(video) for video in index.videos)


def test_a_copy_shares_the_files_of_the_original(videos):
    shutil.copy(videos / "a.mp4", videos / "copy.mp4")
    index, _ = update(videos)
    assert len(index.videos) == 3 and len(contents(videos)) == 5
    (videos / "a.mp4").unlink()
    index, changes = update(videos)
    assert changes == (0, 2, 1, 0)
    assert index.windows(index.videos[-1]).shape == (2, 1, 1, 3)


def test_a_removed_video_is_dropped_with_its_files(videos):
    index, _ = update(videos)
    (videos / "a.mp4").unlink()
    assert not index.is_current(index.videos[0])
    index, changes = update(videos)
    assert changes == (0, 1, 1, 0) and [video.name for video in index.videos] == ["b/c.mp4"]
    assert len(contents(videos)) == 3


def test_a_damaged_video_is_skipped_with_its_reason_and_tried_again(videos):
    whole = (videos / "a.mp4").read_bytes()
    (videos / "a.mp4").write_bytes(b"no video")
    (videos / "gone.mp4").symlink_to("nowhere.mp4")
    index, changes = update(videos)
    assert changes == (1, 0, 0, 2)
    assert list(index.skipped) == ["gone.mp4", "a.mp4"]
    assert f"{videos}/a.mp4: cannot be opened as a video: " in index.skipped["a.mp4"]
    assert index.skipped["gone.mp4"] == f"{videos}/gone.mp4: No such file or directory"
    assert VideoIndex.load(videos).skipped == dict(sorted(index.skipped.items()))
    (videos / "a.mp4").write_bytes(whole)
    (videos / "gone.mp4").unlink()
    index, changes = update(videos)
    assert changes == (1, 1, 0, 0) and not index.skipped


def test_a_named_pipe_is_skipped(videos):
    os.mkfifo(videos / "pipe.mp4")
    (videos / "link.mp4").symlink_to("pipe.mp4")
    index, changes = update(videos)
    assert changes == (2, 0, 0, 2)
    assert index.skipped["pipe.mp4"] == f"{videos}/pipe.mp4: is not a regular file"
    assert index.skipped["link.mp4"] == f"{videos}/link.mp4: is not a regular file"


def test_a_video_replaced_while_it_is_encoded_does_not_count_as_the_one_before(videos):
    first, second = (videos / name for name in ("a.mp4", "b/c.mp4"))
    kept = videos / "kept"
    shutil.copy(first, kept)

    def replaced_before(path):
        if path == str(first) and kept.exists():
            shutil.copy(second, first)
        return tiny_index.encode(path)

    index, changes = update(videos, encode=replaced_before)
    assert changes == (1, 0, 0, 1)
    assert "a.mp4: has changed while it was encoded; run gkcmn" in index.skipped["a.mp4"]
    kept.rename(first)
    index, changes = update(videos, encode=replaced_before)
    assert changes == (1, 1, 0, 0)
    assert [video.frame_count for video in index.videos] == [8, 100]


def test_names_may_be_any_bytes(videos):
    shutil.copy(videos / "a.mp4", os.fsencode(videos) + b"/caf\xe9.mp4")
    update(videos)
    index = VideoIndex.load(videos)
    assert index.videos[-1].name == "caf\udce9.mp4" and index.is_current(index.videos[-1])


def test_an_index_moves_with_its_folder(videos, tmp_path):
    update(videos)
    moved = tmp_path / "moved"
    videos.rename(moved)
    index = VideoIndex.load(moved)
    assert index.path(index.videos[1]) == str(moved / "b" / "c.mp4")
    assert update(moved)[1] == (0, 2, 0, 0)


def test_an_index_elsewhere_keeps_the_path_of_its_folder(videos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_index.update("videos", "index")
    assert not (videos / ".gkcmn").exists()
    monkeypatch.chdir("/")
    index = VideoIndex.load(tmp_path / "index")
    assert index.folder == str(videos) and index.is_current(index.videos[0])


def test_another_model_is_refused_by_name(videos):
    update(videos)
    before = contents(videos)
    other = dataclasses.replace(
        tiny_index.MODEL, name="other", weights_sha256="1" * 64, features={"fps": 5.0}
    )
    message = (
        r"was made with preset tiny, not with other \(other features\.fps, features\.shape, "
        r"weights_sha256\); use --preset=tiny"
    )
    with pytest.raises(ValueError, match=message):
        update(videos, model=other)
    assert contents(videos) == before
    # The location of the I3D weights does not matter, nor does the name.
    features = tiny_index.MODEL.features | {"i3d_source": "elsewhere"}
    same = dataclasses.replace(tiny_index.MODEL, name="same", features=features)
    assert update(videos, model=same)[1] == (0, 2, 0, 0)


def test_a_folder_with_other_files_or_another_index_is_refused(videos, tmp_path):
    with pytest.raises(ValueError, match=r"contains no index but other files \(\._a\.mp4\)"):
        tiny_index.update(videos, str(videos))
    tiny_index.update(videos, str(tmp_path / "index"))
    with pytest.raises(ValueError, match=r"is the index of .*/videos, not of .*/videos/b; choose"):
        tiny_index.update(videos / "b", str(tmp_path / "index"))
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        tiny_index.update(tmp_path / "none")


def test_a_second_program_is_refused(videos):
    in_use = pytest.raises(ValueError, match=f"in use by process {os.getpid()} on ")
    with folder_lock.folder_lock(str(videos / ".gkcmn")), in_use:
        update(videos)
    assert update(videos)[1] == (2, 0, 0, 0)


@pytest.mark.parametrize("fault", ["kill", "killafter"])
@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_a_killed_program_continues(videos, fault, number):
    update(videos)
    undisturbed = contents(videos)
    shutil.rmtree(videos / ".gkcmn")

    def run(*injected):
        command = [sys.executable, "-m", "tests.faults.injection", *injected]
        return subprocess.run(
            [*command, "tests.gkcmn_tf.indexing.tiny_index", str(videos)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run(fault, str(number)).returncode == -signal.SIGKILL
    left = contents(videos)
    complete = sum(name.endswith(".npz") for name in left)
    assert complete == max(number - (fault == "kill") - 1, 0) // 2
    times = {name: (videos / ".gkcmn" / name).stat().st_mtime_ns for name in left}
    done = run("none", "0")
    assert done.returncode == 0, done.stderr
    assert contents(videos) == undisturbed
    # Complete files were not written again.
    for name in left:
        if name.endswith(".npz"):
            assert (videos / ".gkcmn" / name).stat().st_mtime_ns == times[name]


def test_an_index_whose_program_failed_has_what_was_encoded(videos):
    def encode(path):
        if path.endswith("c.mp4"):
            raise KeyboardInterrupt
        return tiny_index.encode(path)

    with pytest.raises(KeyboardInterrupt):
        update(videos, encode=encode)
    index = VideoIndex.load(videos)
    assert [video.name for video in index.videos] == ["a.mp4"] and not index.is_complete
    index, changes = update(videos)
    assert changes == (1, 1, 0, 0) and index.is_complete


def test_a_full_disk_ends_the_program(videos, monkeypatch):
    def save(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(OSError, match="No space left"):
        update(videos)
    assert updating.VideoIndex.load(videos).videos == ()
