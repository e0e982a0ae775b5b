import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.modeling import targets

L = 8


def naive_heatmap(box, size, sigma):
    heat = np.zeros((size, size))
    x, y = (box[0] + box[2]) / 2 * size, (box[1] + box[3]) / 2 * size
    for row in range(size):
        for column in range(size):
            squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
            heat[row, column] = math.exp(-squared / (2 * sigma**2))
    return heat


def random_boxes(shape):
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((*shape, 2, 2)), axis=-2)
    return corners.reshape((*shape, 4)).astype("float32")


def test_gaussian_heatmaps_equal_equation_5():
    boxes = random_boxes((2, 3))
    heatmaps = np.asarray(targets.gaussian_heatmaps(boxes, L, 1.5))
    assert heatmaps.shape == (2, 3, L, L)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(heatmaps[index], naive_heatmap(boxes[index], L, 1.5), atol=1e-6)


def test_gaussian_peak_at_a_pixel_centre_is_1():
    box = np.array([2 / L, 4 / L, 3 / L, 5 / L], "float32")
    heatmap = np.asarray(targets.gaussian_heatmaps(box, L, 2.0))
    assert heatmap[4, 2] == pytest.approx(1)
    assert heatmap[4, 4] == pytest.approx(math.exp(-4 / 8))


def test_every_box_has_a_positive_pixel_at_the_gamma_of_the_paper():
    boxes = random_boxes((500,))
    for sigma, relative in ((2.0, 0.0), (1.1, 0.5)):
        peaks = np.asarray(targets.gaussian_heatmaps(boxes, 16, sigma, relative)).max(axis=(1, 2))
        assert peaks.min() > 0.8


def test_relative_kernels_scale_with_the_box_along_each_axis():
    # Width of 4 cells: sigma of 2; height of 1: at least the fixed sigma of 0.5. Centre (4, 4).
    box = np.array([2 / L, 3.5 / L, 6 / L, 4.5 / L], "float32")
    heatmap = np.asarray(targets.gaussian_heatmaps(box, L, 0.5, relative_sigma=0.5))
    assert heatmap[4, 6] == pytest.approx(math.exp(-(2.5**2) / 8) * math.exp(-(0.5**2) / 0.5))
    assert heatmap[6, 4] == pytest.approx(math.exp(-(0.5**2) / 8) * math.exp(-(2.5**2) / 0.5))


@pytest.mark.parametrize(
    ("center", "pixel"), [((0.0, 0.0), (0, 0)), ((1.0, 1.0), (7, 7)), ((0.26, 0.5), (4, 2))]
)
def test_point_heatmaps(center, pixel):
    box = np.array([*center, *center], "float32")
    heatmap = np.asarray(targets.point_heatmaps(box, L))
    assert heatmap.sum() == 1
    assert heatmap[pixel] == 1


def test_inside_box():
    boxes = np.array(
        [
            [0, 0, 0.25, 0.125],  # two pixels wide, one high
            [0.19, 0.19, 0.2, 0.2],  # between pixel centres: the pixel that contains it
            [0.5, 0.5, 0.5, 0.5],  # no area, on a corner of four pixels
            [0, 0, 1, 1],
        ],
        "float32",
    )
    inside = np.asarray(targets.inside_box(boxes, L))
    assert np.argwhere(inside[0]).tolist() == [[0, 0], [0, 1]]
    assert np.argwhere(inside[1]).tolist() == [[1, 1]]
    assert np.argwhere(inside[2]).tolist() == [[4, 4]]
    assert inside[3].all()


segment = st.tuples(st.floats(0, 20, width=32), st.floats(0, 20, width=32)).map(sorted)


@given(segment, segment)
def test_segment_iou(a, b):
    shared = max(min(a[1], b[1]) - max(a[0], b[0]), 0)
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    value = float(targets.segment_iou(np.array(a, "float32"), np.array(b, "float32")))
    assert value == pytest.approx(shared / union if union > 0 else 0, abs=1e-4)


def test_score_targets():
    ious = np.array([0.0, 0.29, 0.3, 0.9], "float32")
    np.testing.assert_allclose(targets.score_targets(ious, 0.3), [0, 0, 0.3, 0.9], atol=1e-7)


def test_regression_candidates():
    ious = np.array([[0.5, 0.9], [0.82, 0.8], [1.0, 0.9]], "float32")
    valid = np.array([True, True, False])
    chosen = np.asarray(targets.regression_candidates(ious, valid, 0.9))
    assert chosen.tolist() == [[False, True], [True, False], [False, False]]
    nothing = np.asarray(targets.regression_candidates(np.zeros((3, 2), "float32"), valid, 0.9))
    assert not nothing.any()
