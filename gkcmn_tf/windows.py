"""The windows of frames that features see, cut from a stream of frames."""

from collections.abc import Iterable, Iterator

import numpy as np

from gkcmn_tf import steps


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
        windows = steps.window_frames(count)[first : first + batch_size] - offset
        missing = batch_size - len(windows)
        span = steps.WINDOW_STRIDE * batch_size + steps.WINDOW_FRAMES - steps.WINDOW_STRIDE
        stacked = np.zeros((span, *held[0].shape), held[0].dtype)
        stacked[: len(held)] = held
        filled = np.pad(windows, ((0, missing), (0, 0)), mode="edge")
        return stacked, filled.astype(np.int32), len(windows)

    def drop_frames():
        begin = steps.WINDOW_STRIDE * first - steps.WINDOW_LEAD
        del held[: begin - offset]
        return begin

    for frame in frames:
        held.append(frame)
        count += 1
        # Now no later frame belongs to the batch's last window.
        if count == steps.WINDOW_STRIDE * (first + batch_size) + steps.WINDOW_LEAD:
            yield batch()
            first += batch_size
            offset = drop_frames()
    total = steps.count_windows(count)
    while first < total:
        yield batch()
        first += batch_size
        offset = drop_frames()
