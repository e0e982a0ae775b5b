"""Reads sentences of the long setting and finds their tubes in a scene: checker and oracle.

It shares no code with the generator of sentences: it parses the text with a table of its own and
observes what happens from the state of the objects at each frame, not from the list of actions.
"""

import dataclasses
import re

import numpy as np

from .scene import UNIT_EXTENTS, Scene, SceneObject

_COLOURS = "red|green|blue|yellow|purple|white"
_SHAPES = "square|circle|triangle|star|cross"
_NOUN = rf"(?:(bigger|smaller) )?(?:({_COLOURS}) )?({_SHAPES}|object)"
_VERBS = {
    r"(?:moves|is moving|travels) (left|right|up|down)": "move",
    rf"(?:turns|is turning|becomes) ({_COLOURS})": "turn",
    r"spins|is spinning|rotates": "spin",
    r"blinks|is blinking|flashes": "blink",
    r"pulses|is pulsing|throbs": "pulse",
    r"shakes|is shaking|trembles": "shake",
    rf"(?:approaches|is approaching|nears) the (?P<other>{_NOUN})": "approach",
    rf"(?:leaves|is leaving|quits) the (?P<other>{_NOUN})": "leave",
}
_SUBJECT = re.compile(rf"(?:the|which) ({_NOUN})|what")
_LIMIT = re.compile(
    r"for the (?P<nth>first|second) time|(?P<own>after|before) it (?P<did>.+)"
    rf"|(?P<order>after|before|while) the (?P<subject>{_NOUN}) (?P<verb>.+)"
)
_STILL = 2  # frames of rest that do not end an observed event
_EDGE = 2  # frames between a described event and the edges of its clip
_CLEAR_RATIO, _CLEAR_CHANGE = 0.8, 0.09  # of distances, see `_relates`


@dataclasses.dataclass(frozen=True)
class Seen:
    """An observed event; `end` is exclusive."""

    tid: int
    name: str
    begin: int
    end: int


@dataclasses.dataclass(frozen=True)
class Tubes:
    """What a sentence means in a clip.

    Attributes:
        possible: all events that it could mean.
        sure: those of which it is true without doubt.
    """

    possible: frozenset[Seen]
    sure: frozenset[Seen]

    @property
    def only(self) -> Seen | None:
        """The only event that the sentence could mean, if it is sure; else None."""
        return next(iter(self.sure)) if len(self.possible) == 1 == len(self.sure) else None


class Reader:
    """Observes the events of a scene once and reads any number of sentences about it.

    Args:
        scene: a scene of `long_scene`.
    """

    def __init__(self, scene: Scene):
        self._things = {thing.tid: thing for thing in scene.objects}
        self._short = min(scene.width, scene.height)
        self._seen = [event for thing in scene.objects for event in _observe(thing)]

    def read(self, sentence: str, begin: int, end: int) -> Tubes:
        """Returns what a sentence means in frames `[begin, end)`.

        Raises:
            ValueError: the sentence is not one of the long setting.
        """
        subject, verb, value, other, limit = _parse(sentence)
        inside = [e for e in self._seen if e.begin < end and e.end > begin]
        candidates = self._doing(inside, subject, verb, value, other)
        if limit is None:
            kept = candidates
        elif limit["nth"]:
            kept = self._nth(candidates, ("first", "second").index(limit["nth"]), begin, end)
        else:
            word = limit["own"] or limit["order"]
            phrase = _predicate((limit["did"] or limit["verb"]).replace("turned", "turns"))
            references = self._doing(inside, limit["subject"], *phrase)
            kept = {}
            for e, sure in candidates.items():
                own = {o: k for o, k in references.items() if not limit["own"] or o.tid == e.tid}
                for other, known in own.items():
                    maybe, clear = _ordered(word, e, other)
                    if maybe:
                        single = len(own) == 1 and known and _whole(other, begin, end)
                        kept[e] = sure and single and clear
        possible = frozenset(kept)
        sure = frozenset(e for e, sure in kept.items() if sure and _whole(e, begin, end))
        return Tubes(possible, sure)

    def _doing(self, inside, noun, verb, value, other):
        """Returns the events that fit a noun and a verb, with whether they surely do."""
        found = {}
        maybe, sure = self._named(noun)
        wanted = f"{verb} {value}" if value else verb
        for event in inside:
            if event.tid not in maybe:
                continue
            surely = event.tid in sure or self._has_colour_then(noun, event, maybe)
            if event.name == wanted:
                found[event] = surely
            elif other and event.name.startswith("move"):
                others, known = self._named(other)
                for tid in others - {event.tid}:
                    near, clear = self._relates(verb, event, tid)
                    if near:
                        before = found.get(event, True)
                        found[event] = before and surely and clear and known == {tid}
        return found

    def _named(self, noun):
        """Returns the ids of the objects that a noun could name and of those it surely names."""
        if noun is None:
            return set(self._things), set(self._things)
        size, colour, shape = re.fullmatch(_NOUN, noun).groups()
        maybe, sure = set(), set()
        for tid, thing in self._things.items():
            worn = set(thing.tints)
            if shape in ("object", thing.shape) and (colour is None or colour in worn):
                maybe.add(tid)
                if colour is None or worn == {colour}:
                    sure.add(tid)
        if size is None:
            return maybe, sure
        sides = {tid: self._side(tid) for tid in maybe}
        if len(maybe) != 2 or max(sides.values()) < 1.399 * min(sides.values()):
            return maybe, set()
        chosen = (max if size == "bigger" else min)(maybe, key=sides.get)
        return {chosen}, {chosen} & sure

    def _side(self, tid):
        thing = self._things[tid]
        return thing.radius[0] * UNIT_EXTENTS[thing.shape]

    def _has_colour_then(self, noun, event, maybe):
        """Returns whether an object that changes colour has the named one during an event."""
        colour = re.fullmatch(_NOUN, noun)[2] if noun else None
        worn = self._things[event.tid].tints
        during = {worn[event.begin - 1]}
        if not event.name.startswith("turn"):
            during |= set(worn[event.begin : event.end])
        return event.tid in maybe and during == {colour}

    def _relates(self, verb, event, tid):
        """Returns whether a move could be, and whether it surely is, towards (from) an object."""
        mine, its = self._things[event.tid].center, self._things[tid].center
        before, after = (
            float(np.hypot(*(mine[f] - its[f]))) for f in (event.begin - 1, event.end - 1)
        )
        if verb == "leave":
            before, after = after, before
        rests = (its[event.begin - 1 : event.end] == its[event.begin - 1]).all()
        clear = after <= _CLEAR_RATIO * before and before - after >= _CLEAR_CHANGE * self._short
        return after < before, bool(rests and clear)

    def _nth(self, candidates, place, begin, end):
        if not all(_whole(e, begin, end) for e in candidates):
            return dict.fromkeys(candidates, False)
        kept = {}
        for tid in {e.tid for e in candidates}:
            mine = sorted((e for e in candidates if e.tid == tid), key=lambda e: e.begin)
            if len(mine) > place:
                kept[mine[place]] = candidates[mine[place]] and len(mine) > 1
        return kept


