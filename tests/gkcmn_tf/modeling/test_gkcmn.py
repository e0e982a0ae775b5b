import keras
import numpy as np
import pytest

from gkcmn_tf.modeling import targets
from gkcmn_tf.modeling.gkcmn import GKCMN


def create(**kwargs):
    keras.utils.set_random_seed(0)
    sizes = {"word_width": 8, "sentence_width": 8, "fusion_width": 8, "spatial_width": 4}
    return GKCMN(10, **sizes, temporal_width=8, heatmap_size=8, **kwargs)


def twins(inputs, **changes):
    """Returns the model and one with the same weights and `changes`."""
    models = create(), create(**changes)
    for model in models:
        model.build({name: value.shape for name, value in inputs.items()})
    models[1].set_weights(models[0].get_weights())
    return models


def test_output_shapes(batch):
    outputs = create()(batch[0])
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "heatmaps": (2, 2, 6, 8, 8),
        "sizes": (2, 2, 6, 8, 8, 4),
        "scores": (2, 2, 6, 7),
        "offsets": (2, 2, 6, 7, 2),
    }


def test_defaults_equal_the_paper():
    config = GKCMN(10).get_config()
    paper = {
        "video_width": 32,
        "word_width": 300,
        "attention_layers": 2,
        "heatmap_size": 16,
        "score_threshold": 0.3,
        "positive_heat": 0.8,
        "high_score_ratio": 0.9,
        "loss_weights": (1.0, 2.0, 0.2, 0.1),
    }
    assert {name: config[name] for name in paper} == paper


@pytest.mark.parametrize(
    ("ablation", "missing"),
    [
        ({"serial_connection": False}, "mixed_convolution/serial"),
        ({"parallel_connection": False}, "mixed_convolution/parallel"),
        ({"serial_connection": False, "parallel_connection": False}, "mixed_convolution"),
        ({"temporal_attention": False}, "temporal_head/attention"),
    ],
    ids=["SC", "PC", "MN", "TA"],
)
def test_ablations_remove_their_weights(ablation, missing, batch):
    paths = {}
    for name, model in (("full", create()), ("ablated", create(**ablation))):
        model(batch[0])
        # Layer names may have a counter; paths are compared without the name of the model.
        paths[name] = {v.path.split("/", 1)[1] for v in model.trainable_variables}
    assert {path for path in paths["full"] if path.startswith(missing)}
    assert paths["ablated"] == {p for p in paths["full"] if not p.startswith(missing)}


def test_single_point_ablation(batch):
    _, labels = batch
    point = np.asarray(create(gaussian_kernel=False).true_heatmaps(labels["boxes"]))
    assert set(np.unique(point)) == {0, 1}
    gaussian = np.asarray(create(sigma=1.5).true_heatmaps(labels["boxes"]))
    np.testing.assert_allclose(
        gaussian, targets.gaussian_heatmaps(labels["boxes"], 8, 1.5), atol=1e-6
    )


def test_empty_steps_train_empty_heatmaps(batch):
    inputs, labels = batch
    outputs = {name: np.asarray(value) for name, value in create()(inputs).items()}
    outputs["heatmaps"] = np.full_like(outputs["heatmaps"], -50)
    outputs["heatmaps"][1, 1, 0] = 2  # a valid step before the second sentence's segment
    outputs["heatmaps"][1, 1, 5] = 9  # a step after the end of the clip
    annotated = create()
    every = create(empty_steps=True)
    assert annotated.loss_counts(inputs, labels)[0] == labels["box_mask"].sum()
    assert every.loss_counts(inputs, labels)[0] == 2 * 6 + 2 * 4
    losses = []
    for model in (annotated, every):
        samples = model.loss_samples(inputs, labels)
        losses.append(float(model.loss_totals(inputs, labels, outputs, samples)["heatmap_loss"]))
    p = 1 / (1 + np.exp(-2))
    assert losses[1] - losses[0] == pytest.approx(-64 * p**2 * np.log(1 - p), rel=1e-4)


def test_offsets_in_units_of_candidate_widths(batch):
    inputs, labels = batch
    in_steps, in_widths = twins(inputs, offset_unit="width")
    plain, scaled = (model(inputs)["offsets"] for model in (in_steps, in_widths))
    widths = np.array(in_steps.candidate_widths) * 6 / 200
    np.testing.assert_allclose(scaled, np.asarray(plain) * widths[:, None], rtol=1e-4, atol=1e-6)
    # The model returns offsets in steps in any case; the loss uses widths.
    candidates = np.asarray(in_widths.candidates(inputs["step_mask"]))[:, None]
    outputs = {name: np.asarray(value) for name, value in in_widths(inputs).items()}
    wrong = 0.5 * widths[:, None]
    outputs["offsets"] = labels["segment"][:, :, None, None, :] - candidates + wrong
    losses = in_widths.normalized_losses(inputs, labels, outputs)
    assert float(losses["boundary_loss"]) == pytest.approx(2 * 0.5**2 / 2, rel=1e-4)


