"""Windows compared with their definition, and those of a stream with those of the video."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.video.windows import count_windows, window_batches, window_frames

LENGTHS = st.integers(1, 3000)


@pytest.mark.parametrize(("frames", "windows"), [(1, 1), (4, 1), (5, 2), (8, 2), (800, 200)])
def test_there_is_one_window_for_every_four_frames(frames, windows):
    assert count_windows(frames) == windows


def test_windows_of_a_nine_frame_video_repeat_the_edge_frames():
    np.testing.assert_array_equal(
        window_frames(9),
        [
            [0, 0, 0, 1, 2, 3, 4, 5],
            [2, 3, 4, 5, 6, 7, 8, 8],
            [6, 7, 8, 8, 8, 8, 8, 8],
        ],
    )


@given(LENGTHS)
def test_window_frames_follow_the_definition(num_frames):
    expected = [
        [min(max(frame, 0), num_frames - 1) for frame in range(4 * w - 2, 4 * w + 6)]
        for w in range(-(-num_frames // 4))
    ]
    np.testing.assert_array_equal(window_frames(num_frames), expected)


@pytest.mark.parametrize("call", [lambda: count_windows(0), lambda: window_frames(0)])
def test_a_video_without_frames_is_an_error(call):
    with pytest.raises(ValueError, match="num_frames: expected at least 1, got 0"):
        call()


@given(st.integers(1, 90), st.integers(1, 6))
def test_concatenated_batches_are_the_windows_of_the_video(num_frames, batch_size):
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


def test_no_frame_is_read_before_it_is_needed():
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
