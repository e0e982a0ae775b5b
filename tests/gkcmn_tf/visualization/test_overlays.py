"""Drawn tubes: positions of colours, numbers of frames and stills, times and sound."""

import fractions
import os
import pathlib

import av
import numpy as np
import pytest
from PIL import Image

from gkcmn_tf import tubes
from gkcmn_tf.video import reading, writing
from gkcmn_tf.visualization import drawing, overlays
from tests.gkcmn_tf.video import ffmpeg
from tests.gkcmn_tf.video.pictures import write_timed

GREY = 128


def tube(begin, end, box):
    return tubes.Tube(begin, end, np.tile(np.array(box, float), (end - begin, 1)))


PREDICTED = tube(6, 14, (40, 80, 100, 140))
TRUE = tube(4, 10, (120, 80, 180, 140))


@pytest.fixture
def grey_video(tmp_path):
    """20 grey frames of 240 x 180."""
    path = str(tmp_path / "grey.mp4")
    writing.write_video(path, [np.full((180, 240, 3), GREY, np.uint8)] * 20, 10)
    return path


def shows(picture, color):
    """Whether a picture has a pixel of approximately that colour; codecs change thin lines."""
    return bool((np.abs(picture.astype(int) - color).max(axis=-1) < 60).any())


def test_the_overlay_draws_boxes_only_in_their_frames(grey_video, tmp_path):
    path = str(tmp_path / "pictures" / "overlay.mp4")
    overlays.draw_tubes(
        grey_video, PREDICTED, query="a box", num_frames=20, true_tube=TRUE, overlay_path=path
    )
    stream = reading.decode_frames(path, size=None)
    frames = list(stream)
    assert (len(frames), frames[0].shape, stream.info.fps) == (20, (180, 240, 3), 10)
    predicted = [shows(frame[76:144, 36:104], drawing.PREDICTED) for frame in frames]
    true = [shows(frame[76:144, 116:184], drawing.TRUE) for frame in frames]
    assert predicted == [6 <= number < 14 for number in range(20)]
    assert true == [4 <= number < 10 for number in range(20)]


def test_the_overlay_without_truth_has_one_lane_and_one_box(grey_video, tmp_path):
    path = str(tmp_path / "overlay.mp4")
    overlays.draw_tubes(grey_video, PREDICTED, query="a box", num_frames=20, overlay_path=path)
    frames = list(reading.decode_frames(path, size=None))
    assert not any(shows(frame, drawing.TRUE) for frame in frames)
    # The bar shows the segment in every frame: 6/20 to 14/20 of 240 pixels.
    bar = frames[0][-3].astype(int)
    colored = np.flatnonzero(np.abs(bar - drawing.PREDICTED).max(axis=-1) < 60)
    np.testing.assert_allclose([colored[0], colored[-1]], [72, 167], atol=3)


def test_a_true_tube_without_a_prediction_is_drawn_in_the_colour_of_the_truth(grey_video, tmp_path):
    overlays.draw_tubes(
        grey_video,
        [],
        query="a box",
        num_frames=20,
        true_tube=TRUE,
        overlay_path=str(tmp_path / "overlay.mp4"),
        strip_path=str(tmp_path / "strip.png"),
    )
    frames = list(reading.decode_frames(str(tmp_path / "overlay.mp4"), size=None))
    true = [shows(frame[76:144, 116:184], drawing.TRUE) for frame in frames]
    assert true == [4 <= number < 10 for number in range(20)]
    # Frames 3 to 10, one still each.
    strip = np.asarray(Image.open(tmp_path / "strip.png"))[-2 * 244 :]
    stills = strip.reshape(2, 244, 4, 324, 3).swapaxes(1, 2).reshape(8, 244, 324, 3)
    assert [shows(s, drawing.TRUE) for s in stills] == [4 <= f < 10 for f in range(3, 11)]
    assert not any(shows(picture, drawing.PREDICTED) for picture in (strip, *frames))


def test_drawing_without_tubes_is_an_error(grey_video, tmp_path):
    with pytest.raises(ValueError, match="expected a predicted tube, a true tube, or both"):
        overlays.draw_tubes(grey_video, [], num_frames=20, overlay_path=str(tmp_path / "o.mp4"))
    assert os.listdir(tmp_path) == ["grey.mp4"]


