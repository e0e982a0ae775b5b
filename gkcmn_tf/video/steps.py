"""Linear mapping between the frames of a clip and its steps.

A *frame* is an integer; in continuous time frame `f` is the cell `[f, f + 1)`, with its centre at
`f + 0.5`. A *clip* is a half-open range of frames `[begin, end)`, cut into `num_steps` equal
*steps*. Step coordinate `u` in `[0, num_steps]` is the time
`begin + u * (end - begin) / num_steps`; step `s` is the cell `[s, s + 1)`.

A step uses the feature window whose cell contains its centre (see `gkcmn_tf.video.windows`).

Array functions use Python operators only, so that they accept NumPy arrays and tensors.
"""

import numpy as np

from gkcmn_tf.video.windows import count_windows, frame_windows


def count_steps(begin: int, end: int, max_steps: int) -> int:
    """Number of steps of the clip `[begin, end)`: one per 4 frames, at most `max_steps`."""
    if end <= begin:
        raise ValueError(f"clip: expected begin < end, got [{begin}, {end})")
    return min(count_windows(end - begin), max_steps)


def steps_to_frames(u, begin, end, num_steps):
    """Converts step coordinates `u` (any shape) to continuous time in frames."""
    return begin + u * (end - begin) / num_steps


def frames_to_steps(t, begin, end, num_steps):
    """Converts continuous time `t` in frames to step coordinates; inverts `steps_to_frames`."""
    return (t - begin) * num_steps / (end - begin)


def nearest_frames(s, begin, end, num_steps):
    """Frame whose cell contains the centre of step `s`.

    Takes integers of any shape; integer arithmetic avoids rounding errors at ties.
    """
    return begin + ((2 * s + 1) * (end - begin)) // (2 * num_steps)


def step_frames(begin: int, end: int, num_steps: int) -> np.ndarray:
    """`nearest_frames` of all steps of a clip: int64 `[num_steps]`, increasing."""
    return nearest_frames(np.arange(num_steps), begin, end, num_steps)


def step_windows(begin: int, end: int, max_steps: int) -> np.ndarray:
    """Window of each step of the clip `[begin, end)`: int64 `[num_steps]`, ascending."""
    return frame_windows(step_frames(begin, end, count_steps(begin, end, max_steps)))
