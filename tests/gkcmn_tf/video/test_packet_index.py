"""Times from packets and single frames by seeking, compared with decoding all frames."""

import fractions

import numpy as np
import pytest

from gkcmn_tf.video import packet_index, reading
from tests.gkcmn_tf.video import ffmpeg

SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=4")
X264 = ("-c:v", "libx264", "-bf", "3", "-g", "20", "-threads", "1")
OPEN_GOP = (*X264, "-x264-params", "open-gop=1")
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=none:keyint=20:open-gop=1")

# Name of the file, arguments of FFmpeg, and whether its packets tell all frames.
FILES = {
    "closed groups": ("v.mp4", X264, True),
    "open groups": ("v.mp4", OPEN_GOP, True),
    "Matroska": ("v.mkv", OPEN_GOP, True),
    "transport stream": ("v.ts", OPEN_GOP, True),
    "fragments": ("v.mp4", (*X264, "-movflags", "frag_keyframe+empty_moov"), True),
    "HEVC": ("v.mp4", HEVC, True),
    "VP9": ("v.webm", ("-c:v", "libvpx-vp9", "-g", "20", "-cpu-used", "8"), True),
    "variable rate": (
        "v.mkv",
        ("-vf", r"select='not(mod(n\,3))+not(mod(n\,7))'", "-fps_mode", "vfr", *X264),
        True,
    ),
    # VP8 has packets without a frame, AVI no time stamps; raw streams have neither.
    "VP8": ("v.webm", ("-c:v", "libvpx", "-g", "20"), False),
    "AVI": ("v.avi", ("-c:v", "mpeg4", "-bf", "2"), False),
    "raw stream": ("v.h264", X264, False),
}


def write(path, *arguments):
    ffmpeg.run(*SOURCE, *arguments, path)
    return str(path)


def check_random_access(path, fps, size=64):
    """Returns whether the times were read from the packets."""
    whole = reading.decode_frames(path, size, fps=fps)
    frames = list(whole)
    stream = reading.decode_frames(path, size, fps=fps)
    timeline = stream.read_timeline(decode=False)
    np.testing.assert_array_equal(timeline.times, whole.timeline.times)
    np.testing.assert_array_equal(timeline.source_frames, whole.timeline.source_frames)
    assert timeline.end_time == whole.timeline.end_time
    assert stream.notices == whole.notices and stream.source.fps == whole.source.fps
    rng = np.random.default_rng(0)
    for count in (1, 5, len(frames)):
        numbers = np.sort(rng.choice(len(frames), count, replace=False))
        found = list(stream.frames_at(numbers))
        np.testing.assert_array_equal(found, [frames[number] for number in numbers])
    return stream._packets is not None


@pytest.mark.parametrize("fps", [None, 7.3, 31.7])
@pytest.mark.parametrize("name", FILES)
def test_frames_and_times_equal_those_of_decoding_everything(name, fps, tmp_path):
    file, arguments, told = FILES[name]
    path = write(tmp_path / file, *arguments)
    assert check_random_access(path, fps) == told


def test_only_the_groups_of_the_wanted_frames_are_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "v.mp4", *X264)
    starts = []
    decode = packet_index._decode_from
    monkeypatch.setattr(
        packet_index, "_decode_from", lambda *args: starts.append(args[-1]) or decode(*args)
    )
    stream = reading.decode_frames(path)
    stream.read_timeline(decode=False)
    # Frames 25 and 27 are in the same group of 20 frames; 61 continues after 60.
    assert len(list(stream.frames_at([25, 27, 59, 60, 61, 99]))) == 6
    assert starts == [20, 40, 80]


def test_a_stream_whose_key_frames_are_no_entry_points_is_noticed(tmp_path):
    # With intra refresh, the picture is complete only some frames after a recovery point.
    path = write(tmp_path / "v.mp4", "-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=20")
    stream = reading.decode_frames(path)
    stream.read_timeline(decode=False)
    with pytest.raises(packet_index.IndexMismatchError, match="is not the one"):
        list(stream.frames_at([50]))
    stream = reading.decode_frames(path)
    stream.read_timeline()
    np.testing.assert_array_equal(
        next(stream.frames_at([50])), list(reading.decode_frames(path))[50]
    )


def test_damage_is_noticed(tmp_path):
    path = tmp_path / "v.mkv"
    write(path, *X264)
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 2000, 50):
        content[place] ^= 255
    path.write_bytes(content)
    whole = reading.decode_frames(str(path))
    frames = list(whole)
    assert whole.damage
    stream = reading.decode_frames(str(path))
    count = stream.read_timeline(decode=False).frame_count
    with pytest.raises(packet_index.IndexMismatchError):
        list(stream.frames_at(range(count)))
    stream = reading.decode_frames(str(path))
    # What a decoder with several threads makes of damaged frames differs from run to run.
    assert stream.read_timeline().frame_count == len(frames) and stream.damage
    found = list(stream.frames_at(range(len(frames))))
    assert len(found) == len(frames)
    np.testing.assert_array_equal(found[:20], frames[:20])


def test_joined_files_whose_time_stamps_start_again_are_decoded(tmp_path):
    for name in ("one.ts", "two.ts"):
        write(tmp_path / name, *X264)
    path = tmp_path / "v.ts"
    path.write_bytes((tmp_path / "one.ts").read_bytes() + (tmp_path / "two.ts").read_bytes())
    assert not check_random_access(str(path), None)


@pytest.mark.parametrize("decode", [True, False])
def test_properties_are_those_of_the_open_file_after_it_is_closed(decode, tmp_path):
    """PyAV reads freed memory there."""
    path = write(tmp_path / "v.mp4", "-vf", "setsar=4/3", *X264)
    stream = reading.decode_frames(path)
    before = (stream.pixel_aspect, stream.time_base, stream.start)
    assert before[0] == fractions.Fraction(4, 3)
    stream.read_timeline(decode=decode)
    assert stream._stream is None and stream._container is None
    assert (stream.pixel_aspect, stream.time_base, stream.start) == before
    assert stream.notices == [] and stream.damage == ""
    assert len(list(stream.frames_at([3, 50]))) == 2