def test_the_query_is_written_at_the_top(grey_video, tmp_path):
    path = str(tmp_path / "overlay.mp4")
    overlays.draw_tubes(
        grey_video, PREDICTED, query="a box " * 12, num_frames=20, overlay_path=path
    )
    frame = next(iter(reading.decode_frames(path, size=None)))
    assert shows(frame[:40], drawing.TEXT)
    assert np.abs(frame[70:150].astype(int) - GREY).max() < 12


def test_an_overlay_of_a_tube_longer_than_the_video(grey_video, tmp_path):
    path = str(tmp_path / "overlay.mp4")
    late = tube(15, 30, (0, 0, 240, 180))
    overlays.draw_tubes(grey_video, late, num_frames=20, overlay_path=path)
    assert len(list(reading.decode_frames(path, size=None))) == 20


def test_the_strip_has_stills_around_the_tubes(grey_video, tmp_path):
    path = str(tmp_path / "pictures" / "strip.png")
    overlays.draw_tubes(
        grey_video, PREDICTED, query="a box", num_frames=20, true_tube=TRUE, strip_path=path
    )
    # Frames 3 to 14 in eight stills: 3, 5, 6, 8, 9, 11, 12, 14; four in a row.
    strip = np.asarray(Image.open(path))
    assert strip.shape[1] == 4 * (320 + 4)
    stills = strip[-2 * 244 :].reshape(2, 244, 4, 324, 3).swapaxes(1, 2).reshape(8, 244, 324, 3)
    frames = [3, 5, 6, 8, 9, 11, 12, 14]
    assert [shows(s, drawing.PREDICTED) for s in stills] == [6 <= f < 14 for f in frames]
    assert [shows(s, drawing.TRUE) for s in stills] == [4 <= f < 10 for f in frames]


def test_a_strip_of_fewer_frames_has_fewer_stills(grey_video, tmp_path):
    path = str(tmp_path / "strip.png")
    overlays.draw_tubes(grey_video, tube(0, 1, (0, 0, 9, 9)), num_frames=20, strip_path=path)
    assert Image.open(path).width == 2 * (320 + 4)


@pytest.mark.parametrize(
    ("begin", "num_frames", "message"),
    [
        (50, 20, "a tube begins after the end of the video at frame 20"),
        (18, 30, "has 20 frames, expected 30"),
    ],
)
@pytest.mark.parametrize("overlay", ["overlay.mp4", None])
def test_a_strip_of_missing_frames_is_an_error(
    grey_video, tmp_path, begin, num_frames, message, overlay
):
    late = tube(begin, begin + 5, (0, 0, 9, 9))
    with pytest.raises(ValueError, match=message):
        overlays.draw_tubes(
            grey_video,
            late,
            num_frames=num_frames,
            strip_path=str(tmp_path / "strip.png"),
            overlay_path=overlay and str(tmp_path / overlay),
        )
    assert os.listdir(tmp_path) == ["grey.mp4"]


def test_overlay_and_strip_decode_the_file_once(grey_video, tmp_path, monkeypatch):
    opened = []
    original = reading.decode_frames

    def decode_frames(path, *args, **kwargs):
        opened.append(path)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(reading, "decode_frames", decode_frames)
    paths = {"overlay_path": str(tmp_path / "o.mp4"), "strip_path": str(tmp_path / "s.png")}
    overlays.draw_tubes(grey_video, PREDICTED, query="a box", num_frames=20, **paths)
    assert opened == [grey_video]
    # Each equals the one that is drawn alone.
    together = {kind: pathlib.Path(path).read_bytes() for kind, path in paths.items()}
    for kind, path in paths.items():
        overlays.draw_tubes(grey_video, PREDICTED, query="a box", num_frames=20, **{kind: path})
        assert pathlib.Path(path).read_bytes() == together[kind]


def test_the_progress_bar_is_labelled_drawing(grey_video, tmp_path, capsys):
    overlays.draw_tubes(grey_video, PREDICTED, num_frames=20, overlay_path=str(tmp_path / "o.mp4"))
    progress = capsys.readouterr().err
    assert "drawing: 100%" in progress and "20/20" in progress


