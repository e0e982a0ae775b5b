"""Reading of videos: valid, rotated, with irregular times, and damaged."""

import fractions
import io
import itertools
import struct
import weakref

import av
import numpy as np
import pytest

from gkcmn_tf.video import reading, writing
from tests.gkcmn_tf.video import ffmpeg
from tests.gkcmn_tf.video.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    noise,
    quarters,
    set_display_matrix,
    write_timed,
)


def corner_colours(frame):
    """Returns the colour in each quarter: upper left, upper right, lower left, lower right."""
    height, width, _ = frame.shape
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return np.array([frame[row, column] for row in rows for column in columns], int)


def numbered(number, height=64, width=96):
    """Returns a frame that shows its number in binary: eight bars, the lowest bit on the left."""
    bits = number >> np.arange(8) & 1
    columns = bits[np.arange(width) * 8 // width] * np.uint8(235)
    return np.broadcast_to(columns[:, None], (height, width, 3)).astype(np.uint8)


def read_number(frame):
    height, width, _ = frame.shape
    bars = frame[height // 2, (2 * np.arange(8) + 1) * width // 16].mean(axis=-1)
    return int((bars > 128) @ (1 << np.arange(8)))


def read_numbers(path, fps=None):
    """Returns the numbers of the decoded frames and the stream."""
    stream = reading.decode_frames(str(path), None, fps=fps)
    return [read_number(frame) for frame in stream], stream


def write_numbered(
    path,
    codec="libx264",
    count=60,
    *,
    times=None,
    rate=25,
    options=None,
    size=(64, 96),
    **container_options,
):
    """Writes a video of numbered frames, at 25 per second or at `times` in milliseconds."""
    if codec not in av.codec.codecs_available:
        pytest.skip(f"PyAV {av.__version__} was built without the encoder {codec}")
    with av.open(str(path), "w", **container_options) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == 0 else "yuv444p"
        stream.codec_context.thread_count = 1
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            if times is not None:
                frame.time_base = stream.codec_context.time_base = fractions.Fraction(1, 1000)
                frame.pts = int(times[number])
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def damage_packet(path, output_path, number, content):
    """Copies a video and replaces the bytes of one stored packet with `content` of them."""
    with av.open(str(path)) as source, av.open(str(output_path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for place, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.dts is None:
                continue
            copy = av.Packet(content(bytes(packet)) if place == number else bytes(packet))
            copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
            copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
            copy.stream = stream
            target.mux(copy)


def packets_in_order_of_storage(path):
    """Returns the display position of each stored packet; `[2, 0, 1]` is last, first, second."""
    with av.open(str(path)) as container:
        stamps = [p.pts for p in container.demux(container.streams.video[0]) if p.pts is not None]
    return np.argsort(np.argsort(stamps)).tolist()


UNEVEN = np.cumsum(np.random.default_rng(0).integers(10, 200, 60))  # milliseconds


def truncated(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.mp4"


def test_every_frame_is_read_in_order(path):
    levels = np.arange(30) * 8
    writing.write_video(str(path), [np.full((48, 64, 3), level, np.uint8) for level in levels], 25)
    stream = reading.decode_frames(str(path))
    frames = np.stack(list(stream))
    assert frames.shape == (30, 224, 224, 3) and frames.dtype == np.uint8
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), levels, atol=4)
    assert (stream.count, stream.damage) == (30, "")
    assert stream.info == reading.VideoInfo(64, 48, 25.0, 30) == reading.probe(str(path))


@pytest.mark.parametrize("size", [224, None])
def test_mirroring_swaps_left_and_right(path, size):
    writing.write_video(str(path), [quarters()] * 2, 25)
    plain = np.stack(list(reading.decode_frames(str(path), size)))
    mirrored = np.stack(list(reading.decode_frames(str(path), size, mirrored=True)))
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


@pytest.mark.parametrize("fps", [29.97, 30000 / 1001, 5])
def test_frame_rates_are_read_as_written(path, fps):
    writing.write_video(str(path), [quarters()] * 3, fps)
    assert reading.probe(str(path)).fps == pytest.approx(fps, rel=1e-6)


@pytest.mark.parametrize("size", [224, None])
def test_frames_are_resized_without_cropping(path, size):
    writing.write_video(str(path), [quarters()] * 2, 25)
    frame = next(iter(reading.decode_frames(str(path), size)))
    assert frame.shape == ((48, 64, 3) if size is None else (size, size, 3))
    np.testing.assert_allclose(corner_colours(frame), [RED, GREEN, BLUE, WHITE], atol=12)


def test_shrinking_does_not_alias(path):
    checkered = (np.indices((448, 448)).sum(axis=0) % 2 * 255).astype(np.uint8)
    writing.write_video(str(path), [np.stack([checkered] * 3, axis=-1)] * 2, 25)
    frame = next(iter(reading.decode_frames(str(path))))
    np.testing.assert_allclose(frame, 127, atol=12)


# Identity, 90 degrees clockwise, 180 degrees, anticlockwise; then the same after a horizontal flip,
# as front cameras write it.
@pytest.mark.parametrize(
    ("matrix", "colours"),
    [
        ((1, 0, 0, 1), [RED, GREEN, BLUE, WHITE]),
        ((0, 1, -1, 0), [BLUE, RED, WHITE, GREEN]),
        ((-1, 0, 0, -1), [WHITE, BLUE, GREEN, RED]),
        ((0, -1, 1, 0), [GREEN, WHITE, RED, BLUE]),
        ((-1, 0, 0, 1), [GREEN, RED, WHITE, BLUE]),
        ((0, -1, -1, 0), [WHITE, GREEN, BLUE, RED]),
        ((1, 0, 0, -1), [BLUE, WHITE, RED, GREEN]),
        ((0, 1, 1, 0), [RED, BLUE, GREEN, WHITE]),
    ],
)
@pytest.mark.parametrize("size", [224, None])
def test_a_rotated_video_gives_upright_frames(path, matrix, colours, size):
    writing.write_video(str(path), [quarters()] * 2, 25)
    set_display_matrix(path, matrix)
    stream = reading.decode_frames(str(path), size)
    (frame, _) = stream
    upright = (64, 48) if matrix[0] else (48, 64)
    assert (stream.info.width, stream.info.height) == upright
    assert frame.shape == ((upright[1], upright[0], 3) if size is None else (size, size, 3))
    np.testing.assert_allclose(corner_colours(frame), colours, atol=12)
    if size is None:
        shown = ffmpeg.frames(path, upright[1], upright[0])[0]
        np.testing.assert_allclose(corner_colours(shown), colours, atol=12)


def test_frames_are_decoded_lazily(path):
    writing.write_video(str(path), [quarters()] * 20, 25)
    stream = reading.decode_frames(str(path))
    iterator = iter(stream)
    next(iterator)
    assert stream.count == 1
    next(iterator)
    assert stream.count == 2


def test_decoding_twice_gives_the_same_bytes(path):
    writing.write_video(str(path), noise(10), 25)
    first, second = (np.stack(list(reading.decode_frames(str(path)))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_truncated_file_yields_its_beginning_and_reports_the_damage(path):
    writing.write_video(str(path), noise(40), 25)
    whole = np.stack(list(reading.decode_frames(str(path))))
    truncated(path, 0.6)
    stream = reading.decode_frames(str(path))
    frames = np.stack(list(stream))
    assert 10 < len(frames) < 35
    assert str(len(frames)) in stream.damage
    np.testing.assert_array_equal(frames[:-1], whole[: len(frames) - 1])


def test_frames_after_a_gap_keep_their_numbers(path):
    # Key frames are 0, 10, 20, ...; packet 22 is frame 21, which no other frame depends on.
    write_numbered(path, options={"g": "10", "bf": "2", "x264-params": "scenecut=0"})
    order = packets_in_order_of_storage(path)
    damaged = path.with_name("damaged.mp4")
    for place, intact, lost in [(22, 20, 1), (31, 30, 1), (20, 17, 9)]:
        damage_packet(path, damaged, place, lambda data: b"\xff" * len(data))
        found, stream = read_numbers(damaged)
        assert len(found) == 60
        assert found[order[place]] == found[order[place] - 1]
        assert found[: intact + 1] == list(range(intact + 1))
        assert found[40:] == list(range(40, 60))
        assert stream.damage == f"lost frames, each replaced by the previous frame: {lost}"


def test_frames_after_a_damaged_beginning_keep_their_numbers(path):
    write_numbered(path, options={"g": "10"})
    damaged = path.with_name("damaged.mp4")
    damage_packet(path, damaged, 0, lambda data: b"\xff" * len(data))
    found, stream = read_numbers(damaged)
    assert len(found) == 60 and found[10:] == list(range(10, 60))
    assert "previous frame: 1; damaged frames: " in stream.damage


def test_hevc_frames_after_a_gap_keep_their_numbers(tmp_path):
    path, damaged = tmp_path / "v.mp4", tmp_path / "damaged.mp4"
    options = {"x265-params": "log-level=none:keyint=10:min-keyint=10:scenecut=0:pools=1"}
    write_numbered(path, "libx265", options=options)
    damage_packet(path, damaged, 20, lambda data: data[: len(data) // 2] + b"\x55" * 20)
    found, stream = read_numbers(damaged)
    assert len(found) == 60
    assert found[:16] == list(range(16)) and found[40:] == list(range(40, 60))
    assert "lost frames" in stream.damage or "damaged frames" in stream.damage


def test_vp9_frames_after_a_gap_keep_their_numbers(tmp_path):
    path, damaged = tmp_path / "v.webm", tmp_path / "damaged.webm"
    write_numbered(path, "libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "10"})
    damage_packet(path, damaged, 20, lambda data: b"\xff" * len(data))
    found, stream = read_numbers(damaged)
    assert len(found) == 60 and found[40:] == list(range(40, 60))
    assert found[:20] == list(range(20)) and found[20] == 19
    assert "lost frames, each replaced by the previous frame: 1" in stream.damage


@pytest.mark.parametrize("place", [5, 20, 30])
def test_av1_frames_after_a_gap_keep_their_numbers(path, place):
    write_numbered(path, "libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"})
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        begin, size = packets[place].pos, packets[place].size
    data = bytearray(path.read_bytes())
    data[begin : begin + size] = b"\xff" * size
    path.write_bytes(data)
    found, stream = read_numbers(path)
    assert len(found) == 60 and found[place] == place - 1
    assert found[:place] == list(range(place)) and found[40:] == list(range(40, 60))
    assert "lost frames, each replaced by the previous frame: " in stream.damage


def test_without_time_stamps_a_gap_ends_the_video_so_that_no_frame_is_misnumbered(tmp_path):
    path = tmp_path / "v.h264"
    write_numbered(path, options={"g": "10"}, format="h264")
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 3] == b"\0\0\1" and data[i + 3] & 31 == 1]
    # A slice with an invalid header.
    data[starts[30] + 4 : starts[31]] = b"\xff" * (starts[31] - starts[30] - 4)
    path.write_bytes(data)
    found, stream = read_numbers(path)
    assert 5 < len(found) < 60 and found == list(range(len(found)))
    assert stream.damage.startswith(f"decoding stops after frame {len(found)}: Invalid data")


def test_a_damaged_file_loses_frames_but_keeps_the_frame_count(path):
    writing.write_video(str(path), noise(40), 25)
    whole = np.stack(list(reading.decode_frames(str(path))))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20000] = b"\xff" * 20000
    path.write_bytes(data)
    stream = reading.decode_frames(str(path))
    frames = np.stack(list(stream))
    assert len(frames) == stream.count == 40
    assert "lost frames, each replaced by the previous frame:" in stream.damage
    np.testing.assert_array_equal(frames[:5], whole[:5])


@pytest.mark.parametrize("content", [b"", b"not a video" * 100])
def test_a_file_that_is_not_a_video_is_an_error(path, content):
    path.write_bytes(content)
    with pytest.raises(reading.VideoError, match=r"v\.mp4: cannot be opened as a video: Invalid"):
        reading.decode_frames(str(path))


def test_a_text_file_is_not_drawn_as_a_video(tmp_path):
    path = tmp_path / "queries.txt"
    path.write_text("a dog runs.\n" * 50)
    with pytest.raises(reading.VideoError, match=r"queries\.txt: is a text file, not a video"):
        reading.probe(str(path))


@pytest.mark.parametrize("name", ["12:30 park.mp4", "-park.mp4", "100%03d.mp4", "pipe:0"])
def test_every_file_name_is_a_file_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writing.write_video(name, noise(3), 25)
    assert len(list(reading.decode_frames(name))) == 3


def test_a_file_cut_before_its_first_frame_is_an_error(path):
    writing.write_video(str(path), noise(40), 25)
    truncated(path, 0.05)
    with pytest.raises(reading.VideoError, match=r"v\.mp4: no frame can be decoded"):
        reading.probe(str(path))


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(reading.VideoError, match="Is a directory"):
        reading.probe(str(tmp_path))


def test_a_missing_file_is_an_error(path):
    with pytest.raises(FileNotFoundError, match=r"v\.mp4: no such file"):
        reading.probe(str(path))


def test_a_file_with_only_sound_is_an_error(tmp_path):
    path = str(tmp_path / "sound.wav")
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
    with pytest.raises(reading.VideoError, match="has no video stream"):
        reading.probe(path)


FAST_VP9 = {"deadline": "realtime", "cpu-used": "8"}


@pytest.mark.parametrize("times", [None, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "libx264", {"bf": "3", "g": "20"}),
        ("v.mkv", "libx264", {"bf": "3"}),
        ("v.ts", "libx264", {"bf": "3"}),
        ("v.mp4", "libx265", {"x265-params": "log-level=none:pools=1"}),
        ("v.webm", "libvpx-vp9", FAST_VP9),
        ("v.webm", "libvpx", FAST_VP9 | {"auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("v.mp4", "libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
        ("v.mp4", "mpeg4", {"bf": "2"}),
        ("v.avi", "mpeg4", {"bf": "2"}),
        ("v.avi", "libx264", {"bf": "2"}),
    ],
)
def test_every_codec_gives_frames_in_order_with_their_times(tmp_path, name, codec, options, times):
    path = tmp_path / name
    write_numbered(path, codec, options=options, times=times)
    numbers, stream = read_numbers(path)
    assert numbers == list(range(60)) and stream.count == 60
    expected = np.arange(60) / 25 if times is None else (times - times[0]) / 1000
    # AVI stores no presentation times, only the duration of each packet in storage order.
    slack = 0.5 if name == "v.avi" and times is not None else 1e-3
    np.testing.assert_allclose(stream.timeline.times, expected, atol=slack)
    assert stream.fps == pytest.approx(59 / expected[-1], rel=0.1 if slack > 0.1 else 0.02)
    assert stream.timeline.end_time > stream.timeline.times[-1]
    if name != "v.avi":
        assert stream.damage == ""


def test_b_frames_are_stored_in_another_order_than_displayed(path):
    write_numbered(path, options={"bf": "3"})
    order = packets_in_order_of_storage(path)
    assert order != sorted(order) == list(range(60))
    assert read_numbers(path)[0] == list(range(60))


@pytest.mark.parametrize("rate", [10, 25, 50, fractions.Fraction(30000, 1001)])
@pytest.mark.parametrize(
    ("codec", "form"),
    [("libx264", "h264"), ("libx265", "hevc"), ("mpeg4", "m4v"), ("mpeg2video", "mpeg2video")],
)
def test_a_stream_without_time_stamps_is_timed_by_the_rate_of_its_codec(
    tmp_path, codec, form, rate
):
    if codec == "mpeg2video" and rate == 10:
        pytest.skip("MPEG-2 has no such rate")
    path = tmp_path / f"v.{form}"
    options = {"libx265": {"x265-params": "log-level=none:pools=1"}}.get(codec, {"bf": "2"})
    write_numbered(path, codec, options=options, rate=rate, format=form)
    numbers, stream = read_numbers(path)
    assert numbers == list(range(60)) and stream.damage == "" and stream.notices == []
    assert stream.info.declared_frames == 0
    assert stream.fps == pytest.approx(float(rate), rel=1e-6)
    np.testing.assert_allclose(stream.timeline.times, np.arange(60) / float(rate))


def test_a_stream_that_does_not_say_its_rate_is_timed_by_a_guess_which_is_told(tmp_path):
    path = tmp_path / "v.mjpeg"
    with av.open(str(path), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    numbers, stream = read_numbers(path)
    assert numbers == list(range(30)) and stream.damage == ""
    np.testing.assert_allclose(stream.timeline.times, np.arange(30) / 25)
    (notice,) = stream.notices
    assert notice.startswith("does not say its frame rate; 25 frames per second is a guess")


def test_a_video_with_one_frame(path):
    write_numbered(path, count=1)
    numbers, stream = read_numbers(path)
    assert numbers == [0]
    assert (stream.fps, stream.timeline.times, stream.timeline.end_time) == (25, [0], 0.04)
    assert read_numbers(path, fps=5)[0] == read_numbers(path, fps=100)[0] == [0]


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.mkv", "ffv1")])
def test_odd_sizes_keep_every_column(tmp_path, name, codec):
    path = tmp_path / name
    write_numbered(path, codec, 20, size=(47, 65))
    numbers, stream = read_numbers(path)
    assert numbers == list(range(20))
    assert (stream.info.width, stream.info.height) == (65, 47)
    assert next(iter(reading.decode_frames(str(path)))).shape == (224, 224, 3)


def test_sound_that_begins_before_the_video_is_ignored(path):
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        picture = container.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        samples = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
        )
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode())
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["audio", "video"]
    numbers, stream = read_numbers(path)
    assert numbers == list(range(50)) and stream.damage == ""


def add_cover(container):
    """Adds a cover picture, which has no time, as music players and phones do."""
    picture = io.BytesIO()
    with av.open(picture, "w", format="image2pipe") as still:
        stream = still.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(quarters(240, 320), format="rgb24")
        still.mux(stream.encode(frame))
        still.mux(stream.encode())
    cover = container.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
    cover.disposition = av.stream.Disposition.attached_pic
    packet = av.Packet(picture.getvalue())
    packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, fractions.Fraction(1, 1)
    return cover, packet


def test_a_cover_picture_is_not_the_video(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        _, packet = add_cover(container)
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.mux(packet)
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    numbers, stream = read_numbers(path)
    assert numbers == list(range(30)) and stream.damage == ""
    assert (stream.info.width, stream.info.height) == (96, 64)


def test_an_edit_list_removes_frames(path):
    write_numbered(path, options={"bf": "3"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 16
    (begin,) = struct.unpack(">i", data[place : place + 4])
    tick = 12800  # of the track's time, a second
    data[place : place + 4] = struct.pack(">i", begin + 10 * tick // 25)
    path.write_bytes(data)
    numbers, stream = read_numbers(path)
    assert numbers == list(range(10, 60)) and stream.damage == ""
    np.testing.assert_allclose(stream.timeline.times, np.arange(50) / 25)


def test_the_declared_frame_rate_is_used_unless_the_times_contradict_it(tmp_path):
    path = tmp_path / "v.mkv"
    write_numbered(path, times=np.arange(60) * 1001 // 30)
    _, stream = read_numbers(path)
    assert stream.info.fps == 25 and stream.fps == pytest.approx(30 / 1.001, rel=1e-3)


@pytest.mark.parametrize("declared", [60, 1000])
@pytest.mark.parametrize(("name", "codec"), [("v.mkv", "libx264"), ("v.webm", "libvpx")])
def test_time_stamps_decide_where_the_declared_rate_is_wrong(tmp_path, name, codec, declared):
    path = tmp_path / name
    times = np.arange(90) * 1000 // 30
    write_timed(path, times, codec=codec, rate=declared)
    stream = reading.decode_frames(str(path))
    timeline = reading.read_timeline(str(path))
    assert len(list(stream)) == timeline.frame_count == 90
    np.testing.assert_array_equal(timeline.times, times / 1000)
    np.testing.assert_array_equal(stream.timeline.times, times / 1000)
    assert stream.info.fps == declared and stream.source.fps == pytest.approx(30, rel=1e-3)
    # Half a second is frame 15, which begins just then; 1.5 s is frame 45.
    assert [timeline.nearest_frame(time) for time in (0.5, 1.5)] == [15, 45]
    assert stream.notices == [
        f"declares {declared} frames per second, but its time stamps say 30.0067, which is used"
    ]


@pytest.mark.parametrize(
    ("transfer", "name"),
    [("smpte2084", "PQ"), ("arib-std-b67", "HLG"), ("bt709", ""), ("bt2020-10", "")],
)
def test_a_high_dynamic_range_is_told(path, transfer, name):
    write_numbered(path, count=5, options={"x264-params": f"transfer={transfer}"})
    stream = read_numbers(path)[1]
    assert stream.is_hdr == bool(name)
    assert len(stream.notices) == stream.is_hdr
    assert f"is HDR ({name})" in "".join(stream.notices) or not name


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_an_edit_list_that_cuts_the_end_away_is_no_damage(path, b_frames):
    write_numbered(path, count=100, options={"bf": b_frames, "g": "12"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12
    struct.pack_into(">I", data, place, 2000)  # milliseconds
    path.write_bytes(data)
    numbers, stream = read_numbers(path)
    assert numbers == list(range(50)) and len(ffmpeg.frame_times(path)) == 50
    assert stream.info.declared_frames == 100 and stream.damage == ""


@pytest.mark.parametrize("arguments", [["-ss", "1"], ["-ss", "1", "-t", "1.1"], ["-t", "2"]])
def test_a_part_of_a_file_that_was_copied_is_no_damage(path, arguments):
    write_numbered(path, count=100, options={"bf": "0", "g": "12"})
    part = path.with_name("part.mp4")
    ffmpeg.run(*arguments, "-i", path, "-c", "copy", part)
    numbers, stream = read_numbers(part)
    begin = 25 if "-ss" in arguments else 0
    assert numbers == list(range(begin, begin + len(ffmpeg.frame_times(part))))
    assert stream.damage == ""


def test_empty_chunks_of_an_avi_file_are_no_damage(tmp_path):
    # One chunk a millisecond, of which all but one in a hundred are empty.
    path = tmp_path / "v.avi"
    write_numbered(path, "mpeg4", times=100 * np.arange(60))
    numbers, stream = read_numbers(path)
    assert numbers == list(range(60)) and stream.damage == ""
    assert stream.info.declared_frames > 5000
    np.testing.assert_allclose(stream.timeline.times, np.arange(60) / 10, atol=1e-3)
    np.testing.assert_allclose(stream.timeline.times, ffmpeg.frame_times(path), atol=1e-3)
    # The last two thirds of the file are its index.
    truncated(path, 0.2)
    numbers, stream = read_numbers(path)
    assert 10 < len(numbers) < 50
    assert f"{len(numbers)} of {stream.info.declared_frames} frames can be decoded" in stream.damage


def test_empty_chunks_after_the_last_frame_are_no_damage(tmp_path):
    # Three chunks a frame, of which two are empty; FFmpeg's program ends with two empty chunks.
    path = tmp_path / "v.avi"
    source = "testsrc2=size=96x64:rate=10:duration=3"
    ffmpeg.run("-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-enc_time_base", "1/30", path)
    stream = reading.decode_frames(str(path))
    assert len(list(stream)) == 30 and stream.info.declared_frames == 90
    assert stream.damage == ""


def test_a_right_frame_rate_needs_no_notice(path):
    write_numbered(path)
    assert read_numbers(path)[1].notices == []


@pytest.mark.parametrize("delay", [0, 600])
@pytest.mark.parametrize(
    ("name", "sound"), [("v.mp4", "aac"), ("v.mkv", "pcm_s16le"), ("v.ts", "mp2"), ("v.mov", "aac")]
)
def test_seconds_count_from_the_start_of_the_file(tmp_path, name, sound, delay):
    path = tmp_path / name
    write_timed(path, delay + 40 * np.arange(75), sound=sound)
    timeline = reading.read_timeline(str(path))
    np.testing.assert_allclose(timeline.times, ffmpeg.frame_times(path), atol=1e-4)
    # MP2 begins 10 ms before its first sample.
    np.testing.assert_allclose(timeline.times, delay / 1000 + np.arange(75) / 25, atol=0.011)
    assert timeline.end_time == pytest.approx(delay / 1000 + 3, abs=0.011)
    # What is shown first does not depend on the sound.
    resampled = reading.decode_frames(str(path), fps=5)
    assert len(list(resampled)) == 15
    np.testing.assert_array_equal(resampled.timeline.source_frames, 5 * np.arange(15))
    np.testing.assert_array_equal(resampled.timeline.times, timeline.times)
    assert float(resampled.frame_time) == pytest.approx(timeline.times[70], abs=1e-6)


@pytest.mark.parametrize("fps", [5, 10, 24, 25, 30, 29.97, 100, 0.5])
@pytest.mark.parametrize("times", [None, UNEVEN], ids=["even", "uneven"])
def test_resampled_frames_are_those_shown_at_each_time(tmp_path, fps, times):
    path = tmp_path / "v.mkv"
    write_numbered(path, times=times)
    numbers, stream = read_numbers(path, fps)
    shown = np.arange(60) * 40 if times is None else times - times[0]  # milliseconds
    moments = itertools.takewhile(
        lambda t: t <= shown[-1] + 1, (j * 1000 / fps for j in range(999))
    )
    expected = [int(np.flatnonzero(shown <= moment + 1)[-1]) for moment in moments]
    assert numbers == expected
    np.testing.assert_array_equal(stream.timeline.source_frames, numbers)
    assert (stream.count, stream.fps, stream.timeline.frame_count) == (len(numbers), fps, 60)
    assert fps != 25 or times is not None or numbers == list(range(60))


def test_resampled_frames_equal_frames_of_the_file(path):
    writing.write_video(str(path), noise(30), 25)
    whole = np.stack(list(reading.decode_frames(str(path))))
    stream = reading.decode_frames(str(path), fps=10)
    found = np.stack(list(stream))
    expected = [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27]
    np.testing.assert_array_equal(stream.timeline.source_frames, expected)
    np.testing.assert_array_equal(found, whole[stream.timeline.source_frames])


def test_a_time_stamp_far_in_the_future_is_an_error_when_resampling(tmp_path):
    path = tmp_path / "v.mkv"
    write_numbered(path, times=np.arange(60) * 40 + (np.arange(60) >= 30) * 10**7)
    assert read_numbers(path)[0] == list(range(60))
    with pytest.raises(reading.VideoError, match=r"frame 30 appears 10001 s after .* resampled"):
        read_numbers(path, fps=5)


def test_a_few_frames_are_not_resampled_to_hours(tmp_path):
    path = tmp_path / "v.mkv"
    write_numbered(path, times=np.arange(60) * 599_000)
    with pytest.raises(
        reading.VideoError,
        match=r"first 3 frames last 1198 s, so that at 25 frames per second .* than 20000 frames",
    ):
        read_numbers(path, fps=25)
    # Nothing is computed with the first frames of a video that is refused.
    with pytest.raises(reading.VideoError, match="more than 20000 frames"):
        next(iter(reading.decode_frames(str(path), fps=25)))
    # 59 * 599 s at 0.5 per second.
    assert len(read_numbers(path, fps=0.5)[0]) == 17_671


def test_a_video_of_many_frames_is_resampled_to_twice_as_many(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_RESAMPLED_FRAMES", 10)
    path = tmp_path / "v.mkv"
    write_numbered(path, times=np.arange(60) * 40)
    assert len(read_numbers(path, fps=50)[0]) == 119
    with pytest.raises(reading.VideoError, match="more than 10 frames"):
        read_numbers(path, fps=75)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_an_invalid_frame_rate_is_an_error(path, fps):
    writing.write_video(str(path), [quarters()] * 2, 25)
    with pytest.raises(ValueError, match="fps: expected a frame rate above 0"):
        reading.decode_frames(str(path), fps=fps)


@pytest.mark.parametrize("fps", [None, 5, 60])
def test_memory_never_contains_a_whole_long_video(path, monkeypatch, fps):
    frames = (numbered(number % 256) for number in range(3000))
    writing.write_video(str(path), frames, 25)
    alive = most = 0
    original = reading.FrameStream._convert

    def convert(self, frame):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        array = original(self, frame)
        weakref.finalize(array, forget)
        return array

    def forget():
        nonlocal alive
        alive -= 1

    monkeypatch.setattr(reading.FrameStream, "_convert", convert)
    count = sum(1 for _ in reading.decode_frames(str(path), fps=fps))
    assert count == {None: 3000, 5: 600, 60: 7198}[fps]
    assert most <= 2


def test_a_read_error_ends_the_video(path, monkeypatch):
    write_numbered(path)
    original = av.container.InputContainer.demux

    class FailingContainer:
        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def demux(self, stream):
            yield from itertools.islice(original(self._container, stream), 30)
            raise av.error.OSError(5, "Input/output error")

    opened = av.open
    monkeypatch.setattr(
        av,
        "open",
        lambda file, *mode, **options: (
            opened(file, *mode, **options) if mode else FailingContainer(opened(file))
        ),
    )
    numbers, stream = read_numbers(path)
    assert 5 < len(numbers) <= 30 and numbers == list(range(len(numbers)))
    assert stream.damage == f"decoding stops after frame {len(numbers)}: Input/output error"
