import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import make_shapes
from data.shapes import scene as shapes_scene
from data.shapes import sentences as shapes_sentences
from data.shapes.scene import Event, SceneObject

FRAMES = 64

# Meanings of words, independent of the table of the program.
WORDS_OF = {
    "move_left": ["moves left", "moving left", "goes to the left"],
    "move_right": ["moves right", "moving right", "goes to the right"],
    "move_up": ["moves up", "moving up", "rises"],
    "move_down": ["moves down", "moving down", "sinks"],
    "grow": ["grows", "growing", "bigger"],
    "shrink": ["shrinks", "shrinking", "smaller"],
    "spin": ["spins", "spinning", "turns around"],
    "blink": ["blinks", "blinking", "flashes"],
    "pass_above": ["passes above", "passing above", "goes by above"],
    "pass_beneath": ["passes beneath", "passing beneath", "goes by beneath"],
}
COLOURS = {"red", "green", "blue", "yellow", "purple", "white"}
SHAPES = {"square", "circle", "triangle", "star", "cross"}
# Side of the bounding box by shape, for a circumscribed circle of radius 1; hand-computed.
SIDES = {
    "square": (2**0.5, 2**0.5),
    "circle": (2, 2),
    "triangle": (3**0.5, 1.5),
    "star": (2 * np.cos(np.pi / 10), 1 + np.cos(np.pi / 5)),
    "cross": (2 / np.hypot(1, 0.36),) * 2,
}


def read(sentence):
    """Returns the words about the subject, the action and the words about the other object."""
    ((name, phrase),) = [
        (name, phrase)
        for name, phrases in WORDS_OF.items()
        for phrase in phrases
        if phrase in sentence
    ]
    before, _, after = sentence.rstrip(".?").partition(phrase)
    return set(before.split()), name, set(after.split())


