import dataclasses

import numpy as np
import pytest

from data.shapes import render as shapes_render
from data.shapes import scene as shapes_scene
from data.shapes.colours import COLOURS
from data.shapes.scene import Scene, SceneObject

FRAMES = 8


def make_scene(*objects):
    return Scene(96, 80, FRAMES, objects, background_seed=5)


def make_object(shape="square", *, tid=0, colour="red", center=(40, 40), angle=0.0, dim=()):
    bright = np.ones(FRAMES, bool)
    bright[list(dim)] = False
    return SceneObject(
        tid=tid,
        shape=shape,
        colour=colour,
        size="small",
        actions=(),
        center=np.tile(np.array(center, float), (FRAMES, 1)),
        radius=np.full(FRAMES, 14.0),
        extent=np.full(FRAMES, 0.2),
        angle=np.full(FRAMES, angle),
        bright=bright,
    )


def frames(scene):
    return list(shapes_render.frames(scene))


@pytest.mark.parametrize("shape", shapes_scene.SHAPES)
@pytest.mark.parametrize("angle", [0, 0.4])
def test_the_box_fits_the_drawn_object_tightly(shape, angle):
    scene = make_scene(make_object(shape, center=(40.3, 39.6), angle=angle))
    difference = frames(scene)[0].astype(int) - shapes_render.background(scene)
    rows, columns = np.nonzero(np.abs(difference).max(axis=2) > 6)
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    box = scene.objects[0].boxes()[0]
    # Half a pixel at a corner may be too thin to be visible.
    assert np.abs(seen - box).max() < 1.5
    assert (seen[:2] >= np.floor(box[:2])).all()
    assert (seen[2:] <= np.ceil(box[2:])).all()


def test_the_object_has_its_colour_on_the_background():
    scene = make_scene(make_object())
    picture = frames(scene)[0]
    np.testing.assert_array_equal(picture[40, 40], COLOURS["red"])
    np.testing.assert_array_equal(picture[:20], shapes_render.background(scene)[:20])


def test_a_blinking_object_is_dimmed_but_visible():
    scene = make_scene(make_object(colour="white", dim=[3]))
    red = [int(picture[40, 40, 0]) for picture in frames(scene)]
    ground = int(shapes_render.background(scene)[40, 40, 0])
    assert red[2] == red[4] == 245
    assert red[3] == pytest.approx(ground + shapes_render.DIM * (245 - ground), abs=1)


def test_the_later_object_is_in_front():
    back, front = make_object(), make_object(tid=1, colour="blue")
    picture = frames(make_scene(back, front))[0]
    np.testing.assert_array_equal(picture[40, 40], COLOURS["blue"])


def test_a_resting_object_looks_the_same_and_a_moving_one_changes_place():
    thing = make_object()
    center = thing.center + np.arange(FRAMES)[:, None] * [3, 0] * (np.arange(FRAMES) > 3)[:, None]
    pictures = frames(make_scene(dataclasses.replace(thing, center=center)))
    np.testing.assert_array_equal(pictures[0], pictures[3])
    moved = np.flatnonzero((pictures[7] != pictures[0])[40].any(axis=1))
    assert moved.min() == 30  # left edge of a square of radius 14 about x = 40
    assert moved.max() == 70  # its right edge, 21 pixels further


def test_frames_are_uint8_with_even_width_and_height():
    pictures = frames(make_scene(make_object()))
    assert len(pictures) == FRAMES
    assert {(p.shape, p.dtype) for p in pictures} == {((80, 96, 3), np.dtype(np.uint8))}
    for width, height in shapes_scene.FRAME_SIZES:
        assert width % 2 == height % 2 == 0