def test_several_tubes_each_have_a_colour_a_lane_and_a_line(grey_video, tmp_path):
    first = tubes.Tube(6, 14, PREDICTED.boxes, sentence="an orange box")
    second = tubes.Tube(4, 10, TRUE.boxes, sentence="a pink box")
    path = str(tmp_path / "overlay.mp4")
    overlays.draw_tubes(grey_video, [first, second], num_frames=20, overlay_path=path)
    frames = list(reading.decode_frames(path, size=None))
    pink = drawing.MORE_PREDICTED[0]
    assert [shows(f[76:144, 36:104], drawing.PREDICTED) for f in frames] == [
        6 <= number < 14 for number in range(20)
    ]
    assert [shows(f[76:144, 116:184], pink) for f in frames] == [
        4 <= number < 10 for number in range(20)
    ]
    # The sentences and the lanes have the colours of the tubes in all frames.
    for color in (drawing.PREDICTED, pink):
        assert shows(frames[0][:40], color) and shows(frames[0][-10:], color)


def test_the_title_of_the_strip_contains_the_sentences(grey_video, tmp_path):
    path = tmp_path / "strip.png"
    heights = []
    for sentence in ("", "a box", "a box " * 100):
        named = tubes.Tube(6, 14, PREDICTED.boxes, sentence=sentence)
        overlays.draw_tubes(grey_video, named, num_frames=20, strip_path=str(path))
        strip = np.asarray(Image.open(path))
        heights.append(len(strip) - 2 * 244)
        assert shows(strip[: heights[-1]], drawing.TEXT) == bool(sentence)
    assert heights[0] <= heights[1] < heights[2]


def test_a_frame_without_a_box_is_drawn_without_one(grey_video, tmp_path):
    boxes = np.where(np.arange(8)[:, None] == 2, np.nan, PREDICTED.boxes)
    path = str(tmp_path / "overlay.mp4")
    overlays.draw_tubes(grey_video, tubes.Tube(6, 14, boxes), num_frames=20, overlay_path=path)
    frames = list(reading.decode_frames(path, size=None))
    shown = [shows(frame[76:144, 36:104], drawing.PREDICTED) for frame in frames]
    assert np.flatnonzero(shown).tolist() == [6, 7, 9, 10, 11, 12, 13]


def test_a_copy_is_scaled_down_with_its_boxes(grey_video, tmp_path):
    path = str(tmp_path / "overlay.mp4")
    overlays.draw_tubes(grey_video, PREDICTED, num_frames=20, overlay_path=path, max_side=120)
    frame = list(reading.decode_frames(path, size=None))[10]
    assert frame.shape == (90, 120, 3)
    # At half size, the box is from 20 to 50; the text and the bar are elsewhere.
    near = np.abs(frame[35:75].astype(int) - drawing.PREDICTED).max(axis=-1) < 80
    columns = np.flatnonzero(near.any(axis=0))
    np.testing.assert_allclose([columns[0], columns[-1]], [20, 49], atol=2)
    overlays.draw_tubes(grey_video, PREDICTED, num_frames=20, overlay_path=path, max_side=500)
    assert reading.probe(path).width == 240


@pytest.mark.parametrize("output", ["overlay_path", "strip_path"])
def test_the_video_itself_is_never_replaced(grey_video, output):
    before = pathlib.Path(grey_video).read_bytes()
    with pytest.raises(ValueError, match="is the video itself; choose another path"):
        overlays.draw_tubes(grey_video, PREDICTED, num_frames=20, **{output: grey_video})
    assert pathlib.Path(grey_video).read_bytes() == before


def test_paths_that_cannot_be_written_are_told_before_drawing(grey_video, tmp_path, capsys):
    with pytest.raises(ValueError, match="is a folder; expected the path of a file to write"):
        overlays.draw_tubes(grey_video, PREDICTED, num_frames=20, overlay_path=str(tmp_path))
    same = str(tmp_path / "same.mp4")
    with pytest.raises(ValueError, match="choose two paths"):
        overlays.draw_tubes(
            grey_video, PREDICTED, num_frames=20, overlay_path=same, strip_path=same
        )
    assert capsys.readouterr().err == ""
    assert os.listdir(tmp_path) == ["grey.mp4"]


@pytest.mark.parametrize("sound", [None, "aac"])
def test_names_with_colons_are_drawn_to(tmp_path, monkeypatch, sound):
    monkeypatch.chdir(tmp_path)
    write_source("source.mp4", sound=sound)
    os.rename("source.mp4", "12:30.mp4")
    overlays.draw_tubes("12:30.mp4", tube(1, 3, (1, 2, 30, 40)), num_frames=8, overlay_path="1:2")
    assert len(list(reading.decode_frames("1:2"))) == 8