def runs(changing):
    """`[begin, end)` of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], changing.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def observed(thing):
    """Returns the visible actions of an object: name, first and last frame."""
    found = []
    steps = np.diff(thing.center, axis=0)
    grown, turned = np.diff(thing.radius), np.diff(thing.angle)
    for name, changing in {
        "move_left": steps[:, 0] < 0,
        "move_right": steps[:, 0] > 0,
        "move_up": steps[:, 1] < 0,
        "move_down": steps[:, 1] > 0,
        "grow": grown > 0,
        "shrink": grown < 0,
        "spin": turned != 0,
    }.items():
        # Change `i` is between frames `i` and `i + 1`.
        found += [(name, begin + 1, end + 1) for begin, end in runs(changing)]
    dim = np.flatnonzero(~thing.bright)
    if len(dim):
        found.append(("blink", int(dim[0]), int(dim[-1]) + 1))
    return found


def extents(scene, thing):
    width, height = SIDES[thing.shape]
    return thing.radius * np.sqrt(width * height) / min(scene.width, scene.height)


def could_be(words, scene, thing):
    """Whether the words could describe an object; intermediate sizes are both small and large."""
    share = extents(scene, thing)
    return not (
        words & COLOURS - {thing.colour}
        or words & SHAPES - {thing.shape}
        or ("small" in words and share.min() > 0.29)
        or ("large" in words and share.max() < 0.25)
    )


def surely_is(words, scene, thing):
    share = extents(scene, thing)
    return could_be(words, scene, thing) and not (
        ("small" in words and share.max() > 0.2501) or ("large" in words and share.min() < 0.2899)
    )


def passes(name, subject, other, begin, end):
    """Returns `(could be, surely is)` for each frame."""
    mine, its = subject.boxes(), other.boxes()
    near, wholly = False, True
    for f in range(begin, end):
        together = mine[f, 0] < its[f, 2] and its[f, 0] < mine[f, 2]
        higher = subject.center[f, 1] < other.center[f, 1]
        lower = subject.center[f, 1] > other.center[f, 1]
        near |= together and (higher if name == "pass_above" else lower)
        apart = mine[f, 3] <= its[f, 1] if name == "pass_above" else mine[f, 1] >= its[f, 3]
        wholly &= bool(apart) and (its[f] == its[begin]).all()
    first, last = (subject.center[f, 0] - other.center[f, 0] for f in (begin, end - 1))
    return near, near and wholly and first * last < 0


def matches(sentence, scene, begin, end):
    """Returns the tubes in the clip that the sentence could describe and surely describes."""
    words, name, other_words = read(sentence)
    maybe, sure = [], []
    for thing in scene.objects:
        for seen, first, last in observed(thing):
            # The first step of an action at frame 0 has no frame before it to compare with.
            tube = (thing.tid, first, last)
            if first >= end or last <= begin or not could_be(words, scene, thing):
                continue
            surely = surely_is(words, scene, thing)
            if seen == name:
                maybe.append(tube)
                sure += [tube] if surely else []
            elif name.startswith("pass") and seen in ("move_left", "move_right"):
                for other in scene.objects:
                    if other is thing or not could_be(other_words, scene, other):
                        continue
                    near, clear = passes(name, thing, other, first, last)
                    maybe += [tube] if near else []
                    sure += [tube] if clear and surely else []
    return maybe, sure


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_a_viewer_of_the_video_finds_exactly_the_true_tube(seed):
    rng = np.random.default_rng(seed)
    scene = shapes_scene.sample_scene(rng, num_frames=FRAMES, min_objects=2, max_objects=4)
    for record in make_shapes.vidstg_records(rng, scene, "0"):
        clip = record["used_segment"]["begin_fid"], record["used_segment"]["end_fid"] + 1
        truth = record["temporal_gt"]
        assert clip[0] <= truth["begin_fid"] < truth["end_fid"] <= clip[1]
        for sentence in record["captions"] + record["questions"]:
            maybe, sure = matches(sentence["description"], scene, *clip)
            assert len(maybe) == 1, sentence
            assert sure == maybe, sentence
            ((tid, begin, end),) = maybe
            assert tid == sentence["target_id"]
            # The begin of an action at frame 0 is not visible; a blink may end bright.
            assert begin - truth["begin_fid"] in ((0, 1) if truth["begin_fid"] == 0 else (0,))
            assert 0 <= truth["end_fid"] - end <= shapes_scene.BLINK_PERIOD // 2


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_statements_name_two_attributes_and_questions_fewer(seed):
    rng = np.random.default_rng(seed)
    scene = shapes_scene.sample_scene(rng, num_frames=FRAMES, min_objects=2, max_objects=4)
    for record in make_shapes.vidstg_records(rng, scene, "0"):
        for sentence in record["captions"]:
            words = read(sentence["description"])[0]
            assert len(words & (COLOURS | SHAPES | {"small", "large"})) >= 2
            assert sentence["description"].endswith(".")
        for sentence in record["questions"]:
            words = read(sentence["description"])[0]
            assert words & {"what", "which"}
            assert len(words & (COLOURS | SHAPES | {"small", "large"})) <= 1
            assert sentence["description"].endswith("?")


def make_object(tid, shape, colour, *, extent=0.15):
    at_all_frames = np.ones(FRAMES)
    return SceneObject(
        tid=tid,
        shape=shape,
        colour=colour,
        size="small",
        actions=(),
        center=np.zeros((FRAMES, 2)),
        radius=at_all_frames,
        extent=extent * at_all_frames,
        angle=at_all_frames,
        bright=at_all_frames > 0,
    )


RED_SQUARE = make_object(0, "square", "red")
RED_STAR = make_object(1, "star", "red")
SPIN = Event(RED_SQUARE, "spin", None, 10, 20)
OTHER_SPIN = Event(RED_STAR, "spin", None, 30, 40)


def said(function, event, events, begin=0, end=FRAMES):
    """Returns the different sentences of 200 draws."""
    found = {
        function(np.random.default_rng(seed), event, events, begin, end) for seed in range(200)
    }
    return {text and text.rstrip(".?") for text in found}


def test_a_question_does_not_identify_its_subject():
    sentences = said(shapes_sentences.interrogative, SPIN, [SPIN])
    assert "what spins" in sentences
    assert "which square is spinning" in sentences
    assert "what red thing turns around" in sentences
    assert not any("red square" in text or "small" in text for text in sentences)


def test_a_distractor_in_the_clip_must_be_excluded_by_the_sentence():
    both = [SPIN, OTHER_SPIN]
    assert {text.split()[1] for text in said(shapes_sentences.interrogative, SPIN, both)} == {
        "square"
    }
    for text in said(shapes_sentences.declarative, SPIN, both):
        assert "square" in text


def test_a_distractor_outside_the_clip_does_not_matter():
    both = [SPIN, OTHER_SPIN]
    assert "what spins" in said(shapes_sentences.interrogative, SPIN, both, begin=0, end=30)
    assert "what spins" not in said(shapes_sentences.interrogative, SPIN, both, begin=0, end=31)


def test_no_sentence_describes_one_of_two_identical_objects():
    twin = Event(make_object(1, "square", "red"), "spin", None, 30, 40)
    assert said(shapes_sentences.declarative, SPIN, [SPIN, twin]) == {None}
    assert said(shapes_sentences.interrogative, SPIN, [SPIN, twin]) == {None}


@pytest.mark.parametrize(
    ("extent", "distinguishes"),
    [(0.35, True), (0.26, False), (np.linspace(0.15, 0.35, FRAMES), False)],
)
def test_a_size_excludes_only_objects_clearly_of_another_size(extent, distinguishes):
    twin = Event(make_object(1, "square", "red", extent=extent), "spin", None, 30, 40)
    said_of = said(shapes_sentences.declarative, SPIN, [SPIN, twin])
    assert (said_of != {None}) == distinguishes
    if distinguishes:
        assert all("small" in text for text in said_of)


@pytest.mark.parametrize("clear", [True, False])
def test_a_near_miss_excludes_a_sentence_like_a_clear_event(clear):
    green = make_object(2, "circle", "green")
    passing = Event(RED_SQUARE, "pass_above", green, 10, 20)
    rival = Event(RED_STAR, "pass_above", green, 30, 40, clear=clear)
    sentences = said(shapes_sentences.interrogative, passing, [passing, rival])
    assert "which square passes above the green circle" in sentences
    assert not any(text.startswith("what") for text in sentences)


def test_the_passed_object_is_named_unambiguously():
    green, blue = make_object(2, "circle", "green"), make_object(3, "circle", "blue")
    passing = Event(RED_SQUARE, "pass_beneath", green, 10, 20)
    blinking = Event(blue, "blink", None, 0, 5)
    for text in said(shapes_sentences.declarative, passing, [passing, blinking]):
        assert "green" in text.partition("beneath")[2]


def test_answers_by_meaning():
    events = [SPIN, OTHER_SPIN, dataclasses.replace(SPIN, name="blink")]
    red = shapes_sentences.Query((("colour", "red"),), "spin")
    assert shapes_sentences.answers(red, events, 0, FRAMES) == [SPIN, OTHER_SPIN]
    assert shapes_sentences.answers(red, events, 20, FRAMES) == [OTHER_SPIN]
    star = shapes_sentences.Query((("shape", "star"),), "blink")
    assert shapes_sentences.answers(star, events, 0, FRAMES) == []
