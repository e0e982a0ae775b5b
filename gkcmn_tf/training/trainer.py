"""The training and evaluation steps that Orbit's Controller drives, on any strategy."""

import time
from collections.abc import Mapping

import keras
import numpy as np
import orbit
import tensorflow as tf

from gkcmn_tf import config as configs
from gkcmn_tf.modeling import keras_metrics
from gkcmn_tf.modeling.grounding_model import GroundingModel, global_sum
from gkcmn_tf.visualization import panels

IMAGES_PER_EVALUATION = 4


class NonFiniteLossError(ArithmeticError):
    """The loss, or its gradient, of step number `step` is not a finite number."""

    def __init__(self, step: int):
        super().__init__(f"the loss of step {step} is not finite, or its gradient is not")
        self.step = step


@keras.saving.register_keras_serializable("gkcmn")
class WarmupThenLateDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises from 0 in a line, stays, and falls to 0 along half a cosine.

    Args:
        peak: the highest rate.
        steps: the step at which the fall ends.
        warmup_steps: length of the rise.
        decay_steps: length of the fall.
    """

    def __init__(self, peak, steps, *, warmup_steps=0, decay_steps=0):
        self.peak = peak
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps

    def __call__(self, step):
        """The rate at `step`, counted from 0."""
        step = keras.ops.cast(step, "float32")
        # The first step already learns something.
        risen = (step + 1) / (self.warmup_steps + 1)
        left = (self.steps - step) / max(self.decay_steps, 1)
        fallen = (1 - keras.ops.cos(np.pi * keras.ops.clip(left, 0, 1))) / 2
        return self.peak * keras.ops.minimum(risen, 1) * (fallen if self.decay_steps else 1)

    def get_config(self):
        """Constructor arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }


def create_optimizer(config: configs.Experiment, model: GroundingModel) -> keras.Optimizer:
    """Adam as the config says, built for the model's weights; call it in the strategy's scope."""
    train = config.train
    rate = WarmupThenLateDecay(
        train.learning_rate,
        train.steps,
        warmup_steps=train.warmup_steps,
        decay_steps=train.decay_steps,
    )
    optimizer = keras.optimizers.Adam(
        rate, use_ema=bool(train.ema_momentum), ema_momentum=train.ema_momentum
    )
    if config.runtime.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def use_averaged_weights(optimizer: keras.Optimizer, model: GroundingModel) -> None:
    """Sets the model's weights to their moving averages, if the optimizer keeps any."""
    optimizer.finalize_variable_values(model.trainable_variables)


