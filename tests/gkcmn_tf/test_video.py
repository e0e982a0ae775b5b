"""Videos that are written here and read back, whole, turned, and broken."""

import os
import struct

import av
import numpy as np
import pytest

from gkcmn_tf import video

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


def quarters(height=48, width=64):
    """A frame with one colour in each quarter: red and green above blue and white."""
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = slice(height // 2), slice(width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    frame[top, left], frame[top, right] = RED, GREEN
    frame[bottom, left], frame[bottom, right] = BLUE, WHITE
    return frame


def noise(count, seed=0):
    """Frames that compress badly, so that every part of the file matters."""
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 64, 3), np.uint8)


def corner_colours(frame):
    """The colour inside each quarter: upper left, upper right, lower left, lower right."""
    height, width, _ = frame.shape
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return np.array([frame[row, column] for row in rows for column in columns], int)


def truncated(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.mp4"


def test_every_frame_comes_back_in_order(path):
    levels = np.arange(30) * 8
    video.write_video(str(path), [np.full((48, 64, 3), level, np.uint8) for level in levels], 25)
    stream = video.decode_frames(str(path))
    frames = np.stack(list(stream))
    assert frames.shape == (30, 224, 224, 3) and frames.dtype == np.uint8
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), levels, atol=4)
    assert (stream.count, stream.damage) == (30, "")
    assert stream.info == video.VideoInfo(64, 48, 25.0, 30) == video.probe(str(path))


@pytest.mark.parametrize("fps", [29.97, 30000 / 1001, 5])
def test_frame_rates_come_back(path, fps):
    video.write_video(str(path), [quarters()] * 3, fps)
    assert video.probe(str(path)).fps == pytest.approx(fps, rel=1e-6)


@pytest.mark.parametrize("size", [224, None])
def test_the_whole_frame_is_seen(path, size):
    video.write_video(str(path), [quarters()] * 2, 25)
    frame = next(iter(video.decode_frames(str(path), size)))
    assert frame.shape == ((48, 64, 3) if size is None else (size, size, 3))
    np.testing.assert_allclose(corner_colours(frame), [RED, GREEN, BLUE, WHITE], atol=12)


def test_shrinking_does_not_alias(path):
    checkered = (np.indices((448, 448)).sum(axis=0) % 2 * 255).astype(np.uint8)
    video.write_video(str(path), [np.stack([checkered] * 3, axis=-1)] * 2, 25)
    frame = next(iter(video.decode_frames(str(path))))
    np.testing.assert_allclose(frame, 127, atol=12)


# The matrix of the track header: a quarter turn clockwise, then upside down, then anticlockwise.
@pytest.mark.parametrize(
    ("matrix", "colours"),
    [
        ((0, 1, -1, 0), [BLUE, RED, WHITE, GREEN]),
        ((-1, 0, 0, -1), [WHITE, BLUE, GREEN, RED]),
        ((0, -1, 1, 0), [GREEN, WHITE, RED, BLUE]),
    ],
)
@pytest.mark.parametrize("size", [224, None])
def test_a_turned_camera_gives_upright_frames(path, matrix, colours, size):
    video.write_video(str(path), [quarters()] * 2, 25)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    stream = video.decode_frames(str(path), size)
    (frame, _) = stream
    upright = (64, 48) if matrix[0] else (48, 64)
    assert (stream.info.width, stream.info.height) == upright
    assert frame.shape == ((upright[1], upright[0], 3) if size is None else (size, size, 3))
    np.testing.assert_allclose(corner_colours(frame), colours, atol=12)


def test_frames_are_decoded_as_they_are_asked_for(path):
    video.write_video(str(path), [quarters()] * 20, 25)
    stream = video.decode_frames(str(path))
    iterator = iter(stream)
    next(iterator)
    assert stream.count == 1
    next(iterator)
    assert stream.count == 2


def test_decoding_twice_gives_the_same_bytes(path):
    video.write_video(str(path), noise(10), 25)
    first, second = (np.stack(list(video.decode_frames(str(path)))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_file_that_breaks_off_yields_its_beginning_and_says_so(path):
    video.write_video(str(path), noise(40), 25)
    whole = np.stack(list(video.decode_frames(str(path))))
    truncated(path, 0.6)
    stream = video.decode_frames(str(path))
    frames = np.stack(list(stream))
    assert 10 < len(frames) < 35
    assert str(len(frames)) in stream.damage
    np.testing.assert_array_equal(frames[:-1], whole[: len(frames) - 1])


def test_a_hole_in_the_middle_ends_the_video_so_that_no_frame_is_misnumbered(path):
    video.write_video(str(path), noise(40), 25)
    whole = np.stack(list(video.decode_frames(str(path))))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20000] = b"\xff" * 20000
    path.write_bytes(data)
    stream = video.decode_frames(str(path))
    frames = np.stack(list(stream))
    assert 5 < len(frames) < 40
    assert f"stops after frame {len(frames)}" in stream.damage
    np.testing.assert_array_equal(frames[:5], whole[:5])


@pytest.mark.parametrize("content", [b"", b"not a video" * 100])
def test_a_file_that_is_no_video_is_an_error(path, content):
    path.write_bytes(content)
    with pytest.raises(video.VideoError, match=r"v\.mp4: cannot be opened as a video: Invalid"):
        video.decode_frames(str(path))


def test_a_file_cut_before_its_first_frame_is_an_error(path):
    video.write_video(str(path), noise(40), 25)
    truncated(path, 0.05)
    with pytest.raises(video.VideoError, match=r"v\.mp4: no frame can be decoded"):
        video.probe(str(path))


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(video.VideoError, match="Is a directory"):
        video.probe(str(tmp_path))


def test_a_missing_file_is_an_error(path):
    with pytest.raises(FileNotFoundError, match=r"v\.mp4: no such file"):
        video.probe(str(path))


def test_sound_alone_is_an_error(tmp_path):
    path = str(tmp_path / "sound.wav")
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
    with pytest.raises(video.VideoError, match="has no video stream"):
        video.probe(path)


def test_the_same_frames_give_the_same_file(tmp_path):
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in paths:
        video.write_video(str(path), iter(noise(10)), 25)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


def test_odd_sizes_are_padded_by_their_edge(path):
    video.write_video(str(path), [np.full((47, 63, 3), 200, np.uint8)] * 2, 25)
    stream = video.decode_frames(str(path), None)
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
        video.write_video(str(path), frames, 25)
    assert os.listdir(path.parent) == []
