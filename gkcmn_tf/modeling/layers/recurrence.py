"""The bidirectional GRUs of the sentence encoder and the temporal head."""

import keras
from keras import ops


def create_bigru(width: int) -> keras.layers.Bidirectional:
    """Creates a BiGRU over `[B, T, C]` that always computes in float32.

    In reduced precision, the backward pass of cuDNN's GRU occasionally returns NaN gradients, and
    rounding errors accumulate over the steps. The GRU is a small part of the computation.

    Args:
        width: width of the output `[B, T, width]`; each direction has half of it.

    Returns:
        the layer, which maps `[B, T, C]` to `[B, T, width]`.
    """
    return keras.layers.Bidirectional(
        keras.layers.GRU(width // 2, return_sequences=True, dtype="float32", name="gru"),
        dtype="float32",
        name="bigru",
    )


@keras.saving.register_keras_serializable("gkcmn")
class JointBiGRU(keras.layers.Layer):
    """Runs several BiGRUs over the same input as one GRU, without weights of its own.

    A GRU takes its time in one small product per step. Here, both directions of all BiGRUs are
    groups of units of one GRU with block-diagonal weights, whose input is the sequence and the
    reversed sequence. The results are those of the BiGRUs.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.recurrence import JointBiGRU, create_bigru
        >>> bigrus = [create_bigru(8), create_bigru(8)]
        >>> for bigru in bigrus:
        ...     bigru.build((None, 5, 16))
        >>> mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
        >>> x = np.ones([2, 5, 16], "float32")
        >>> outputs = JointBiGRU(bigrus=2, width=8)(x, mask, layers=bigrus)
        >>> [tuple(output.shape) for output in outputs]
        [(2, 5, 8), (2, 5, 8)]

    Args:
        bigrus: number of BiGRUs.
        width: width of the output of each BiGRU.

    Call arguments:
        x: `[B, T, C]`.
        step_mask: bool `[B, T]`, True at the valid steps, which come first.
        layers: the BiGRUs, built layers from `create_bigru`.

    Returns:
        a list with the output `[B, T, width]` of each BiGRU, float32; undefined at padding.
    """

    def __init__(self, bigrus, width, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.bigrus = bigrus
        self.width = width
        self._recurrence = _Recurrence(bigrus * width)

    def unroll(self):
        """Replaces the loop over the steps by a graph of all steps."""
        self._recurrence.gru.unroll = True

    def call(self, x, step_mask, *, layers):
        """Runs the BiGRUs; see the class."""
        cells = [
            gru.cell for layer in layers for gru in (layer.forward_layer, layer.backward_layer)
        ]
        steps = ops.arange(x.shape[1], dtype="int32")
        last = ops.sum(ops.cast(step_mask, "int32"), axis=1, keepdims=True) - 1
        # Reverses the valid steps; padding stays in place.
        reverse = ops.expand_dims(ops.where(step_mask, last - steps, steps), -1)
        states = self._recurrence(
            ops.concatenate([x, ops.take_along_axis(x, reverse, axis=1)], axis=-1),
            _input_kernel([cell.kernel for cell in cells]),
            _in_blocks([cell.recurrent_kernel for cell in cells]),
            ops.concatenate([_gates(cell.bias) for cell in cells], axis=-1),
        )
        states = ops.split(states, len(cells), axis=-1)
        return [
            ops.concatenate([forward, ops.take_along_axis(backward, reverse, axis=1)], axis=-1)
            for forward, backward in zip(states[::2], states[1::2], strict=True)
        ]

    def compute_output_shape(self, x_shape):
        """`[B, T, width]` of each BiGRU."""
        return [(*x_shape[:2], self.width)] * self.bigrus

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"bigrus": self.bigrus, "width": self.width}


class _Recurrence:
    """A GRU whose weights are computed by the caller; it has no variables that Keras saves."""

    def __init__(self, units):
        self.gru = keras.layers.GRU(units, return_sequences=True, dtype="float32")
        self.gru.built = self.gru.cell.built = True

    def __call__(self, x, kernel, recurrent_kernel, bias):
        """Returns the states; the weights are `[rows, 3, units]`, in the order of Keras's gates."""
        cell = self.gru.cell
        cell.kernel, cell.recurrent_kernel, cell.bias = (
            ops.reshape(weights, (weights.shape[0], -1))
            for weights in (kernel, recurrent_kernel, bias)
        )
        try:
            return self.gru(x)
        finally:
            cell.kernel = cell.recurrent_kernel = cell.bias = None


def _gates(weights):
    """`[rows, 3 * units]` as `[rows, 3, units]`."""
    return ops.reshape(weights, (weights.shape[0], 3, -1))


def _columns(kernels):
    """Each kernel in columns of its own: a list of `[rows, 3, len(kernels) * units]`."""
    kernels = [_gates(kernel) for kernel in kernels]
    units = kernels[0].shape[-1]
    return [
        ops.pad(kernel, [[0, 0], [0, 0], [place * units, (len(kernels) - 1 - place) * units]])
        for place, kernel in enumerate(kernels)
    ]


def _in_blocks(kernels):
    """Block-diagonal recurrent kernel, `[len(kernels) * units, 3, len(kernels) * units]`."""
    return ops.concatenate(_columns(kernels), axis=0)


def _input_kernel(kernels):
    """Kernel `[2 C, 3, len(kernels) * units]` of the sequence and the reversed sequence."""
    columns = _columns(kernels)
    # The directions alternate. The columns of different BiGRUs do not overlap.
    return ops.concatenate([sum(columns[::2]), sum(columns[1::2])], axis=0)
