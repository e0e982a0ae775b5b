"""Windows of a stream of frames, against those of the whole video."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.video.windows import window_batches, window_frames


@given(st.integers(1, 90), st.integers(1, 6))
def test_batches_put_together_are_the_windows_of_the_video(num_frames, batch_size):
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(num_frames)]
    found = []
    for rows, windows, real in window_batches(iter(frames), batch_size):
        assert rows.shape == (4 * batch_size + 4, 1, 1, 3)
        assert windows.shape == (batch_size, 8)
        np.testing.assert_array_equal(
            windows[real:], np.repeat(windows[real - 1 : real], batch_size - real, 0)
        )
        found.append(rows[windows[:real], 0, 0, 0])
    np.testing.assert_array_equal(np.concatenate(found), window_frames(num_frames))


def test_no_frame_is_taken_before_it_is_needed():
    taken = []

    def frames():
        for number in range(1000):
            taken.append(number)
            yield np.zeros((1, 1, 3), np.uint8)

    batches = window_batches(frames(), 5)
    next(batches)
    assert len(taken) == 4 * 5 + 2
    next(batches)
    assert len(taken) == 4 * 10 + 2
