import numpy as np
import pytest

from gkcmn_tf import tubes
from gkcmn_tf.evaluation import trivial_guess


def truth(clip, size, boxes):
    boxes = np.array(boxes, "float64")
    tube = tubes.Tube(2, 2 + len(boxes), boxes)
    return tubes.GroundTruth("s", "v", "declarative", *size, 25.0, 20, *clip, tube)


def test_the_trivial_guess_is_the_whole_clip_with_the_mean_box():
    train = [
        truth((0, 10), (100, 100), [[0, 0, 20, 20], [20, 0, 40, 20]]),  # mean [.1, 0, .3, .2]
        truth((0, 10), (10, 10), [[3, 2, 5, 4]]),  # [.3, .2, .5, .4]
    ]
    box = trivial_guess.mean_box(train)
    np.testing.assert_allclose(box, [0.2, 0.1, 0.4, 0.3])
    test = [truth((1, 9), (200, 100), [[0, 0, 1, 1]])]
    guess = trivial_guess.guess_tubes(test, box)["s"]
    assert (guess.begin, guess.end) == (1, 9)
    np.testing.assert_allclose(guess.boxes, np.tile([40, 10, 80, 30], (8, 1)))
    given = trivial_guess.guess_tubes(test, box, temporal_ground_truth=True)["s"]
    assert (given.begin, given.end) == (2, 3)
    np.testing.assert_allclose(given.boxes, [[40, 10, 80, 30]])


def test_a_mean_box_without_sentences_is_an_error():
    with pytest.raises(ValueError, match="expected at least one sentence"):
        trivial_guess.mean_box([])


def test_a_guess_for_a_clip_of_a_million_frames_holds_one_box():
    (guess,) = trivial_guess.guess_tubes(
        [truth((0, 1_000_000), (200, 100), [[0, 0, 1, 1]])], np.array([0.2, 0.1, 0.4, 0.3])
    ).values()
    assert guess.boxes.shape == (1_000_000, 4)
    np.testing.assert_allclose(guess.boxes[-1], [40, 10, 80, 30])
    assert guess.boxes.strides[0] == 0