def test_nothing_to_write_is_an_error(grey_video):
    with pytest.raises(ValueError, match="expected overlay_path, strip_path, or both"):
        overlays.draw_tubes(grey_video, PREDICTED, num_frames=20)


UNEVEN = [0, 40, 50, 350, 360, 1000, 1033, 1300]  # milliseconds


def write_source(path, *, codec="libx264", times=UNEVEN, aspect=None, rotation=0, sound=None):
    """Writes grey frames at given times and a tone of two seconds in the codec `sound`."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = fractions.Fraction(1, 1000)
        video.codec_context.thread_count = 1
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        if sound:
            audio = container.add_stream(sound, rate=48000, layout="mono")
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), GREY, np.uint8), "rgb24")
            frame.pts, frame.time_base = time, fractions.Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound:
            tone = np.sin(np.arange(96000) / 48000 * 440 * 2 * np.pi) / 2
            for begin in range(0, 96000, 960):
                samples = (tone[None, begin : begin + 960] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 48000, begin
                frame.time_base = fractions.Fraction(1, 48000)
                resampler = av.AudioResampler(audio.codec_context.format, "mono", 48000)
                for resampled in resampler.resample(frame):
                    container.mux(audio.encode(resampled))
            container.mux(audio.encode())


def drawn_copy(path, output_path, **options):
    source = reading.decode_frames(str(path), None)
    count = len(list(source))
    overlays.draw_tubes(
        str(path), tube(1, 3, (5, 5, 40, 40)), num_frames=count, overlay_path=output_path, **options
    )
    return source.timeline


def read_stamps(path):
    """Returns the presentation times of the displayed frames in seconds, as FFmpeg does."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.webm"])
def test_each_frame_keeps_its_time(tmp_path, name):
    codec = "libvpx-vp9" if name == "v.webm" else "libx264"
    write_source(tmp_path / name, codec=codec)
    output = str(tmp_path / "drawn.mp4")
    timeline = drawn_copy(tmp_path / name, output)
    np.testing.assert_array_equal(timeline.times, np.array(UNEVEN) / 1000)
    np.testing.assert_allclose(read_stamps(output), timeline.times, atol=1e-9)
    drawn = reading.decode_frames(output, None)
    assert len(list(drawn)) == len(UNEVEN)
    assert drawn.timeline.end_time == pytest.approx(timeline.end_time, abs=1e-3)


def test_resampled_frames_are_evenly_spaced(tmp_path):
    write_source(tmp_path / "v.mkv")
    output = str(tmp_path / "drawn.mp4")
    overlays.draw_tubes(
        str(tmp_path / "v.mkv"),
        tube(1, 3, (5, 5, 40, 40)),
        num_frames=14,
        overlay_path=output,
        fps=10,
    )
    np.testing.assert_allclose(read_stamps(output), np.arange(14) / 10, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "rotation", "aspect", "sound"),
    [
        ("v.mp4", 0, (4, 3), None),
        ("v.mp4", 90, (3, 4), None),
        ("v.mp4", 180, (4, 3), None),
        ("v.mp4", 0, (4, 3), "aac"),
        ("v.mkv", 0, (4, 3), "flac"),
        ("v.ts", 0, (4, 3), None),
        ("v.avi", 0, (4, 3), None),
    ],
)
def test_the_pixel_aspect_ratio_is_kept_upright(tmp_path, name, rotation, aspect, sound):
    ratio = fractions.Fraction(4, 3)
    write_source(tmp_path / name, aspect=ratio, rotation=rotation, sound=sound)
    output = str(tmp_path / "drawn.mp4")
    strip = str(tmp_path / "strip.png")
    drawn_copy(tmp_path / name, output, strip_path=strip)
    with av.open(output) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == fractions.Fraction(*aspect)
        width, height = stream.width, stream.height
    assert (width, height) == ((64, 96) if rotation == 90 else (96, 64))
    # Stills have square pixels: 128 x 64 or 48 x 96 to 240 pixels of height, four of them.
    still = 120 if rotation == 90 else 480
    assert Image.open(strip).width == 4 * (still + 4)


