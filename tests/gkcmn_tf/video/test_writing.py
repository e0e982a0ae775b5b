"""Videos as they are written."""

import os

import numpy as np
import pytest

from gkcmn_tf.video import reading, writing
from tests.gkcmn_tf.video.pictures import noise, quarters


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.mp4"


def test_the_same_frames_give_the_same_bytes(tmp_path):
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in paths:
        writing.write_video(str(path), iter(noise(10)), 25)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


def test_odd_sizes_are_padded_by_their_edge(path):
    writing.write_video(str(path), [np.full((47, 63, 3), 200, np.uint8)] * 2, 25)
    stream = reading.decode_frames(str(path), None)
    np.testing.assert_allclose(next(iter(stream)), 200, atol=4)
    assert (stream.info.width, stream.info.height) == (64, 48)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames to write"),
        ([quarters().astype(float)], "frame 0 is float64"),
        ([quarters(), quarters(64, 48)], r"frame 1 is uint8 \(64, 48, 3\)"),
        ([quarters()[..., 0]], "frame 0 is uint8"),
    ],
)
def test_a_video_that_cannot_be_written_leaves_no_file(path, frames, message):
    with pytest.raises(ValueError, match=message):
        writing.write_video(str(path), frames, 25)
    assert os.listdir(path.parent) == []
