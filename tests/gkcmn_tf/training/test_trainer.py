import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from gkcmn_tf.modeling.bm import BM
from gkcmn_tf.modeling.gkcmn import GKCMN
from gkcmn_tf.training import optimizers, trainer


def create(batch):
    keras.utils.set_random_seed(0)
    model = BM(10, video_width=4, word_width=8, sentence_width=8, fusion_width=8)
    model.build({name: value.shape for name, value in batch[0].items()})
    return model


def create_gkcmn(batch):
    keras.utils.set_random_seed(0)
    widths = {"video_width": 4, "word_width": 8, "sentence_width": 8, "fusion_width": 8}
    model = GKCMN(10, **widths, spatial_width=4, temporal_width=8)
    model.build({name: value.shape for name, value in batch[0].items()})
    return model


def batches(batch, strategy):
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2).repeat()
    return strategy.experimental_distribute_dataset(dataset)


def sgd(model):
    """Not Adam, which amplifies rounding errors of gradients that are 0 in theory."""
    optimizer = keras.optimizers.SGD(0.05)
    optimizer.build(model.trainable_variables)
    return optimizer


def muon(model):
    # Without its Adam; see `sgd`.
    optimizer = optimizers.KernelMuon(0.01, adam_lr_ratio=0.0)
    optimizer.build(model.trainable_variables)
    return optimizer


def create_trainer(batch, strategy=None, optimizer=sgd, **kwargs):
    strategy = strategy or tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = create(batch)
        optimizer = optimizer(model)
    step = tf.Variable(0, dtype=tf.int64)
    return trainer.Trainer(
        model, optimizer, batches(batch, strategy), strategy, step=step, **kwargs
    )


@pytest.fixture
def uneven(batch):
    """A batch of different clips, so that a mean of the means of its parts would be wrong."""
    batch[1]["query_mask"] = np.array([[True, True], [True, False]])
    return batch


def assert_same_training(one, other, steps=4, tolerance=1e-5):
    results = [
        {name: float(value) for name, value in each.train(tf.constant(steps)).items()}
        for each in (one, other)
    ]
    names = {"box_loss", "segment_loss", "loss", "gradient_norm", "learning_rate", "data_wait"}
    assert set(results[0]) == names
    for name in names - {"data_wait"}:
        assert results[1][name] == pytest.approx(results[0][name], rel=tolerance), name
    assert 0 < results[0]["data_wait"] < 1
    assert int(one.step.numpy()) == int(other.step.numpy()) == steps
    for a, b in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_two_replicas_train_like_one(clip_norm, uneven, two_replicas):
    """Same losses, gradient norms and weights, whether or not the global gradient is clipped."""
    assert_same_training(
        create_trainer(uneven, clip_norm=clip_norm),
        create_trainer(uneven, two_replicas, clip_norm=clip_norm),
    )


@pytest.mark.slow
def test_two_replicas_train_like_one_with_muon(uneven, two_replicas):
    assert_same_training(
        create_trainer(uneven, optimizer=muon),
        create_trainer(uneven, two_replicas, optimizer=muon),
        tolerance=1e-4,
    )


@pytest.mark.slow
def test_gradient_accumulation_does_not_change_the_training(uneven):
    assert_same_training(create_trainer(uneven), create_trainer(uneven, accumulation_steps=2))


def scaled_sgd(scale):
    def build(model):
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.05), initial_scale=scale, dynamic_growth_steps=100
        )
        optimizer.build(model.trainable_variables)
        return optimizer

    return build


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_loss_scaling_does_not_change_the_training(replicas, uneven, two_replicas):
    strategy = two_replicas if replicas == 2 else None
    scaled = create_trainer(uneven, strategy, scaled_sgd(1024.0), clip_norm=0.5)
    assert_same_training(create_trainer(uneven, clip_norm=0.5), scaled)


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_an_overflow_halves_the_loss_scale_and_skips_the_step(clip_norm, batch):
    training = create_trainer(batch, optimizer=scaled_sgd(3e38), clip_norm=clip_norm)
    before = training.model.get_weights()
    training.train(tf.constant(1))
    for a, b in zip(before, training.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(training.optimizer.dynamic_scale) == pytest.approx(1.5e38)
    assert int(training.step.numpy()) == 1


def test_the_first_nonfinite_loss_is_reported(batch):
    training = create_trainer(batch)
    training.train(tf.constant(2))
    training.model.trainable_variables[0].assign(training.model.trainable_variables[0] * np.nan)
    with pytest.raises(trainer.NonFiniteLossError, match="not finite at step 2"):
        training.train(tf.constant(3))


def averaging(model):
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9)
    optimizer.build(model.trainable_variables)
    return optimizer


def test_averaged_weights_are_evaluated_and_training_continues_with_the_original_ones(batch):
    training = create_trainer(batch, optimizer=averaging)
    model, strategy = training.model, training.strategy
    average = None
    for _ in range(3):
        training.train(tf.constant(1))
        now = [v.numpy() for v in model.trainable_variables]
        # The average starts with the weights after the first step.
        average = (
            now
            if average is None
            else [0.9 * a + 0.1 * b for a, b in zip(average, now, strict=True)]
        )
    data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(batch))
    evaluator = trainer.Evaluator(model, data, strategy, sample=batch, optimizer=training.optimizer)
    results = evaluator.evaluate(tf.constant(-1))
    for variable, value in zip(model.trainable_variables, now, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    for variable, value in zip(model.trainable_variables, average, strict=True):
        variable.assign(value)
    expected = model.normalized_losses(*batch, model(batch[0]))
    assert float(results["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-5)


def one_real_example(batch):
    """Returns a batch of a split with one sentence: the first query is real, the others filler."""
    inputs, labels = ({name: np.array(value) for name, value in part.items()} for part in batch)
    for name, value in (inputs | labels).items():
        value[1:] = 0
        if name in labels:
            value[:, 1:] = 0
    inputs["tokens"][:, 1:] = 0
    return inputs, labels


@pytest.mark.parametrize("create_model", [create, create_gkcmn])
def test_images_of_a_split_smaller_than_a_batch_show_only_its_sentences(
    create_model, batch, tmp_path
):
    batch = one_real_example(batch)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = create_model(batch)
    dataset = tf.data.Dataset.from_tensors(batch)
    evaluator = trainer.Evaluator(
        model, strategy.experimental_distribute_dataset(dataset), strategy, sample=batch
    )
    with tf.summary.create_file_writer(str(tmp_path)).as_default(step=1):
        evaluator.evaluate(tf.constant(-1))
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    shown = {"tubes/0"} | ({"heatmaps/0"} if create_model is create_gkcmn else set())
    assert set(events.Tags()["tensors"]) == shown


def test_the_evaluator_reports_losses_and_metrics(batch):
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = create(batch)
    dataset = tf.data.Dataset.from_tensors(batch)
    evaluator = trainer.Evaluator(
        model, strategy.experimental_distribute_dataset(dataset), strategy, sample=batch
    )
    results = {name: float(value) for name, value in evaluator.evaluate(tf.constant(-1)).items()}
    assert set(results) == {
        "box_loss",
        "segment_loss",
        "loss",
        "m_tIoU",
        "m_vIoU",
        "vIoU@0.3",
        "vIoU@0.5",
    }
    expected = model.normalized_losses(*batch, model(batch[0]))
    assert results["loss"] == pytest.approx(float(expected["loss"]), rel=1e-5)