def read_tone(path):
    """Returns the sound of a file: codec, first time in seconds, samples."""
    with av.open(str(path)) as container:
        codec = container.streams.audio[0].codec_context.codec.canonical_name
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    scale = 32768 if samples.dtype == np.int16 else 1
    return codec, frames[0].time, samples / scale


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [
        ("v.mp4", "aac", "aac"),
        ("v.mkv", "aac", "aac"),
        ("v.mkv", "flac", "flac"),
        ("v.mkv", "pcm_s16le", "aac"),
    ],
)
def test_the_sound_is_kept(tmp_path, name, codec, kept):
    write_source(tmp_path / name, sound=codec)
    output = str(tmp_path / "drawn.mp4")
    drawn_copy(tmp_path / name, output)
    found, start, samples = read_tone(output)
    assert found == kept and abs(start) < 0.03
    assert len(samples) == pytest.approx(96000, abs=2100)
    # The tone has 440 periods per second.
    spectrum = np.abs(np.fft.rfft(samples[12000:60000]))
    assert spectrum[1:].argmax() + 1 == 440
    assert samples[12000:60000].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_copied_sound_has_the_same_bytes(tmp_path):
    write_source(tmp_path / "v.mp4", sound="aac")
    output = str(tmp_path / "drawn.mp4")
    drawn_copy(tmp_path / "v.mp4", output)
    stored = []
    for path in (tmp_path / "v.mp4", output):
        with av.open(str(path)) as container:
            stored.append([(bytes(p), p.pts) for p in container.demux(audio=0) if p.size])
    assert stored[0] == stored[1] and len(stored[0]) > 90


def test_sound_stays_synchronized_with_video_that_begins_late(tmp_path):
    write_source(tmp_path / "v.mkv", sound="pcm_s16le", times=[500 + time for time in UNEVEN])
    output = str(tmp_path / "drawn.mp4")
    timeline = drawn_copy(tmp_path / "v.mkv", output)
    np.testing.assert_allclose(timeline.times, 0.5 + np.array(UNEVEN) / 1000)
    np.testing.assert_allclose(ffmpeg.frame_times(output), timeline.times, atol=1e-4)
    np.testing.assert_allclose(reading.read_timeline(output).times, timeline.times, atol=1e-4)
    _, start, samples = read_tone(output)
    assert len(samples) / 48000 + start == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize("declared", [60, 1000])
def test_a_copy_plays_at_the_measured_rate(tmp_path, declared):
    write_timed(tmp_path / "v.webm", np.arange(60) * 1000 // 30, codec="libvpx", rate=declared)
    output = str(tmp_path / "drawn.mp4")
    timeline = drawn_copy(tmp_path / "v.webm", output)
    np.testing.assert_allclose(ffmpeg.frame_times(output), timeline.times, atol=1e-4)
    assert timeline.times[-1] == pytest.approx(59 / 30, abs=1e-3)
    with av.open(output) as container:
        assert container.streams.video[0].average_rate == pytest.approx(30, rel=0.02)


def test_sound_that_cannot_be_written_is_omitted_with_a_warning(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise av.error.InvalidDataError(1, "no such thing")

    monkeypatch.setattr("gkcmn_tf.video.sound._encoded", fail)
    write_source(tmp_path / "v.mkv", sound="pcm_s16le")
    output = str(tmp_path / "drawn.mp4")
    drawn_copy(tmp_path / "v.mkv", output)
    assert "omitting its audio track (pcm_s16le)" in caplog.text
    assert len(read_stamps(output)) == len(UNEVEN)
    with av.open(output) as container:
        assert not container.streams.audio
    assert sorted(os.listdir(tmp_path)) == ["drawn.mp4", "v.mkv"]


def test_an_excerpt_has_only_its_frames_and_no_sound(tmp_path):
    write_source(tmp_path / "v.mp4", sound="aac")
    output = str(tmp_path / "drawn.mp4")
    drawn_copy(tmp_path / "v.mp4", output, excerpt=(2, 6))
    with av.open(output) as container:
        assert not container.streams.audio
    expected = np.array(UNEVEN[2:6]) - UNEVEN[2]
    np.testing.assert_allclose(read_stamps(output), expected / 1000, atol=1e-9)


def test_a_strip_drawn_with_an_excerpt_covers_the_whole_tube(grey_video, tmp_path):
    paths = {"overlay_path": str(tmp_path / "o.mp4"), "strip_path": str(tmp_path / "s.png")}
    overlays.draw_tubes(grey_video, PREDICTED, num_frames=20, excerpt=(0, 3), **paths)
    assert len(list(reading.decode_frames(paths["overlay_path"], size=None))) == 3
    assert Image.open(paths["strip_path"]).width == 4 * (320 + 4)
