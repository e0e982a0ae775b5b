"""Sentences: normalised, cut into words, and turned into tokens."""

WORD_WIDTH = 300  # of the GloVe vectors that the paper takes
