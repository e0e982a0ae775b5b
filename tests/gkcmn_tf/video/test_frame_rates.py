"""Resampling: computed by hand, compared with a naive reference, and round trips."""

import fractions

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.video import frame_rates

RATES = st.sampled_from([0.5, 1, 3, 5, 12, 24, 25, 29.97, 30, 60, 144])


def naive_source_frames(times, fps):
    """Returns for every sample time up to the last frame the last frame shown by then."""
    rate, shown = frame_rates.as_rate(fps), []
    while fractions.Fraction(len(shown)) / rate <= times[-1] + frame_rates.ROUNDING:
        moment = fractions.Fraction(len(shown)) / rate + frame_rates.ROUNDING
        shown.append(max(i for i, time in enumerate(times) if time <= moment))
    return shown


def source_frames(times, fps):
    """Returns the same from the two functions of the module, combined as in `FrameStream`."""
    rate = frame_rates.as_rate(fps)
    firsts = [frame_rates.first_sample(time, rate) for time in times[1:]]
    bounds = [0, *firsts, frame_rates.count_samples(times[-1], rate)]
    return np.repeat(np.arange(len(times)), np.diff(bounds))


def timeline(times, fps):
    return frame_rates.Timeline(
        times=np.array(times, np.float64),
        end_time=float(times[-1]) + 0.04,
        source_frames=None if fps is None else source_frames(times, fps),
    )


def even(count, fps):
    return [fractions.Fraction(i) / frame_rates.as_rate(fps) for i in range(count)]


@st.composite
def frame_times(draw):
    """Frame times in milliseconds after the first, regular or irregular, with duplicates."""
    gaps = draw(st.lists(st.integers(0, 300), max_size=40))
    return [fractions.Fraction(int(t), 1000) for t in np.cumsum([0, *gaps])]


@pytest.mark.parametrize(
    ("count", "native", "fps", "expected"),
    [
        (7, 30, 10, [0, 3, 6]),
        (9, 30, 10, [0, 3, 6]),
        (10, 30, 10, [0, 3, 6, 9]),
        (6, 25, 10, [0, 2, 5]),
        (4, 5, 10, [0, 0, 1, 1, 2, 2, 3]),
        (5, 25, 25, [0, 1, 2, 3, 4]),
        (1, 25, 5, [0]),
        (1, 25, 100, [0]),
        (50, 25, 0.5, [0]),
        (51, 25, 0.5, [0, 50]),
    ],
)
def test_resampling_by_hand(count, native, fps, expected):
    assert source_frames(even(count, native), fps).tolist() == expected


def test_a_pause_repeats_the_frame_shown_in_it():
    times = [fractions.Fraction(t, 10) for t in (0, 1, 2, 8, 9)]
    assert source_frames(times, 5).tolist() == [0, 2, 2, 2, 3]


@pytest.mark.parametrize("native", [23.976, 25, 29.97, 30, 59.94])
def test_times_rounded_to_milliseconds_keep_every_frame_at_the_same_rate(native):
    rounded = [fractions.Fraction(round(time * 1000), 1000) for time in even(300, native)]
    assert source_frames(rounded, native).tolist() == list(range(300))


@given(frame_times(), RATES)
def test_resampling_equals_a_naive_reference(times, fps):
    assert source_frames(times, fps).tolist() == naive_source_frames(times, fps)


@given(frame_times(), RATES, st.data())
def test_samples_of_a_segment_are_those_that_show_its_frames(times, fps, data):
    line = timeline(times, fps)
    begin = data.draw(st.integers(0, len(times) - 1))
    end = data.draw(st.integers(begin + 1, len(times)))
    showing = [j for j, frame in enumerate(line.source_frames) if begin <= frame < end]
    first, stop = line.to_samples(begin, end)
    assert list(range(first, stop)) == showing
    assert line.to_samples(0, len(times)) == (0, len(line.source_frames))


