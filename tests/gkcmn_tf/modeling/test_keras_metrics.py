import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf import tubes
from gkcmn_tf.evaluation import metrics as frame_metrics
from gkcmn_tf.modeling import keras_metrics


def labels(segment, annotated, steps=4):
    mask = np.zeros((1, 1, steps), bool)
    mask[..., annotated] = True
    boxes = np.zeros((1, 1, steps, 4), "float32")
    boxes[mask] = [0, 0, 0.5, 0.5]
    return {
        "segment": np.array([[segment]], "float32"),
        "boxes": boxes,
        "box_mask": mask,
        "query_mask": np.ones((1, 1), bool),
    }


def test_metrics_by_hand():
    # Truth [1, 3); predicted [2, 4) with boxes that share at least half of the true box's area.
    predicted = np.tile(np.array([0, 0, 0.25, 0.5], "float32"), (1, 1, 4, 1))
    values = keras_metrics.values(
        np.array([[[2.0, 4.0]]], "float32"), predicted, labels((1.0, 3.0), [1, 2])
    )
    values = {name: np.asarray(value).item() for name, value in values.items()}
    assert values["m_tIoU"] == pytest.approx(1 / 3)
    assert values["m_vIoU"] == pytest.approx(0.5 / 3)
    assert values["vIoU@0.3"] == 0


def test_perfect_predictions_have_metrics_of_one():
    truth = labels((1.0, 3.0), [1, 2])
    values = keras_metrics.values(truth["segment"], truth["boxes"], truth)
    assert [np.asarray(value).item() for value in values.values()] == pytest.approx([1, 1, 1, 1])


def test_filler_queries_and_absent_sentences_do_not_count():
    metrics = keras_metrics.create()
    values = {name: np.array([[1.0, 0.0, 0.5]], "float32") for name in metrics}
    truth = {
        "query_mask": np.array([[True, False, True]]),
        "segment": np.array([[[0, 2], [0, 2], [0, 0]]], "float32"),
    }
    keras_metrics.update(metrics, values, truth)
    assert [float(metric.result()) for metric in metrics.values()] == [1, 1, 1, 1]


@given(st.data())
def test_metrics_equal_those_on_frames_if_each_step_is_a_frame(data):
    steps = 6
    segments, boxes = [], []
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(2):
        begin = data.draw(st.integers(0, steps - 1))
        segments.append((begin, data.draw(st.integers(begin + 1, steps))))
        # Multiples of 1/4, so that boxes touch in both float32 and float64.
        corners = np.sort(rng.integers(0, 5, (steps, 2, 2)), axis=1)
        boxes.append(corners.reshape(steps, 4) / 4)
    (predicted, true), (predicted_boxes, true_boxes) = segments, boxes
    truth = labels(true, slice(*true), steps)
    truth["boxes"][0, 0, slice(*true)] = true_boxes[slice(*true)]
    found = keras_metrics.values(
        np.array([[predicted]], "float32"), predicted_boxes[None, None].astype("float32"), truth
    )
    entry, prediction = (
        tubes.Tube(*segment, each[slice(*segment)])
        for segment, each in ((true, true_boxes), (predicted, predicted_boxes))
    )
    entry = tubes.GroundTruth("a", "v", "declarative", 1, 1, 25.0, steps, 0, steps, entry)
    expected = frame_metrics.score_sentence(entry, prediction, "all_frames")
    assert np.asarray(found["m_tIoU"]).item() == pytest.approx(expected["tIoU"], abs=1e-6)
    assert np.asarray(found["m_vIoU"]).item() == pytest.approx(expected["vIoU"], abs=1e-6)
