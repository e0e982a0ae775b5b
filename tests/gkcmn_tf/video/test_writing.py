"""Videos with a variable frame rate."""

import fractions
import os

import av
import numpy as np
import pytest

from gkcmn_tf.video import reading, writing
from gkcmn_tf.video.writing import TimedFrame
from tests.gkcmn_tf.video.pictures import noise, quarters

SECOND = fractions.Fraction(1)
GREY = np.full((48, 64, 3), 128, np.uint8)


def stamps(path):
    """Returns time stamps in ticks of the file and the duration of the last frame."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [f.pts for f in frames], container.streams.video[0].time_base, frames[-1].duration


def test_times_that_are_multiples_of_the_time_base_are_exact(tmp_path):
    path = tmp_path / "v.mp4"
    times = [fractions.Fraction(n * 1001, 30000) for n in (0, 1, 2, 10, 11, 500)]
    frames = [TimedFrame(GREY, time, SECOND / 4) for time in times]
    base = fractions.Fraction(1, 30000)
    writing.write_timed_video(str(path), frames, 30 / 1.001, time_base=base)
    found, unit, last = stamps(path)
    assert [stamp * unit for stamp in found] == times
    assert last * unit == SECOND / 4


def test_frames_with_equal_times_are_one_tick_apart(tmp_path):
    path = tmp_path / "v.mp4"
    frames = [TimedFrame(GREY, time * SECOND, SECOND) for time in (0, 0, 0, 1, 1)]
    writing.write_timed_video(str(path), frames, 25)
    found, unit, _ = stamps(path)
    assert unit == fractions.Fraction(1, 90_000)
    assert found == [0, 1, 2, 90_000, 90_001]


@pytest.mark.parametrize("denominator", [25, 1000, 10**6, 10**9])
def test_long_frames_with_any_time_base(tmp_path, denominator):
    path = tmp_path / "v.mp4"
    frames = [TimedFrame(GREY, time * SECOND, SECOND) for time in (0, 1, 2000)]
    base = fractions.Fraction(1, denominator)
    writing.write_timed_video(str(path), frames, 25, time_base=base)
    found, unit, last = stamps(path)
    assert [stamp * unit for stamp in (*found, last)] == [0, 1, 2000, 1]


def test_the_same_frames_give_the_same_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (10, 48, 64, 3), np.uint8)
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in paths:
        frames = (TimedFrame(pixels, n * SECOND / 7, SECOND / 7) for n, pixels in enumerate(noise))
        writing.write_timed_video(str(path), frames, 7)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_error_in_the_frame_iterator_leaves_no_file(tmp_path):
    source = tmp_path / "source.mp4"
    writing.write_video(str(source), [GREY] * 3, 25)

    def frames():
        yield TimedFrame(GREY, 0 * SECOND, SECOND)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        writing.write_timed_video(str(tmp_path / "v.mp4"), frames(), 25)
    with pytest.raises(ValueError, match="no frames to write"):
        writing.write_timed_video(str(tmp_path / "v.mp4"), [], 25)
    assert os.listdir(tmp_path) == ["source.mp4"]


def test_the_time_of_each_yielded_frame_is_recorded(tmp_path):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = fractions.Fraction(1, 1000)
        for time in (200, 300, 350, 900):
            frame = av.VideoFrame.from_ndarray(GREY, "rgb24")
            frame.pts, frame.time_base = time, fractions.Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    stream = reading.decode_frames(str(path), None)
    assert stream.start == fractions.Fraction(1, 5)
    times = [stream.frame_time for _ in stream]
    assert times == [fractions.Fraction(n, 1000) for n in (0, 100, 150, 700)]
    resampled = reading.decode_frames(str(path), None, fps=5)
    found = [(resampled.frame_time, resampled.frame_duration) for _ in resampled]
    assert found == [(n * SECOND / 5, SECOND / 5) for n in range(4)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.mp4"


def test_the_same_frames_give_the_same_bytes(tmp_path):
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in paths:
        writing.write_video(str(path), iter(noise(10)), 25)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


def test_odd_sizes_are_padded_by_repeating_the_edge(path):
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
