"""What is saved of a run, the newest of which that can be read is restored."""

import os
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf
from absl import logging
from orbit import actions

from gkcmn_tf.modeling.grounding_model import GroundingModel

# Beside the newest checkpoints; a run's folder of its own.
BEST_FOLDER = "best"
BEST_FILE = "best_metric.json"


def contents(
    model: GroundingModel, *, step: tf.Variable, optimizer: keras.Optimizer | None = None
) -> tf.train.Checkpoint:
    """The weights, the step, and for training the states of optimizer and random generators.

    Weights are listed one by one, since TensorFlow does not see those of layers that a Keras layer
    holds in a list or a dictionary.
    """
    saved = {"weights": [v.value for v in model.weights], "step": step}
    if optimizer is not None:
        saved["optimizer"] = [v.value for v in optimizer.variables]
        saved["random_state"] = [
            v.value for v in model.variables if v.path.endswith("seed_generator_state")
        ]
    return tf.train.Checkpoint(**saved)


def restore_newest(checkpoint: tf.train.Checkpoint, paths: Sequence[str]) -> str:
    """Restores the last of `paths` that can be read; warns of every later one.

    Args:
        checkpoint: what to restore; it may be less than what was saved.
        paths: of checkpoints, oldest first; at least one.

    Returns:
        the path.

    Raises:
        ValueError: none can be read.
    """
    for path in reversed(paths):
        try:
            checkpoint.restore(path).assert_existing_objects_matched().expect_partial()
        # TensorFlow raises some of its errors as Python's, such as IndexError for a short file.
        except (tf.errors.OpError, LookupError, ValueError, AssertionError) as error:
            logging.warning("%s: damaged, going back to the one before: %s", path, error)
        else:
            return path
    raise ValueError(f"{', '.join(paths)}: damaged, not one checkpoint can be read")


def paths(folder: str) -> list[str]:
    """The checkpoints in a folder, oldest first."""
    state = tf.train.get_checkpoint_state(folder)
    return [] if state is None else list(state.all_model_checkpoint_paths)


class Manager(tf.train.CheckpointManager):
    """Keeps the newest checkpoints in a folder, each written whole or not at all.

    Args:
        checkpoint: its contents.
        folder: where.
        writes: whether to; all workers restore, but only their chief saves.
        **kwargs: of `tf.train.CheckpointManager`.
    """

    def __init__(self, checkpoint: tf.train.Checkpoint, folder: str, *, writes=True, **kwargs):
        super().__init__(checkpoint, folder, **kwargs)
        self._writes = writes

    def restore_or_initialize(self):
        """Restores the newest checkpoint that can be read; None if there is none at all.

        Raises:
            ValueError: there are checkpoints, but none can be read.
        """
        if not self.checkpoints:
            return None
        path = restore_newest(self.checkpoint, self.checkpoints)
        if self.checkpoint_interval is not None:
            self._last_checkpoint_step = int(self._step_counter.numpy())
        return path

    def save(self, *args, **kwargs):
        """Saves, unless this worker is not the chief."""
        return super().save(*args, **kwargs) if self._writes else None


def keep_best(
    checkpoint: tf.train.Checkpoint,
    model_dir: str,
    *,
    metric: str,
    step: tf.Variable,
    writes: bool = True,
) -> Callable[[Mapping[str, float]], None]:
    """An action of Orbit's Controller: saves the checkpoint after the best evaluation so far.

    Args:
        checkpoint: its contents.
        model_dir: in whose `best/` it is kept.
        metric: a key of the evaluation's results; the higher the better, but for losses.
        step: the number of the checkpoint.
        writes: whether this worker saves.

    Raises:
        ValueError: (when called) the results have no such metric.
    """
    folder = os.path.join(model_dir, BEST_FOLDER)
    manager = Manager(checkpoint, folder, writes=writes, max_to_keep=1)
    best = actions.NewBestMetric(
        metric,
        higher_is_better="loss" not in metric,
        filename=os.path.join(folder, BEST_FILE),
        write_metric=writes,
    )

    def act(results):
        if metric not in results:
            raise ValueError(
                f"train.best_metric: no {metric!r} among the evaluation's {', '.join(results)}"
            )
        if best.test(results):
            manager.save(int(step.numpy()))
            # Afterwards, lest a run that dies here believes to have what it has not.
            best.commit(results)

    return act