class Trainer(orbit.StandardTrainer):
    """One optimisation step on a global batch.

    Args:
        model: built in the strategy's scope.
        optimizer: built, likewise.
        dataset: distributed, of `(inputs, labels)`.
        strategy: where the step runs.
        step: counts the steps; int64.
        clip_norm: bound of the global gradient's norm, or 0.
        accumulation_steps: parts that each replica cuts its share of a batch into, to hold the
            activations of only one of them at a time; the gradient is the same.
        jit_compile: whether XLA compiles the model and its gradient.
    """

    def __init__(
        self,
        model,
        optimizer,
        dataset,
        strategy,
        *,
        step,
        clip_norm=0.0,
        accumulation_steps=1,
        jit_compile=False,
    ):
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.step = step
        self.clip_norm = clip_norm
        self.accumulation_steps = accumulation_steps
        self._gradients = tf.function(self._accumulated_gradients, jit_compile=jit_compile)
        self._run = tf.function(
            lambda inputs, labels: strategy.run(self._replica_step, args=(inputs, labels))
        )
        self._seconds_waited = self._began = 0.0
        with strategy.scope():
            names = [*model.loss_names, "loss", "gradient_norm"]
            self.means = {name: keras.metrics.Mean(name=name) for name in names}
            # The first step whose loss was not finite. Read once a loop: to look at every step
            # would make the host wait for the device.
            self.failed_step = tf.Variable(
                -1, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            )
        # Steps are run one by one, so that the wait for data can be told from the rest.
        options = orbit.StandardTrainerOptions(use_tf_function=False, use_tf_while_loop=False)
        super().__init__(dataset, options)

    def train_loop_begin(self):
        """Forgets the means of the loop before."""
        for mean in self.means.values():
            mean.reset_state()
        self._seconds_waited, self._began = 0.0, time.perf_counter()

    def train_step(self, iterator):
        """Takes the next batch and updates the weights."""
        began = time.perf_counter()
        inputs, labels = next(iterator)
        self._seconds_waited += time.perf_counter() - began
        self._run(inputs, labels)
        self.step.assign_add(1)

    def _replica_step(self, inputs, labels):
        variables = self.model.trainable_variables
        counts = self.model.loss_counts(inputs, labels)
        # Gradients come scaled if 16-bit floats ask for it, and the optimizer undoes that.
        gradients, losses = self._gradients(inputs, labels, counts)
        # The global gradient is the replicas' sum, and only that may be clipped. The optimizer sums
        # over replicas once more, hence the division.
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        gradients, losses = context.all_reduce(tf.distribute.ReduceOp.SUM, (gradients, losses))
        norm = tf.linalg.global_norm(gradients) / self.optimizer.scale_loss(1.0)
        factor = tf.minimum(self.clip_norm / norm, 1.0) if self.clip_norm else 1.0
        # A clipped infinite gradient would be finite.
        factor = tf.where(tf.math.is_finite(norm), factor, np.nan)
        self.optimizer.apply([factor / replicas * gradient for gradient in gradients], variables)
        self._note_failure(losses["loss"], norm)
        self.means["gradient_norm"].update_state(norm)
        for name, loss in losses.items():
            self.means[name].update_state(loss)

    def _accumulated_gradients(self, inputs, labels, counts):
        """This replica's share of the gradients and losses."""
        parts = self.accumulation_steps
        if parts == 1:
            return self._part_gradients(inputs, labels, counts)
        # A true loop, whose turns cannot run side by side.
        split = tf.nest.map_structure(
            lambda x: tf.reshape(x, (parts, -1, *x.shape[1:])), (inputs, labels)
        )
        names = (*self.model.loss_names, "loss")
        zeros = (
            [tf.zeros_like(variable.value) for variable in self.model.trainable_variables],
            {name: tf.zeros([]) for name in names},
        )
        return tf.foldl(
            lambda sums, part: tf.nest.map_structure(
                tf.add, sums, self._part_gradients(*part, counts)
            ),
            split,
            zeros,
            parallel_iterations=1,
        )

    def _part_gradients(self, inputs, labels, counts):
        variables = [variable.value for variable in self.model.trainable_variables]
        with tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            losses = self.model.normalized_losses(inputs, labels, outputs, counts)
            scaled = self.optimizer.scale_loss(losses["loss"])
        gradients = tape.gradient(scaled, variables)
        # A weight that a clip does not need has no gradient; those of rows come as IndexedSlices.
        gradients = [
            tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        return gradients, losses

    def _note_failure(self, loss, norm):
        finite = tf.math.is_finite(loss)
        # With loss scaling an infinite gradient is a matter of course: the step is skipped.
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            finite &= tf.math.is_finite(norm)
        first = ~finite & (self.failed_step < 0)
        self.failed_step.assign(tf.where(first, self.step, self.failed_step))

    def train_loop_end(self):
        """Mean losses of the loop, learning rate, and the share of time spent waiting for data.

        Raises:
            NonFiniteLossError: a loss or a gradient of the loop was not finite.
        """
        results = {
            name: float(tf.convert_to_tensor(mean.result())) for name, mean in self.means.items()
        }
        if (failed := int(self.failed_step.numpy())) >= 0:
            raise NonFiniteLossError(failed)
        return results | {
            "learning_rate": float(tf.convert_to_tensor(self.optimizer.learning_rate)),
            "data_wait": self._seconds_waited / (time.perf_counter() - self._began),
        }


class Evaluator(orbit.StandardEvaluator):
    """Loss terms and step-level metrics of a split; images of its first batch.

    Args:
        model: built in the strategy's scope.
        dataset: distributed, of `(inputs, labels)`; finite.
        strategy: where the steps run.
        sample: one batch `(inputs, labels)` whose heatmaps and tubes are drawn.
        optimizer: the one whose averaged weights are evaluated, if it averages.
    """

    def __init__(self, model, dataset, strategy, *, sample, optimizer=None):
        self.model = model
        self.strategy = strategy
        self.sample = sample
        self.optimizer = optimizer
        self._trained_weights = None
        with strategy.scope():
            self.losses = {
                name: keras.metrics.Mean(name=name) for name in (*model.loss_names, "loss")
            }
            self.metrics = keras_metrics.create()
        super().__init__(dataset)

    def eval_begin(self):
        """Forgets the evaluation before; puts averaged weights in place of the trained ones."""
        for metric in (*self.losses.values(), *self.metrics.values()):
            metric.reset_state()
        if self.optimizer is not None:
            self._trained_weights = [v.numpy() for v in self.model.trainable_variables]
            use_averaged_weights(self.optimizer, self.model)

    def eval_step(self, iterator):
        """Takes the next batch and updates the metrics."""
        self.strategy.run(self._replica_step, args=next(iterator))

    def _replica_step(self, inputs, labels):
        outputs = self.model(inputs, training=False)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        # Batches weigh by their queries. A weight that did not hang on the data would be counted
        # once more at the dataset's end, before the graph finds that there is no further batch.
        queries = global_sum(tf.reduce_sum(tf.cast(labels["query_mask"], tf.float32)))
        for name, loss in self.model.normalized_losses(inputs, labels, outputs).items():
            self.losses[name].update_state(loss * replicas, sample_weight=queries)
        decoded = self.model.decode(inputs, outputs)
        values = keras_metrics.values(decoded["segment"], decoded["boxes"], labels)
        keras_metrics.update(self.metrics, values, labels["query_mask"])

    def eval_end(self):
        """The metrics; writes the images to the summary writer in scope."""
        self._write_images()
        if self.optimizer is not None:
            for variable, value in zip(
                self.model.trainable_variables, self._trained_weights, strict=True
            ):
                variable.assign(value)
        metrics = {**self.losses, **self.metrics}
        return {name: metric.result() for name, metric in metrics.items()}

    def _write_images(self):
        inputs, labels = self.sample
        # A small split leaves examples in its batch that only fill it up.
        examples = np.flatnonzero(np.asarray(labels["query_mask"])[:, 0])[:IMAGES_PER_EVALUATION]
        outputs: Mapping[str, tf.Tensor] = self.model(inputs, training=False)
        self._write_tubes(inputs, labels, self.model.decode(inputs, outputs), examples)
        if "heatmaps" not in outputs:
            return
        predicted = tf.sigmoid(outputs["heatmaps"]).numpy()
        true = self.model.true_heatmaps(labels["boxes"]).numpy()
        true *= np.asarray(labels["box_mask"])[..., None, None]
        for i, example in enumerate(examples):
            panel = panels.heatmap_panel(predicted[example, 0], true[example, 0])
            tf.summary.image(f"heatmaps/{i}", panel[None])

    def _write_tubes(self, inputs, labels, decoded, examples):
        steps = np.sum(inputs["step_mask"], axis=1)
        for i, example in enumerate(examples):
            predicted, true = (
                (np.asarray(tube["segment"][example, 0]), np.asarray(tube["boxes"][example, 0]))
                for tube in (decoded, labels)
            )
            panel = panels.tube_panel(predicted, true, int(steps[example]))
            tf.summary.image(f"tubes/{i}", panel[None])
