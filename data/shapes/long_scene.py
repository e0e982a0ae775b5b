"""Generates scenes of the long setting: many objects with several events each.

Differences from `scene`: more and smaller objects, actions of 12 to 200 frames with clear first and
last frames, two actions that repeat a motion (pulsing and shaking), changes of colour, and a moving
background. Approaching and leaving are not sampled but detected, with near misses, like passing in
`scene`.
"""

import dataclasses

import numpy as np

from .colours import COLOURS
from .scene import (
    MOVES,
    SHAPES,
    TURN,
    UNIT_EXTENTS,
    Action,
    Event,
    Scene,
    SceneObject,
    overlap_share,
)

STEP = 4  # frames per step of the model
FRAME_SIZES = ((224, 168), (192, 192), (168, 224), (208, 160))
SOLOS = ("spin", "blink", "pulse", "shake")
TURNS = tuple(f"turn_{colour}" for colour in COLOURS)
RELATIONS = ("approach", "leave")
KINDS = (*MOVES, *SOLOS, "turn")

ATTEMPTS = 5  # scenes that are begun before the objects are said not to fit
MARGIN = 4  # frames at rest at the begin and the end of a video
LONG_REST = 4.0  # weight of the rest before or after all events of an object
GAP = 12  # minimum number of frames between two actions of an object
MAX_ACTIONS = 7
ECHO = 0.4  # share of objects that do the same before and after a change of colour
MAX_HIDDEN = 0.15  # maximum overlap of two boxes, as a share of the smaller box
SIZE_RATIO = 1.4  # of two objects that a sentence calls bigger and smaller
PERIOD = 8  # frames of a pulse or a shake
FLICKER = 3  # frames of a phase of blinking or turning
PULSE = 0.22  # change of the radius, to both sides
SHAKE = 0.04  # amplitude, as a share of the shorter side
CLEARLY_NEARER = 0.8  # ratio of the distances after and before approaching
CLEAR_DISTANCE = 0.09  # change of the distance, as a share of the shorter side
SLOWEST, FASTEST = 0.6, 3.5  # pixels per frame, for a shorter side of 224 pixels
SHORTEST_WAY, LONGEST_WAY = 24, 110  # pixels, for a shorter side of 224 pixels


@dataclasses.dataclass(frozen=True)
class Knobs:
    """What makes the long setting easier or harder.

    Attributes:
        min_steps: minimum length of a video, in steps of 4 frames.
        max_steps: maximum length; short videos are more frequent than long ones.
        min_event: minimum length of an action in frames.
        max_event: maximum length of an action in frames.
        min_objects: minimum number of objects.
        max_objects: maximum number of objects, if they fit.
        distractors: share of objects, after the first, that copy another object in all but one of
            colour, shape and size, and repeat some of its actions.
        speed: factor of the speeds of moving objects.
        min_size: minimum side of an object's box at rest, as a share of the shorter side.
        max_size: maximum side.
        drift: maximum speed of the background, in pixels per frame; 0 keeps it still.
        words: number of phrasings of each action, 1 to 3.
    """

    min_steps: int = 48
    max_steps: int = 100
    min_event: int = 12
    max_event: int = 200
    min_objects: int = 3
    max_objects: int = 6
    distractors: float = 0.7
    speed: float = 1.0
    min_size: float = 0.15
    max_size: float = 0.28
    drift: float = 0.8
    words: int = 3

    def __post_init__(self):
        """Checks the ranges.

        Raises:
            ValueError: a knob is out of its range.
        """
        for low, high, least in (
            ("min_steps", "max_steps", 24),
            ("min_event", "max_event", 12),
            ("min_objects", "max_objects", 2),
            ("min_size", "max_size", 0.05),
        ):
            if not least <= getattr(self, low) <= getattr(self, high):
                raise ValueError(f"knobs {low}, {high}: expected {least} <= {low} <= {high}")
        for name, least, most in (
            ("distractors", 0, 1),
            ("speed", 0.5, 2),
            ("max_size", 0, 0.5),
            ("drift", 0, 5),
            ("words", 1, 3),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"knob {name}: expected {least} to {most}")


