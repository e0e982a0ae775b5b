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
WINDOW_LEAD = (WINDOW_FRAMES - WINDOW_STRIDE) // 2  # frames of a window before its cell


def windows_in(num_frames):
    """`ceil(num_frames / 4)`, the cells that tile `num_frames` frames (integers, any shape)."""
    return -(-num_frames // WINDOW_STRIDE)


def count_windows(num_frames: int) -> int:
    """Number of feature windows of a video of `num_frames` frames."""
    if num_frames < 1:
        raise ValueError(f"a video needs at least one frame, got num_frames={num_frames}")
    return windows_in(num_frames)


def window_frames(num_frames: int) -> np.ndarray:
    """Frame numbers that each window sees.

    Args:
        num_frames: frames in the video, at least 1.

    Returns:
        int64 `[count_windows(num_frames), 8]`; frames beyond either end repeat the edge frame.
    """
    starts = WINDOW_STRIDE * np.arange(count_windows(num_frames)) - WINDOW_LEAD
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


def nearest_frames(s, begin, end, num_steps):
    """The frame nearest the centre of step `s`: the one whose cell the centre's time lies in.

    Integers of any shape; integer arithmetic keeps ties exact.
    """
    return begin + ((2 * s + 1) * (end - begin)) // (2 * num_steps)


def step_frames(begin: int, end: int, num_steps: int) -> np.ndarray:
    """`nearest_frames` of all steps of a clip: int64 `[num_steps]`, increasing, inside the clip."""
    return nearest_frames(np.arange(num_steps), begin, end, num_steps)


def frame_windows(frames):
    """The feature window whose cell holds each frame (integers, any shape)."""
    return frames // WINDOW_STRIDE
