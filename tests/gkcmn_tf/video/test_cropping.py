"""Cropping that a container asks for."""

import struct

import av
import numpy as np
import pytest

from gkcmn_tf.video import cropping, reading
from tests.gkcmn_tf.video import ffmpeg

WIDTH, HEIGHT = 96, 64
COLUMNS, ROWS = 2 * np.arange(WIDTH), 3 * np.arange(HEIGHT)


def write_gradients(path, codec="libx264"):
    """Frames that say where a pixel was: red grows by 2 with each column, green by 3 a row."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 0], picture[..., 1] = COLUMNS, ROWS[:, None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        stream.codec_context.thread_count = 1
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def add_clean_aperture(path, left, top, width, height):
    """Adds a `clap` box, which gives size and offset of the centre, to a file with `moov` last."""
    data = bytearray(path.read_bytes())
    moov = data.index(b"moov")
    place = data.index(b"avcC", moov) - 4
    numbers = (width, 1, height, 1, 2 * left + width - WIDTH, 2, 2 * top + height - HEIGHT, 2)
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        begin = data.index(parent, moov) - 4
        (size,) = struct.unpack_from(">I", data, begin)
        struct.pack_into(">I", data, begin, size + 40)
    data[place:place] = struct.pack(">I4s8i", 40, b"clap", *numbers)
    path.write_bytes(data)


def turn_clockwise(path):
    data = bytearray(path.read_bytes())
    struct.pack_into(">5i", data, data.index(b"tkhd") + 44, 0, 1 << 16, 0, -1 << 16, 0)
    path.write_bytes(data)


@pytest.fixture
def path(tmp_path):
    """A video cropped to columns 20 to 79 and rows 10 to 49."""
    path = tmp_path / "v.mp4"
    write_gradients(path)
    add_clean_aperture(path, 20, 10, 60, 40)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_only_the_part_that_players_show_is_seen(path, suffix):
    if suffix != "mp4":
        copy = path.with_suffix(f".{suffix}")
        ffmpeg.run("-i", path, "-c", "copy", copy)
        path = copy
    info = reading.probe(str(path))
    assert (info.width, info.height) == (60, 40)
    frames = np.stack(list(reading.decode_frames(str(path), None)))
    np.testing.assert_allclose(frames[0, 20, :, 0], COLUMNS[20:80], atol=4)
    np.testing.assert_allclose(frames[0, :, 30, 1], ROWS[10:50], atol=4)
    np.testing.assert_allclose(frames, ffmpeg.frames(path, 40, 60), atol=4)
    # The same part is resized for the network: pixel 112 of 224 is column 50 and row 30.
    small = next(iter(reading.decode_frames(str(path))))
    np.testing.assert_allclose(small[112, 112, :2], [COLUMNS[50], ROWS[30]], atol=4)


def test_a_frame_is_cropped_before_it_is_turned(path):
    turn_clockwise(path)
    info = reading.probe(str(path))
    assert (info.width, info.height) == (40, 60)
    frames = np.stack(list(reading.decode_frames(str(path), None)))
    np.testing.assert_allclose(frames[0, :, 20, 0], COLUMNS[20:80], atol=4)
    np.testing.assert_allclose(frames[0, 30, :, 1], ROWS[49:9:-1], atol=4)
    np.testing.assert_allclose(frames, ffmpeg.frames(path, 60, 40), atol=4)


def test_odd_numbers_of_pixels_are_cropped(tmp_path):
    path = tmp_path / "v.mp4"
    write_gradients(path)
    add_clean_aperture(path, 21, 11, 33, 27)
    with av.open(str(path)) as container:
        found = cropping.read_cropping(container.streams.video[0])
    assert found == cropping.Cropping(left=21, top=11, right=42, bottom=26)
    frame = next(iter(reading.decode_frames(str(path), None)))
    assert frame.shape == (27, 33, 3)
    np.testing.assert_allclose(frame[10, :, 0], COLUMNS[21:54], atol=4)
    np.testing.assert_allclose(frame[:, 10, 1], ROWS[11:38], atol=4)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "ffv1")])
def test_a_file_without_cropping_is_seen_whole(tmp_path, suffix, codec):
    path = tmp_path / f"v.{suffix}"
    write_gradients(path, codec)
    with av.open(str(path)) as container:
        assert cropping.read_cropping(container.streams.video[0]) == cropping.Cropping()
    assert (reading.probe(str(path)).width, reading.probe(str(path)).height) == (WIDTH, HEIGHT)


def test_a_codec_that_matroska_does_not_know_has_no_cropping(tmp_path):
    path = tmp_path / "v.gif"
    ffmpeg.run("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=1", path)
    assert (reading.probe(str(path)).width, reading.probe(str(path)).height) == (64, 48)
