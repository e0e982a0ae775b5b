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
        "ends": (2, 2, 6, 2),
    }


def test_head_against_numpy(model):
    fused = np.random.default_rng(0).normal(size=(2, 5, 4, 4, 8)).astype("float32")
    model.build_head(fused.shape)
    outputs = model.head(fused, step_mask=None)
    boxes = np.zeros((2, 5, 4))
    weights = np.exp(fused @ np.asarray(model.cell_score.kernel))[..., 0]
    weights /= weights.sum(axis=(2, 3), keepdims=True)
    for clip, step, row, column in np.ndindex(2, 5, 4, 4):
        cell = fused[clip, step, row, column]
        left, top, right, bottom = np.log1p(np.exp(cell @ np.asarray(model.distances.kernel)))
        x, y = column + 0.5, row + 0.5
        box = np.array([x - left, y - top, x + right, y + bottom]) / 4
        boxes[clip, step] += weights[clip, step, row, column] * box
    np.testing.assert_allclose(outputs["boxes"], boxes, atol=1e-5)
    ends = fused.mean(axis=(2, 3)) @ np.asarray(model.end.kernel)
    np.testing.assert_allclose(outputs["ends"], ends, atol=1e-5)


def test_decode(model, batch):
    inputs, _ = batch
    ends = np.zeros((2, 2, 6, 2), "float32")
    ends[0, 0, 1, 0] = ends[0, 0, 3, 1] = 9  # first step 1, last step 3
    ends[0, 1, 4, 0] = ends[0, 1, 2, 1] = 9  # wrong order: only ordered pairs are considered
    ends[1, :, 5] = 99  # a padded step
    outputs = {"boxes": np.full((2, 2, 6, 4), 1.5, "float32"), "ends": ends}
    decoded = {name: np.asarray(value) for name, value in model.decode(inputs, outputs).items()}
    assert decoded["segment"][0, 0].tolist() == [1, 4]
    begin, end = decoded["segment"][0, 1]
    assert begin < end
    assert (decoded["segment"][1] <= 4).all()
    assert (decoded["boxes"] == 1).all()
    assert ((decoded["score"] >= 0) & (decoded["score"] <= 1)).all()


def test_end_loss_by_hand(model, batch):
    inputs, labels = batch
    outputs = {"boxes": labels["boxes"], "ends": np.zeros((2, 2, 6, 2), "float32")}
    samples = model.loss_samples(inputs, labels)
    assert int(np.sum(samples["end_loss"])) == 4
    total = model.loss_totals(inputs, labels, outputs, samples)["end_loss"]
    assert float(total) == pytest.approx(4 * np.log(6) + 4 * np.log(4), rel=1e-5)


def test_end_targets_are_the_first_and_last_step_of_the_segment(model, batch):
    inputs, labels = batch
    ends = np.zeros((2, 2, 6, 2), "float32")
    for (clip, query), (first, last) in zip(
        np.ndindex(2, 2), [(1, 3), (0, 5), (0, 2), (3, 3)], strict=True
    ):
        ends[clip, query, first, 0] = ends[clip, query, last, 1] = 50
    outputs = {"boxes": labels["boxes"], "ends": ends}
    samples = model.loss_samples(inputs, labels)
    total = model.loss_totals(inputs, labels, outputs, samples)["end_loss"]
    assert float(total) == pytest.approx(0, abs=1e-4)


def test_absent_sentences_have_no_loss(model, batch):
    inputs, labels = batch
    labels = {name: np.array(value) for name, value in labels.items()}
    for name in ("segment", "boxes", "box_mask"):
        labels[name][0, 1] = 0
    samples = model.loss_samples(inputs, labels)
    assert not np.asarray(samples["box_loss"])[0, 1].any()
    assert np.asarray(samples["end_loss"]).tolist() == [[True, False], [True, True]]
