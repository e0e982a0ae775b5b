import numpy as np

from gkcmn_tf.evaluation import prediction, tube_files
from gkcmn_tf.records import clip_records


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
