"""Orbit trainer and evaluator of grounding models."""

import time
from collections.abc import Mapping

import keras
import numpy as np
import orbit
import tensorflow as tf

from gkcmn_tf.modeling import keras_metrics
from gkcmn_tf.modeling.grounding_model import global_sum
from gkcmn_tf.training import optimizers
from gkcmn_tf.visualization import tensorboard_images

IMAGES_PER_EVALUATION = 4


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient is not finite at step `step`."""

    def __init__(self, step: int):
        super().__init__(f"the loss or its gradient is not finite at step {step}")
        self.step = step


class Trainer(orbit.StandardTrainer):
    """Orbit trainer that optimises a grounding model on global batches.

    Example:
        >>> import keras
        >>> import tensorflow as tf
        >>> from gkcmn_tf import BM
        >>> from gkcmn_tf.training.trainer import Trainer
        >>> inputs = {
        ...     "features": tf.ones([1, 4, 2, 2, 8]),
        ...     "step_mask": tf.ones([1, 4], tf.bool),
        ...     "tokens": tf.ones([1, 1, 3], tf.int32),
        ... }
        >>> labels = {
        ...     "boxes": tf.ones([1, 1, 4, 4]),
        ...     "box_mask": tf.ones([1, 1, 4], tf.bool),
        ...     "segment": tf.constant([[[0.0, 4.0]]]),
        ...     "query_mask": tf.ones([1, 1], tf.bool),
        ... }
        >>> model = BM(vocabulary_size=10, word_width=8, attention_layers=0)
        >>> model.build({name: value.shape for name, value in inputs.items()})
        >>> optimizer = keras.optimizers.Adam()
        >>> optimizer.build(model.trainable_variables)
        >>> step = tf.Variable(0, dtype=tf.int64)
        >>> batches = tf.data.Dataset.from_tensors((inputs, labels)).repeat()
        >>> trainer = Trainer(model, optimizer, batches, tf.distribute.get_strategy(), step=step)
        >>> sorted(trainer.train(tf.constant(2)))
        ['box_loss', 'data_wait', 'gradient_norm', 'learning_rate', 'loss', 'segment_loss']

    Args:
        model: model, built in the scope of the strategy.
        optimizer: optimizer, built in the scope of the strategy.
        dataset: distributed dataset of `(inputs, labels)`; see `GroundingModel` for shapes.
        strategy: distribution strategy.
        step: global step, an int64 variable.
        clip_norm: maximum norm of the global gradient; 0 turns clipping off.
        accumulation_steps: number of parts that each replica splits its batch into for gradient
            accumulation, which reduces memory use.
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
    ):
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.step = step
        self.clip_norm = clip_norm
        self.accumulation_steps = accumulation_steps
        self._gradients = tf.function(self._accumulated_gradients)
        self._run = tf.function(
            lambda inputs, labels: strategy.run(self._replica_step, args=(inputs, labels))
        )
        self._seconds_waited = self._began = 0.0
        with strategy.scope():
            names = [*model.loss_names, "loss", "gradient_norm"]
            self.means = {name: keras.metrics.Mean(name=name) for name in names}
            # The first step with a non-finite loss. It is read once per loop, since reading it at
            # every step would synchronise host and device.
            self.failed_step = tf.Variable(
                -1, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            )
        # Steps run one by one in Python, to measure the time spent waiting for data.
        options = orbit.StandardTrainerOptions(use_tf_function=False, use_tf_while_loop=False)
        super().__init__(dataset, options)

    def train_loop_begin(self):
        """Resets the mean losses."""
        for mean in self.means.values():
            mean.reset_state()
        self._seconds_waited, self._began = 0.0, time.perf_counter()

    def train_step(self, iterator):
        """Updates the weights on the next batch."""
        began = time.perf_counter()
        inputs, labels = next(iterator)
        self._seconds_waited += time.perf_counter() - began
        self._run(inputs, labels)
        self.step.assign_add(1)

    def _replica_step(self, inputs, labels):
        variables = self.model.trainable_variables
        counts = self.model.loss_counts(inputs, labels)
        # With loss scaling, gradients are scaled; the optimizer divides by the scale.
        gradients, losses = self._gradients(inputs, labels, counts)
        # The global gradient, the sum over replicas, is clipped. The optimizer sums over replicas
        # again, hence the division.
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        gradients, losses = context.all_reduce(tf.distribute.ReduceOp.SUM, (gradients, losses))
        norm = tf.linalg.global_norm(gradients) / self.optimizer.scale_loss(1.0)
        factor = tf.minimum(self.clip_norm / norm, 1.0) if self.clip_norm else 1.0
        # Clipping must not hide an infinite gradient.
        factor = tf.where(tf.math.is_finite(norm), factor, np.nan)
        self.optimizer.apply([factor / replicas * gradient for gradient in gradients], variables)
        self._record_failure(losses["loss"], norm)
        self.means["gradient_norm"].update_state(norm)
        for name, loss in losses.items():
            self.means[name].update_state(loss)

    def _accumulated_gradients(self, inputs, labels, counts):
        """Gradients and losses of this replica."""
        parts = self.accumulation_steps
        if parts == 1:
            return self._part_gradients(inputs, labels, counts)
        # A sequential loop, to keep the activations of only one part in memory.
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
        # Unused weights have no gradient; gradients of embeddings are IndexedSlices.
        gradients = [
            tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        return gradients, losses

    def _record_failure(self, loss, norm):
        finite = tf.math.is_finite(loss)
        # With loss scaling, infinite gradients are expected; the optimizer skips the step.
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            finite &= tf.math.is_finite(norm)
        first = ~finite & (self.failed_step < 0)
        self.failed_step.assign(tf.where(first, self.step, self.failed_step))

    def train_loop_end(self):
        """Returns mean losses, learning rate and the fraction of time spent waiting for data.

        Raises:
            NonFiniteLossError: a loss or gradient was not finite.
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
    """Orbit evaluator: losses and step-level metrics of a split, and images of a sample batch.

    Example:
        >>> import tensorflow as tf
        >>> from gkcmn_tf import BM
        >>> from gkcmn_tf.training.trainer import Evaluator
        >>> inputs = {
        ...     "features": tf.ones([1, 4, 2, 2, 8]),
        ...     "step_mask": tf.ones([1, 4], tf.bool),
        ...     "tokens": tf.ones([1, 1, 3], tf.int32),
        ... }
        >>> labels = {
        ...     "boxes": tf.ones([1, 1, 4, 4]),
        ...     "box_mask": tf.ones([1, 1, 4], tf.bool),
        ...     "segment": tf.constant([[[0.0, 4.0]]]),
        ...     "query_mask": tf.ones([1, 1], tf.bool),
        ... }
        >>> model = BM(vocabulary_size=10, word_width=8, attention_layers=0)
        >>> batches = tf.data.Dataset.from_tensors((inputs, labels))
        >>> strategy = tf.distribute.get_strategy()
        >>> evaluator = Evaluator(model, batches, strategy, sample=(inputs, labels))
        >>> "m_vIoU" in evaluator.evaluate(tf.constant(-1))
        True

    Args:
        model: model, built in the scope of the strategy.
        dataset: finite distributed dataset of `(inputs, labels)`; see `GroundingModel` for shapes.
        strategy: distribution strategy.
        sample: one batch `(inputs, labels)` for the images of heatmaps and tubes.
        optimizer: if given, its moving averages of the weights are evaluated.
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
        """Resets the metrics; with `optimizer`, uses the moving averages of the weights."""
        for metric in (*self.losses.values(), *self.metrics.values()):
            metric.reset_state()
        if self.optimizer is not None:
            self._trained_weights = [v.numpy() for v in self.model.trainable_variables]
            optimizers.use_averaged_weights(self.optimizer, self.model)

    def eval_step(self, iterator):
        """Updates the metrics on the next batch."""
        self.strategy.run(self._replica_step, args=next(iterator))

    def _replica_step(self, inputs, labels):
        outputs = self.model(inputs, training=False)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        # Batches are weighted by their number of queries. The weight must depend on the data;
        # otherwise it is counted once more at the end of the dataset, before the graph detects it.
        queries = global_sum(tf.reduce_sum(tf.cast(labels["query_mask"], tf.float32)))
        for name, loss in self.model.normalized_losses(inputs, labels, outputs).items():
            self.losses[name].update_state(loss * replicas, sample_weight=queries)
        decoded = self.model.decode(inputs, outputs)
        values = keras_metrics.values(decoded["segment"], decoded["boxes"], labels)
        keras_metrics.update(self.metrics, values, labels)

    def eval_end(self):
        """Returns the metrics, Python floats; writes images to the current summary writer."""
        self._write_images()
        if self.optimizer is not None:
            for variable, value in zip(
                self.model.trainable_variables, self._trained_weights, strict=True
            ):
                variable.assign(value)
        metrics = {**self.losses, **self.metrics}
        return {name: float(metric.result()) for name, metric in metrics.items()}

    def _write_images(self):
        inputs, labels = self.sample
        # Skip the padding examples of a small split.
        examples = np.flatnonzero(np.asarray(labels["query_mask"])[:, 0])[:IMAGES_PER_EVALUATION]
        outputs: Mapping[str, tf.Tensor] = self.model(inputs, training=False)
        self._write_tubes(inputs, labels, self.model.decode(inputs, outputs), examples)
        if "heatmaps" not in outputs:
            return
        predicted = tf.sigmoid(outputs["heatmaps"]).numpy()
        true = self.model.true_heatmaps(labels["boxes"]).numpy()
        true *= np.asarray(labels["box_mask"])[..., None, None]
        for i, example in enumerate(examples):
            panel = tensorboard_images.heatmap_panel(predicted[example, 0], true[example, 0])
            tf.summary.image(f"heatmaps/{i}", panel[None])

    def _write_tubes(self, inputs, labels, decoded, examples):
        steps = np.sum(inputs["step_mask"], axis=1)
        for i, example in enumerate(examples):
            predicted, true = (
                (np.asarray(tube["segment"][example, 0]), np.asarray(tube["boxes"][example, 0]))
                for tube in (decoded, labels)
            )
            panel = tensorboard_images.tube_panel(predicted, true, int(steps[example]))
            tf.summary.image(f"tubes/{i}", panel[None])
