"""Odd containers, frame by frame against an independent FFmpeg program.

Each file is made here. Frames, their number and their times must be those of the program of
`imageio-ffmpeg`, which has libraries of its own. Further files, with expectations worked out by
hand, are in `tests/gkcmn_tf/video`.
"""

import numpy as np
import pytest

from gkcmn_tf.video import reading
from tests.gkcmn_tf.video import ffmpeg
from tests.gkcmn_tf.video.pictures import set_display_matrix, write_timed
from tests.gkcmn_tf.video.test_cropping import add_clean_aperture, write_gradients

SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1.2,gblur=sigma=8")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1.2")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1")
# Colours of 4:2:0 are interpolated differently by different versions and flags of swscale.
LARGEST, MEAN = 16, 2
EIGHT_ORIENTATIONS = [
    *((1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)),
    *((0, 1, -1, 0), (0, -1, 1, 0), (0, 1, 1, 0), (0, -1, -1, 0)),
]

# Name of the file and arguments of FFmpeg that make it.
FILES = {
    "plain": ("v.mp4", [*SOURCE, *X264]),
    "b_frames_and_open_gop": (
        "v.mp4",
        [*SOURCE, "-c:v", "libx264", "-bf", "3", "-x264-params", "open-gop=1:keyint=8"],
    ),
    "raw_h264": ("v.h264", [*SOURCE, *X264]),
    "raw_mpeg4": ("v.m4v", [*SOURCE, "-c:v", "mpeg4"]),
    "variable_rate": (
        "v.mkv",
        [*SOURCE, "-vf", r"select='not(mod(n\,3))+not(mod(n\,7))'", "-fps_mode", "vfr", *X264],
    ),
    "ten_bits": ("v.mkv", [*SOURCE, "-c:v", "ffv1", "-pix_fmt", "yuv420p10le"]),
    "hdr_flag": (
        "v.mp4",
        [*SOURCE, *X264, "-color_trc", "smpte2084", "-color_primaries", "bt2020"],
    ),
    "interlaced": ("v.mpg", [*SOURCE, "-c:v", "mpeg2video", "-flags", "+ildct+ilme"]),
    "full_range": ("v.mp4", [*SOURCE, *X264, "-pix_fmt", "yuvj420p"]),
    "four_four_four": ("v.mkv", [*SOURCE, "-c:v", "ffv1", "-pix_fmt", "yuv444p"]),
    "grey": ("v.mkv", [*SOURCE, "-c:v", "ffv1", "-pix_fmt", "gray"]),
    "palette": ("v.gif", [*SOURCE]),
    "anamorphic": ("v.mp4", [*SOURCE, "-vf", "setsar=4/3", *X264]),
    "sound_begins_later": (
        "v.mkv",
        [*SOURCE, "-itsoffset", "0.5", *SOUND, *X264, "-c:a", "pcm_s16le"],
    ),
    "picture_begins_later": (
        "v.mp4",
        ["-itsoffset", "0.6", *SOURCE, *SOUND, *X264, "-c:a", "aac"],
    ),
    "fragmented": ("v.mp4", [*SOURCE, *X264, "-movflags", "frag_keyframe+empty_moov", "-g", "5"]),
    "transport_stream": ("v.ts", [*SOURCE, *X264]),
    "transport_stream_from_26_hours": ("v.ts", [*SOURCE, *X264, "-output_ts_offset", "95440"]),
    "avi_with_b_frames": ("v.avi", [*SOURCE, "-c:v", "mpeg4", "-bf", "2"]),
    "flash": ("v.flv", [*SOURCE, *X264]),
    "two_pictures": ("v.mkv", [*SOURCE, "-frames:v", "2", *X264]),
}


def check(path, *, sized=None):
    """Frames and times of a file are those of the independent program."""
    info = reading.probe(str(path))
    expected = ffmpeg.frames(path, info.height, info.width)
    stream = reading.decode_frames(str(path), None)
    frames = np.stack(list(stream))
    if sized:
        assert (info.width, info.height) == sized
    assert frames.shape == expected.shape
    difference = np.abs(frames.astype(int) - expected)
    assert difference.max() <= LARGEST and difference.mean() <= MEAN
    # Neighbouring frames differ by more than that, so that none is missing or repeated.
    if len(frames) > 2:
        neighbours = np.abs(expected[1:].astype(int) - expected[:-1]).mean(axis=(1, 2, 3))
        errors = np.abs(frames[1:].astype(int) - expected[:-1]).mean(axis=(1, 2, 3))
        assert (errors > difference[1:].mean(axis=(1, 2, 3)))[neighbours > 2 * MEAN].all()
    assert stream.damage == ""
    return stream


