"""Conversion between frames and steps, compared with naive references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.video import steps
from gkcmn_tf.video.windows import count_windows, frame_windows

LENGTHS = st.integers(1, 3000)


CLIPS = st.tuples(st.integers(0, 5000), LENGTHS).map(lambda clip: (clip[0], sum(clip)))


def test_clips_longer_than_the_limit_are_subsampled():
    assert steps.count_steps(10, 50, max_steps=200) == 10
    assert steps.count_steps(10, 51, max_steps=200) == 11
    assert steps.count_steps(0, 5000, max_steps=200) == 200


@pytest.mark.parametrize("end", [3, 2])
def test_an_empty_clip_is_an_error(end):
    with pytest.raises(ValueError, match=rf"begin < end, got \[3, {end}\)"):
        steps.count_steps(3, end, max_steps=200)


def test_the_ends_of_the_clip_map_to_the_ends_of_the_steps():
    np.testing.assert_array_equal(
        steps.steps_to_frames(np.array([0, 5, 10]), 20, 60, 10), [20, 40, 60]
    )
    np.testing.assert_array_equal(
        steps.frames_to_steps(np.array([20, 40, 60]), 20, 60, 10), [0, 5, 10]
    )


@given(CLIPS, st.integers(1, 200), st.floats(0, 1))
def test_mapping_steps_to_frames_is_the_inverse_of_frames_to_steps(clip, max_steps, share):
    begin, end = clip
    num_steps = steps.count_steps(begin, end, max_steps)
    u = share * num_steps
    t = steps.steps_to_frames(u, begin, end, num_steps)
    assert begin - 1e-9 <= t <= end + 1e-9
    assert steps.frames_to_steps(t, begin, end, num_steps) == pytest.approx(u, abs=1e-7)


@given(CLIPS, st.integers(1, 200))
def test_a_step_uses_the_frame_and_the_window_whose_cells_contain_its_centre(clip, max_steps):
    begin, end = clip
    num_steps = steps.count_steps(begin, end, max_steps)
    frames = steps.step_frames(begin, end, num_steps)
    centres = begin + (np.arange(num_steps) + 0.5) * (end - begin) / num_steps
    assert (frames <= centres + 1e-9).all()
    assert (centres < frames + 1 + 1e-9).all()
    assert begin <= frames[0] and frames[-1] < end
    assert (np.diff(frames) > 0).all()
    windows = frame_windows(steps.step_frames(begin, end, num_steps))
    assert (windows < count_windows(end)).all()
    assert ((4 * windows <= frames) & (frames < 4 * windows + 4)).all()


def test_steps_of_a_clip_that_is_not_subsampled_are_its_windows():
    np.testing.assert_array_equal(frame_windows(steps.step_frames(40, 80, 10)), np.arange(10, 20))
