"""Mirroring of words, boxes and ids."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import mirroring
from data.annotations import Skipped, SplitAnnotations
from gkcmn_tf.records.clip_records import Clip, Sentence
from gkcmn_tf.text.standardization import standardize


@pytest.fixture
def clip():
    boxes = np.float32([[0, 5, 10, 20], [30, 5, 64, 20]])
    sentences = (Sentence(3, "val-3", "it goes left.", "declarative", 0, 4, 6, boxes),)
    return Clip("a/1.mp4", 0, 40, 25.0, 64, 48, 40, sentences)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("a dog to the left of a cat.", "a dog to the right of a cat."),
        ("Left, then RIGHT", "Right, then LEFT"),
        ("the leftmost, right-hand and righthand one", "the rightmost, left-hand and lefthand one"),
        ("it drifts rightwards", "it drifts leftwards"),
        ("left_of the left_hand, Right_most", "right_of the right_hand, Left_most"),
        ("狗在left边", "狗在right边"),
        ("the bright one is upright, the rights are copyright", None),
        ("a cleft in the leftover", None),
        ("The le\u200dft dog.", "the right dog"),
    ],
)
def test_only_left_and_right_are_swapped(text, mirrored):
    assert mirroring.mirror_text(text) == (mirrored or text)


@given(
    st.lists(
        st.sampled_from(
            [
                *("left", "Right", "hand", "of", "犬", "_", "-", "/", " ", ".", "2", "é"),
                *("le\u200dft", "ｌｅｆｔ", "right\ufe0f", "\u00ad"),
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_the_words_that_the_model_reads_are_swapped(text):
    sides = {"left": "right", "right": "left", "lefthand": "righthand", "righthand": "lefthand"}
    words = standardize(text).split()
    assert standardize(mirroring.mirror_text(text)).split() == [sides.get(w, w) for w in words]


@pytest.mark.parametrize("text", ["a dog to the left of the rightmost cat.", "Right LEFT"])
def test_mirroring_twice_restores_the_words(text):
    assert mirroring.mirror_text(mirroring.mirror_text(text)) == text


def test_a_mirrored_clip(clip):
    mirrored = mirroring.mirror_clip(clip)
    assert mirrored.video_id == "a/1.mp4~mirrored"
    assert mirroring.is_mirrored(mirrored.video_id)
    assert not mirroring.is_mirrored(clip.video_id)
    assert mirroring.original_id(mirrored.video_id) == mirroring.original_id("a/1.mp4") == "a/1.mp4"
    (sentence,) = mirrored.sentences
    assert (sentence.id, sentence.text) == ("val-3~mirrored", "it goes right.")
    np.testing.assert_array_equal(sentence.boxes, [[54, 5, 64, 20], [0, 5, 34, 20]])
    assert (sentence.begin, sentence.end, sentence.index) == (4, 6, 3)
    # The original clip is unchanged.
    np.testing.assert_array_equal(clip.sentences[0].boxes[0], [0, 5, 10, 20])


def test_skipped_sentences_are_counted_only_once(clip):
    split = SplitAnnotations(
        [clip], {"a/1.mp4": "a/1.mp4"}, [Skipped("val-0", "?")], collections.Counter(cut=1)
    )
    mirrored = mirroring.mirror_split(split)
    assert mirrored.videos == {"a/1.mp4~mirrored": "a/1.mp4"}
    assert (mirrored.kept, mirrored.skipped, mirrored.notices) == (1, [], {})


def test_a_mirrored_split_cannot_be_mirrored(clip):
    mirrored = mirroring.mirror_split(SplitAnnotations([clip], {"a/1.mp4": "a/1.mp4"}))
    with pytest.raises(ValueError, match=r"a/1\.mp4~mirrored: an id that ends in ~mirrored"):
        mirroring.mirror_split(mirrored)
