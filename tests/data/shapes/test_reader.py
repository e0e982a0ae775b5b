import numpy as np
import pytest

from data.shapes.reader import Reader
from data.shapes.scene import Scene, SceneObject

FRAMES = 200


class Thing:
    """An object of 20 pixels that is made to do something frame by frame."""

    def __init__(self, tid, shape, colour, x=50, y=50, side=20):
        self.fixed = {"tid": tid, "shape": shape, "colour": colour}
        self.center = np.tile([float(x), float(y)], (FRAMES, 1))
        self.radius = np.full(FRAMES, float(side))
        self.angle = np.zeros(FRAMES)
        self.bright = np.ones(FRAMES, bool)
        self.tints = [colour] * FRAMES

    def spin(self, begin, end):
        self.angle[begin:] += np.minimum(np.arange(1, FRAMES - begin + 1), end - begin) * 0.2
        return self

    def blink(self, begin, end):
        self.bright[begin:end] = np.arange(end - begin) % 4 >= 2
        self.bright[end - 1] = False
        return self

    def move(self, begin, end, x, y=0):
        steps = np.minimum(np.arange(1, FRAMES - begin + 1), end - begin)
        self.center[begin:] += steps[:, None] * [x, y]
        return self

    def turn(self, begin, end, colour):
        old = self.tints[begin]
        for frame in range(begin, FRAMES):
            flickers = frame < end - 1 and (frame - begin) // 4 % 2
            self.tints[frame] = old if flickers or frame == end - 2 else colour
        return self

    def build(self):
        return SceneObject(
            **self.fixed,
            size="",
            actions=(),  # the reader must not look at them
            center=self.center,
            radius=self.radius,
            extent=self.radius / 100,
            angle=self.angle,
            bright=self.bright,
            tints=tuple(self.tints),
        )


def read(sentence, *things, clip=(0, FRAMES)):
    """The tube that a sentence means, `(tid, begin, end)`, or None if it is not exactly one."""
    scene = Scene(200, 200, FRAMES, tuple(thing.build() for thing in things), 0)
    only = Reader(scene).read(sentence, *clip).only
    return only and (only.tid, only.begin, only.end)


STAR = Thing(0, "star", "red").spin(10, 30).blink(50, 70).spin(90, 120).turn(140, 160, "blue")
CROSS = Thing(1, "cross", "red", x=150).blink(95, 130).spin(150, 180)


@pytest.mark.parametrize(
    ("sentence", "tube"),
    [
        ("the star blinks.", (0, 50, 70)),
        ("the star spins.", None),
        ("the star spins for the first time.", (0, 10, 30)),
        ("which star is spinning for the second time?", (0, 90, 120)),
        ("what rotates for the second time?", (0, 90, 120)),
        ("the star blinks for the first time.", None),  # and for no other
        ("the star spins after it blinks.", (0, 90, 120)),
        ("the star spins before it blinks.", (0, 10, 30)),
        ("the star turns blue.", (0, 140, 160)),
        ("the star spins before it turned blue.", None),  # both times
        ("the star spins after it turned blue.", None),
        ("the cross spins.", (1, 150, 180)),
        ("the object spins before the cross flashes.", None),  # the second spin begins earlier
        ("the star spins while the cross blinks.", (0, 90, 120)),  # 25 of 30 frames
        ("the cross is blinking while the star spins.", None),  # the star spins twice
        ("the red cross spins.", (1, 150, 180)),
        ("the red star spins for the second time.", (0, 90, 120)),  # it turns blue only later
        ("the blue star spins for the second time.", None),  # it is not blue yet
        ("the green star blinks.", None),
        ("what trembles?", None),
    ],
)
def test_what_a_sentence_means(sentence, tube):
    assert read(sentence, STAR, CROSS) == tube


def test_a_clip_counts_for_itself_and_a_cut_event_is_not_sure():
    assert read("the star spins.", STAR, clip=(40, 200)) == (0, 90, 120)
    assert read("the star spins.", STAR, clip=(0, 80)) == (0, 10, 30)
    assert read("the star spins.", STAR, clip=(0, 100)) is None
    assert read("the star spins.", STAR, clip=(92, 200)) is None


def test_directions():
    mover = Thing(0, "square", "white").move(20, 40, 2).move(60, 80, -2).move(100, 120, 0, 3)
    shaker = Thing(1, "circle", "green", y=150)
    shaker.center[30:54, 0] += np.tile([3, 0, -3, 0], 6)
    for sentence, tube in {
        "the square moves right.": (0, 20, 40),
        "what travels left?": (0, 60, 80),
        "which white object is moving down?": (0, 100, 120),
        "the green circle shakes.": (1, 30, 54),
        "the square moves up.": None,
    }.items():
        assert read(sentence, mover, shaker) == tube, sentence


def test_towards_and_away():
    mover = Thing(0, "square", "white", x=20).move(20, 40, 2).move(60, 80, -2)
    near, far = Thing(1, "star", "red", x=110), Thing(2, "star", "blue", x=70, y=190)
    things = mover, near, far
    assert read("the square approaches the red star.", *things) == (0, 20, 40)
    assert read("the square is leaving the red star.", *things) == (0, 60, 80)
    assert read("the square approaches the star.", *things) is None  # which star?
    assert read("the square approaches the blue star.", *things) is None  # by too little


def test_sizes_are_compared_between_two():
    small, big = Thing(0, "star", "red").blink(20, 40), Thing(1, "star", "red", x=150, side=30)
    big.blink(60, 80)
    assert read("the star blinks.", small, big) is None
    assert read("the bigger star blinks.", small, big) == (1, 60, 80)
    assert read("the smaller red star blinks.", small, big) == (0, 20, 40)
    third = Thing(2, "star", "green", x=100, y=150)
    assert read("the bigger star blinks.", small, big, third) is None
    assert read("the bigger red star blinks.", small, big, third) == (1, 60, 80)
    alike = Thing(1, "star", "red", x=150, side=25).blink(60, 80)
    assert read("the bigger star blinks.", small, alike) is None


@pytest.mark.parametrize(
    "sentence",
    ["a star spins.", "the star spins", "the star sings.", "which star spins after it sings?", ""],
)
def test_other_sentences_are_refused(sentence):
    with pytest.raises(ValueError, match="not a sentence of the long setting"):
        read(sentence, STAR)
