import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf import tubes
from gkcmn_tf.evaluation import protocols


def truth(begin, end, *, clip, fps=25.0):
    """A sentence with a constant box."""
    boxes = np.tile([0.0, 0, 10, 10], (end - begin, 1))
    tube = tubes.Tube(begin, end, boxes)
    return tubes.GroundTruth("a", "v", "declarative", 100, 100, fps, 2000, *clip, tube)


def test_sampled_frames_at_five_per_second():
    # At 25 frames per second, every fifth frame is sampled.
    sampled = protocols.tubedetr_frames(truth(3, 20, clip=(3, 22)))
    np.testing.assert_array_equal(sampled, [3, 5, 10, 15, 20])


def test_the_last_frame_of_the_clip_is_left_out_as_in_tubedetr():
    # VidSTG's `used_segment` from 3 to 20, both inclusive: the clip [3, 21). TubeDETR reads the
    # frames `range(3, 20)`, so frame 20, which begins a new fifth, is not among them.
    sampled = protocols.tubedetr_frames(truth(3, 20, clip=(3, 21)))
    np.testing.assert_array_equal(sampled, [3, 5, 10, 15])
    # It always has the first frame.
    np.testing.assert_array_equal(protocols.tubedetr_frames(truth(7, 8, clip=(7, 8))), [7])


def test_more_than_200_sampled_frames_are_subsampled():
    # 300 fifths of 5 frames; the j-th frame taken is sampled frame j * 300 // 200.
    sampled = protocols.tubedetr_frames(truth(0, 20, clip=(0, 1500)))
    np.testing.assert_array_equal(sampled, [5 * (j * 300 // 200) for j in range(200)])


def test_slow_videos_are_sampled_at_every_frame():
    sampled = protocols.tubedetr_frames(truth(0, 4, clip=(0, 9), fps=4.0))
    np.testing.assert_array_equal(sampled, np.arange(8))


@given(
    begin=st.integers(0, 3000),
    length=st.integers(1, 3000),
    fps=st.sampled_from([0.1, 4.99, 5, 5.01, 9.99, 23.976, 24, 25, 29.97, 30, 59.94, 1000])
    | st.floats(0.01, 2000),
)
def test_sampled_frames_begin_a_new_fifth_of_a_second(begin, length, fps):
    frames = np.arange(begin, max(begin + length - 1, begin + 1))
    fifths = np.floor(5 * frames / fps)
    expected = frames[np.diff(fifths, prepend=-1) > 0]
    if len(expected) > 200:
        expected = expected[np.arange(200) * len(expected) // 200]
    sampled = protocols.tubedetr_frames(
        truth(begin, begin + 1, clip=(begin, begin + length), fps=fps)
    )
    np.testing.assert_array_equal(sampled, expected)


def test_64_frames_are_taken_evenly_from_the_first_to_the_last():
    # 127 frames: every second one. 130 frames: the whole part of j * 129 / 63.
    thinned = protocols.thinned_frames(truth(10, 20, clip=(10, 137)))
    np.testing.assert_array_equal(thinned, np.arange(10, 137, 2))
    thinned = protocols.thinned_frames(truth(0, 20, clip=(0, 130)))
    assert thinned[[0, 1, 2, 31, 62, 63]].tolist() == [0, 2, 4, 63, 126, 129]
    assert len(thinned) == 64
    # Clips of at most 64 frames are not thinned.
    for length in (1, 2, 63, 64):
        thinned = protocols.thinned_frames(truth(7, 8, clip=(7, 7 + length)))
        np.testing.assert_array_equal(thinned, np.arange(7, 7 + length))


@given(begin=st.integers(0, 3000), length=st.integers(1, 3000))
def test_thinned_frames_are_those_of_an_interpolation(begin, length):
    thinned = protocols.thinned_frames(truth(begin, begin + 1, clip=(begin, begin + length)))
    kept = min(length, 64)
    exact = [begin + j * (length - 1) // max(kept - 1, 1) for j in range(kept)]
    assert thinned.tolist() == exact
    assert len(set(exact)) == kept


def test_two_frames_a_second_with_the_last_frame_of_the_clip():
    # At 25 frames a second, half seconds begin at 0, 13, 25, 38, 50.
    sampled = protocols.slow_frames(truth(5, 20, clip=(5, 51)))
    np.testing.assert_array_equal(sampled, [5, 13, 25, 38, 50])
    # 100 seconds are 200 half seconds, of which the j * 200 // 64-th are taken.
    sampled = protocols.slow_frames(truth(0, 20, clip=(0, 1000), fps=10.0))
    np.testing.assert_array_equal(sampled, [5 * (j * 200 // 64) for j in range(64)])
