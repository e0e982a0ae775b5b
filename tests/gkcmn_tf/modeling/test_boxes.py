import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.modeling import boxes

CASES = [
    # a, b, IoU, GIoU
    ([0, 0, 2, 2], [0, 0, 2, 2], 1, 1),
    ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3, 1 / 3),
    ([0, 0, 1, 1], [2, 0, 3, 1], 0, -1 / 3),
    ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7, 1 / 7 - 2 / 9),
    ([1, 1, 1, 1], [1, 1, 1, 1], 0, 0),
    ([1, 1, 1, 1], [0, 0, 2, 2], 0, 0),
]


@pytest.mark.parametrize(("a", "b", "iou", "giou"), CASES)
def test_iou_and_giou_by_hand(a, b, iou, giou):
    a, b = np.array(a, "float32"), np.array(b, "float32")
    for x, y in ((a, b), (b, a)):
        assert float(boxes.iou(x, y)) == pytest.approx(iou, abs=1e-6)
        assert float(boxes.giou(x, y)) == pytest.approx(giou, abs=1e-6)


def test_area_of_a_swapped_box_is_zero():
    assert float(boxes.area(np.array([2.0, 0, 1, 5], "float32"))) == 0


coordinate = st.floats(0, 16, width=32)
box = st.tuples(coordinate, coordinate, coordinate, coordinate).map(
    lambda b: [min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])]
)


@given(box, box)
def test_bounds_and_symmetry(a, b):
    a, b = np.array(a, "float32"), np.array(b, "float32")
    iou, giou = float(boxes.iou(a, b)), float(boxes.giou(a, b))
    assert 0 <= iou <= 1 + 1e-6
    assert -1 - 1e-6 <= giou <= iou + 1e-6
    assert giou == pytest.approx(float(boxes.giou(b, a)), abs=1e-6)


@given(box, box)
def test_gradient_is_finite(a, b):
    a = tf.constant(a, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = boxes.giou(a, keras.ops.convert_to_tensor(b, "float32"))
    assert np.isfinite(tape.gradient(value, a)).all()
