"""Compilation of functions of tensors for GPUs."""

import keras


def on_gpu() -> bool:
    """Whether TensorFlow is the backend and computes on a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf  # noqa: PLC0415 - the core runs without TensorFlow

    return bool(tf.config.list_logical_devices("GPU"))


def compiled_on_gpu(function):
    """Compiles `function` with XLA if TensorFlow computes on a GPU; returns it unchanged otherwise.

    A GPU reads and writes a tensor once for each operation. XLA joins elementwise operations and
    sums, so it reads and writes once for all of them. Only for training: an exported graph must
    also run where XLA is missing.
    """
    if not on_gpu():
        return function
    import tensorflow as tf  # noqa: PLC0415

    return tf.function(function, jit_compile=True, autograph=False)