def sample_scene(rng: np.random.Generator, knobs: Knobs) -> Scene:
    """Samples a scene; deterministic for a given generator state.

    Raises:
        ValueError: the objects do not fit into the frame.
    """
    spread = rng.random() ** 2.5
    steps = knobs.min_steps + int(spread * (knobs.max_steps - knobs.min_steps + 1))
    num_frames = STEP * steps
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    wanted = int(rng.integers(knobs.min_objects, knobs.max_objects + 1))
    for _ in range(ATTEMPTS):
        objects = []
        for _ in range(80 * wanted):
            if len(objects) == wanted:
                break
            candidate = _sample_object(rng, objects, width, height, num_frames, knobs)
            if candidate and not any(
                overlap_share(candidate, other) > MAX_HIDDEN for other in objects
            ):
                objects.append(candidate)
        if len(objects) >= knobs.min_objects:
            drift = _sample_drift(rng, num_frames, knobs.drift)
            seed = int(rng.integers(2**31))
            return Scene(width, height, num_frames, tuple(objects), seed, drift)
    raise ValueError(
        f"{wanted} objects do not fit; lower the knobs min_objects, max_size or max_event"
    )


def _sample_drift(rng, num_frames, fastest):
    """Returns the way of the background in pixels, float `[frames, 2]`."""
    frames = np.arange(num_frames)[:, None]
    direction = rng.uniform(0, 2 * np.pi)
    steady = rng.uniform(0.2, 0.7) * fastest * np.array([np.cos(direction), np.sin(direction)])
    swing, phase = rng.uniform(0, 0.3, 2) * fastest, rng.uniform(0, 2 * np.pi, 2)
    period = rng.uniform(60, 160)
    return frames * steady + swing * period / (2 * np.pi) * np.sin(
        2 * np.pi * frames / period + phase
    )


def _sample_object(rng, others, width, height, num_frames, knobs):
    shape = SHAPES[rng.integers(len(SHAPES))]
    colour = list(COLOURS)[rng.integers(len(COLOURS))]
    extent = rng.uniform(knobs.min_size, knobs.max_size)
    model = None
    if others and rng.random() < knobs.distractors:
        model = others[rng.integers(len(others))]
        differing = rng.choice(["colour", "shape", "size"], p=[0.4, 0.4, 0.2])
        shape = shape if differing == "shape" else model.shape
        colour = colour if differing == "colour" else model.colour
        if differing != "size":
            extent = model.extent[0] * rng.uniform(0.95, 1.05)
            extent = min(max(extent, knobs.min_size), knobs.max_size)
    for other in others:
        ratio = max(extent / other.extent[0], other.extent[0] / extent)
        if (other.shape, other.colour) == (shape, colour) and ratio < SIZE_RATIO * 1.03:
            return None
    spans = _sample_spans(rng, num_frames, knobs)
    actions = _sample_actions(rng, spans, shape, colour, model)
    return _animate(
        rng, len(others), shape, colour, extent, actions, width, height, num_frames, knobs.speed
    )


def _sample_spans(rng, num_frames, knobs):
    """Returns `(begin, end)` of each action of an object."""
    count = int(rng.integers(3, MAX_ACTIONS + 1))
    longest = max(knobs.min_event, min(knobs.max_event, int(0.6 * num_frames)))
    low, high = np.log(knobs.min_event), np.log(longest + 1)
    while True:
        lengths = np.exp(rng.uniform(low, high, count)).astype(int)
        free = num_frames - 2 * MARGIN - lengths.sum() - GAP * (count - 1)
        if free >= 0:
            break
        count = max(count - int(rng.random() < 0.3), 1)
    # A long rest before all events or after them, so that a first one can be late, a second early.
    weights = np.full(count + 1, 0.4)
    weights[-int(rng.random() < 0.5)] += LONG_REST * rng.random()
    rests = (rng.dirichlet(weights) * free).astype(int)
    begins = MARGIN + np.cumsum(rests[:-1]) + np.cumsum(lengths) - lengths + GAP * np.arange(count)
    return [(int(b), int(b + n)) for b, n in zip(begins, lengths, strict=True)]


