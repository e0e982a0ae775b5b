import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.shapes import long_scene, render
from data.shapes.long_scene import Knobs
from data.shapes.scene import Action, Scene, SceneObject

FRAMES = 40


def make_object(tid=0, *, start=(50, 50), step=(0, 0), actions=(), tints=None):
    """A square of 20 x 20 pixels; `step` is made in each frame of its first action."""
    steps = np.zeros((FRAMES, 2))
    if actions:
        steps[actions[0].begin : actions[0].end] = step
    return SceneObject(
        tid=tid,
        shape="square",
        colour="red",
        size="",
        actions=tuple(actions),
        center=np.array(start) + np.cumsum(steps, axis=0),
        radius=np.full(FRAMES, 10 * np.sqrt(2)),
        extent=np.full(FRAMES, 0.2),
        angle=np.zeros(FRAMES),
        bright=np.ones(FRAMES, bool),
        tints=tints or ("red",) * FRAMES,
    )


def relations(*objects):
    scene = Scene(200, 200, FRAMES, tuple(objects), background_seed=0)
    return [
        (event.subject.tid, event.name, event.other.tid, event.clear)
        for event in long_scene.events(scene)
        if event.other
    ]


def sample(seed, **knobs):
    return long_scene.sample_scene(np.random.default_rng(seed), Knobs(**knobs))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_scenes_keep_to_the_knobs(seed):
    knobs = Knobs(min_steps=50, max_steps=60, max_event=50, min_objects=3, max_objects=4)
    scene = long_scene.sample_scene(np.random.default_rng(seed), knobs)
    assert 3 <= len(scene.objects) <= 4
    assert 200 <= scene.num_frames <= 240
    for thing in scene.objects:
        boxes = thing.boxes()
        assert (boxes >= 0).all()
        assert (boxes <= [scene.width, scene.height] * 2).all()
        assert 0.15 <= thing.extent[0] <= 0.28
        ends = [0] + [action.end for action in thing.actions]
        for before, action in zip(ends, thing.actions, strict=False):
            assert 12 <= action.end - action.begin <= 50
            assert action.begin - before >= (long_scene.GAP if before else long_scene.MARGIN)
        assert ends[-1] <= scene.num_frames - long_scene.MARGIN


def test_objects_of_the_same_look_differ_clearly_in_size():
    scenes = [sample(seed, min_objects=5) for seed in range(6)]
    alike = [
        (a.extent[0], b.extent[0])
        for scene in scenes
        for i, a in enumerate(scene.objects)
        for b in scene.objects[:i]
        if (a.shape, a.colour) == (b.shape, b.colour)
    ]
    assert alike
    assert all(max(pair) >= 1.4 * min(pair) for pair in alike)


def test_a_colour_that_changes_shows_in_the_first_and_the_last_frame_of_the_change():
    found = 0
    for seed in range(8):
        for thing in sample(seed).objects:
            for action in thing.actions:
                if action.name.startswith("turn_"):
                    found += 1
                    old, new = thing.tints[action.begin - 1], action.name[5:]
                    assert old != new
                    assert thing.tints[action.begin] == new
                    assert thing.tints[action.end - 2 : action.end] == (old, new)
                    assert set(thing.tints[action.begin : action.end]) == {old, new}
    assert found


@pytest.mark.parametrize(
    ("start", "relation"),
    [
        # The mover's centre is at x = 20 before and at x = 92 after nine steps of 8 pixels.
        ((150, 50), ("approach", True)),  # distance 130, then 58
        ((10, 50), ("leave", True)),  # 10, then 82
        ((61, 190), ("approach", False)),  # 145.9, then 143.4: hardly nearer
    ],
)
def test_a_move_approaches_or_leaves_another(start, relation):
    mover = make_object(0, start=(20, 50), step=(8, 0), actions=[Action("move_right", 5, 14)])
    ((_, name, _, clear),) = relations(mover, make_object(1, start=start))
    assert (name, clear) == relation


def test_to_approach_one_that_moves_is_not_clear():
    mover = make_object(0, start=(20, 50), step=(8, 0), actions=[Action("move_right", 5, 14)])
    other = make_object(1, start=(150, 50), step=(0, 1), actions=[Action("move_down", 10, 20)])
    assert (0, "approach", 1, False) in relations(mover, other)


def test_the_background_moves_by_whole_pixels_along_the_drift():
    drift = np.stack([np.arange(FRAMES) * 0.5, np.zeros(FRAMES)], axis=1)
    scene = Scene(64, 48, FRAMES, (), background_seed=3, drift=drift)
    frames = list(render.frames(scene))
    assert render.background(scene).shape == (48, 84, 3)  # 64 + round(19.5)
    np.testing.assert_array_equal(frames[0][:, 10:], frames[20][:, :-10])
    assert (frames[0] != frames[20]).any()


def test_the_colour_of_a_frame_is_drawn():
    thing = make_object(tints=("red",) * 20 + ("blue",) * 20)
    still = np.zeros((FRAMES, 2))
    frames = list(render.frames(Scene(96, 96, FRAMES, (thing,), 0, still)))
    np.testing.assert_array_equal(frames[19][50, 50], (225, 35, 35))
    np.testing.assert_array_equal(frames[20][50, 50], (45, 75, 235))


@pytest.mark.parametrize(
    "wrong",
    [{"min_steps": 101}, {"words": 4}, {"distractors": -0.1}, {"max_size": 0.6}, {"min_event": 3}],
)
def test_a_knob_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Knobs(**wrong)


def test_more_objects_than_fit_are_refused(monkeypatch):
    monkeypatch.setattr(long_scene, "ATTEMPTS", 1)
    with pytest.raises(ValueError, match="6 objects do not fit"):
        sample(0, min_objects=6, min_size=0.5, max_size=0.5)
