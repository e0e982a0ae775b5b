import numpy as np
import pytest

from gkcmn_tf.evaluation import prediction, tube_files
from gkcmn_tf.records import clip_records


def clip(begin, end, width, height, boxes):
    boxes = np.array(boxes, "float32")
    sentence = clip_records.Sentence(0, "s", "a dog", "declarative", 0, 2, 2 + len(boxes), boxes)
    return clip_records.Clip("v", begin, end, 25.0, width, height, 20, (sentence,))


def test_trivial_guess_is_the_whole_clip_with_the_mean_box():
    train = [
        clip(0, 10, 100, 100, [[0, 0, 20, 20], [20, 0, 40, 20]]),  # mean [.1, 0, .3, .2]
        clip(0, 10, 10, 10, [[3, 2, 5, 4]]),  # [.3, .2, .5, .4]
    ]
    test = [clip(3, 9, 200, 100, [[0, 0, 1, 1]])]
    guess = prediction.trivial_guess(train, test)["s"]
    assert (guess.begin, guess.end) == (3, 9)
    np.testing.assert_allclose(guess.boxes, np.tile([40, 10, 80, 30], (6, 1)), rtol=1e-5)
    given = prediction.trivial_guess(train, test, temporal_ground_truth=True)["s"]
    assert (given.begin, given.end) == (2, 3)
    assert given.boxes.shape == (1, 4)


def test_trivial_guess_needs_training_sentences():
    with pytest.raises(ValueError, match="no training sentences"):
        prediction.trivial_guess([], [clip(0, 9, 10, 10, [[0, 0, 1, 1]])])


def test_the_true_tubes_of_clips():
    boxes = np.array([[0, 1, 2.5, 3], [0, 1, 2, 3]], "float32")
    sentence = clip_records.Sentence(0, "a", "who?", "interrogative", 1, 3, 5, boxes)
    # Records hold float32.
    clip = clip_records.Clip("v", 2, 30, float(np.float32(29.97)), 64, 48, 40, (sentence,))
    (entry,) = tube_files.ground_truth_to_json(prediction.true_tubes([clip]))
    assert entry == {
        "id": "a",
        "vid": "v",
        "qtype": "interrogative",
        "width": 64,
        "height": 48,
        "fps": 29.97,
        "frame_count": 40,
        "clip": {"begin": 2, "end": 30},
        "gt": {"begin": 3, "end": 5, "boxes": {"3": [0, 1, 2.5, 3], "4": [0, 1, 2, 3]}},
    }
