"""Small batches for the models' tests."""

import numpy as np
import pytest

B, Q, T, S, C, N = 2, 2, 6, 4, 5, 4


@pytest.fixture
def batch():
    """`(inputs, labels)` of `GroundingModel`; the second clip has 4 valid steps."""
    rng = np.random.default_rng(0)
    step_mask = np.arange(T) < np.array([[T], [4]])
    segment = np.array([[[1, 4], [0, 6]], [[0.5, 3.5], [3, 4]]], "float32")
    centers = np.arange(T) + 0.5
    box_mask = (centers >= segment[..., :1]) & (centers < segment[..., 1:])
    corners = np.sort(rng.random((B, Q, T, 2, 2)), axis=-2).reshape(B, Q, T, 4)
    inputs = {
        "features": rng.random((B, T, S, S, C)).astype("float16")
        * step_mask[..., None, None, None],
        "step_mask": step_mask,
        "tokens": np.array([[[2, 3, 0, 0], [4, 5, 6, 7]], [[3, 0, 0, 0], [5, 2, 1, 0]]], "int32"),
    }
    labels = {
        "boxes": (corners * box_mask[..., None]).astype("float32"),
        "box_mask": box_mask,
        "segment": segment,
        "query_mask": np.ones((B, Q), bool),
    }
    return inputs, labels