def _parse(sentence):
    """Returns noun, verb, value, other noun and limit; nouns are None for "what"."""
    text = sentence.removesuffix("." if sentence.startswith("the ") else "?")
    subject = _SUBJECT.match(text)
    limit = None
    if subject and text != sentence:
        rest = text[subject.end() :].strip()
        for start in re.finditer(r" (?=for the|after|before|while)", rest):
            limit = _LIMIT.fullmatch(rest[start.end() :])
            rest = rest[: start.start()]
            break
        found = _predicate(rest)
        if found and (limit is None or _is_clause(limit)):
            return subject[1], *found, limit
    raise ValueError(f"not a sentence of the long setting: {sentence!r}")


def _is_clause(limit):
    verb = limit["verb"] or limit["did"]
    return verb is None or _predicate(verb.replace("turned", "turns")) is not None


def _predicate(text):
    """Returns verb, value and other noun of a predicate; None if there is no such verb."""
    for pattern, verb in _VERBS.items():
        match = re.fullmatch(pattern, text)
        if match:
            value = match[1] if verb in ("move", "turn") else None
            return verb, value, match.groupdict().get("other")
    return None


def _whole(event, begin, end):
    return begin + _EDGE <= event.begin and event.end <= end - _EDGE


def _ordered(word, event, other):
    """Returns whether an event could be after (before, while) another, and whether it surely is."""
    if word == "after":
        maybe = event.begin > other.begin or event.end > other.end
        return maybe, event.begin >= other.end
    if word == "before":
        maybe = event.begin < other.begin or event.end < other.end
        return maybe, event.end <= other.begin
    shared = min(event.end, other.end) - max(event.begin, other.begin)
    return shared > 0, shared >= 0.6 * (event.end - event.begin)


def _runs(changing):
    """Returns `(begin, end)` of each run of changing frames; short rests do not end a run."""
    numbers = np.flatnonzero(changing)
    if not len(numbers):
        return []
    breaks = np.flatnonzero(np.diff(numbers) > _STILL + 1)
    begins = numbers[np.concatenate([[0], breaks + 1])]
    ends = numbers[np.concatenate([breaks, [len(numbers) - 1]])] + 1
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def _observe(thing: SceneObject) -> list[Seen]:
    """Returns what an object is seen to do, from its state at each frame."""
    found = []

    def changes(values):
        return np.concatenate([[False], np.diff(values) != 0])

    x, y = thing.center.T
    for begin, end in _runs(changes(x)):
        steps = np.sign(np.diff(x[begin - 1 : end]))
        both = (steps > 0).any() and (steps < 0).any()
        name = "shake" if both else "move right" if (steps > 0).any() else "move left"
        found.append(Seen(thing.tid, name, begin, end))
    for begin, end in _runs(changes(y)):
        name = "move down" if y[end - 1] > y[begin - 1] else "move up"
        found.append(Seen(thing.tid, name, begin, end))
    found += [Seen(thing.tid, "spin", *run) for run in _runs(changes(thing.angle))]
    found += [Seen(thing.tid, "pulse", *run) for run in _runs(changes(thing.radius))]
    tints = np.unique(thing.tints, return_inverse=True)[1]
    for name, looks, pause in (("blink", thing.bright, 9), ("turn", tints, 9)):
        # Within a phase of a flicker nothing changes, so a longer rest belongs to the event.
        numbers = np.flatnonzero(changes(looks))
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > pause) + 1):
            if len(run):
                begin, end = int(run[0]), int(run[-1])
                if name == "turn":
                    found.append(Seen(thing.tid, f"turn {thing.tints[end]}", begin, end + 1))
                else:
                    found.append(Seen(thing.tid, name, begin, end))
    return found
