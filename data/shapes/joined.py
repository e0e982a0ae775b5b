"""Long videos of many short scenes, with sentences that describe one place only.

The scenes are those of the default setting, one after the other, all of one size. No scene but its
own has an event that a viewer could take for the one that a sentence describes.
"""

import dataclasses

import numpy as np

from . import scene as scenes
from . import sentences

ATTEMPTS = 10_000  # scenes that are sampled for one place
SCENE_FRAMES = 48


@dataclasses.dataclass(frozen=True)
class Described:
    """A sentence about one event of a joined video.

    Attributes:
        text: the sentence.
        scene: number of the scene.
        event: the event; its frames count from the begin of the scene.
    """

    text: str
    scene: int
    event: scenes.Event


def sample(
    rng: np.random.Generator,
    *,
    num_scenes: int,
    num_sentences: int,
    min_objects: int = 2,
    max_objects: int = 3,
) -> tuple[list[scenes.Scene], list[Described]]:
    """Samples scenes and sentences; deterministic for a given generator state.

    Args:
        rng: random generator.
        num_scenes: number of scenes.
        num_sentences: number of sentences, each about another scene.
        min_objects: minimum number of objects per scene, if they fit.
        max_objects: maximum number of objects per scene.

    Raises:
        ValueError: there are fewer scenes than sentences, or no scene fits at some place.
    """
    if num_scenes < num_sentences:
        raise ValueError(f"{num_sentences} sentences need as many scenes, got {num_scenes}")
    size, asked, found = None, [], {}

    def sample_scene():
        """A scene of the common size in which no sentence so far has an answer, and its events."""
        for _ in range(ATTEMPTS):
            scene = scenes.sample_scene(
                rng, num_frames=SCENE_FRAMES, min_objects=min_objects, max_objects=max_objects
            )
            events = scenes.events(scene)
            if size not in (None, (scene.width, scene.height)):
                continue
            if not any(_is_answered(query, events) for query, _ in asked):
                return scene, events
        raise ValueError(f"no scene fits to {num_sentences} sentences; use fewer")

    places = sorted(rng.choice(num_scenes, num_sentences, replace=False).tolist())
    while len(asked) < num_sentences:
        scene, events = sample_scene()
        chosen = _describe(rng, events, [events for _, _, events in found.values()])
        if chosen is not None:
            query, event = chosen
            size = (scene.width, scene.height)
            found[places[len(asked)]] = (scene, event, events)
            asked.append((query, sentences.statement(rng, query)))
    every = [
        found[number][0] if number in found else sample_scene()[0] for number in range(num_scenes)
    ]
    described = [
        Described(text, place, found[place][1])
        for place, (_, text) in zip(places, asked, strict=True)
    ]
    return every, described


def _describe(rng, events, others):
    """Returns a query of one of the events that has no answer in other scenes, and the event."""
    for number in rng.permutation(len(events)).tolist():
        if not events[number].clear:
            continue
        query = sentences.declarative_query(rng, events[number], events, 0, SCENE_FRAMES)
        if query is not None and not any(_is_answered(query, elsewhere) for elsewhere in others):
            return query, events[number]
    return None


def _is_answered(query, events):
    return bool(sentences.answers(query, events, 0, SCENE_FRAMES))
