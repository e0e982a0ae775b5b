"""Generates scenes of the shapes data set: objects, their actions and their positions over time.

A scene is sampled from a seed. An object is at rest except during its actions, which are listed in
`ACTIONS`. Passing events are not sampled but detected: an object that moves sideways above
(beneath) a resting object, from one side of it to the other, passes above (beneath) it. Near misses
are detected as well, so that no sentence is ambiguous between a passing and a near miss.
"""

import dataclasses

import numpy as np

from .colours import COLOURS

SHAPES = ("square", "circle", "triangle", "star", "cross")
# Diameter of the circle around a shape, as a share of the frame's shorter side.
SIZES = {"small": (0.23, 0.27), "large": (0.38, 0.44)}
# A square looks smaller than its circumscribed circle, so sentences use `extent` for sizes.
SMALL_UP_TO, LARGE_FROM = 0.25, 0.29
FRAME_SIZES = ((320, 240), (256, 256), (240, 320), (288, 224))

MOVES = {
    "move_left": (-1, 0),
    "move_right": (1, 0),
    "move_up": (0, -1),
    "move_down": (0, 1),
}
PASSES = ("pass_above", "pass_beneath")
ACTIONS = (*MOVES, "grow", "shrink", "spin", "blink")

GROWTH = 1.8  # ratio of the diameters after and before growing
TURN = np.pi / 12  # radians per frame
BLINK_PERIOD = 6  # frames, half of them dim
SPEED = (2.4, 3.8)  # pixels per frame, for a shorter side of 224 pixels
MIN_ACTION, MAX_ACTION = 10, 24  # frames
GAP = 6  # minimum number of frames between two actions of an object
MAX_HIDDEN = 0.12  # maximum overlap of two boxes, as a share of the smaller box


@dataclasses.dataclass(frozen=True)
class Action:
    """An action of an object in frames `[begin, end)`."""

    name: str
    begin: int
    end: int


@dataclasses.dataclass(frozen=True)
class SceneObject:
    """An object with its state at each frame.

    Attributes:
        tid: trajectory id.
        shape: one of `SHAPES`.
        colour: one of `COLOURS`.
        size: one of `SIZES`, the range from which the diameter was sampled.
        actions: actions in order of time.
        center: float `[frames, 2]`, x and y in pixels.
        radius: float `[frames]`, radius of the circumscribed circle in pixels.
        extent: float `[frames]`, square root of the area of the unrotated box, relative to the
            frame's shorter side.
        angle: float `[frames]`, rotation in radians.
        bright: bool `[frames]`, False in the dim phase of blinking.
        tints: colour at each frame, if it changes; `colour` is the first.
    """

    tid: int
    shape: str
    colour: str
    size: str
    actions: tuple[Action, ...]
    center: np.ndarray
    radius: np.ndarray
    extent: np.ndarray
    angle: np.ndarray
    bright: np.ndarray
    tints: tuple[str, ...] | None = None

    @property
    def sizes_always(self) -> tuple[str, ...]:
        """Sizes that hold at every frame: one or none."""
        small, large = self.extent.max() <= SMALL_UP_TO, self.extent.min() >= LARGE_FROM
        return ("small",) * bool(small) + ("large",) * bool(large)

    @property
    def sizes_ever(self) -> tuple[str, ...]:
        """Sizes that a viewer might assign at some frame."""
        small, large = self.extent.min() < LARGE_FROM, self.extent.max() > SMALL_UP_TO
        return ("small",) * bool(small) + ("large",) * bool(large)

    def outline(self, frame: int) -> np.ndarray:
        """Returns the polygon of the shape at a frame, float `[corners, 2]`."""
        return outline(self.shape, self.center[frame], self.radius[frame], self.angle[frame])

    def boxes(self) -> np.ndarray:
        """Returns the tight boxes, float `[frames, 4]`, in pixels."""
        corners = outline(self.shape, self.center[:, None], self.radius[:, None, None], self.angle)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Content of a video.

    Attributes:
        width: frame width in pixels.
        height: frame height in pixels.
        num_frames: number of frames.
        objects: objects in drawing order, from back to front.
        background_seed: seed of the background.
        drift: float `[frames, 2]`, way of the background in pixels; None if it does not move.
    """

    width: int
    height: int
    num_frames: int
    objects: tuple[SceneObject, ...]
    background_seed: int
    drift: np.ndarray | None = None


def _polar(angles, radii):
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


def _unit_outlines():
    points = np.arange(10)
    arm = 0.36
    cross = [(arm, 1), (arm, arm), (1, arm), (1, -arm), (arm, -arm), (arm, -1)]
    cross = np.array(cross + [(-x, -y) for x, y in cross]) / np.hypot(1, arm)
    return {
        "square": _polar(np.pi / 4 + np.pi / 2 * np.arange(4), 1),
        "circle": _polar(2 * np.pi / 64 * np.arange(64), 1),
        "triangle": _polar(-np.pi / 2 + 2 * np.pi / 3 * np.arange(3), 1),
        "star": _polar(-np.pi / 2 + np.pi / 5 * points, np.where(points % 2, 0.45, 1)),
        "cross": cross,
    }


UNIT_OUTLINES = _unit_outlines()
UNIT_EXTENTS = {
    shape: np.sqrt(np.prod(np.ptp(corners, axis=0))) for shape, corners in UNIT_OUTLINES.items()
}


def outline(
    shape: str, center: np.ndarray, radius: float | np.ndarray, angle: float | np.ndarray
) -> np.ndarray:
    """Returns the polygon of a shape, float `[corners, 2]`.

    With `angle` as `[frames]`, `radius` as `[frames, 1, 1]` and `center` as `[frames, 1, 2]`, it
    returns the polygon at every frame, `[frames, corners, 2]`.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.moveaxis(np.array([[cos, sin], [-sin, cos]]), (0, 1), (-2, -1))
    return center + radius * (UNIT_OUTLINES[shape] @ turn)


