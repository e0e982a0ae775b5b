"""The files of an index: damaged ones are refused with their names."""

import json

import numpy as np
import pytest

from gkcmn_tf.indexing import video_index
from gkcmn_tf.indexing.video_index import VideoIndex
from gkcmn_tf.video import steps
from tests.gkcmn_tf.indexing import tiny_index


@pytest.fixture
def index(videos):
    return tiny_index.update(videos)[0]


def damage(index, change):
    """Applies `change` to the JSON of the catalogue."""
    path = video_index.catalogue_path(index.index_dir)
    with open(path) as file:
        fields = json.load(file)
    change(fields)
    with open(path, "w") as file:
        json.dump(fields, file)


def first(**fields):
    return lambda catalogue: catalogue["videos"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.update(format=0), "has format 0, expected 1"),
        (lambda fields: fields.pop("videos"), "videos: missing field"),
        (lambda fields: fields.update(folder=3), "folder: expected a string, got 3"),
        (lambda fields: fields["model"].update(max_steps=0), "model.max_steps: expected an int"),
        (lambda fields: fields["model"].pop("features"), "model.features: missing field"),
        (lambda fields: fields["videos"].append(1), r"videos\[2\]: expected an object"),
        (first(name=""), r"videos\[0\]: name: expected a string"),
        (first(size=1.5), "size: expected an integer, got 1.5"),
        (first(frame_count=7), "clips: expected one for each of samples, within 7 frames"),
        (first(clips=[[4, 4]]), r"clips: expected \[begin, end\] with begin < end, got \[4, 4\]"),
        (first(samples=[]), "samples: expected at least one"),
        (first(fps=0), "fps: expected a positive number"),
    ],
)
def test_a_damaged_catalogue_is_refused(index, change, message):
    damage(index, change)
    with pytest.raises(ValueError, match=rf"index\.json: .*{message}"):
        VideoIndex.load(index.index_dir)


def test_a_missing_index_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"contains no index; make one with gkcmn index"):
        VideoIndex.load(tmp_path)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("kept", [None, 0, 0.5])
def test_a_damaged_file_of_a_video_is_told_and_replaced(index, videos, suffix, kept):
    video = index.videos[0]
    path = videos / ".gkcmn" / "videos" / video.key[:2] / f"{video.key}.{suffix}"
    whole = path.read_bytes()
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(whole[: int(len(whole) * kept)])
    read = index.windows if suffix == "npy" else index.source
    with pytest.raises(ValueError, match=rf"{path.name}: cannot be read .*run gkcmn index"):
        read(video)
    tiny_index.update(videos)
    assert path.read_bytes() == whole


def test_the_times_of_frames_are_kept(index):
    video = index.videos[1]
    source = index.source(video)
    assert source.path == index.path(video) and source.width == 32 and source.fps == 25.0
    np.testing.assert_allclose(source.timeline.times, np.arange(100) / 25)
    assert source.timeline.end_time == 4.0 and source.timeline.source_frames is None


def test_rows_are_those_of_the_windows_of_each_step(index):
    video = index.videos[1]
    encoded = tiny_index.encode(index.path(video))
    rows = video.rows(4)
    for row, clip in zip(rows, video.samples.tolist(), strict=True):
        assert encoded.windows[row].tolist() == steps.step_windows(*clip, 4).tolist()
    # A clip of 8 frames has two steps.
    assert index.videos[0].rows(4).tolist() == [[0, 1, -1, -1]]
