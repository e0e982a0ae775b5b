"""The bidirectional GRU of the sentence encoder and the temporal head."""

import keras


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