def sample_scene(
    rng: np.random.Generator, *, num_frames: int, min_objects: int, max_objects: int
) -> Scene:
    """Samples a scene; deterministic for a given generator state."""
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    wanted = int(rng.integers(min_objects, max_objects + 1))
    objects = []
    for _ in range(60 * wanted):
        if len(objects) == wanted:
            break
        candidate = _sample_object(rng, objects, width, height, num_frames)
        if candidate and not any(overlap_share(candidate, other) > MAX_HIDDEN for other in objects):
            objects.append(candidate)
    return Scene(width, height, num_frames, tuple(objects), int(rng.integers(2**31)))


def _sample_object(rng, others, width, height, num_frames):
    shape = SHAPES[rng.integers(len(SHAPES))]
    colour = list(COLOURS)[rng.integers(len(COLOURS))]
    size = list(SIZES)[rng.integers(len(SIZES))]
    names = _sample_actions(rng, others, shape, size)
    if others and rng.random() < 0.6:  # distractor: shares an attribute with another object
        other = others[rng.integers(len(others))]
        if rng.random() < 0.25:
            colour = other.colour
        else:
            shape = other.shape
    if any((o.shape, o.colour) == (shape, colour) for o in others):
        return None
    if shape == "circle" and "spin" in names:
        return None
    actions = _sample_times(rng, names, num_frames)
    if actions is None:
        return None
    return _animate(rng, len(others), shape, colour, size, actions, width, height, num_frames)


def _sample_actions(rng, others, shape, size):
    names = []
    for _ in range(1 + int(rng.random() < 0.6)):
        seen = [action.name for other in others for action in other.actions]
        if seen and rng.random() < 0.4:  # distractor: has an action of another object
            name = seen[rng.integers(len(seen))]
        else:
            name = ACTIONS[rng.integers(len(ACTIONS))]
        names.append(name)
    if ("shrink" in names and size == "small") or ("grow" in names and size == "large"):
        names = [n for n in names if n not in ("grow", "shrink")] or ["blink"]
    return list(dict.fromkeys(names))


def _sample_times(rng, names, num_frames):
    lengths = rng.integers(MIN_ACTION, MAX_ACTION + 1, len(names))
    free = num_frames - lengths.sum() - GAP * (len(names) - 1)
    if free < 0:
        return None
    starts = np.sort(rng.integers(0, free + 1, len(names)))
    actions, used = [], 0
    for name, start, length in zip(names, starts, lengths, strict=True):
        begin = int(start + used)
        actions.append(Action(name, begin, begin + int(length)))
        used += length + GAP
    return tuple(actions)


