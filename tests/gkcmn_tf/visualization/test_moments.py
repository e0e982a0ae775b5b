"""Videos of moments: exactly their frames, their times and their sound."""

import fractions

import numpy as np
import pytest

from gkcmn_tf.tubes import Tube
from gkcmn_tf.video import reading, writing
from gkcmn_tf.visualization.moments import moment_name, write_moment
from tests.gkcmn_tf.video import ffmpeg

LEVELS = np.arange(40) * 6  # grey of each frame
TOLERANCE = 4  # of grey that was encoded twice, so that frames are not confused


def make_tube(begin, end, sentence="a dog"):
    boxes = np.tile([10.0, 10, 40, 40], (end - begin, 1))
    return Tube(begin, end, boxes, sentence=sentence)


def means(path):
    """Mean grey of each frame, as an independent FFmpeg decodes it."""
    info = reading.probe(str(path))
    return ffmpeg.frames(path, info.height, info.width).mean(axis=(1, 2, 3))


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "v.mp4"
    grey = (np.full((64, 96, 3), level, np.uint8) for level in LEVELS)
    writing.write_video(str(path), grey, 25)
    return path


@pytest.mark.parametrize(("begin", "end"), [(0, 40), (0, 1), (7, 30), (39, 40)])
def test_a_moment_has_exactly_its_frames(video, tmp_path, begin, end):
    output = tmp_path / "o.mp4"
    write_moment(str(output), str(video), make_tube(begin, end))
    np.testing.assert_allclose(means(output), LEVELS[begin:end], atol=TOLERANCE)
    expected = np.arange(end - begin) / 25
    np.testing.assert_allclose(ffmpeg.frame_times(output), expected, atol=1e-4)


def test_times_of_frames_are_kept(tmp_path):
    path, output = tmp_path / "v.mp4", tmp_path / "o.mp4"
    times = np.cumsum([0, 1, 1, 5, 1, 2, 8, 1]) / 20
    frames = (
        writing.TimedFrame(
            np.full((32, 32, 3), 20 * number, np.uint8),
            fractions.Fraction(time).limit_denominator(1000),
            fractions.Fraction(1, 20),
        )
        for number, time in enumerate(times.tolist())
    )
    writing.write_timed_video(str(path), frames, 10)
    write_moment(str(output), str(path), make_tube(2, 7))
    np.testing.assert_allclose(means(output), np.arange(2, 7) * 20, atol=TOLERANCE)
    np.testing.assert_allclose(ffmpeg.frame_times(output), times[2:7] - times[2], atol=1e-4)


def test_boxes_are_drawn_where_they_are(video, tmp_path):
    plain, drawn = tmp_path / "plain.mp4", tmp_path / "drawn.mp4"
    boxes = np.tile([10.0, 10, 40, 40], (4, 1))
    boxes[2] = np.nan
    write_moment(str(plain), str(video), Tube(10, 14, boxes))
    write_moment(str(drawn), str(video), Tube(10, 14, boxes), boxes=True)
    difference = np.abs(ffmpeg.frames(drawn, 64, 96).astype(int) - ffmpeg.frames(plain, 64, 96))
    changed = difference.max(axis=-1) > 30
    assert changed[[0, 1, 3], 10:40, 10:14].any(axis=(1, 2)).all()
    assert not changed[2].any() and not changed[:, 44:].any() and not changed[:, :, 44:].any()


@pytest.mark.parametrize(
    ("name", "codec"), [("v.mp4", "aac"), ("v.mkv", "vorbis"), ("v.mp4", "mp3")]
)
def test_the_sound_of_the_moment_is_kept_in_time(tmp_path, name, codec):
    """A tone from 2.0 to 2.2 s is 0.8 s after the begin of a moment that begins at 1.2 s."""
    path, output = tmp_path / name, tmp_path / "o.mp4"
    tone = "aevalsrc='if(between(t,2,2.2),sin(2*PI*440*t),0)':d=4"
    inputs = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=4", "-f", "lavfi", "-i")
    encoder = {"vorbis": "libvorbis", "mp3": "libmp3lame"}.get(codec, codec)
    ffmpeg.run(*inputs, tone, "-c:v", "libx264", "-c:a", encoder, path)
    write_moment(str(output), str(path), make_tube(30, 70))
    assert len(ffmpeg.frame_times(output)) == 40
    sound = ffmpeg.run("-i", output, "-map", "0:a", "-ac", "1", "-ar", "8000", "-f", "f32le", "-")
    samples = np.frombuffer(sound, np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.2) / 8000
    assert loud[0] == pytest.approx(0.8, abs=0.06) and loud[-1] == pytest.approx(1.0, abs=0.06)
    assert len(samples) / 8000 == pytest.approx(1.6, abs=0.1)


def test_a_video_whose_packets_mislead_is_decoded_whole(tmp_path):
    path, output = tmp_path / "v.mp4", tmp_path / "o.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=4")
    refresh = ("-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=20")
    ffmpeg.run(*source, *refresh, path)
    write_moment(str(output), str(path), make_tube(50, 60))
    source, found = (ffmpeg.frames(file, 64, 96).astype(int) for file in (path, output))
    assert len(found) == 10
    distances = [np.abs(found - source[begin : begin + 10]).mean() for begin in range(91)]
    assert np.argmin(distances) == 50


def test_frames_that_the_video_does_not_have_are_an_error(video, tmp_path):
    output = tmp_path / "o.mp4"
    with pytest.raises(ValueError, match=r"v\.mp4: has 40 frames, expected at least 41; has it"):
        write_moment(str(output), str(video), make_tube(38, 41))
    assert not output.exists()


def test_the_video_and_folders_are_never_replaced(video, tmp_path):
    with pytest.raises(ValueError, match="is the video itself"):
        write_moment(str(video), str(video), make_tube(3, 5))
    with pytest.raises(ValueError, match="is a folder"):
        write_moment(str(tmp_path), str(video), make_tube(3, 5))


def test_each_moment_has_its_own_name():
    moments = [
        (video, make_tube(begin, end, sentence), boxes)
        for video in ("a/v.mp4", "b/v.mp4")
        for sentence in ("a dog", "a cat", "A Dog!")
        for begin, end in ((1, 23), (12, 3 + 20), (1, 24))
        for boxes in (False, True)
    ]
    names = {moment_name(video, tube, boxes=boxes) for video, tube, boxes in moments}
    assert len(names) == len(moments)
    assert all("/" not in name and len(name.encode()) < 200 for name in names)
    name = moment_name("a/v.mp4", make_tube(1, 23))
    assert name.startswith("v-a-dog-") and name.endswith("-1-23.mp4")
