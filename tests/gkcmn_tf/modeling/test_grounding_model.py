"""Tests of the behaviour shared by GKCMN and BM, for both models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.modeling import keras_metrics
from gkcmn_tf.modeling.bm import BM
from gkcmn_tf.modeling.gkcmn import GKCMN

SMALL = {"video_width": 4, "word_width": 8, "sentence_width": 8, "fusion_width": 8}


def create(cls, **kwargs):
    keras.utils.set_random_seed(0)
    if cls is GKCMN:
        kwargs = {"heatmap_size": 8, "spatial_width": 4, "temporal_width": 8} | kwargs
    return cls(10, **SMALL, attention_heads=2, **kwargs)


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


def repeated(batch):
    return tf.data.Dataset.from_tensors(batch).repeat(20)


both = pytest.mark.parametrize("cls", [GKCMN, BM])


@both
def test_save_and_load(cls, batch, tmp_path):
    model = create(cls)
    expected = arrays(model(batch[0]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for name, value in arrays(loaded(batch[0])).items():
        np.testing.assert_array_equal(value, expected[name])


@both
def test_the_decoded_segment_has_the_best_score(cls, batch):
    inputs, _ = batch
    model = create(cls)
    outputs = model(inputs)
    segments, scores = map(np.asarray, model.segments(inputs, outputs))
    decoded = arrays(model.decode(inputs, outputs))
    best = np.argmax(scores, axis=-1)[..., None]
    np.testing.assert_array_equal(
        np.take_along_axis(segments, best[..., None], axis=2)[:, :, 0], decoded["segment"]
    )
    np.testing.assert_allclose(scores.max(axis=-1), decoded["score"])
    # The second clip has 4 steps of 6; segments that begin after them cannot be chosen.
    assert (scores[1][segments[1, :, :, 0] > 4] < 0).all()
    assert (scores[1] < 0).any() and (scores[1] >= 0).any()


@both
@pytest.mark.parametrize("filler", [9, np.nan, np.inf])
def test_more_padding_does_not_change_the_result(cls, batch, filler):
    inputs, _ = batch
    model = create(cls)
    decoded = arrays(model.decode(inputs, model(inputs)))
    padded = {
        "features": np.concatenate([inputs["features"], np.full((2, 3, 4, 4, 5), filler)], axis=1),
        "step_mask": np.pad(inputs["step_mask"], [(0, 0), (0, 3)]),
        "tokens": np.pad(inputs["tokens"], [(0, 0), (0, 0), (0, 2)]),
    }
    outputs = arrays(model(inputs))
    for name, value in arrays(model(padded)).items():
        for clip, valid in enumerate(inputs["step_mask"].sum(axis=1)):
            np.testing.assert_allclose(
                value[clip, :, :valid], outputs[name][clip, :, :valid], atol=1e-5
            )
    if cls is BM:  # by design, GKCMN's candidate widths scale with T
        again = arrays(model.decode(padded, model(padded)))
        np.testing.assert_allclose(again["segment"], decoded["segment"])


@both
def test_queries_of_a_clip_are_grounded_independently(cls, batch):
    inputs, _ = batch
    model = create(cls)
    together = arrays(model(inputs))
    for query in range(2):
        alone = arrays(model(inputs | {"tokens": inputs["tokens"][:, query : query + 1]}))
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][:, query], value[:, 0], atol=1e-5)


@both
def test_filler_queries_do_not_change_the_loss(cls, batch):
    inputs, labels = batch
    model = create(cls)
    labels["query_mask"] = np.array([[True, True], [True, False]])
    expected = float(model.compute_loss(inputs, labels, model(inputs)))
    labels["segment"][1, 1] = [0, 1]
    labels["boxes"][1, 1] = 0.3
    inputs["tokens"][1, 1] = 0
    assert float(model.compute_loss(inputs, labels, model(inputs))) == pytest.approx(
        expected, rel=1e-5
    )


@both
def test_a_batch_with_only_filler_queries_is_finite(cls, batch):
    inputs, labels = batch
    model = create(cls)
    inputs = {name: np.zeros_like(value) for name, value in inputs.items()}
    labels = {name: np.zeros_like(value) for name, value in labels.items()}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, labels, model(inputs))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert float(loss) == 0
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients if g is not None)
    assert all(np.isfinite(v).all() for v in arrays(model.decode(inputs, model(inputs))).values())


@both
def test_a_single_valid_step_is_finite(cls, batch):
    inputs, labels = batch
    model = create(cls)
    inputs["step_mask"] = np.arange(6) < np.array([[1], [1]])
    labels["segment"][:] = [0, 1]
    labels["box_mask"] = np.broadcast_to(inputs["step_mask"][:, None], (2, 2, 6))
    losses = model.normalized_losses(inputs, labels, model(inputs))
    assert all(np.isfinite(float(loss)) for loss in losses.values())
    segment = arrays(model.decode(inputs, model(inputs)))["segment"]
    assert (segment >= 0).all()
    assert (segment <= 1).all()


@both
def test_loss_is_the_weighted_sum_over_the_global_batch(cls, batch):
    inputs, labels = batch
    model = create(cls)
    outputs = model(inputs)
    samples = model.loss_samples(inputs, labels)
    totals = model.loss_totals(inputs, labels, outputs, samples)
    assert set(totals) == set(samples) == set(model.loss_names)
    expected = sum(
        weight * float(totals[name]) / np.sum(samples[name])
        for name, weight in zip(model.loss_names, model.loss_weights, strict=True)
    )
    assert float(model.compute_loss(inputs, labels, outputs)) == pytest.approx(expected, rel=1e-5)


@both
@pytest.mark.slow
def test_fit_reduces_the_loss_and_evaluate_reports_the_metrics(cls, batch):
    model = create(cls)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(repeated(batch), epochs=3, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    result = model.evaluate(repeated(batch).take(1), verbose=0, return_dict=True)
    assert set(result) == {"loss", "m_tIoU", "m_vIoU", "vIoU@0.3", "vIoU@0.5"}
    decoded = model.decode(batch[0], model(batch[0]))
    values = keras_metrics.values(decoded["segment"], decoded["boxes"], batch[1])
    for name, value in values.items():
        assert result[name] == pytest.approx(np.mean(value), abs=1e-5)


@both
def test_mixed_bfloat16(cls, batch):
    inputs, labels = batch
    full, half = create(cls), create(cls, dtype="mixed_bfloat16")
    outputs = full(inputs), half(inputs)
    half.set_weights(full.get_weights())
    outputs = arrays(full(inputs)), arrays(half(inputs))
    for name, value in outputs[1].items():
        assert value.dtype == "float32"
        np.testing.assert_allclose(value, outputs[0][name], atol=0.2)
    assert np.isfinite(float(half.compute_loss(inputs, labels, half(inputs))))


@both
def test_loss_weights_must_match_the_terms(cls):
    with pytest.raises(ValueError, match=r"loss_weights: expected [24] values, one for each"):
        create(cls, loss_weights=(1.0,))


@both
def test_compile_leaves_xla_off_even_with_a_gpu(cls, monkeypatch):
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: [gpu])
    dense = keras.Sequential([keras.layers.Dense(1)])
    dense.compile()
    assert dense.jit_compile  # what Keras does with models that XLA compiles
    model = create(cls)
    model.compile()
    assert not model.jit_compile
    with pytest.warns(UserWarning, match="Proceeding with `jit_compile=False`"):
        model.compile(jit_compile=True)
    assert not model.jit_compile


@both
@pytest.mark.slow
def test_fit_on_two_replicas_equals_fit_on_one(cls, batch, two_replicas):
    """Losses are means over the global batch, so splitting it must not change the weights."""
    weights = []
    for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), two_replicas):
        with strategy.scope():
            model = create(cls)
            model.build({name: value.shape for name, value in batch[0].items()})
            model.compile(optimizer=keras.optimizers.SGD(0.1))
        dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2).repeat(3)
        history = model.fit(dataset, verbose=0)
        weights.append([history.history["loss"], *model.get_weights()])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
