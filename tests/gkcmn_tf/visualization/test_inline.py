"""Tubes drawn into a file and in a notebook."""

import base64
import html.parser
import itertools
import os

import numpy as np
import pytest

from gkcmn_tf.tubes import Tube
from gkcmn_tf.video import reading, writing
from gkcmn_tf.visualization import drawing, inline, overlays


def make_tube(path, frames, begin, end, fps=10):
    writing.write_video(str(path), frames, fps)
    stream = reading.decode_frames(str(path), None)
    for _ in stream:
        pass
    boxes = np.tile([40.0, 80, 100, 140], (end - begin, 1))
    return Tube(begin, end, boxes, sentence='a "<b>" dog', video=stream.source)


@pytest.fixture
def tube(tmp_path):
    return make_tube(tmp_path / "v.mp4", [np.full((180, 240, 3), 128, np.uint8)] * 20, 6, 14)


def read_html(text, path):
    """Returns the attributes of the only element and the frames of the video in it."""
    elements = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            elements.append((tag, dict(attrs)))

    Parser().feed(text)
    ((tag, attributes),) = elements
    kind, content = attributes["src"].split(",", 1)
    assert (tag, kind) == ("video", "data:video/mp4;base64")
    path.write_bytes(base64.b64decode(content, validate=True))
    return attributes, list(reading.decode_frames(str(path), None))


def orange(frame):
    near = np.abs(frame[70:150, 30:110].astype(int) - drawing.PREDICTED).max(axis=-1) < 60
    return bool(near.any())


def test_a_tube_is_drawn_into_its_video(tube, tmp_path):
    output, strip = tmp_path / "out" / "drawn.mp4", tmp_path / "out" / "drawn.png"
    tube.draw(str(output), strip_path=str(strip))
    frames = list(reading.decode_frames(str(output), None))
    assert [orange(frame) for frame in frames] == [6 <= number < 14 for number in range(20)]
    assert strip.exists()


def test_of_a_video_longer_than_a_minute_the_part_around_the_tube_is_drawn(tmp_path):
    black = np.zeros((180, 240, 3), np.uint8)
    long = make_tube(tmp_path / "v.mp4", itertools.repeat(black, 305), 150, 160, fps=5)
    long.draw(str(tmp_path / "drawn.mp4"))
    frames = list(reading.decode_frames(str(tmp_path / "drawn.mp4"), None))
    around = 5 * overlays.AROUND_SECONDS
    expected = [around <= number < around + 10 for number in range(2 * around + 10)]
    assert [orange(frame) for frame in frames] == expected


def test_a_tube_without_a_video_cannot_be_drawn(tube, tmp_path):
    bare = Tube(tube.begin, tube.end, tube.boxes)
    with pytest.raises(ValueError, match="the tube has no video; create it with"):
        bare.draw(str(tmp_path / "drawn.mp4"))
    assert bare._repr_html_() is None
    os.remove(tube.video.path)
    with pytest.raises(FileNotFoundError, match=r"v\.mp4: no such file"):
        tube.draw(str(tmp_path / "drawn.mp4"))
    assert tube._repr_html_() is None
    assert os.listdir(tmp_path) == []


def test_a_notebook_shows_the_drawn_video(tube, tmp_path):
    attributes, frames = read_html(tube._repr_html_(), tmp_path / "shown.mp4")
    assert attributes["title"] == 'a "<b>" dog'
    assert [orange(frame) for frame in frames] == [6 <= number < 14 for number in range(20)]


def test_a_large_video_is_scaled_down(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 540, 960, 3), np.uint8)
    tube = make_tube(tmp_path / "v.mp4", frames, 1, 3)
    _, frames = read_html(tube._repr_html_(), tmp_path / "shown.mp4")
    assert len(frames) == 4 and frames[0].shape == (270, 480, 3)


def test_a_video_that_compresses_badly_is_compressed_more(tmp_path, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (50, 180, 240, 3), np.uint8)
    tube = make_tube(tmp_path / "v.mp4", frames, 6, 14, fps=25)
    whole = len(tube._repr_html_())
    monkeypatch.setattr(inline, "MAX_BYTES", 100_000)
    # Base64 has four characters for three bytes; the encoder may start with a full buffer.
    assert len(tube._repr_html_()) < 2 * 100_000 * 4 / 3 < whole / 2


def test_only_the_part_around_the_tube_is_shown_of_a_long_video(tmp_path):
    frames = (np.full((180, 240, 3), 128, np.uint8) for _ in range(70))
    tube = make_tube(tmp_path / "v.mp4", frames, 20, 22, fps=1)
    _, frames = read_html(tube._repr_html_(), tmp_path / "shown.mp4")
    # Frames 15 to 26 of one second each: five seconds before and after.
    assert [orange(frame) for frame in frames] == [number in (20, 21) for number in range(15, 27)]