@given(frame_times(), RATES, st.data())
def test_samples_mapped_to_frames_and_back(times, fps, data):
    line = timeline(times, fps)
    samples = len(line.source_frames)
    begin = data.draw(st.integers(0, samples - 1))
    end = data.draw(st.integers(begin + 1, samples))
    first, stop = line.to_frames(begin, end)
    assert 0 <= first < stop <= len(times)
    again = line.to_samples(first, stop)
    # Neighbouring samples that show the same frame are included.
    shown = line.source_frames
    assert again[0] <= begin and end <= again[1]
    assert (shown[again[0] : begin] == shown[begin]).all()
    assert (shown[end : again[1]] == shown[end - 1]).all()


@given(frame_times(), RATES, st.data())
def test_frames_mapped_to_samples_and_back_move_by_less_than_a_sample(times, fps, data):
    line = timeline(times, fps)
    begin = data.draw(st.integers(0, len(times) - 1))
    end = data.draw(st.integers(begin + 1, len(times)))
    samples = line.to_samples(begin, end)
    if samples[0] == samples[1]:
        # Only a segment between two samples, or after the last one, can become empty.
        assert times[end - 1] - times[begin] < 1 / frame_rates.as_rate(fps)
        return
    first, stop = line.to_frames(*samples)
    assert first >= begin and stop >= end
    period = float(1 / frame_rates.as_rate(fps)) + 2e-3
    bounds = np.append(line.times, line.times[-1])
    assert bounds[first] - bounds[begin] < period
    assert bounds[stop] - bounds[end] < period


def test_without_resampling_samples_are_frames():
    line = timeline(even(10, 25), None)
    boxes = np.arange(16.0).reshape(4, 4)
    assert line.to_samples(2, 6) == line.to_frames(2, 6) == (2, 6)
    assert line.boxes_in_frames(boxes, 2, 6) is boxes


def test_boxes_between_samples_are_interpolated_in_time_and_constant_at_the_end():
    times = [fractions.Fraction(t, 10) for t in (0, 1, 2, 5, 6, 10, 11, 12)]
    line = timeline(times, 2)
    assert line.source_frames.tolist() == [0, 3, 5]
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], float)
    found = line.boxes_in_frames(boxes, 0, 3)
    np.testing.assert_allclose(found[:, 0], [0, 1, 2, 5, 6, 10, 10, 10])
    assert line.to_frames(0, 2) == (0, 5)
    np.testing.assert_allclose(line.boxes_in_frames(boxes[:2], 0, 2)[:, 0], [0, 1, 2, 5, 5])


def test_a_repeated_frame_has_the_box_of_the_first_sample_that_shows_it():
    line = timeline(even(3, 5), 10)
    assert line.source_frames.tolist() == [0, 0, 1, 1, 2]
    boxes = np.arange(5.0)[:, None] * np.ones(4)
    np.testing.assert_allclose(line.boxes_in_frames(boxes[1:4], 1, 4)[:, 0], [1, 2])


def test_seconds_are_those_of_the_time_stamps():
    line = timeline([fractions.Fraction(t, 10) for t in (0, 1, 9, 10)], None)
    assert line.seconds(1, 3) == (0.1, 1.0)
    assert line.seconds(2, 4) == (0.9, 1.04)


def test_the_nearest_frame_of_a_time():
    # Bounds at 0.5, 0.6, 0.9, 1.0 s and the end at 1.3 s: four frames in 0.8 s.
    line = frame_rates.Timeline(np.array([0.5, 0.6, 0.9, 1.0]), 1.3)
    times = [0.5, 0.54, 0.56, 0.74, 0.76, 0.94, 0.96, 1.14, 1.16, 1.3]
    assert [line.nearest_frame(time) for time in times] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [line.nearest_frame(time) for time in (0.3, 0.1, 1.5, 2.3)] == [-1, -2, 5, 9]


@pytest.mark.parametrize("fps", [0, -5, 1e-9, float("nan"), float("-inf")])
def test_an_invalid_rate_is_an_error(fps):
    with pytest.raises(ValueError, match="fps: expected a frame rate above 0, got"):
        frame_rates.as_rate(fps)