def test_scores_are_trained_by_either_loss(batch):
    inputs, labels = batch
    squared, entropy = twins(inputs, score_loss="cross_entropy")
    outputs = squared(inputs) | {"scores": np.zeros((2, 2, 6, 7), "float32")}  # all are 1/2
    losses = [model.normalized_losses(inputs, labels, outputs) for model in (squared, entropy)]
    assert float(losses[1]["score_loss"]) == pytest.approx(np.log(2), rel=1e-5)
    assert 0 < float(losses[0]["score_loss"]) <= 1 / 8


def test_boxes_are_smoothed_only_in_decoding(batch):
    inputs, _ = batch
    plain, smooth = twins(inputs, box_smoothing=1.0)
    outputs = plain(inputs)
    np.testing.assert_array_equal(outputs["sizes"], smooth(inputs)["sizes"])
    decoded, smoothed = (model.decode(inputs, outputs) for model in (plain, smooth))
    np.testing.assert_array_equal(decoded["segment"], smoothed["segment"])
    spread, less = (np.asarray(d["boxes"])[0].std(axis=1).mean() for d in (decoded, smoothed))
    assert 0 < less < spread


def test_decode_takes_the_best_candidate_and_the_heatmaps_peak(batch):
    inputs, _ = batch
    model = create(candidate_widths=(100.0, 200.0))  # 3 and 6 of 6 steps
    outputs = {
        "heatmaps": np.zeros((2, 2, 6, 8, 8), "float32"),
        "sizes": np.ones((2, 2, 6, 8, 8, 4), "float32"),
        "scores": np.zeros((2, 2, 6, 2), "float32"),
        "offsets": np.zeros((2, 2, 6, 2, 2), "float32"),
    }
    outputs["heatmaps"][..., 4, 2] = 3
    outputs["scores"][0, 0, 2, 0] = 5  # [1, 4]
    outputs["scores"][1, 1, 5, 1] = 9  # after the 4 valid steps of the second clip
    outputs["scores"][1, 1, 1, 1] = 5  # [-1.5, 4.5], clipped to [0, 4]
    decoded = {name: np.asarray(value) for name, value in model.decode(inputs, outputs).items()}
    assert decoded["segment"][0, 0].tolist() == [1, 4]
    assert decoded["segment"][1, 1].tolist() == [0, 4]
    np.testing.assert_allclose(decoded["score"][0, 0], 1 / (1 + np.exp(-5)), rtol=1e-6)
    np.testing.assert_allclose(
        decoded["boxes"], np.broadcast_to(np.array([1.5, 3.5, 3.5, 5.5]) / 8, (2, 2, 6, 4))
    )


def test_perfect_outputs_have_no_loss(batch):
    inputs, labels = batch
    model = create()
    candidates = np.asarray(model.candidates(inputs["step_mask"]))[:, None]
    segment = labels["segment"][:, :, None, None, :]
    ious = np.asarray(targets.segment_iou(candidates, segment))
    scores = np.asarray(targets.score_targets(ious, 0.3)).clip(1e-6, 1 - 1e-6)
    x = np.arange(8) + 0.5
    x, y = np.meshgrid(x, x)
    x1, y1, x2, y2 = (labels["boxes"][..., i, None, None] * 8 for i in range(4))
    positive = np.asarray(model.true_heatmaps(labels["boxes"])) > 0.8
    outputs = {
        "heatmaps": np.where(positive, 50, -50).astype("float32"),
        "sizes": np.stack([x - x1, y - y1, x2 - x, y2 - y], -1).astype("float32"),
        "scores": np.log(scores / (1 - scores)),
        "offsets": segment - candidates,
    }
    for name, loss in model.normalized_losses(inputs, labels, outputs).items():
        assert float(loss) == pytest.approx(0, abs=1e-3), name


def without_tube(labels, *, clip, query):
    """The labels with one sentence absent."""
    changed = {name: np.array(value) for name, value in labels.items()}
    for name in ("segment", "boxes", "box_mask"):
        changed[name][clip, query] = 0
    return changed


def test_absent_sentences_train_scores_of_zero_only(batch):
    inputs, labels = batch
    labels = without_tube(labels, clip=0, query=1)
    model = create()
    outputs = model(inputs)
    samples = model.loss_samples(inputs, labels)
    for name in ("heatmap_loss", "size_loss", "boundary_loss"):
        assert not np.asarray(samples[name])[0, 1].any()
    steps = int(np.sum(inputs["step_mask"][0]))
    valid = np.asarray(samples["score_loss"])[0, 1]
    assert valid.sum() == steps * len(model.candidate_widths)
    totals = model.loss_totals(inputs, labels, outputs, samples)
    scores = 1 / (1 + np.exp(-np.asarray(outputs["scores"], "float64")))
    others = model.loss_totals(
        *(inputs, labels, outputs),
        samples | {"score_loss": np.asarray(samples["score_loss"]) & ~one_sentence(0, 1)},
    )
    difference = float(totals["score_loss"] - others["score_loss"])
    assert difference == pytest.approx(float(np.sum(scores[0, 1][valid] ** 2 / 2)), rel=1e-4)


def one_sentence(clip, query):
    mask = np.zeros((2, 2, 1, 1), bool)
    mask[clip, query] = True
    return mask
