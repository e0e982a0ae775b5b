"""Feature windows: which frames each one sees, and how they are cut from a stream of frames.

Features belong to a *video*: window `w` is the 8 frames `[4w - 2, 4w + 6)`, centred on the cell
`[4w, 4w + 4)`, so the cells tile the video.

The functions that take arrays are written in plain operators, so they serve NumPy and tensors.
"""

from collections.abc import Iterable, Iterator

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


def frame_windows(frames):
    """The feature window whose cell holds each frame (integers, any shape)."""
    return frames // WINDOW_STRIDE


def window_batches(
    frames: Iterable[np.ndarray], batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Cuts a stream of frames into batches of windows; holds the frames of one batch at most.

    Args:
        frames: `[H, W, 3]` each, at least one.
        batch_size: windows a batch.

    Yields:
        frames `[4 * batch_size + 4, H, W, 3]`, each once though windows share it, with zeros behind
        the last; windows int32 `[batch_size, 8]`, rows of those frames; and how many of the
        windows are real: the last batch is filled by repeating its last window.
    """
    held, offset, count, first = [], 0, 0, 0

    def batch():
        windows = window_frames(count)[first : first + batch_size] - offset
        missing = batch_size - len(windows)
        span = WINDOW_STRIDE * batch_size + WINDOW_FRAMES - WINDOW_STRIDE
        stacked = np.zeros((span, *held[0].shape), held[0].dtype)
        stacked[: len(held)] = held
        filled = np.pad(windows, ((0, missing), (0, 0)), mode="edge")
        return stacked, filled.astype(np.int32), len(windows)

    def drop_frames():
        begin = WINDOW_STRIDE * first - WINDOW_LEAD
        del held[: begin - offset]
        return begin

    for frame in frames:
        held.append(frame)
        count += 1
        # Now no later frame belongs to the batch's last window.
        if count == WINDOW_STRIDE * (first + batch_size) + WINDOW_LEAD:
            yield batch()
            first += batch_size
            offset = drop_frames()
    total = count_windows(count)
    while first < total:
        yield batch()
        first += batch_size
        offset = drop_frames()
