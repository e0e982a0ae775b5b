"""The models: layers, losses and decoding, in `keras.ops` alone."""
