"""Tubes of resampled videos in the frames and seconds of the file."""

import numpy as np
import pytest

from gkcmn_tf import queries
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.tubes import Tube
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline


@pytest.fixture
def timeline():
    """Ten frames at 10 a second, then one after a pause of 2 s; resampled to 5 a second."""
    return Timeline(
        times=np.array([*np.arange(10) / 10, 2.9]),
        end_time=3.0,
        source_frames=np.array([0, 2, 4, 6, 8, *[9] * 9, 9]),
    )


@pytest.fixture
def whole():
    """Four frames, none left out, unevenly timed."""
    return Timeline(times=np.array([0, 0.1, 0.9, 1.0]), end_time=1.04)


def in_file(timeline):
    return SourceVideo("v.mp4", 64, 48, 10.0, timeline)


def boxes(*lefts):
    return np.array([[left, 0, left + 10, 20] for left in lefts], float)


def test_a_tube_of_samples_covers_the_frames_between_them(timeline):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10, 20), 0.5), in_file(timeline), 11)
    assert (tube.begin, tube.end, tube.score) == (2, 6, 0.5)
    np.testing.assert_allclose(tube.boxes, boxes(10, 15, 20, 20))


def test_a_tube_ends_with_its_clip(timeline):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10, 20)), in_file(timeline), 5)
    assert (tube.begin, tube.end) == (2, 5)
    np.testing.assert_allclose(tube.boxes, boxes(10, 15, 20))


def test_a_tube_inside_a_pause_is_the_frame_that_stays(timeline):
    tube = queries.in_file_frames(Tube(7, 9, boxes(10, 20)), in_file(timeline), 11)
    assert (tube.begin, tube.end) == (9, 10)
    np.testing.assert_allclose(tube.boxes, boxes(10))


def test_without_resampling_a_tube_stays_as_it_is(whole):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10.25, 20)), in_file(whole), 4)
    assert (tube.begin, tube.end) == (1, 3)
    np.testing.assert_array_equal(tube.boxes, boxes(10.25, 20))


def test_seconds_come_from_the_time_stamps(whole):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10, 20), 0.5), in_file(whole), 4, "a dog")
    assert tube.to_json() == {
        "query": "a dog",
        "begin": 1,
        "end": 3,
        "boxes": {"1": [10, 0, 20, 20], "2": [20, 0, 30, 20]},
        "score": 0.5,
        "begin_seconds": 0.1,
        "end_seconds": 1.0,
    }


def test_a_stretch_in_seconds_is_the_frames_on_the_screen_in_it(timeline, whole):
    assert queries.clip_frames(timeline, None, None) == (0, 11)
    assert queries.clip_frames(timeline, 0.3, 0.7) == (3, 7)
    # At 0.25 s the frame of 0.2 s is still shown.
    assert queries.clip_frames(timeline, 0.25, 0.7) == (2, 7)
    assert queries.clip_frames(whole, 0.5, 0.6) == (1, 2)


@pytest.mark.parametrize("begin, end", [(0.3, 3.2), (0.5, 0.5), (-0.1, 1.0), (2.0, 1.0)])
def test_a_stretch_outside_the_video_is_an_error(timeline, begin, end):
    with pytest.raises(ValueError, match=f"--begin={begin:g} --end={end:g}: expected 0 <= begin"):
        queries.clip_frames(timeline, begin, end)


def test_a_picture_that_begins_after_the_sound_counts_from_the_start_of_the_file():
    late = Timeline(times=0.6 + np.arange(75) / 25, end_time=3.6)
    assert queries.clip_frames(late, 1.0, 2.0) == (10, 35)
    assert queries.clip_frames(late, None, None) == queries.clip_frames(late, 0.2, 3.6) == (0, 75)
    assert late.seconds(10, 35) == pytest.approx((1.0, 2.0))
    with pytest.raises(
        ValueError, match=r"--end=0\.5: .* within the picture, from 0\.60 to 3\.60 s"
    ):
        queries.clip_frames(late, 0.1, 0.5)


def test_a_stretch_that_resampling_leaves_out_is_an_error(timeline):
    with pytest.raises(ValueError, match=r"--begin=0\.3 --end=0\.4: contains no frames"):
        queries.clip_frames(timeline, 0.3, 0.4)


STATISTICS = {
    "clips": {"seconds": {"min": 2.0, "median": 3.0, "max": 4.0}},
    "features": {
        "channel_mean": [1.0, 2.0],
        "channel_deviation": [0.5, 4.0],
        "distance": {"p99": 1.0},
    },
}


def encoded(seconds, mean=(1.0, 2.0)):
    """A video at 10 frames a second, each feature the same."""
    times = np.arange(round(10 * seconds)) / 10
    source = SourceVideo("v.mp4", 64, 48, 10.0, Timeline(times, seconds))
    return EncodedVideo(np.tile(np.float16(mean), (4, 7, 7, 1)), source, {})


@pytest.mark.parametrize(
    ("video", "reasons"),
    [
        (encoded(3), []),
        (encoded(1.4), []),
        (encoded(1.3), ["it lasts 1.3 s, training clips 2.0 to 4.0 s"]),
        (encoded(6.1), ["it lasts 6.1 s"]),
        # (0.75 / 0.5, 3 / 4): the root mean square is sqrt((2.25 + 0.5625) / 2) = 1.19.
        (encoded(3, (1.75, 5.0)), ["its features are 1.19 standard deviations from"]),
        # 8 steps for 12 s.
        (
            encoded(12),
            ["each of the 8 steps of the model", "it lasts 12.0 s"],
        ),
    ],
)
def test_a_clip_unlike_those_of_training_is_told_why(video, reasons):
    clip = (0, video.source.timeline.frame_count)
    found = queries.unfamiliar(video, clip, 8, STATISTICS)
    assert len(found) == len(reasons)
    for text, reason in zip(found, reasons, strict=True):
        assert text.startswith(reason)


def test_without_statistics_only_long_steps_are_told():
    assert queries.unfamiliar(encoded(6.1), (0, 61), 8, {}) == []
    (reason,) = queries.unfamiliar(encoded(12), (0, 120), 8, {})
    assert reason.startswith("each of the 8 steps")


def test_the_warning_says_what_the_model_knows(caplog):
    about = {"name": "shapes", "limits": "Knows shapes only.", "training": STATISTICS}
    queries.warn_unfamiliar(encoded(3), (0, 30), 8, about)
    assert not caplog.text
    queries.warn_unfamiliar(encoded(12), (0, 120), 8, about)
    assert "v.mp4: differs from the training data of shapes" in caplog.text
    assert "Knows shapes only." in caplog.text
