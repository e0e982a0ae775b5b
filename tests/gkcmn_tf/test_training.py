import keras
import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf import training
from gkcmn_tf.baseline import BM
from gkcmn_tf.config import TrainConfig


def create(batch):
    keras.utils.set_random_seed(0)
    model = BM(10, video_width=4, word_width=8, sentence_width=8, fusion_width=8)
    model.build({name: value.shape for name, value in batch[0].items()})
    return model


def test_late_cosine_decay():
    schedule = training.LateCosineDecay(0.1, 100, 40)
    rates = [float(schedule(step)) for step in (0, 59, 60, 80, 100)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.1, 0.05, 0], atol=1e-7)
    again = training.LateCosineDecay.from_config(schedule.get_config())
    assert float(again(80)) == pytest.approx(0.05)
    assert training.learning_rate(TrainConfig(learning_rate=0.2)) == 0.2


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_two_replicas_train_as_one(clip_norm, batch, two_replicas):
    """Same losses, gradient norms and weights, whether or not the global gradient is clipped."""
    # The clips differ in what they hold, so a mean of the replicas' means would be another value.
    batch[1]["query_mask"] = np.array([[True, True], [True, False]])
    results, weights = [], []
    for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), two_replicas):
        with strategy.scope():
            model = create(batch)
            # Not Adam, which blows up the rounding errors of gradients that are 0 in theory.
            optimizer = keras.optimizers.SGD(0.05)
            optimizer.build(model.trainable_variables)
        dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2).repeat()
        trainer = training.Trainer(
            model,
            optimizer,
            strategy.experimental_distribute_dataset(dataset),
            strategy,
            clip_norm=clip_norm,
        )
        means = trainer.train(tf.constant(4))
        results.append({name: float(value) for name, value in means.items()})
        weights.append(model.get_weights())
        assert int(optimizer.iterations.value.numpy()) == 4
    assert set(results[0]) == {"box_loss", "end_loss", "loss", "gradient_norm", "learning_rate"}
    for name, value in results[0].items():
        assert results[1][name] == pytest.approx(value, rel=1e-5), name
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_evaluator_reports_losses_and_metrics(batch):
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = create(batch)
    dataset = tf.data.Dataset.from_tensors(batch)
    evaluator = training.Evaluator(
        model, strategy.experimental_distribute_dataset(dataset), strategy, sample=batch
    )
    results = {name: float(value) for name, value in evaluator.evaluate(tf.constant(-1)).items()}
    assert set(results) == {
        "box_loss",
        "end_loss",
        "loss",
        "m_tIoU",
        "m_vIoU",
        "vIoU@0.3",
        "vIoU@0.5",
    }
    expected = model.normalized_losses(*batch, model(batch[0]))
    assert results["loss"] == pytest.approx(float(expected["loss"]), rel=1e-5)
