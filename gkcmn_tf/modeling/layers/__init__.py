"""Keras layers of the modules in the paper."""
