"""Generates sentences about scenes; each sentence describes exactly one tube.

The meaning of a sentence is a `Query`: attributes of the subject, an action and, for passing, the
attributes of the other object. A sentence is used only if it clearly describes one event of the
clip and cannot be mistaken for another one.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from .scene import Event, SceneObject

VERBS = {
    "move_left": ("moves left", "is moving left", "goes to the left"),
    "move_right": ("moves right", "is moving right", "goes to the right"),
    "move_up": ("moves up", "is moving up", "rises"),
    "move_down": ("moves down", "is moving down", "sinks"),
    "grow": ("grows", "is growing", "gets bigger"),
    "shrink": ("shrinks", "is shrinking", "gets smaller"),
    "spin": ("spins", "is spinning", "turns around"),
    "blink": ("blinks", "is blinking", "flashes"),
    "pass_above": ("passes above", "is passing above", "goes by above"),
    "pass_beneath": ("passes beneath", "is passing beneath", "goes by beneath"),
}


@dataclasses.dataclass(frozen=True)
class Query:
    """Meaning of a sentence: attributes by name (`size`, `colour`, `shape`) and an action."""

    subject: tuple[tuple[str, str], ...]
    name: str
    other: tuple[tuple[str, str], ...] | None = None


def may_describe(attributes: Sequence[tuple[str, str]], thing: SceneObject) -> bool:
    """Returns whether a viewer could assign all attributes to an object."""
    return all(
        value in thing.sizes_ever if name == "size" else value == getattr(thing, name)
        for name, value in attributes
    )


def answers(query: Query, events: Sequence[Event], begin: int, end: int) -> list[Event]:
    """Returns the events in frames `[begin, end)` that a query could describe."""
    return [
        event
        for event in events
        if event.name == query.name
        and event.begin < end
        and event.end > begin
        and may_describe(query.subject, event.subject)
        and (query.other is None or may_describe(query.other, event.other))
    ]


def _descriptions(thing: SceneObject) -> Iterator[tuple[tuple[str, str], ...]]:
    """Yields all descriptions that hold for an object at every frame, shortest first."""
    true = [("size", size) for size in thing.sizes_always]
    true += [("colour", thing.colour), ("shape", thing.shape)]
    for count in range(len(true) + 1):
        yield from itertools.combinations(true, count)


def _noun(attributes: Sequence[tuple[str, str]]) -> str:
    values = dict(attributes)
    words = [values.get("size"), values.get("colour"), values.get("shape", "object")]
    return " ".join(word for word in words if word)


def _choose(rng, items):
    return items[rng.integers(len(items))]


def declarative(
    rng: np.random.Generator, event: Event, events: Sequence[Event], begin: int, end: int
) -> str | None:
    """Returns a statement that describes only `event` in frames `[begin, end)`; None if impossible.

    The statement names the subject's colour and at least one more attribute.
    """
    query = declarative_query(rng, event, events, begin, end)
    return None if query is None else statement(rng, query)


def declarative_query(
    rng: np.random.Generator, event: Event, events: Sequence[Event], begin: int, end: int
) -> Query | None:
    """Returns the meaning of a statement; see `declarative`."""
    fitting = [
        query
        for query in _queries(event, events)
        if len(query.subject) >= 2
        and "colour" in dict(query.subject)
        and answers(query, events, begin, end) == [event]
    ]
    return _choose(rng, fitting) if fitting else None


def statement(rng: np.random.Generator, query: Query) -> str:
    """Returns a statement with the meaning of `query`."""
    article = _choose(rng, ("the", "a"))
    sentence = f"{article} {_noun(query.subject)} {_choose(rng, VERBS[query.name])}"
    return f"{sentence} the {_noun(query.other)}." if query.other else f"{sentence}."


def interrogative(
    rng: np.random.Generator, event: Event, events: Sequence[Event], begin: int, end: int
) -> str | None:
    """Returns a question answered only by `event` in frames `[begin, end)`; None if impossible.

    The question names at most one attribute of the subject.
    """
    fitting = [
        query
        for query in _queries(event, events)
        if len(query.subject) <= 1
        and "size" not in dict(query.subject)
        and answers(query, events, begin, end) == [event]
    ]
    if not fitting:
        return None
    query = _choose(rng, fitting)
    verb = _choose(rng, VERBS[query.name])
    named = dict(query.subject)
    if "shape" in named:
        asked = f"which {named['shape']} {verb}"
    elif "colour" in named:
        asked = _choose(
            rng, (f"what {named['colour']} thing {verb}", f"which {named['colour']} object {verb}")
        )
    else:
        asked = f"what {verb}"
    return f"{asked} the {_noun(query.other)}?" if query.other else f"{asked}?"


def _queries(event: Event, events: Sequence[Event]) -> Iterator[Query]:
    """Yields queries that describe an event; a passed object is described unambiguously."""
    things = {thing.tid: thing for e in events for thing in (e.subject, e.other) if thing}
    if event.other is None:
        named = [None]
    else:
        named = [
            attributes
            for attributes in _descriptions(event.other)
            if attributes
            and [t.tid for t in things.values() if may_describe(attributes, t)] == [event.other.tid]
        ]
    for other in named:
        for subject in _descriptions(event.subject):
            yield Query(subject, event.name, other)
