"""The one linear map between the frames of a clip and its steps.

A *frame* is an integer; in continuous time frame `f` is the cell `[f, f + 1)`, with its centre at
`f + 0.5`. A *clip* is a half-open range of frames `[begin, end)`, cut into `num_steps` equal
*steps*. Step coordinate `u` in `[0, num_steps]` is the time
`begin + u * (end - begin) / num_steps`; step `s` is the cell `[s, s + 1)`.

A step takes the feature window whose cell holds its centre (see `gkcmn_tf.video.windows`).

The functions that take arrays are written in plain operators, so they serve NumPy and tensors.
"""

import numpy as np

from gkcmn_tf.video.windows import count_windows


def count_steps(begin: int, end: int, max_steps: int) -> int:
    """Steps of the clip `[begin, end)`: one per 4 frames, at most `max_steps`."""
    if end <= begin:
        raise ValueError(f"a clip needs begin < end, got [{begin}, {end})")
    return min(count_windows(end - begin), max_steps)


def steps_to_frames(u, begin, end, num_steps):
    """Continuous time, in frames, of step coordinate `u` (any shape)."""
    return begin + u * (end - begin) / num_steps


def frames_to_steps(t, begin, end, num_steps):
    """Step coordinate of continuous time `t` in frames: the inverse of `steps_to_frames`."""
    return (t - begin) * num_steps / (end - begin)


def nearest_frames(s, begin, end, num_steps):
    """The frame nearest the centre of step `s`: the one whose cell the centre's time lies in.

    Integers of any shape; integer arithmetic keeps ties exact.
    """
    return begin + ((2 * s + 1) * (end - begin)) // (2 * num_steps)


def step_frames(begin: int, end: int, num_steps: int) -> np.ndarray:
    """`nearest_frames` of all steps of a clip: int64 `[num_steps]`, increasing, inside the clip."""
    return nearest_frames(np.arange(num_steps), begin, end, num_steps)
