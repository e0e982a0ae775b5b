import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.modeling import decoding, targets
from gkcmn_tf.modeling.candidates import candidate_segments


def test_decode_boxes():
    heatmaps = np.zeros((2, 4, 4), "float32")
    heatmaps[0, 1, 2] = 5
    heatmaps[1, 3, 3] = heatmaps[1, 3, 2] = 1  # a tie: the first in row order
    distances = np.ones((2, 4, 4, 4), "float32")
    distances[0, 1, 2] = [0.5, 1.5, 1.0, 0.5]
    boxes, peaks = decoding.decode_boxes(heatmaps, distances)
    np.testing.assert_allclose(boxes[0], np.array([2, 0, 3.5, 2]) / 4)
    np.testing.assert_allclose(boxes[1], np.array([1.5, 2.5, 3.5, 4]) / 4)  # clipped at the border
    assert np.asarray(peaks).tolist() == [5, 1]


def test_true_targets_are_decoded_to_the_true_boxes():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.random((50, 2, 2)), axis=-2).reshape(50, 4).astype("float32")
    centers = np.arange(16) + 0.5
    x, y = np.meshgrid(centers, centers)
    x1, y1, x2, y2 = (boxes[:, i, None, None] * 16 for i in range(4))
    distances = np.stack([x - x1, y - y1, x2 - x, y2 - y], -1).astype("float32")
    decoded, _ = decoding.decode_boxes(targets.gaussian_heatmaps(boxes, 16, 2.0), distances)
    np.testing.assert_allclose(decoded, boxes, atol=1e-5)


def test_smooth_boxes():
    boxes = np.arange(16, dtype="float32").reshape(1, 4, 4) / 16
    heats = np.array([[0.5, 1.0, 1.0, 1.0]], "float32")
    mask = np.array([[True, True, True, False]])
    smooth = np.asarray(decoding.smooth_boxes(boxes, heats, mask, 2.0))
    near, far = np.exp(-1 / 8), np.exp(-4 / 8)
    weights = np.array([[0.5, near, far], [near / 2, 1, near], [far / 2, near, 1]])
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(smooth[0, :3], weights @ boxes[0, :3], rtol=1e-5)
    sharp = decoding.smooth_boxes(boxes, heats, mask, 0.01)
    np.testing.assert_allclose(np.asarray(sharp)[0, :3], boxes[0, :3], rtol=1e-6)
    nothing = decoding.smooth_boxes(boxes, heats, np.zeros((1, 4), bool), 2.0)
    assert np.asarray(nothing).tolist() == np.zeros((1, 4, 4)).tolist()


def test_first_peak():
    values = np.array([[1, 3, 3, 2], [-0.0, 0.0, -1, -2], [-1e9, -1e9, -1e9, -5]], "float32")
    assert np.asarray(decoding.first_peak(values)).tolist() == [[1], [0], [3]]


def test_decode_segments():
    mask = np.array([True, True, True, False])
    candidates = candidate_segments(mask, [1.0, 2.0])
    scores = np.array([[0.1, 0.2], [0.3, 0.9], [0.0, 0.0], [1.0, 1.0]], "float32")
    offsets = np.zeros((4, 2, 2), "float32")
    offsets[1, 1] = [0.25, 9.0]  # [0.5, 2.5] becomes [0.75, 11.5], clipped at T' = 3
    segment, score = decoding.decode_segments(scores, offsets, candidates, mask)
    np.testing.assert_allclose(segment, [0.75, 3.0])
    assert float(score) == pytest.approx(0.9)


def test_leading_axes():
    rng = np.random.default_rng(0)
    mask = np.ones((2, 3, 5), bool)
    candidates = candidate_segments(mask, [1.0, 3.0])
    scores = rng.random((2, 3, 5, 2)).astype("float32")
    offsets = rng.normal(size=(2, 3, 5, 2, 2)).astype("float32")
    segments, best = decoding.decode_segments(scores, offsets, candidates, mask)
    for i in np.ndindex(2, 3):
        segment, score = decoding.decode_segments(
            scores[i], offsets[i], np.asarray(candidates)[i], mask[i]
        )
        np.testing.assert_allclose(np.asarray(segments)[i], segment, atol=1e-6)
        assert float(np.asarray(best)[i]) == pytest.approx(float(score))


@given(st.floats(-50, 50, width=32), st.floats(-50, 50, width=32), st.integers(1, 6))
def test_clipped_segments_are_inside_the_clip(begin, end, valid):
    mask = np.arange(6) < valid
    segment = np.asarray(decoding.clip_segments(np.array([begin, end], "float32"), mask))
    assert 0 <= segment[0] <= segment[1] <= valid
    if 0 <= begin <= end <= valid:
        np.testing.assert_allclose(segment, [begin, end], atol=1e-5)


def test_distinct_segments():
    segments = np.array([[0, 4], [0, 5], [6, 9], [5, 7], [1, 9], [5, 6]], "float32")
    scores = np.array([0.7, 0.8, 0.5, 0.6, -1.0, 0.0], "float32")
    # [0, 4] overlaps the best by 4/5, and [1, 9] cannot be chosen.
    chosen, kept = decoding.distinct_segments(segments, scores, 5, 0.5)
    assert np.asarray(chosen).tolist() == [[0, 5], [5, 7], [6, 9], [5, 6], [0, 0]]
    np.testing.assert_allclose(kept, [0.8, 0.6, 0.5, 0, -1])


def test_scored_segments_contain_the_decoded_one():
    rng = np.random.default_rng(0)
    mask = np.arange(6) < np.array([[6], [2]])
    candidates = candidate_segments(mask, [1.0, 4.0])
    scores = rng.random((2, 6, 2)).astype("float32")
    offsets = rng.normal(size=(2, 6, 2, 2)).astype("float32")
    segment, score = decoding.decode_segments(scores, offsets, candidates, mask)
    segments, all_scores = decoding.scored_segments(scores, offsets, candidates, mask)
    best = np.argmax(all_scores, axis=-1)
    np.testing.assert_array_equal(np.asarray(segments)[[0, 1], best], segment)
    np.testing.assert_array_equal(np.max(all_scores, axis=-1), score)
    assert (np.asarray(all_scores)[1, 4:] < 0).all()
