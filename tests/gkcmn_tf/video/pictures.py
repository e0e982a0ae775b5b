"""Frames for videos written by tests; no tests."""

import numpy as np

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


def quarters(height=48, width=64):
    """Returns a frame with one colour in each quarter: red and green above blue and white."""
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = slice(height // 2), slice(width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    frame[top, left], frame[top, right] = RED, GREEN
    frame[bottom, left], frame[bottom, right] = BLUE, WHITE
    return frame


def noise(count, seed=0):
    """Returns frames that compress badly, so that damage to any part of the file is visible."""
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 64, 3), np.uint8)