def _animate(rng, tid, shape, colour, size, actions, width, height, num_frames):
    """Creates an object with its state at each frame; None if it does not fit into the frame."""
    short = min(width, height)
    step = np.zeros((num_frames, 2))
    scale = np.ones(num_frames)
    angle = np.zeros(num_frames)
    bright = np.ones(num_frames, bool)
    for action in actions:
        inside = slice(action.begin, action.end)
        # Progress is above 0 in the first frame of an action and 1 in the last.
        progress = np.arange(1, action.end - action.begin + 1) / (action.end - action.begin)
        if action.name in MOVES:
            speed = rng.uniform(*SPEED) * short / 224
            step[inside] = np.array(MOVES[action.name]) * speed
        elif action.name in ("grow", "shrink"):
            ratio = GROWTH if action.name == "grow" else 1 / GROWTH
            factor = ratio**progress
            scale[inside] *= factor
            scale[action.end :] *= ratio
        elif action.name == "spin":
            angle[inside] += TURN * np.arange(1, action.end - action.begin + 1)
            angle[action.end :] += TURN * (action.end - action.begin)
        else:
            bright[inside] = (np.arange(action.end - action.begin) % BLINK_PERIOD) * 2 >= (
                BLINK_PERIOD
            )
    radius = rng.uniform(*SIZES[size]) * short / 2 * scale
    path = np.cumsum(step, axis=0)
    low = radius.max() - path.min(axis=0) + 1
    high = np.array([width, height]) - radius.max() - path.max(axis=0) - 1
    if (low > high).any():
        return None
    center = rng.uniform(low, high) + path
    extent = radius * UNIT_EXTENTS[shape] / short
    return SceneObject(tid, shape, colour, size, actions, center, radius, extent, angle, bright)


def overlap_share(a: SceneObject, b: SceneObject) -> float:
    """Returns the maximum overlap of two objects' boxes, as a share of the smaller box."""
    first, second = a.boxes(), b.boxes()
    shared = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    area = np.prod(np.maximum(shared, 0), axis=1)
    smaller = np.minimum(
        np.prod(first[:, 2:] - first[:, :2], axis=1),
        np.prod(second[:, 2:] - second[:, :2], axis=1),
    )
    return float((area / smaller).max())


@dataclasses.dataclass(frozen=True)
class Event:
    """An event that a sentence can describe.

    Attributes:
        subject: acting object.
        name: one of `ACTIONS` or `PASSES`.
        other: object that is passed; None for other events.
        begin: first frame.
        end: end frame (exclusive).
        clear: False for a near miss. Near misses are never described, but sentences about clear
            events must exclude them.
    """

    subject: SceneObject
    name: str
    other: SceneObject | None
    begin: int
    end: int
    clear: bool = True

    @property
    def tube(self) -> tuple[int, int, int]:
        """Trajectory id, first frame and end frame."""
        return self.subject.tid, self.begin, self.end


def events(scene: Scene) -> list[Event]:
    """Returns all events of a scene: actions, passings and near misses."""
    found = []
    boxes = {thing.tid: thing.boxes() for thing in scene.objects}
    for subject in scene.objects:
        for action in subject.actions:
            found.append(Event(subject, action.name, None, action.begin, action.end))
            if action.name in ("move_left", "move_right"):
                for other in scene.objects:
                    if other is not subject:
                        found += _passes(subject, action, other, boxes)
    return found


def _passes(subject, action, other, boxes):
    """Returns the passings of `other` during a sideways move.

    A passing is clear if `other` is at rest, the subject moves from one side of its centre to the
    other, and the subject's box is entirely above (beneath) at every frame. It is a near miss if
    at some frame the boxes share columns and the subject's centre is higher (lower).
    """
    inside = slice(action.begin, action.end)
    mine, its = boxes[subject.tid][inside], boxes[other.tid][inside]
    shares_columns = (mine[:, 0] < its[:, 2]) & (its[:, 0] < mine[:, 2])
    lower_by = subject.center[inside, 1] - other.center[inside, 1]
    sides = np.sign(subject.center[inside, 0] - other.center[inside, 0])
    across = np.ptp(its, axis=0).max() == 0 and sides[0] != sides[-1]
    return [
        Event(subject, name, other, action.begin, action.end, clear=bool(across and wholly.all()))
        for name, wholly, at_all in (
            ("pass_above", mine[:, 3] <= its[:, 1], lower_by < 0),
            ("pass_beneath", mine[:, 1] >= its[:, 3], lower_by > 0),
        )
        if (shares_columns & at_all).any()
    ]