@pytest.mark.parametrize("name", FILES)
def test_frames_and_times(name, tmp_path):
    file, arguments = FILES[name]
    path = tmp_path / file
    ffmpeg.run(*arguments, path)
    stream = check(path)
    times = np.array(ffmpeg.frame_times(path))
    if name == "avi_with_b_frames":
        times -= times[0]  # AVI has no times; the program counts the delay of the B-frames
    # The program counts from the start of the file, as players do.
    np.testing.assert_allclose(stream.timeline.times, times, atol=2e-3)


@pytest.mark.parametrize("declared", [10, 60, 1000])
def test_a_declared_rate_that_lies(declared, tmp_path):
    path = tmp_path / "v.mkv"
    write_timed(path, np.arange(30) * 1000 // 30, rate=declared)
    stream = check(path)
    np.testing.assert_allclose(stream.timeline.times, ffmpeg.frame_times(path), atol=2e-3)
    assert f"declares {declared} frames per second" in " ".join(stream.notices)


def test_empty_chunks_of_an_avi_file(tmp_path):
    path = tmp_path / "v.avi"
    write_timed(path, 100 * np.arange(20), codec="mpeg4")
    stream = check(path)
    np.testing.assert_allclose(stream.timeline.times, ffmpeg.frame_times(path), atol=2e-3)


@pytest.mark.parametrize("matrix", EIGHT_ORIENTATIONS, ids=str)
def test_orientations(matrix, tmp_path):
    path = tmp_path / "v.mp4"
    ffmpeg.run(*SOURCE, *X264, path)
    set_display_matrix(path, matrix)
    check(path, sized=(96, 64) if matrix[0] else (64, 96))


def test_a_clean_aperture_and_an_orientation(tmp_path):
    path = tmp_path / "v.mp4"
    write_gradients(path)
    add_clean_aperture(path, 20, 10, 60, 40)
    set_display_matrix(path, (0, -1, -1, 0))
    check(path, sized=(40, 60))


@pytest.mark.parametrize("sides", ["left=10", "left=10:crop_top=6:crop_right=4"])
def test_a_picture_cropped_by_its_codec(sides, tmp_path):
    ffmpeg.run(*SOURCE, *X264, tmp_path / "whole.mp4")
    path = tmp_path / "v.mp4"
    crop = f"h264_metadata=crop_{sides}"
    ffmpeg.run("-i", tmp_path / "whole.mp4", "-c", "copy", "-bsf:v", crop, path)
    check(path, sized=(86, 64) if sides == "left=10" else (82, 58))


MPEG2 = ("-c:v", "mpeg2video", "-bf", "2")
JOINED = {"v.ts": X264, "v.mpg": MPEG2, "v.vob": MPEG2}


def join(path, arguments):
    """Writes a file whose time stamps start again in the middle."""
    ffmpeg.run(*SOURCE, *arguments, path)
    path.write_bytes(2 * path.read_bytes())


@pytest.mark.parametrize("name", JOINED)
def test_files_joined_byte_by_byte(name, tmp_path):
    path = tmp_path / name
    join(path, JOINED[name])
    stream = check(path)
    np.testing.assert_allclose(stream.timeline.times, ffmpeg.frame_times(path), atol=2e-3)
    assert stream.notices == []


def test_damage_before_a_joint_loses_no_frame_after_it(tmp_path):
    path = tmp_path / "v.ts"
    join(path, X264)
    whole = list(reading.decode_frames(str(path), None))
    content = bytearray(path.read_bytes())
    place = 23 * 188  # a packet of the transport stream
    content[place + 30 : place + 180] = bytes(150)
    path.write_bytes(content)
    stream = reading.decode_frames(str(path), None)
    frames = list(stream)
    assert stream.damage == "damaged frames: 1"
    np.testing.assert_array_equal(frames[30:], whole[30:])


@pytest.mark.parametrize("trim", [["-ss", "0.4"], ["-ss", "0.5", "-t", "0.4"]], ids=" ".join)
def test_parts_copied_without_encoding(trim, tmp_path):
    ffmpeg.run(*SOURCE, *X264, "-g", "6", tmp_path / "whole.mp4")
    path = tmp_path / "v.mp4"
    ffmpeg.run(*trim, "-i", tmp_path / "whole.mp4", "-c", "copy", path)
    check(path)
