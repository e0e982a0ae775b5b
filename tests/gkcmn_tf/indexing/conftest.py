"""A folder of small videos."""

import numpy as np
import pytest

from gkcmn_tf.video import writing


def write_grey_video(path, levels, *, size=32):
    """Writes a video with one frame for each grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = (np.full((size, size, 3), level, np.uint8) for level in levels)
    writing.write_video(str(path), frames, 25)


@pytest.fixture
def videos(tmp_path):
    """`a.mp4` and `b/c.mp4` of 8 and 100 frames, and files that are no videos by their names."""
    folder = tmp_path / "videos"
    write_grey_video(folder / "a.mp4", range(0, 80, 10))
    write_grey_video(folder / "b" / "c.mp4", range(100, 200))
    (folder / "notes.txt").write_text("no video")
    (folder / "._a.mp4").write_text("what another system writes beside a video")
    return folder
