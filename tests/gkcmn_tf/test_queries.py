"""Tubes of resampled videos in the frames and seconds of the file."""

import numpy as np
import pytest

from gkcmn_tf import queries
from gkcmn_tf.tubes import Tube
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline


@pytest.fixture
def timeline():
    """Ten frames at 10 per second and one after a pause of 2 s, resampled to 5 per second."""
    return Timeline(
        times=np.array([*np.arange(10) / 10, 2.9]),
        end_time=3.0,
        source_frames=np.array([0, 2, 4, 6, 8, *[9] * 9, 9]),
    )


@pytest.fixture
def whole():
    """Four frames at irregular times, not resampled."""
    return Timeline(times=np.array([0, 0.1, 0.9, 1.0]), end_time=1.04)


def in_file(timeline):
    return SourceVideo("v.mp4", 64, 48, 10.0, timeline)


def boxes(*lefts):
    return np.array([[left, 0, left + 10, 20] for left in lefts], float)


def test_a_tube_of_samples_covers_the_frames_between_them(timeline):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10, 20), 0.5), in_file(timeline), (0, 11))
    assert (tube.begin, tube.end, tube.score) == (2, 6, 0.5)
    np.testing.assert_allclose(tube.boxes, boxes(10, 15, 20, 20))


def test_a_tube_ends_within_its_clip(timeline):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10, 20)), in_file(timeline), (0, 5))
    assert (tube.begin, tube.end) == (2, 5)
    np.testing.assert_allclose(tube.boxes, boxes(10, 15, 20))


def test_a_tube_inside_a_pause_is_the_frame_shown_in_it(timeline):
    tube = queries.in_file_frames(Tube(7, 9, boxes(10, 20)), in_file(timeline), (0, 11))
    assert (tube.begin, tube.end) == (9, 10)
    np.testing.assert_allclose(tube.boxes, boxes(10))


def test_without_resampling_a_tube_is_unchanged(whole):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10.25, 20)), in_file(whole), (0, 4))
    assert (tube.begin, tube.end) == (1, 3)
    np.testing.assert_array_equal(tube.boxes, boxes(10.25, 20))


def test_seconds_come_from_the_time_stamps(whole):
    tube = queries.in_file_frames(Tube(1, 3, boxes(10, 20), 0.5), in_file(whole), (0, 4), "a dog")
    assert tube.to_json() == {
        "query": "a dog",
        "begin": 1,
        "end": 3,
        "boxes": {"1": [10, 0, 20, 20], "2": [20, 0, 30, 20]},
        "score": 0.5,
        "begin_seconds": 0.1,
        "end_seconds": 1.0,
        "clip": [0, 4],
    }


def test_a_clip_in_seconds_contains_the_frames_shown_in_it(timeline, whole):
    assert queries.clip_frames(timeline, None, None) == (0, 11)
    assert queries.clip_frames(timeline, 0.3, 0.7) == (3, 7)
    # At 0.25 s, the frame of 0.2 s is still shown.
    assert queries.clip_frames(timeline, 0.25, 0.7) == (2, 7)
    assert queries.clip_frames(whole, 0.5, 0.6) == (1, 2)


@pytest.mark.parametrize("begin, end", [(0.3, 3.2), (0.5, 0.5), (-0.1, 1.0), (2.0, 1.0)])
def test_a_clip_outside_the_video_is_an_error(timeline, begin, end):
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


def test_a_clip_without_resampled_frames_is_an_error(timeline):
    with pytest.raises(ValueError, match=r"--begin=0\.3 --end=0\.4: contains no frames"):
        queries.clip_frames(timeline, 0.3, 0.4)
