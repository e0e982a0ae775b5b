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


def in_clip(begin, end, clip=(0, 40)):
    tube = tubes.Tube(begin, end, np.tile([0.0, 0, 1, 1], (end - begin, 1)))
    return tubes.GroundTruth("s", "v", "declarative", 64, 48, 25.0, 999, *clip, tube)


def test_the_best_segment_is_relative_to_the_clip():
    # Shares 0.5 to 0.75 of both clips.
    assert trivial_guess.best_segment([in_clip(20, 30), in_clip(150, 175, (100, 200))]) == (
        0.5,
        0.75,
    )


def test_the_best_segment_has_the_highest_mean_overlap_of_all():
    rng = np.random.default_rng(0)
    ends = np.sort([rng.choice(41, 2, replace=False) for _ in range(15)])
    low, high = trivial_guess.best_segment([in_clip(*pair) for pair in ends.tolist()])
    means = {}
    for first in range(40):
        for last in range(first + 1, 41):
            guess = set(range(first, last))
            true = [set(range(*pair)) for pair in ends]
            means[first, last] = np.mean([len(guess & t) / len(guess | t) for t in true])
    assert means[round(40 * low), round(40 * high)] == pytest.approx(max(means.values()))


@pytest.mark.parametrize(
    ("segment", "clip", "expected"),
    [
        ((0.4, 0.7), (100, 110), (104, 107)),
        ((0.44, 0.46), (0, 10), (4, 5)),
        ((0.5, 0.51), (0, 10), (5, 6)),  # a frame at least
        ((0.99, 1.0), (3, 8), (7, 8)),
        ((0.0, 1.0), (3, 8), (3, 8)),
    ],
)
def test_a_guess_is_the_segment_in_whole_frames(segment, clip, expected):
    truth = in_clip(clip[0], clip[1], clip)
    guess = trivial_guess.guess_tubes([truth], np.array([0, 0, 1, 1]), segment=segment)["s"]
    assert (guess.begin, guess.end) == expected


def test_absent_sentences_are_guessed_but_not_measured():
    absent = tubes.GroundTruth("t", "v", "declarative", 64, 48, 25.0, 999, 0, 40, None)
    present = in_clip(20, 30)
    both = [absent, present]
    assert trivial_guess.best_segment(both) == trivial_guess.best_segment([present])
    box = trivial_guess.mean_box(both)
    np.testing.assert_array_equal(box, trivial_guess.mean_box([present]))
    assert trivial_guess.guess_tubes(both, box).keys() == {"s", "t"}
    assert trivial_guess.guess_tubes(both, box, temporal_ground_truth=True).keys() == {"s"}


@pytest.mark.parametrize("function", [trivial_guess.mean_box, trivial_guess.best_segment])
def test_a_guess_without_sentences_is_an_error(function):
    with pytest.raises(ValueError, match="expected at least one sentence"):
        function([])


def test_a_guess_for_a_clip_of_a_million_frames_holds_one_box():
    (guess,) = trivial_guess.guess_tubes(
        [truth((0, 1_000_000), (200, 100), [[0, 0, 1, 1]])], np.array([0.2, 0.1, 0.4, 0.3])
    ).values()
    assert guess.boxes.shape == (1_000_000, 4)
    np.testing.assert_allclose(guess.boxes[-1], [40, 10, 80, 30])
    assert guess.boxes.strides[0] == 0
