"""Clips of a long video, and the windows that their steps use."""

import itertools

import numpy as np
import pytest

from gkcmn_tf import searched_clips
from gkcmn_tf.video.frame_rates import Timeline

MINUTE = Timeline(np.arange(600) / 10, 60.0)


def clips(search="sliding", *, longest=10.0, begin=None, end=None, timeline=MINUTE):
    return searched_clips.ClipSearch(4, longest, begin, end, search).clips(timeline)


def test_sliding_clips_have_the_length_of_the_longest_training_clip_and_overlap_by_half():
    assert clips() == [(start, start + 100) for start in range(0, 501, 50)]
    # 27 s need five clips, evenly spread, so that the last one ends with the part.
    found = clips(begin=3.0, end=30.0)
    assert found[0] == (30, 130) and found[-1] == (200, 300) and len(found) == 5
    assert {end - begin for begin, end in found} <= {100, 101}
    assert all(later[0] - earlier[0] <= 50 for earlier, later in itertools.pairwise(found))


def test_auto_slides_only_in_parts_of_more_than_twice_the_longest_clip():
    assert clips("auto", end=20.0) == [(0, 200)]
    assert clips("auto", end=20.2) == clips("sliding", end=20.2) != [(0, 202)]
    assert clips("whole") == [(0, 600)]
    assert clips("sliding", end=10.0) == [(0, 100)]


def test_without_lengths_of_training_clips_the_part_is_one_clip():
    assert clips("auto", longest=None) == [(0, 600)]
    with pytest.raises(ValueError, match="search: sliding needs the lengths of training clips"):
        clips("sliding", longest=None)
    with pytest.raises(ValueError, match="search: expected one of auto, whole, sliding; got 'all'"):
        clips("all")


def test_clips_without_samples_are_left_out():
    # One frame every 10 s, and samples every 20 s.
    timeline = Timeline(np.arange(0, 60, 10.0), 60.0, np.array([0, 2, 4]))
    found = clips(longest=10.0, timeline=timeline)
    assert found and all(np.diff(timeline.to_samples(*clip)) > 0 for clip in found)


def test_windows_are_those_of_the_steps():
    # 100 frames at 4 steps: centres at frames 12, 37, 62 and 87, in windows of 4 frames.
    first = searched_clips.ClipSearch(4, end=10.0)
    assert first.windows(MINUTE).tolist() == [3, 9, 15, 21]
    # Clips at 0, 5 and 10 s; the centres of the second one's steps are among the others'.
    three = searched_clips.ClipSearch(4, 10.0, end=20.0, search="sliding")
    assert three.windows(MINUTE).tolist() == [3, 9, 15, 21, 28, 34, 40, 46]


@pytest.mark.parametrize("about", [{}, {"training": None}, {"training": {}}])
def test_the_length_of_training_clips_may_be_unknown(about):
    assert searched_clips.longest_training_clip(about) is None
    known = {"training": {"clips": {"seconds": {"max": 12.5}}}}
    assert searched_clips.longest_training_clip(known) == 12.5
