"""Models, layers, losses and decoding, written with `keras.ops` only."""
