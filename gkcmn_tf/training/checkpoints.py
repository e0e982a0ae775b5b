"""Saving and restoring of checkpoints."""

import os
import re
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf
from absl import logging
from orbit import actions

from gkcmn_tf.modeling.grounding_model import GroundingModel

# Subfolder of a run for the checkpoint with the best metric.
BEST_FOLDER = "best"
BEST_FILE = "best_metric.json"
_INDEX = re.compile(r"ckpt-(\d+)\.index$")


def create_checkpoint(
    model: GroundingModel, *, step: tf.Variable, optimizer: keras.Optimizer | None = None
) -> tf.train.Checkpoint:
    """Creates the checkpoint object of a run.

    It contains the weights and the step and, with `optimizer`, the states of the optimizer and of
    random generators. Weights are stored in a list, since TensorFlow does not track layers in lists
    and dictionaries of Keras layers.

    Args:
        model: the built model.
        step: the global step.
        optimizer: the built optimizer; None for inference.
    """
    saved = {"weights": [v.value for v in model.weights], "step": step}
    if optimizer is not None:
        saved["optimizer"] = [v.value for v in optimizer.variables]
        saved["random_state"] = [
            v.value for v in model.variables if v.path.endswith("seed_generator_state")
        ]
    return tf.train.Checkpoint(**saved)


def restore_newest(checkpoint: tf.train.Checkpoint, paths: Sequence[str]) -> str:
    """Restores the newest readable checkpoint; warns of each one that cannot be restored.

    Args:
        checkpoint: the objects to restore; may be a subset of the saved objects.
        paths: paths of checkpoints, oldest first; at least one.

    Returns:
        the path of the restored checkpoint.

    Raises:
        ValueError: no checkpoint can be restored; the message has the reason of each.
    """
    reasons = []
    for path in reversed(paths):
        try:
            checkpoint.restore(path).assert_existing_objects_matched().expect_partial()
        # TensorFlow raises some errors as Python errors, such as IndexError for a truncated file.
        except (tf.errors.OpError, LookupError, ValueError, AssertionError) as error:
            reasons.append(f"{path}: cannot be restored: {' '.join(str(error).split())}")
            logging.warning("%s", reasons[-1])
        else:
            return path
    raise ValueError("; ".join(reasons))


def paths(folder: str) -> list[str]:
    """Paths of the checkpoints in a folder, oldest first.

    The files count, not the list in TensorFlow's file `checkpoint`, which may be damaged.

    Raises:
        ValueError: TensorFlow takes the path of the folder for a pattern.
    """
    if signs := sorted(set(folder) & set("[]*?\\")):
        raise ValueError(
            f"{folder}: TensorFlow cannot restore checkpoints below a folder with "
            f"{' '.join(signs)} in its name; rename the folder"
        )
    if not os.path.isdir(folder):
        return []
    steps = sorted(int(found[1]) for name in os.listdir(folder) if (found := _INDEX.match(name)))
    return [os.path.join(folder, f"ckpt-{step}") for step in steps]


def _repair_state(folder):
    """Makes TensorFlow's file `checkpoint` list the checkpoints that there are."""
    found = paths(folder)
    try:
        state = tf.train.get_checkpoint_state(folder)
    except (ValueError, tf.errors.OpError):
        state = None
    if found and (state is None or found != list(state.all_model_checkpoint_paths)):
        logging.warning("%s: the file `checkpoint` is damaged and is written again", folder)
        times = [os.path.getmtime(f"{path}.index") for path in found]
        tf.compat.v1.train.update_checkpoint_state(
            folder,
            found[-1],
            list(found),
            all_model_checkpoint_timestamps=times,
        )


class Manager(tf.train.CheckpointManager):
    """Checkpoint manager that falls back to an older checkpoint if the newest is damaged.

    Example:
        >>> import os, tempfile
        >>> import tensorflow as tf
        >>> from gkcmn_tf.training.checkpoints import Manager
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manager = Manager(tf.train.Checkpoint(), folder, max_to_keep=3)
        ...     os.path.basename(manager.save(checkpoint_number=10))
        'ckpt-10'

    Args:
        checkpoint: the objects to save.
        folder: folder of the checkpoints.
        writes: whether to save; with several workers, only the chief saves and all restore.
        **kwargs: further arguments of `tf.train.CheckpointManager`.
    """

    def __init__(self, checkpoint: tf.train.Checkpoint, folder: str, *, writes=True, **kwargs):
        if writes:
            _repair_state(folder)
        super().__init__(checkpoint, folder, **kwargs)
        self._writes = writes

    def restore_or_initialize(self):
        """Restores the newest readable checkpoint.

        Returns:
            the path of the checkpoint; None if there are no checkpoints.

        Raises:
            ValueError: no checkpoint can be restored.
        """
        found = paths(self.directory)
        if not found:
            return None
        path = restore_newest(self.checkpoint, found)
        if self.checkpoint_interval is not None:
            self._last_checkpoint_step = int(self._step_counter.numpy())
        return path

    def save(self, *args, **kwargs):
        """Saves a checkpoint if this worker is the chief.

        Raises:
            ValueError: it cannot be written, for instance because the disk is full.
        """
        if not self._writes:
            return None
        try:
            return super().save(*args, **kwargs)
        except tf.errors.OpError as error:
            raise ValueError(
                f"{self.directory}: a checkpoint cannot be written; the run can be continued from "
                f"the previous one ({error.message})"
            ) from error


def best_checkpoint_action(
    checkpoint: tf.train.Checkpoint,
    model_dir: str,
    *,
    metric: str,
    step: tf.Variable,
    writes: bool = True,
) -> Callable[[Mapping[str, float]], None]:
    """Creates an eval action for `orbit.Controller` that saves the best checkpoint.

    Args:
        checkpoint: the objects to save.
        model_dir: folder of the run; the checkpoint is saved in `best/`.
        metric: key of the evaluation results; higher is better, unless the name contains "loss".
        step: the global step.
        writes: whether this worker saves.

    Returns:
        the action. It raises `ValueError` if the results do not contain `metric`.
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
                f"train.best_metric: expected one of {', '.join(results)}, got {metric!r}"
            )
        if best.test(results):
            manager.save(int(step.numpy()))
            # After saving: an interruption in between must not record an unsaved checkpoint.
            best.commit(results)

    return act
