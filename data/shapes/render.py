"""Renders scenes of the shapes data set."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from .colours import COLOURS
from .scene import Scene, SceneObject

SUPERSAMPLING = 4
DIM = 0.25  # opacity of a blinking object in its dim phase


def background(scene: Scene) -> np.ndarray:
    """Renders the background: blocks in muted colours, uint8 `[height, width, 3]`.

    If it moves, it is larger than a frame and contains every part of the way.
    """
    size = np.array([scene.width, scene.height])
    if scene.drift is not None:
        size += np.ptp(_corners(scene), axis=0)
    rng = np.random.default_rng(scene.background_seed)
    blocks = int(rng.integers(4, 12))
    tint = rng.uniform(70, 130, 3)
    colours = np.clip(tint + rng.normal(0, 16, (blocks, blocks, 3)), 0, 255).astype(np.uint8)
    kind = Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC
    picture = np.asarray(Image.fromarray(colours).resize(tuple(size.tolist()), kind))
    noise = rng.normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _corners(scene):
    """Returns the upper left corner of each frame in the moving background, int `[frames, 2]`."""
    way = scene.drift.round().astype(int)
    return way - way.min(axis=0)


def frames(scene: Scene) -> Iterator[np.ndarray]:
    """Yields the frames of a scene, uint8 RGB `[height, width, 3]`."""
    ground = background(scene).astype(np.float32)
    corners = np.zeros((scene.num_frames, 2), int) if scene.drift is None else _corners(scene)
    masks = [None] * len(scene.objects)
    for number, (x, y) in enumerate(corners.tolist()):
        picture = ground[y : y + scene.height, x : x + scene.width].copy()
        for i, thing in enumerate(scene.objects):
            if number == 0 or _moved(thing, number):
                masks[i] = _mask(thing, number, scene)
            opacity, top, left = masks[i]
            if not thing.bright[number]:
                opacity = opacity * DIM
            area = picture[top : top + opacity.shape[0], left : left + opacity.shape[1]]
            colour = thing.colour if thing.tints is None else thing.tints[number]
            area += opacity * (np.float32(COLOURS[colour]) - area)
        yield picture.round().astype(np.uint8)


def _moved(thing: SceneObject, number: int) -> bool:
    now, before = number, number - 1
    return (
        (thing.center[now] != thing.center[before]).any()
        or thing.radius[now] != thing.radius[before]
        or thing.angle[now] != thing.angle[before]
    )


def _mask(thing: SceneObject, number: int, scene: Scene) -> tuple[np.ndarray, int, int]:
    """Returns the anti-aliased opacity `[h, w, 1]` of an object and its top and left pixel."""
    corners = thing.outline(number)
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, scene.width), min(bottom, scene.height)
    tile = Image.new("L", ((right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING))
    points = (corners - [left, top]) * SUPERSAMPLING - 0.5
    ImageDraw.Draw(tile).polygon([tuple(point) for point in points], fill=255)
    small = tile.resize((right - left, bottom - top), Image.Resampling.BOX)
    return np.asarray(small, np.float32)[..., None] / 255, top, left
