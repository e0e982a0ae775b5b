"""Feature windows: their frames, and batches of windows from a stream of frames.

Features belong to a *video*: window `w` is the 8 frames `[4w - 2, 4w + 6)`, centred on the cell
`[4w, 4w + 4)`, so the cells tile the video.

Array functions use Python operators only, so that they accept NumPy arrays and tensors.
"""

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

WINDOW_FRAMES = 8
WINDOW_STRIDE = 4
WINDOW_LEAD = (WINDOW_FRAMES - WINDOW_STRIDE) // 2  # frames of a window before its cell


def windows_in(num_frames):
    """Number of cells that cover `num_frames` frames, `ceil(num_frames / 4)` (any shape)."""
    return -(-num_frames // WINDOW_STRIDE)


def count_windows(num_frames: int) -> int:
    """Number of feature windows of a video of `num_frames` frames."""
    if num_frames < 1:
        raise ValueError(f"num_frames: expected at least 1, got {num_frames}")
    return windows_in(num_frames)


def window_frames(num_frames: int) -> np.ndarray:
    """Frame numbers of each window.

    Args:
        num_frames: number of frames in the video, at least 1.

    Returns:
        int64 `[count_windows(num_frames), 8]`; windows that extend beyond
        the video repeat its first or last frame.
    """
    starts = WINDOW_STRIDE * np.arange(count_windows(num_frames)) - WINDOW_LEAD
    frames = starts[:, None] + np.arange(WINDOW_FRAMES)
    return np.clip(frames, 0, num_frames - 1)


def frame_windows(frames):
    """Index of the window whose cell contains each frame (integers, any shape)."""
    return frames // WINDOW_STRIDE


def selected_window_batches(
    frames: Iterable[np.ndarray], frame_numbers: np.ndarray, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Groups the frames of some windows into batches; keeps only one batch in memory.

    Args:
        frames: frames `[H, W, 3]`, those of `np.unique(frame_numbers)` in this order.
        frame_numbers: frame numbers of each window, `[windows, 8]`, some rows of `window_frames`.
        batch_size: maximum number of windows per batch.

    Yields:
        frames `[frames of the batch, H, W, 3]`, and windows int32 `[windows of the batch, 8]`,
        indices into these frames.
    """
    frames, held = iter(frames), {}
    for first in range(0, len(frame_numbers), batch_size):
        batch = frame_numbers[first : first + batch_size]
        numbers, windows = np.unique(batch, return_inverse=True)
        held = {n: held[n] if n in held else next(frames) for n in numbers.tolist()}
        yield np.stack(list(held.values())), windows.reshape(batch.shape).astype(np.int32)


def window_batches(
    frames: Iterable[np.ndarray], batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Groups a stream of frames into batches of windows; keeps only one batch in memory.

    Args:
        frames: frames `[H, W, 3]`, at least one.
        batch_size: number of windows per batch.

    Yields:
        frames `[4 * batch_size + 4, H, W, 3]`, padded with zeros; windows int32 `[batch_size, 8]`,
        indices into these frames; and the number of valid windows, as the last batch is padded
        with its last window.
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
        # All frames of the last window of the batch are present.
        if count == WINDOW_STRIDE * (first + batch_size) + WINDOW_LEAD:
            yield batch()
            first += batch_size
            offset = drop_frames()
    total = count_windows(count)
    while first < total:
        yield batch()
        first += batch_size
        offset = drop_frames()


def decoded_ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Yields batches; one is decoded in a thread while the caller uses the one before it."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as decoder:
        ahead = decoder.submit(next, batches, None)
        while (batch := ahead.result()) is not None:
            ahead = decoder.submit(next, batches, None)
            yield batch