def _sample_actions(rng, spans, shape, colour, model):
    names = []
    for _ in spans:
        own = [name for name in names if name != "turn"]
        draw = rng.random()
        if own and draw < 0.35:
            name = own[rng.integers(len(own))]
        elif model is not None and draw < 0.8:
            name = model.actions[rng.integers(len(model.actions))].name
            name = "turn" if name in TURNS else name
        else:
            name = KINDS[rng.integers(len(KINDS))]
        if name == "turn" and names.count("turn") == 1:
            name = "blink"
        if name == "spin" and shape == "circle":
            name = "pulse"
        names.append(name)
    if len(names) > 2 and "turn" not in names and rng.random() < ECHO:
        place = int(rng.integers(1, len(names) - 1))
        names[place - 1 : place + 2] = [names[place - 1], "turn", names[place - 1]]
    actions = []
    for name, span in zip(names, spans, strict=True):
        if name == "turn":
            colour = [c for c in COLOURS if c != colour][rng.integers(len(COLOURS) - 1)]
        actions.append(Action(f"turn_{colour}" if name == "turn" else name, *span))
    return tuple(actions)


def _phases(length):
    """Returns for each frame whether a flicker is on; it is on in the first and the last frame."""
    count = 2 * max(1, round((length / FLICKER - 1) / 2)) + 1
    return np.arange(length) * count // length % 2 == 0


def _animate(rng, tid, shape, colour, extent, actions, width, height, num_frames, speed):
    """Creates an object with its state at each frame; None if it does not fit into the frame."""
    short = min(width, height)
    step = np.zeros((num_frames, 2))
    swing = np.zeros((num_frames, 2))
    scale = np.ones(num_frames)
    angle = np.zeros(num_frames)
    bright = np.ones(num_frames, bool)
    tints = np.full(num_frames, list(COLOURS).index(colour))
    for action in actions:
        inside = slice(action.begin, action.end)
        length = action.end - action.begin
        count = np.arange(1, length + 1)
        # Rounded, so that the last frame is exactly at rest again.
        wave = np.sin(2 * np.pi * max(1, round(length / PERIOD)) * count / length).round(9)
        if action.name in MOVES:
            low = max(SLOWEST * speed, SHORTEST_WAY / length)
            high = max(min(FASTEST * speed, LONGEST_WAY / length), low)
            step[inside] = np.array(MOVES[action.name]) * rng.uniform(low, high) * short / 224
        elif action.name == "pulse":
            scale[inside] += PULSE * wave
        elif action.name == "shake":
            swing[inside, 0] = SHAKE * short * wave
        elif action.name == "spin":
            angle[inside] += TURN * count
            angle[action.end :] += TURN * length
        elif action.name == "blink":
            bright[inside] = ~_phases(length)
        else:
            new = list(COLOURS).index(action.name.removeprefix("turn_"))
            # The old colour is back once more before the last frame, which shows the end.
            on = np.append(_phases(length - 1)[:-1], [False, True])
            tints[inside] = np.where(on, new, tints[inside])
            tints[action.end :] = new
    radius = extent / UNIT_EXTENTS[shape] * short * scale
    path = np.cumsum(step, axis=0) + swing
    low = radius.max() - path.min(axis=0) + 1
    high = np.array([width, height]) - radius.max() - path.max(axis=0) - 1
    if (low > high).any():
        return None
    center = rng.uniform(low, high) + path
    return SceneObject(
        tid=tid,
        shape=shape,
        colour=colour,
        size="",
        actions=actions,
        center=center,
        radius=radius,
        extent=extent * scale,
        angle=angle,
        bright=bright,
        tints=tuple(list(COLOURS)[tint] for tint in tints),
    )


def events(scene: Scene) -> list[Event]:
    """Returns all events of a scene: actions, approaching, leaving, and near misses of these."""
    found = []
    for subject in scene.objects:
        for action in subject.actions:
            found.append(Event(subject, action.name, None, action.begin, action.end))
            if action.name in MOVES:
                for other in scene.objects:
                    if other is not subject:
                        found += _relations(subject, action, other, min(scene.width, scene.height))
    return found


def _relations(subject, action, other, short):
    """Returns the approaching or leaving of `other` during a move.

    It is clear if `other` rests and the distance changes much, and a near miss if it changes at
    all.
    """
    ends = [action.begin - 1, action.end - 1]
    before, after = np.linalg.norm(subject.center[ends] - other.center[ends], axis=1)
    near, far = min(before, after), max(before, after)
    its = other.center[action.begin - 1 : action.end]
    clear = (
        np.ptp(its, axis=0).max() == 0
        and near <= CLEARLY_NEARER * far
        and far - near >= CLEAR_DISTANCE * short
    )
    name = "approach" if after < before else "leave"
    return [Event(subject, name, other, action.begin, action.end, clear=bool(clear))]
