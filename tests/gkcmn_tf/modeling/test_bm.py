import keras
import numpy as np
import pytest

from gkcmn_tf.modeling.bm import BM


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return BM(10, word_width=8, sentence_width=8, fusion_width=8)


def test_output_shapes(model, batch):
    outputs = model(batch[0])
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "boxes": (2, 2, 6, 4),
        "segments": (2, 2, 6, 2),
        "scores": (2, 2, 6),
    }


def test_head_against_numpy(model):
    fused = np.random.default_rng(0).normal(size=(2, 5, 4, 4, 8)).astype("float32")
    step_mask = np.arange(5) < np.array([[5], [3]])
    model.build_head(fused.shape)
    outputs = model.head(fused, step_mask)
    boxes, segments, scores = np.zeros((2, 5, 4)), np.zeros((2, 5, 2)), np.zeros((2, 5))

    def softmax_over_cells(layer):
        weights = np.exp(fused @ np.asarray(layer.kernel))[..., 0]
        return weights / weights.sum(axis=(2, 3), keepdims=True), weights

    box_weights, _ = softmax_over_cells(model.box_score)
    segment_weights, exponentials = softmax_over_cells(model.segment_score)
    for clip, step, row, column in np.ndindex(2, 5, 4, 4):
        cell = fused[clip, step, row, column]
        left, top, right, bottom = np.log1p(np.exp(cell @ np.asarray(model.box_distances.kernel)))
        x, y = column + 0.5, row + 0.5
        box = np.array([x - left, y - top, x + right, y + bottom]) / 4
        boxes[clip, step] += box_weights[clip, step, row, column] * box
        distances = np.log1p(np.exp(cell @ np.asarray(model.segment_distances.kernel)))
        segment = step + 0.5 + np.array([-1, 1]) * distances * [5, 3][clip]
        segments[clip, step] += segment_weights[clip, step, row, column] * segment
        scores[clip, step] += exponentials[clip, step, row, column]
    np.testing.assert_allclose(outputs["boxes"], boxes, atol=1e-5)
    np.testing.assert_allclose(outputs["segments"], segments, atol=1e-4)
    np.testing.assert_allclose(outputs["scores"], np.log(scores), atol=1e-5)


@pytest.fixture
def outputs():
    """Outputs for `batch`; the second clip has four valid steps."""
    segments = np.tile(np.float32([[0, 3], [1, 2], [2, 6], [3, 8], [0, 0], [0, 0]]), (2, 2, 1, 1))
    scores = np.full((2, 2, 6), -99, "float32")
    scores[..., 1:3] = np.log([1, 3])
    scores[1, :, 3] = np.log(4)
    scores[1, :, 5] = 99  # a padded step
    return {
        "boxes": np.full((2, 2, 6, 4), 1.5, "float32"),
        "segments": segments,
        "scores": scores,
    }


def test_decode(model, batch, outputs):
    decoded = {k: np.asarray(value) for k, value in model.decode(batch[0], outputs).items()}
    np.testing.assert_allclose(decoded["segment"][0, 0], [1.75, 5], atol=1e-5)
    np.testing.assert_allclose(decoded["score"][:, 0], [0.75, 0.5], atol=1e-5)
    # (1 * [1, 2] + 3 * [2, 6] + 4 * [3, 8]) / 8, clipped to the four valid steps.
    np.testing.assert_allclose(decoded["segment"][1, 0], [2.375, 4], atol=1e-5)
    assert (decoded["boxes"] == 1).all()


def test_segments_are_the_mean_and_that_of_each_step(model, batch, outputs):
    segments, scores = (np.asarray(value) for value in model.segments(batch[0], outputs))
    np.testing.assert_allclose(segments[0, 0, :4], [[1.75, 5], [0, 3], [1, 2], [2, 6]], atol=1e-5)
    np.testing.assert_allclose(scores[0, 0, :4], [0.75, 0, 0.25, 0.75], atol=1e-5)
    assert (scores[1, :, 5:] == -1).all()
    assert segments.max() <= 6
    assert segments[1].max() <= 4


def test_losses_by_hand(model, batch, outputs):
    inputs, labels = batch
    labels = labels | {"segment": np.float32([[[1.75, 5], [2, 4]], [[2.375, 6], [0, 1.375]]])}
    outputs = outputs | {"boxes": labels["boxes"]}
    samples = model.loss_samples(inputs, labels)
    totals = model.loss_totals(inputs, labels, outputs, samples)
    assert float(totals["box_loss"]) == pytest.approx(0, abs=1e-5)
    # Predicted: [1.75, 5] and, before it is clipped, [2.375, 6.5].
    gap = 1 / (6.5 - 0)  # between [0, 1.375] and [2.375, 6.5]
    expected = 0 + (1 - 2 / 3.25) + (1 - 3.625 / 4.125) + (1 + gap)
    assert float(totals["segment_loss"]) == pytest.approx(expected, rel=1e-4)


def test_absent_sentences_have_no_loss(model, batch):
    inputs, labels = batch
    labels = {name: np.array(value) for name, value in labels.items()}
    for name in ("segment", "boxes", "box_mask"):
        labels[name][0, 1] = 0
    samples = model.loss_samples(inputs, labels)
    assert not np.asarray(samples["box_loss"])[0, 1].any()
    assert np.asarray(samples["segment_loss"]).tolist() == [[True, False], [True, True]]
