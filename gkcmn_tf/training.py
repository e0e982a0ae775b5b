"""The training and evaluation steps that Orbit's Controller drives, on any strategy."""

from collections.abc import Mapping

import keras
import orbit
import tensorflow as tf

from gkcmn_tf import config as configs
from gkcmn_tf import step_metrics, visualization
from gkcmn_tf.grounding_model import GroundingModel, global_sum

IMAGES_PER_EVALUATION = 4


def learning_rate(config: configs.TrainConfig):
    """The rate, or a schedule that decays it to 0 over the last `decay_steps` steps."""
    if not config.decay_steps:
        return config.learning_rate
    return LateCosineDecay(config.learning_rate, config.steps, config.decay_steps)


@keras.saving.register_keras_serializable("gkcmn")
class LateCosineDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Constant, then half a cosine down to 0.

    Args:
        initial: the constant rate.
        steps: the step at which 0 is reached.
        decay_steps: length of the decay.
    """

    def __init__(self, initial, steps, decay_steps):
        self.initial = initial
        self.steps = steps
        self.decay_steps = decay_steps
        self.cosine = keras.optimizers.schedules.CosineDecay(initial, decay_steps)

    def __call__(self, step):
        """The rate at `step`."""
        return self.cosine(keras.ops.maximum(step - (self.steps - self.decay_steps), 0))

    def get_config(self):
        """Constructor arguments."""
        return {"initial": self.initial, "steps": self.steps, "decay_steps": self.decay_steps}


def create_optimizer(config: configs.TrainConfig, model: GroundingModel) -> keras.Optimizer:
    """Adam, built for the model's weights; call it in the strategy's scope."""
    optimizer = keras.optimizers.Adam(learning_rate(config))
    optimizer.build(model.trainable_variables)
    return optimizer


class Trainer(orbit.StandardTrainer):
    """One optimisation step on a global batch.

    Args:
        model: built in the strategy's scope.
        optimizer: built, likewise.
        dataset: distributed, of `(inputs, labels)`.
        strategy: where the step runs.
        clip_norm: bound of the global gradient's norm, or 0.
    """

    def __init__(self, model, optimizer, dataset, strategy, *, clip_norm):
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.clip_norm = clip_norm
        with strategy.scope():
            names = [*model.loss_names, "loss", "gradient_norm"]
            self.means = {name: keras.metrics.Mean(name=name) for name in names}
        super().__init__(dataset)

    def train_loop_begin(self):
        """Forgets the means of the loop before."""
        for mean in self.means.values():
            mean.reset_state()

    def train_step(self, iterator):
        """Takes the next batch and updates the weights."""
        self.strategy.run(self._replica_step, args=next(iterator))

    def _replica_step(self, inputs, labels):
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            losses = self.model.normalized_losses(inputs, labels, outputs)
        gradients = tape.gradient(losses["loss"], [variable.value for variable in variables])
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]  # no IndexedSlices
        # The global gradient is the replicas' sum, and only that may be clipped. The optimizer sums
        # over replicas once more, hence the division.
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(gradients)
        if self.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm, use_norm=norm)
        self.optimizer.apply([gradient / replicas for gradient in gradients], variables)
        self.means["gradient_norm"].update_state(norm)
        for name, loss in losses.items():
            # A mean over replicas' shares, times their number, is the global value.
            self.means[name].update_state(loss * replicas)

    def train_loop_end(self):
        """Mean losses of the loop, and the learning rate after it."""
        results = {name: mean.result() for name, mean in self.means.items()}
        return results | {"learning_rate": tf.convert_to_tensor(self.optimizer.learning_rate)}


class Evaluator(orbit.StandardEvaluator):
    """Loss terms and step-level metrics of a split; heatmap images of its first batch.

    Args:
        model: built in the strategy's scope.
        dataset: distributed, of `(inputs, labels)`; finite.
        strategy: where the steps run.
        sample: one batch `(inputs, labels)` whose heatmaps are drawn.
    """

    def __init__(self, model, dataset, strategy, *, sample):
        self.model = model
        self.strategy = strategy
        self.sample = sample
        with strategy.scope():
            self.losses = {
                name: keras.metrics.Mean(name=name) for name in (*model.loss_names, "loss")
            }
            self.metrics = step_metrics.create()
        super().__init__(dataset)

    def eval_begin(self):
        """Forgets the evaluation before."""
        for metric in (*self.losses.values(), *self.metrics.values()):
            metric.reset_state()

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
        values = step_metrics.values(decoded["segment"], decoded["boxes"], labels)
        step_metrics.update(self.metrics, values, labels["query_mask"])

    def eval_end(self):
        """The metrics; writes the images to the summary writer in scope."""
        self._write_images()
        metrics = {**self.losses, **self.metrics}
        return {name: metric.result() for name, metric in metrics.items()}

    def _write_images(self):
        inputs, labels = self.sample
        outputs: Mapping[str, tf.Tensor] = self.model(inputs, training=False)
        if "heatmaps" not in outputs:
            return
        predicted = tf.sigmoid(outputs["heatmaps"]).numpy()
        true = self.model.true_heatmaps(labels["boxes"]).numpy()
        true *= labels["box_mask"].numpy()[..., None, None]
        panels = [
            visualization.heatmap_panel(predicted[i, 0], true[i, 0])
            for i in range(min(IMAGES_PER_EVALUATION, len(predicted)))
        ]
        for i, panel in enumerate(panels):
            tf.summary.image(f"heatmaps/{i}", panel[None])
