import numpy as np

from gkcmn_tf.modeling.candidates import candidate_segments, candidate_widths


def test_candidate_widths_scale_with_the_clip():
    assert candidate_widths((8, 196), 200) == [8, 196]
    assert candidate_widths((8, 196), 50) == [2, 49]


def test_candidate_segments():
    mask = np.array([[True, True, True, False], [True, False, False, False]])
    segments = np.asarray(candidate_segments(mask, [1, 2, 10]))
    assert segments.shape == (2, 4, 3, 2)
    assert segments[0, 1].tolist() == [[1, 2], [0.5, 2.5], [0, 3]]
    assert segments[0, 2].tolist() == [[2, 3], [1.5, 3], [0, 3]]
    assert segments[1, 0].tolist() == [[0, 1], [0, 1], [0, 1]]
