"""Tubes, and the conversion of model steps to tubes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf import tubes
from gkcmn_tf.video import steps

CLIP = {"begin": 100, "end": 116, "width": 200, "height": 100, "score": 0.5}


def grow(num_steps):
    """Returns boxes that grow with each step: `[0, 0, (s + 1) / 10, (s + 1) / 10]`."""
    corner = (np.arange(num_steps) + 1) / 10
    return np.stack([0 * corner, 0 * corner, corner, corner], axis=1)


def test_boxes_are_interpolated_between_step_centres_and_constant_at_the_ends():
    # The centres of 4 steps of 4 frames are at frames 102, 106, 110 and 114.
    tube = tubes.tube_from_steps(np.array([0, 4]), grow(4), **CLIP)
    assert (tube.begin, tube.end, tube.score) == (100, 116, 0.5)
    right = [20, 20, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 80]
    np.testing.assert_allclose(tube.boxes[:, 2], right)
    np.testing.assert_allclose(tube.boxes[:, 3], np.array(right) / 2)
    np.testing.assert_array_equal(tube.boxes[:, :2], 0)


def test_a_segment_selects_its_frames_of_the_whole_track():
    whole = tubes.tube_from_steps(np.array([0, 4]), grow(4), **CLIP)
    # Steps 1.1 and 2.2 are frames 104.4 and 108.8.
    part = tubes.tube_from_steps(np.array([1.1, 2.2]), grow(4), **CLIP)
    assert (part.begin, part.end) == (104, 109)
    np.testing.assert_array_equal(part.boxes, whole.boxes[4:9])


def test_given_frames_replace_the_segment():
    tube = tubes.tube_from_steps(np.array([0, 1]), grow(4), **CLIP, frames=(113, 116))
    assert (tube.begin, tube.end) == (113, 116)
    np.testing.assert_allclose(tube.boxes[:, 2], [75, 80, 80])


@pytest.mark.parametrize(
    ("segment", "frames"),
    [
        ([1.05, 1.1], (104, 105)),  # rounds to an empty segment: the frame that contains the middle
        ([0, 0], (100, 101)),
        ([4, 4], (115, 116)),
        ([3, 2], (110, 111)),
        ([-5, 9], (100, 116)),
        ([0.125, 1.125], (101, 105)),  # both ends half-way: both are rounded the same way
    ],
)
def test_a_tube_has_at_least_one_frame_inside_the_clip(segment, frames):
    tube = tubes.tube_from_steps(np.array(segment), grow(4), **CLIP)
    assert (tube.begin, tube.end) == frames


def test_boxes_are_clipped_to_the_frame():
    boxes = np.array([[-0.1, 0.2, 1.3, 1.1]])
    tube = tubes.tube_from_steps(np.array([0, 1]), boxes, **CLIP | {"end": 101})
    np.testing.assert_array_equal(tube.boxes, [[0, 20, 200, 100]])


def test_a_segment_that_is_not_finite_is_an_error():
    with pytest.raises(ValueError, match="segment: expected two finite step coordinates"):
        tubes.tube_from_steps(np.array([0, np.nan]), grow(4), **CLIP)


@given(st.integers(0, 500), st.integers(1, 900), st.data())
def test_a_true_tube_is_restored_from_steps(begin, length, data):
    """For linear motion, steps restore the segment exactly and the boxes approximately."""
    end = begin + length
    first = data.draw(st.integers(begin, end - 1))
    stop = data.draw(st.integers(first + 1, end))
    num_steps = steps.count_steps(begin, end, max_steps=200)
    segment = steps.frames_to_steps(np.array([first, stop]), begin, end, num_steps)
    anchors = (steps.step_frames(begin, end, num_steps) - begin) / length
    boxes = np.stack([anchors / 2, anchors / 4, anchors / 2 + 0.5, anchors / 4 + 0.5], axis=1)
    arguments = {"begin": begin, "end": end, "width": 640, "height": 480, "score": 1.0}
    tube = tubes.tube_from_steps(segment.astype("float32"), boxes, **arguments)
    assert (tube.begin, tube.end) == (first, stop)
    moved = (np.arange(first, stop) - begin) / length
    # Before the first and after the last centre, boxes are constant, for at most half a step.
    np.testing.assert_allclose(tube.boxes[:, 0], 320 * moved, atol=320 / num_steps + 0.01)
    np.testing.assert_allclose(tube.boxes[:, 3] - tube.boxes[:, 1], 240, atol=0.02)


@pytest.mark.parametrize(
    ("begin", "end", "boxes", "message"),
    [
        (5, 5, np.zeros((0, 4)), r"expected begin < end, got \[5, 5\)"),
        (5, 7, np.zeros((1, 4)), r"frames \[5, 7\) need shape \(2, 4\), got \(1, 4\)"),
        (5, 6, np.array([[0, 0, 1, np.nan]]), "expected finite numbers"),
        (5, 6, np.array([[0, 0, 1, np.inf]]), "expected finite numbers"),
    ],
)
def test_inconsistent_fields_of_a_tube_are_an_error(begin, end, boxes, message):
    with pytest.raises(ValueError, match=message):
        tubes.Tube(begin, end, boxes)
