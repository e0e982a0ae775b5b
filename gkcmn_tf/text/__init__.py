"""Sentences: normalised, cut into words, and turned into tokens."""
