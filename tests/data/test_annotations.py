"""Resampling of annotations to another frame rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import annotations
from gkcmn_tf.records.clip_records import Clip, Sentence


def make_clip(begin, end, segments, frame_count=100):
    """The first coordinate of each box is its frame."""
    sentences = tuple(
        Sentence(
            index=i,
            id=str(i),
            text="a dog",
            qtype="declarative",
            target_id=0,
            begin=first,
            end=stop,
            boxes=np.float32([[f, 0, f + 10, 10] for f in range(first, stop)]),
        )
        for i, (first, stop) in enumerate(segments)
    )
    return Clip("v", begin, end, 25.0, 200, 48, frame_count, sentences)


def test_clips_segments_and_boxes_are_mapped_to_the_resampled_frames():
    shown = range(0, 100, 5)
    clip, skipped = annotations.resample_clip(
        make_clip(10, 93, [(10, 93), (11, 15), (14, 16)]), shown, 5
    )
    assert (clip.begin, clip.end, clip.fps, clip.frame_count) == (2, 19, 5, 20)
    assert [(s.id, s.begin, s.end) for s in clip.sentences] == [("0", 2, 19), ("2", 3, 4)]
    np.testing.assert_array_equal(clip.sentences[0].boxes[:, 0], range(10, 93, 5))
    np.testing.assert_array_equal(clip.sentences[1].boxes, [[15, 0, 25, 10]])
    assert [s.id for s in skipped] == ["1"]
    assert skipped[0].reason == (
        "video v: segment [11, 15) contains no frame at 5 frames per second"
    )


def test_a_slow_video_repeats_its_boxes():
    clip, skipped = annotations.resample_clip(
        make_clip(0, 3, [(1, 3)], frame_count=3), [0, 0, 1, 1, 2], 10
    )
    assert skipped == []
    assert (clip.end, clip.sentences[0].begin, clip.sentences[0].end) == (5, 2, 5)
    np.testing.assert_array_equal(clip.sentences[0].boxes[:, 0], [1, 1, 2])


def test_a_clip_without_sentences_is_dropped():
    clip, skipped = annotations.resample_clip(make_clip(0, 9, [(1, 2), (3, 4)]), [0, 5], 5)
    assert clip is None and [s.id for s in skipped] == ["0", "1"]


@given(st.data())
def test_every_sentence_has_a_frame_inside_its_clip_or_is_skipped(data):
    count = data.draw(st.integers(1, 60))
    steps = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=60))
    shown = [frame for frame in np.cumsum([0, *steps]).tolist() if frame < count]
    begin = data.draw(st.integers(0, count - 1))
    end = data.draw(st.integers(begin + 1, count))
    segments = [
        sorted(pair)
        for pair in data.draw(
            st.lists(
                st.tuples(st.integers(begin, end), st.integers(begin, end)).filter(
                    lambda pair: pair[0] != pair[1]
                ),
                max_size=4,
            )
        )
    ]
    clip, skipped = annotations.resample_clip(make_clip(begin, end, segments, count), shown, 5)
    kept = () if clip is None else clip.sentences
    assert {s.id for s in kept} | {s.id for s in skipped} == set(map(str, range(len(segments))))
    for sentence in kept:
        first, stop = segments[sentence.index]
        assert clip.begin <= sentence.begin < sentence.end <= clip.end <= len(shown)
        expected = [frame for frame in shown if first <= frame < stop]
        np.testing.assert_array_equal(sentence.boxes[:, 0], expected)
    for sentence in skipped:
        first, stop = segments[int(sentence.id)]
        assert not any(first <= frame < stop for frame in shown)


def test_boxes_belong_to_the_segment_of_the_sentence_not_to_the_clip():
    clip, _ = annotations.resample_clip(make_clip(0, 100, [(50, 60)]), range(0, 100, 2), 12.5)
    (sentence,) = clip.sentences
    assert (sentence.begin, sentence.end) == (25, 30)
    assert sentence.boxes[0, 0] == pytest.approx(50)


def test_a_segment_between_two_boxes_is_interpolated():
    track = annotations.Track(np.array([10, 20]), np.float32([[0, 0, 10, 10], [10, 20, 30, 40]]))
    boxes, counts = track.boxes_between(14, 16, 200, 100)
    np.testing.assert_allclose(boxes, [[4, 8, 18, 22], [5, 10, 20, 25]])
    assert counts["interpolated_boxes"] == 2
    for begin, end in ((5, 10), (21, 25)):
        with pytest.raises(ValueError, match="no box in frames"):
            track.boxes_between(begin, end, 200, 100)


@pytest.mark.parametrize(
    "boxes",
    [[[0.1, 0.2, 0.5, 0.6]], [[0, 0, 1, 1]], [[-0.01, 0, 0.5, 0.6], [0.5, 0.2, 1.02, 1]]],
)
def test_fractions_are_no_pixels(boxes):
    track = annotations.Track(np.arange(len(boxes)), np.float32(boxes))
    with pytest.raises(ValueError, match=r"expected pixels, got fractions .*multiply by width"):
        track.boxes_between(0, 1, 200, 100)


@pytest.mark.parametrize("boxes", [[[0, 0, 0, 0]], [[0.1, 0.2, 0.5, 0.6], [0, 0, 0.5, 8]]])
def test_small_boxes_in_pixels_are_kept(boxes):
    track = annotations.Track(np.arange(len(boxes)), np.float32(boxes))
    np.testing.assert_array_equal(
        track.boxes_between(0, len(boxes), 200, 100)[0], np.float32(boxes)
    )


@pytest.mark.parametrize("text", ["...", " ?! ", "\u2764\ufe0f", "\u0301", "\u00ad", ""])
def test_a_sentence_without_words_is_refused(text):
    with pytest.raises(ValueError, match=r"caption: expected a sentence, got"):
        annotations.sentence_text(text, "caption")


def test_a_sentence_is_cleaned():
    text = annotations.sentence_text(" the ｄｏｇ\u00a0is cafe\u0301 le\u00adft ", "caption")
    assert text == "the dog is café left"
