import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.shapes import scene as shapes_scene
from data.shapes.scene import Action, Scene, SceneObject

FRAMES = 20


def make_object(tid=0, *, start=(50, 50), step=(0, 0), actions=(), extent=0.2, shape="square"):
    """A square of 20 x 20 pixels; it moves by `step` in each frame of its first action."""
    steps = np.zeros((FRAMES, 2))
    if actions:
        steps[actions[0].begin : actions[0].end] = step
    return SceneObject(
        tid=tid,
        shape=shape,
        colour="red",
        size="small",
        actions=tuple(actions),
        center=np.array(start) + np.cumsum(steps, axis=0),
        radius=np.full(FRAMES, 10 * np.sqrt(2)),
        extent=np.broadcast_to(np.array(extent, float), FRAMES),
        angle=np.zeros(FRAMES),
        bright=np.ones(FRAMES, bool),
    )


def passings(*objects):
    scene = Scene(200, 200, FRAMES, tuple(objects), background_seed=0)
    return [
        (event.subject.tid, event.name, event.other.tid, event.begin, event.end, event.clear)
        for event in shapes_scene.events(scene)
        if event.other
    ]


def sample(seed, num_frames=64):
    return shapes_scene.sample_scene(
        np.random.default_rng(seed), num_frames=num_frames, min_objects=2, max_objects=4
    )


def test_the_box_of_a_square_and_of_a_rotated_square():
    square = make_object(start=(50, 60))
    np.testing.assert_allclose(square.boxes()[0], [40, 50, 60, 70])
    turned = dataclasses.replace(square, angle=np.full(FRAMES, np.pi / 4))
    half = 10 * np.sqrt(2)
    np.testing.assert_allclose(turned.boxes()[0], [50 - half, 60 - half, 50 + half, 60 + half])


@pytest.mark.parametrize("shape", shapes_scene.SHAPES)
def test_every_outline_touches_its_circle_and_stays_inside(shape):
    radii = np.linalg.norm(shapes_scene.UNIT_OUTLINES[shape], axis=1)
    np.testing.assert_allclose(radii.max(), 1)
    assert shapes_scene.UNIT_EXTENTS["square"] == pytest.approx(np.sqrt(2))


def test_an_object_that_moves_across_above_a_resting_one_passes_above_it():
    mover = make_object(0, start=(20, 40), step=(8, 0), actions=[Action("move_right", 2, 14)])
    assert passings(mover, make_object(1, start=(70, 90))) == [(0, "pass_above", 1, 2, 14, True)]
    assert passings(mover, make_object(1, start=(70, 10))) == [(0, "pass_beneath", 1, 2, 14, True)]


@pytest.mark.parametrize(
    "other",
    [
        # It also moves down, is level with the lower edge, or its centre is not reached.
        make_object(1, start=(70, 90), step=(0, 1), actions=[Action("move_down", 5, 9)]),
        make_object(1, start=(70, 58)),
        make_object(1, start=(120, 90)),
    ],
)
def test_a_near_miss_is_not_a_clear_passing(other):
    mover = make_object(0, start=(20, 40), step=(8, 0), actions=[Action("move_right", 2, 14)])
    assert passings(mover, other) == [(0, "pass_above", 1, 2, 14, False)]


def test_an_object_that_stays_next_to_another_does_not_pass_it():
    mover = make_object(0, start=(20, 40), step=(2, 0), actions=[Action("move_right", 2, 14)])
    assert passings(mover, make_object(1, start=(150, 90))) == []


def test_an_object_that_moves_down_does_not_pass():
    mover = make_object(0, start=(60, 40), step=(0, 5), actions=[Action("move_down", 2, 14)])
    assert passings(mover, make_object(1, start=(70, 150))) == []


@pytest.mark.parametrize(
    ("extent", "always", "ever"),
    [
        (0.15, ("small",), ("small",)),
        (0.27, (), ("small", "large")),
        (0.35, ("large",), ("large",)),
        (np.linspace(0.15, 0.35, FRAMES), (), ("small", "large")),
        (np.linspace(0.30, 0.35, FRAMES), ("large",), ("large",)),
    ],
)
def test_sizes_that_sentences_may_mention(extent, always, ever):
    thing = make_object(extent=extent)
    assert thing.sizes_always == always
    assert thing.sizes_ever == ever


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_objects_stay_in_the_frame_and_rarely_occlude_each_other(seed):
    scene = sample(seed)
    boxes = [thing.boxes() for thing in scene.objects]
    for box in boxes:
        assert (box >= 0).all()
        assert (box <= [scene.width, scene.height] * 2).all()
    for frame in range(0, scene.num_frames, 5):
        for i, first in enumerate(boxes):
            for second in boxes[:i]:
                a, b = first[frame], second[frame]
                shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(
                    0, min(a[3], b[3]) - max(a[1], b[1])
                )
                areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
                assert shared <= shapes_scene.MAX_HIDDEN * min(areas) + 1e-9


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_an_object_rests_outside_its_actions(seed):
    for thing in sample(seed).objects:
        acting = np.zeros(len(thing.center), bool)
        for action in thing.actions:
            assert not acting[action.begin : action.end].any()
            acting[action.begin : action.end] = True
        changed = (np.diff(thing.center, axis=0) != 0).any(axis=1)
        changed |= (np.diff(thing.radius) != 0) | (np.diff(thing.angle) != 0)
        assert not changed[~acting[1:]].any()
        assert thing.bright[~acting].all()


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_no_two_objects_share_shape_and_colour_and_no_circle_spins(seed):
    objects = sample(seed).objects
    assert 2 <= len(objects) <= 4
    assert len({(thing.shape, thing.colour) for thing in objects}) == len(objects)
    for thing in objects:
        names = [action.name for action in thing.actions]
        assert names
        assert len(set(names)) == len(names)
        assert thing.shape != "circle" or "spin" not in names


def test_the_same_seed_gives_the_same_scene():
    first, second, other = sample(3), sample(3), sample(4)
    assert [t.actions for t in first.objects] == [t.actions for t in second.objects]
    for a, b in zip(first.objects, second.objects, strict=True):
        np.testing.assert_array_equal(a.boxes(), b.boxes())
    assert first.background_seed == second.background_seed != other.background_seed
