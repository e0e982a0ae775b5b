"""The one linear map between frames and steps, and the windows of frames that features see.

A *frame* is an integer; in continuous time frame `f` is the cell `[f, f + 1)`, with its centre at
`f + 0.5`. A *clip* is a half-open range of frames `[begin, end)`, cut into `num_steps` equal
*steps*. Step coordinate `u` in `[0, num_steps]` is the time
`begin + u * (end - begin) / num_steps`; step `s` is the cell `[s, s + 1)`.

Features belong to a *video*: window `w` is the 8 frames `[4w - 2, 4w + 6)`, centred on the cell
`[4w, 4w + 4)`, so the cells tile the video. A step takes the window whose cell holds its centre.

The functions that take arrays are written in plain operators, so they serve NumPy and tensors.
"""

import numpy as np

WINDOW_FRAMES = 8
WINDOW_STRIDE = 4


def count_windows(num_frames: int) -> int:
    """Number of feature windows of a video of `num_frames` frames: `ceil(num_frames / 4)`."""
    if num_frames < 1:
        raise ValueError(f"a video needs at least one frame, got num_frames={num_frames}")
    return -(-num_frames // WINDOW_STRIDE)


def window_frames(num_frames: int) -> np.ndarray:
    """Frame numbers that each window sees.

    Args:
        num_frames: frames in the video, at least 1.

    Returns:
        int64 `[count_windows(num_frames), 8]`; frames beyond either end repeat the edge frame.
    """
    starts = WINDOW_STRIDE * np.arange(count_windows(num_frames)) - 2
    frames = starts[:, None] + np.arange(WINDOW_FRAMES)
    return np.clip(frames, 0, num_frames - 1)


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


def step_frames(begin: int, end: int, num_steps: int) -> np.ndarray:
    """The frame nearest each step's centre: int64 `[num_steps]`, increasing, inside the clip.

    The time of the centre lies in that frame's cell; integer arithmetic keeps ties exact.
    """
    s = np.arange(num_steps)
    return begin + ((2 * s + 1) * (end - begin)) // (2 * num_steps)


def step_windows(begin: int, end: int, num_steps: int) -> np.ndarray:
    """The video's feature window for each step of a clip: int64 `[num_steps]`."""
    return step_frames(begin, end, num_steps) // WINDOW_STRIDE
