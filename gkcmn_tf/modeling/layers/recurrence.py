"""The bidirectional GRU of the sentence encoder and the temporal head."""

import keras


def create_bigru(width: int) -> keras.layers.Bidirectional:
    """A BiGRU over `[B, T, C]`, float32 whatever the precision of the layers around it.

    In reduced precision cuDNN's backward pass of the GRU now and then gives NaN gradients, and
    errors add up over the steps. The GRU is a small share of the computation.

    Args:
        width: of the output `[B, T, width]`, half for each direction.
    """
    return keras.layers.Bidirectional(
        keras.layers.GRU(width // 2, return_sequences=True, dtype="float32", name="gru"),
        dtype="float32",
        name="bigru",
    )
