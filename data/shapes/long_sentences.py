"""Sentences of the long setting: their meanings, what they describe in a clip, and their words.

The meaning of a sentence is a `Query`: attributes of the subject, an action, the attributes of an
approached or left object, and a limit in time, such as "for the second time". `describe` finds all
queries of a clip that describe exactly one event. Like `sentences`, it is strict about what is said
and lenient about what could be meant instead.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from .colours import COLOURS
from .long_scene import RELATIONS, SIZE_RATIO, SOLOS, TURNS
from .scene import MOVES, SHAPES, Event, SceneObject

Attributes = tuple[tuple[str, str], ...]
MIN_WHILE = 0.6  # share of an event that "while" needs
SURE_FRAMES = 2  # between an event and the edges of its clip
SIZES = ("bigger", "smaller")
TIMES = ("first", "second")
ORDERS = ("after", "before", "while")
VERBS = {
    "move": ("moves {}", "is moving {}", "travels {}"),
    "turn": ("turns {}", "is turning {}", "becomes {}"),
    "spin": ("spins", "is spinning", "rotates"),
    "blink": ("blinks", "is blinking", "flashes"),
    "pulse": ("pulses", "is pulsing", "throbs"),
    "shake": ("shakes", "is shaking", "trembles"),
    "approach": ("approaches", "is approaching", "nears"),
    "leave": ("leaves", "is leaving", "quits"),
}
VALUES = {  # by the kind of slot
    "size": SIZES,
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "move": tuple(MOVES),
    "solo": SOLOS,
    "turn": TURNS,
    "relation": RELATIONS,
    "nth": TIMES,
    "own": ("after", "before"),
    "order": ORDERS,
}


@dataclasses.dataclass(frozen=True)
class Limit:
    """A limit in time.

    Attributes:
        kind: `nth` (for the first time), `own` (after it turned red) or `order` (before the star
            spins).
        word: one of `TIMES` or `ORDERS`.
        name: action of the other event, for `own` and `order`.
        subject: attributes of the other event's object, for `order`.
    """

    kind: str
    word: str
    name: str = ""
    subject: Attributes = ()


@dataclasses.dataclass(frozen=True)
class Query:
    """Meaning of a sentence; attributes are `(name, value)` of `size`, `colour` and `shape`."""

    subject: Attributes
    name: str
    other: Attributes | None = None
    limit: Limit | None = None


class Clip:
    """Events and objects in frames `[begin, end)` of a video, and what queries mean there.

    Args:
        events: all events of the video.
        things: all objects of the video.
        begin: first frame.
        end: end frame (exclusive).
    """

    def __init__(
        self, events: Sequence[Event], things: Sequence[SceneObject], begin: int, end: int
    ):
        self.begin, self.end = begin, end
        self.events = [e for e in events if e.begin < end and e.end > begin]
        self._things = things
        self._may = {}
        self._colours = {
            t.tid: {t.colour} | {a.name[5:] for a in t.actions if a.name in TURNS} for t in things
        }

    def may_be(self, attributes: Attributes) -> dict[int, SceneObject]:
        """Returns the objects, by id, that a viewer could describe by the attributes."""
        if attributes not in self._may:
            named = dict(attributes)
            size = named.pop("size", None)
            fitting = [
                t
                for t in self._things
                if named.get("shape", t.shape) == t.shape
                and named.get("colour", t.colour) in self._colours[t.tid]
            ]
            # A comparison is only clear between two.
            if size and len(fitting) == 2:
                small, big = sorted(fitting, key=lambda t: t.extent[0])
                if big.extent[0] >= SIZE_RATIO * small.extent[0]:
                    fitting = [big if size == "bigger" else small]
            self._may[attributes] = {t.tid: t for t in fitting}
        return self._may[attributes]

    def _descriptions(self, thing, frame=None) -> Iterator[Attributes]:
        """Yields the descriptions that are true of an object, at a frame or at every one."""
        true = []
        if frame is not None or len(self._colours[thing.tid]) == 1:
            true.append(("colour", thing.colour if frame is None else thing.tints[frame]))
        true.append(("shape", thing.shape))
        for count in range(len(true) + 1):
            for named in itertools.combinations(true, count):
                yield named
                rivals = list(self.may_be(named).values())
                if named and len(rivals) == 2:
                    for size in SIZES:
                        if list(self.may_be((("size", size), *named))) == [thing.tid]:
                            yield (("size", size), *named)

    def _whole(self, event):
        return self.begin + SURE_FRAMES <= event.begin and event.end <= self.end - SURE_FRAMES

    def _candidates(self, query):
        """Returns the events that could be meant without the limit."""
        subjects = self.may_be(query.subject)
        others = None if query.other is None else self.may_be(query.other)
        return [
            e
            for e in self.events
            if e.name == query.name
            and e.subject.tid in subjects
            and (others is None or e.other.tid in others)
        ]

    def answers(self, query: Query) -> list[Event]:
        """Returns the events that a query could mean.

        An event that the clip cuts counts, except for an order in time, which is then unclear: all
        events are returned.
        """
        found = self._candidates(query)
        limit = query.limit
        if limit is None:
            return found
        if limit.kind == "nth":
            if not all(self._whole(e) for e in found):
                return found
            place = TIMES.index(limit.word)
            by_subject = {}
            for event in sorted(found, key=lambda e: e.begin):
                by_subject.setdefault(event.subject.tid, []).append(event)
            return [same[place] for same in by_subject.values() if len(same) > place]
        if limit.kind == "own":
            return [
                e
                for e in found
                for other in self.events
                if other.subject is e.subject
                and other.name == limit.name
                and _could(limit.word, e, other)
            ]
        references = self._candidates(Query(limit.subject, limit.name))
        return [e for e in found if any(_could(limit.word, e, other) for other in references)]

    def describe(self, chosen: Sequence[Event]) -> list[tuple[Query, Event]]:
        """Returns the queries that describe exactly one event, with the event.

        Limits in time are used only where the sentence would be ambiguous without.

        Args:
            chosen: events that "after", "before" and "while" may refer to.
        """
        found = []
        references = list(self._references(chosen))
        for event in self.events:
            if not (event.clear and self._whole(event)):
                continue
            before = event.begin - 1
            for subject in self._descriptions(event.subject, before):
                for other in self._named_others(event):
                    query = Query(subject, event.name, other)
                    candidates = self.answers(query)
                    if candidates == [event]:
                        found.append((query, event))
                    elif other is None and event.name not in TURNS:
                        found += [
                            (dataclasses.replace(query, limit=limit), event)
                            for limit in self._limits(query, event, candidates, references)
                        ]
        return found

    def _named_others(self, event):
        if event.other is None:
            return [None]
        return [
            named
            for named in self._descriptions(event.other)
            if named and list(self.may_be(named)) == [event.other.tid]
        ]

    def _references(self, chosen):
        """Yields `(event, attributes)` of events that can be referred to."""
        for event in chosen:
            if event.other is not None or not self._whole(event):
                continue
            for subject in self._descriptions(event.subject):
                if subject and self._candidates(Query(subject, event.name)) == [event]:
                    yield event, subject

    def _limits(self, query, event, candidates, references):
        """Yields the limits under which the query describes `event` alone."""
        colours = self._colours[event.subject.tid]
        unchanged = "colour" not in dict(query.subject) or len(colours) == 1
        if not (unchanged and all(e.clear for e in candidates)):
            return
        mine = [e for e in candidates if e.subject is event.subject]
        if len(mine) > 1:
            for word in TIMES:
                yield from self._if_alone(query, event, Limit("nth", word))
            own = [e for e in self.events if e.subject is event.subject and e.other is None]
            names = [e.name for e in own]
            for other in own:
                once = names.count(other.name) == 1
                if once and self._whole(other):
                    word = "after" if event.begin >= other.end else "before"
                    limit = Limit("own", word, other.name)
                    yield from self._if_alone(query, event, limit)
        for other, subject in references:
            if other.subject is not event.subject:
                for word in ORDERS:
                    if _surely(word, event, other):
                        limit = Limit("order", word, other.name, subject)
                        yield from self._if_alone(query, event, limit)

    def _if_alone(self, query, event, limit):
        if self.answers(dataclasses.replace(query, limit=limit)) == [event]:
            yield limit


def _could(word, event, other):
    """Returns whether a viewer could say that `event` is after (before, while) `other`."""
    if word == "after":
        return event.begin > other.begin or event.end > other.end
    if word == "before":
        return event.begin < other.begin or event.end < other.end
    return event.begin < other.end and other.begin < event.end


def _surely(word, event, other):
    if word == "after":
        return event.begin >= other.end
    if word == "before":
        return event.end <= other.begin
    shared = min(event.end, other.end) - max(event.begin, other.begin)
    return shared >= MIN_WHILE * (event.end - event.begin)


def _verb_slot(name):
    for slot in ("move", "solo", "turn", "relation"):
        if name in VALUES[slot]:
            return slot
    raise ValueError(f"no such action: {name}")


def slots(query: Query) -> list[tuple[str, str, str]]:
    """Returns the places of a query that one word fills: `(part, kind of slot, value)`.

    Two queries with the same parts and slots, and values that differ in one place, are put into
    words that differ in one word.
    """
    found = [("subject", *pair) for pair in query.subject]
    found.append(("action", _verb_slot(query.name), query.name))
    found += [("other", *pair) for pair in query.other or ()]
    limit = query.limit
    if limit is not None:
        found.append(("limit", limit.kind, limit.word))
        found += [("limit subject", *pair) for pair in limit.subject]
        if limit.name:
            found.append(("limit action", _verb_slot(limit.name), limit.name))
    return found


def with_slot(query: Query, place: int, value: str) -> Query:
    """Returns a query with the value of one of its `slots` replaced."""
    filled = [
        (part, slot, value if i == place else old)
        for i, (part, slot, old) in enumerate(slots(query))
    ]

    def attributes(wanted):
        return tuple((slot, filler) for part, slot, filler in filled if part == wanted)

    one = {part: filler for part, _, filler in filled}
    limit = query.limit
    if limit is not None:
        limit = Limit(
            limit.kind, one["limit"], one.get("limit action", ""), attributes("limit subject")
        )
    other = None if query.other is None else attributes("other")
    return Query(attributes("subject"), one["action"], other, limit)


def _verb(name, phrasing):
    stem, _, value = name.partition("_")
    return VERBS[stem][phrasing].format(value)


def _noun(attributes):
    named = dict(attributes)
    words = [named.get("size"), named.get("colour"), named.get("shape", "object")]
    return " ".join(word for word in words if word)


def _predicate(query, phrasing):
    words = [_verb(query.name, phrasing)]
    if query.other is not None:
        words.append(f"the {_noun(query.other)}")
    limit = query.limit
    if limit is not None and limit.kind == "nth":
        words.append(f"for the {limit.word} time")
    elif limit is not None and limit.kind == "own":
        words.append(f"{limit.word} it {_verb(limit.name, 0).replace('turns', 'turned')}")
    elif limit is not None:
        words.append(f"{limit.word} the {_noun(limit.subject)} {_verb(limit.name, 0)}")
    return " ".join(words)


def declarative(query: Query, phrasing: int) -> str:
    """Returns a statement; `phrasing` is an index into the phrasings of `VERBS`."""
    return f"the {_noun(query.subject)} {_predicate(query, phrasing)}."


def interrogative(query: Query, phrasing: int) -> str:
    """Returns a question about a subject of which the query names at most one attribute."""
    named = dict(query.subject)
    if "shape" in named:
        asked = f"which {named['shape']}"
    elif "colour" in named:
        asked = f"which {named['colour']} object"
    else:
        asked = "what"
    return f"{asked} {_predicate(query, phrasing)}?"
