import numpy as np

from gkcmn_tf.video.box_interpolation import interpolate_boxes


def test_boxes_are_interpolated_linearly_and_constant_outside_the_ends():
    known = np.array([2.0, 4.0, 5.0])
    boxes = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [0, 5, 6, 17]], np.float32)
    found = interpolate_boxes(np.array([9, 1, 2, 3, 4.25]), known, boxes)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(
        found, [[0, 5, 6, 17], [0, 1, 2, 3], [0, 1, 2, 3], [2, 3, 4, 5], [3, 5, 6, 9.5]]
    )


def test_one_box_is_used_at_all_times_and_no_times_give_no_boxes():
    box = np.array([[0.5, 1, 2, 3]])
    np.testing.assert_array_equal(
        interpolate_boxes(np.arange(3), np.array([1]), box), np.repeat(box, 3, axis=0)
    )
    assert interpolate_boxes(np.arange(0), np.array([1]), box).shape == (0, 4)
