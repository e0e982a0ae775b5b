"""Optimizers of the training, and their learning rate schedule."""

import keras
import numpy as np
from keras import ops

from gkcmn_tf import config as configs
from gkcmn_tf.modeling.grounding_model import GroundingModel

# Kernels with fewer outputs are updated by Adam.
MIN_OUTPUTS = 8
# Projections of attention, updated by Adam: their outputs are on two axes, one of them the heads.
PROJECTIONS = ("query", "key", "value")


@keras.saving.register_keras_serializable("gkcmn")
class WarmupThenLateDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate schedule: linear warmup, constant rate, cosine decay to 0 at the end.

    Example:
        >>> from gkcmn_tf.training.optimizers import WarmupThenLateDecay
        >>> schedule = WarmupThenLateDecay(0.8, steps=100, warmup_steps=1, decay_steps=50)
        >>> [round(float(schedule(step)), 3) for step in (0, 1, 50, 75, 100)]
        [0.4, 0.8, 0.8, 0.4, 0.0]

    Args:
        peak: maximum learning rate.
        steps: total number of steps.
        warmup_steps: number of warmup steps.
        decay_steps: number of decay steps at the end.
    """

    def __init__(self, peak, steps, *, warmup_steps=0, decay_steps=0):
        self.peak = peak
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps

    def __call__(self, step):
        """Learning rate at `step`, counted from 0."""
        step = keras.ops.cast(step, "float32")
        # The rate of the first step is above 0.
        warmup = (step + 1) / (self.warmup_steps + 1)
        remaining = (self.steps - step) / max(self.decay_steps, 1)
        decay = (1 - keras.ops.cos(np.pi * keras.ops.clip(remaining, 0, 1))) / 2
        return self.peak * keras.ops.minimum(warmup, 1) * (decay if self.decay_steps else 1)

    def get_config(self):
        """Constructor arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }


@keras.saving.register_keras_serializable("gkcmn")
class KernelMuon(keras.optimizers.Muon):
    """Muon for the kernels of dense, recurrent and convolutional layers; Adam for the rest.

    Muon (Jordan et al., 2024) replaces the update of a matrix by the nearest one with equal
    singular values. Keras applies it to matrices only; here, the kernel of a convolution is a
    matrix from its inputs at all offsets to its outputs. Biases, normalisation, word vectors,
    attention's queries, keys and values, and output layers with few channels are updated by Adam.
    Updates have the size of Adam's (Liu et al., 2025), so one learning rate suits both.

    Example:
        >>> import keras
        >>> from gkcmn_tf.training.optimizers import KernelMuon
        >>> layer = keras.layers.Conv3D(16, 3)
        >>> layer.build((None, 8, 8, 8, 4))
        >>> optimizer = KernelMuon(0.003)
        >>> optimizer.build(layer.trainable_variables)
        >>> [optimizer.is_kernel(variable) for variable in layer.trainable_variables]
        [True, False]

    Args:
        learning_rate: learning rate or schedule.
        **kwargs: arguments of `keras.optimizers.Muon`; there is no weight decay by default.
    """

    def __init__(self, learning_rate, *, weight_decay=None, adam_weight_decay=None, **kwargs):
        super().__init__(
            learning_rate, weight_decay=weight_decay, adam_weight_decay=adam_weight_decay, **kwargs
        )

    def is_kernel(self, variable) -> bool:
        """Whether Muon updates the variable."""
        *layers, name = variable.path.split("/")
        is_matrix = name.endswith("kernel") and not set(layers).intersection(PROJECTIONS)
        return is_matrix and variable.shape[-1] >= MIN_OUTPUTS

    def _should_use_adamw(self, variable):
        return not self.is_kernel(variable)

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient - (1 - self.momentum) * m)
        direction = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(direction, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))


OPTIMIZERS = {"adam": keras.optimizers.Adam, "muon": KernelMuon}


def create_optimizer(config: configs.Experiment, model: GroundingModel) -> keras.Optimizer:
    """Creates the optimizer, built for the model; call it in the scope of the strategy."""
    train = config.train
    rate = WarmupThenLateDecay(
        train.learning_rate,
        train.steps,
        warmup_steps=train.warmup_steps,
        decay_steps=train.decay_steps,
    )
    optimizer = OPTIMIZERS[train.optimizer](
        rate, use_ema=bool(train.ema_momentum), ema_momentum=train.ema_momentum
    )
    if config.runtime.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def use_averaged_weights(optimizer: keras.Optimizer, model: GroundingModel) -> None:
    """Sets the weights to their moving averages if the optimizer uses EMA."""
    optimizer.finalize_variable_values(model.trainable_variables)
