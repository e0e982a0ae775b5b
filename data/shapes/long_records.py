"""Chooses the sentences of the long setting, with minimal pairs and absent sentences.

`Selection` takes the videos of a split in order. It remembers the words of earlier videos, so that
words stay independent of the tubes (`balance`).
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from . import long_scene, long_sentences
from .balance import FIRST_BEGIN, LAST_BEGIN, Balance, bins, words
from .long_sentences import VALUES, Clip, Query
from .reader import Reader
from .scene import Event, Scene

PAIRS = 4  # of records in the whole video, if there are enough events
MOVED = 2  # sentences that are asked about two parts of a long video
PART_STEPS = 48  # minimum length of a part
PART_DRAWS = 16  # divisions of a long video that are compared
KIND_SHARES = {  # how often each kind of sentence is tried first
    "plain": 0.12,
    "relation": 0.2,
    "first": 0.12,
    "second": 0.06,
    "after": 0.2,
    "before": 0.22,
    "while": 0.08,
}
MAX_EXCESS = 1.8  # see `Balance.excess`; a sentence above is left out
MAX_MOVED_EXCESS = 2.2  # for the rarer sentences about two parts, which others make up for
CONSIDERED = 200  # pairs that are compared at a time
ABSENT_SHARE = 0.5  # of records with an absent sentence besides


@dataclasses.dataclass(frozen=True)
class Described:
    """An event of a clip `[begin, end)` with a statement and a question about it.

    Attributes:
        begin: first frame of the clip.
        end: end frame of the clip.
        event: event that the sentences describe.
        statement: statement.
        question: question; None if there is none that fits.
        properties: the `balance.PROPERTIES` of the event's tube, float `[5]`.
    """

    begin: int
    end: int
    event: Event
    statement: str
    question: str | None
    properties: np.ndarray


@dataclasses.dataclass(frozen=True)
class Absent:
    """A sentence that describes nothing in its clip `[begin, end)`.

    Attributes:
        begin: first frame of the clip.
        end: end frame of the clip.
        text: the sentence.
        qtype: `declarative` or `interrogative`.
        like: the sentence of the same clip that differs in one word and describes an event.
        reason: `object` (no such object), `event` (no such event) or `order`.
    """

    begin: int
    end: int
    text: str
    qtype: str
    like: str
    reason: str


class Candidates:
    """Everything that can be said about a scene; made once, before the choice.

    Args:
        scene: a scene of `long_scene`.
        rng: generator for the parts of long videos.
    """

    def __init__(self, scene: Scene, rng: np.random.Generator):
        self.scene = scene
        events = long_scene.events(scene)
        spans = [(0, scene.num_frames)]
        steps = scene.num_frames // long_scene.STEP
        self.clips = [Clip(events, scene.objects, 0, scene.num_frames)]
        self.found = [_describe(self.clips[0])]
        steps = scene.num_frames // long_scene.STEP
        most = (PART_STEPS + steps) // 2
        best = 0
        for _ in range(PART_DRAWS if most >= PART_STEPS + 4 else 0):
            first, second = long_scene.STEP * rng.integers(PART_STEPS, most + 1, 2)
            spans = (0, int(first)), (scene.num_frames - int(second), scene.num_frames)
            parts = [Clip(events, scene.objects, *span) for span in spans]
            found = [_describe(part) for part in parts]
            number = len(_moved(*found))
            if number > best:
                best = number
                self.clips[1:], self.found[1:] = parts, found
        self._tubes = {}
        for event in events:
            box = event.subject.boxes()[event.begin : event.end]
            x, y = (box[:, :2] + box[:, 2:]).mean(axis=0) / 2 / [scene.width, scene.height]
            side = np.sqrt(np.prod(box[:, 2:] - box[:, :2], axis=1)).mean()
            size = side / min(scene.width, scene.height)
            self._tubes[event.tube] = [event.begin, event.end - event.begin, x, y, size]

    def properties(self, event: Event, clip: Clip) -> np.ndarray:
        """Returns the `balance.PROPERTIES` of an event's tube in a clip, float `[5]`."""
        begin, *others = self._tubes[event.tube]
        return np.array([(begin - clip.begin) / (clip.end - clip.begin), *others])


def _kind(query):
    if query.limit is not None:
        return query.limit.word
    return "relation" if query.other else "plain"


def _describe(clip):
    """Returns what can be said about a clip, without events too near to its ends."""
    length = clip.end - clip.begin
    return [
        (query, event)
        for query, event in clip.describe(clip.events)
        if FIRST_BEGIN <= (event.begin - clip.begin) / length < LAST_BEGIN
    ]


def _moved(found, later):
    """Returns `(query, event, later event)` of queries that mean another event later."""
    then = dict(later)
    return [
        (query, event, then[query])
        for query, event in found
        if query.subject and query in then and then[query].tube != event.tube
    ]


class Selection:
    """Chooses sentences for the videos of a split, one after another.

    Args:
        phrasings: number of phrasings of each action.
    """

    def __init__(self, phrasings: int):
        self._phrasings = phrasings
        self._balance = Balance()
        self._flow = collections.Counter()

    def choose(
        self, rng: np.random.Generator, candidates: Candidates
    ) -> tuple[list[Described], list[Absent]]:
        """Returns the sentences of a video.

        Args:
            rng: random generator of the video.
            candidates: what can be said about it.

        Raises:
            RuntimeError: the reader disagrees with the generator of sentences, which is a bug.
        """
        whole, found = candidates.clips[0], candidates.found[0]
        described, absent, used = [], [], set()
        reader = Reader(candidates.scene)
        kinds = list(KIND_SHARES)
        for _ in range(PAIRS):
            order = rng.choice(len(kinds), len(kinds), replace=False, p=list(KIND_SHARES.values()))
            for kind in [kinds[i] for i in order]:
                free = [
                    (query, event)
                    for query, event in found
                    if _kind(query) == kind and query.subject and event.tube not in used
                ]
                chosen, phrasing = self._best(rng, free, candidates, whole)
                if chosen:
                    break
            for query, event in chosen:
                used.add(event.tube)
                one, asked = self._describe(rng, query, event, phrasing, candidates, 0)
                described.append(one)
                if rng.random() < ABSENT_SHARE:
                    absent += self._absent(rng, one, query, asked, phrasing, whole, reader)
        if len(candidates.clips) > 1:
            described += self._moved(rng, candidates)
        for one in described:
            for text in (one.statement, one.question):
                if text:
                    _check(reader, text, one)
        return described, absent

    def _best(self, rng, free, candidates, clip):
        """Returns one or two sentences, the latter different in one word, and their phrasing."""
        phrasing = int(rng.integers(self._phrasings))
        excess = {}

        def score(entry):
            query, event = entry
            if (query, event.tube) not in excess:
                text = long_sentences.declarative(query, phrasing)
                excess[query, event.tube] = self._excess(text, event, candidates, clip)
            return excess[query, event.tube]

        pairs = _one_word_apart(free)
        if len(pairs) > CONSIDERED:
            pairs = [pairs[i] for i in rng.choice(len(pairs), CONSIDERED, replace=False)]
        groups = [(max(score(a), score(b)), (a, b)) for a, b in pairs]
        best = min(groups, key=lambda group: group[0], default=(np.inf, ()))
        if best[0] > MAX_EXCESS and free:
            best = min(((score(entry), (entry,)) for entry in free), key=lambda group: group[0])
        return (best[1] if best[0] <= MAX_EXCESS else ()), phrasing

    def _excess(self, text, event, candidates, clip):
        return self._balance.excess(words(text), bins(candidates.properties(event, clip)))

    def _describe(self, rng, query, event, phrasing, candidates, place):
        """Returns an event with its statement and the best question, and counts their words."""
        clip = candidates.clips[place]
        statement = long_sentences.declarative(query, phrasing)
        asked = collections.defaultdict(list)
        for other, same in candidates.found[place]:
            named = dict(other.subject)
            if same is event and len(named) <= 1 and "size" not in named:
                index = int(rng.integers(self._phrasings))
                text = long_sentences.interrogative(other, index)
                excess = self._excess(text, event, candidates, clip)
                asked[_kind(other)].append((excess, text, other, index))
        kind = rng.choice(sorted(asked)) if asked else None
        excess, question, other, index = min(
            asked[kind], key=lambda one: one[:2], default=(np.inf, None, None, 0)
        )
        if excess > MAX_EXCESS:
            question = other = None
        properties = candidates.properties(event, clip)
        for text in (statement, question):
            if text:
                self._balance.add(words(text), bins(properties))
        one = Described(clip.begin, clip.end, event, statement, question, properties)
        return one, (other, index)

    def _moved(self, rng, candidates):
        """Returns sentences about two parts of a video in which they describe different events."""
        first, second = candidates.clips[1:]
        both = _moved(*candidates.found[1:])
        described = []
        for _ in range(MOVED):
            if not both:
                break
            phrasing = int(rng.integers(self._phrasings))
            scores = []
            for query, event, other in both:
                text = long_sentences.declarative(query, phrasing)
                scores.append(
                    max(
                        self._excess(text, event, candidates, first),
                        self._excess(text, other, candidates, second),
                    )
                )
            place = int(np.argmin(scores))
            if scores[place] > MAX_MOVED_EXCESS:
                break
            query, event, other = both[place]
            described.append(self._describe(rng, query, event, phrasing, candidates, 1)[0])
            described.append(self._describe(rng, query, other, phrasing, candidates, 2)[0])
            both = [
                entry
                for entry in both
                if entry[1].tube != event.tube and entry[2].tube != other.tube
            ]
        return described

    def _absent(self, rng, one, query, asked, phrasing, clip, reader):
        """Returns at most one sentence that differs in one word and describes nothing.

        Of all such sentences, the one that keeps each word equally frequent in absent and in
        other sentences.
        """
        qtype, text, say = "declarative", one.statement, long_sentences.declarative
        if one.question and rng.random() < 0.5:
            qtype, text, say = "interrogative", one.question, long_sentences.interrogative
            query, phrasing = asked
        found = []
        for place, (part, slot, value) in enumerate(long_sentences.slots(query)):
            for other in VALUES[slot]:
                changed = long_sentences.with_slot(query, place, other)
                if other == value or not _is_sensible(changed) or clip.answers(changed):
                    continue
                flow = self._flow[other] - self._flow[value]
                found.append((flow, rng.random(), changed, part, value, other))
        for _, _, changed, part, value, other in sorted(found, key=lambda f: f[:2]):
            changed_text = say(changed, phrasing)
            if reader.read(changed_text, clip.begin, clip.end).possible:
                continue
            self._flow[other] += 1
            self._flow[value] -= 1
            if part in ("subject", "other") and not clip.may_be(
                changed.subject if part == "subject" else changed.other
            ):
                reason = "object"
            else:
                reason = "order" if part.startswith("limit") else "event"
            return [Absent(one.begin, one.end, changed_text, qtype, text, reason)]
        return []


def _is_sensible(query):
    """Returns whether a query is more than a contradiction in itself."""
    limit = query.limit
    return limit is None or limit.kind != "own" or limit.name != query.name


def _one_word_apart(found: Sequence[tuple[Query, Event]]) -> list[tuple]:
    """Returns the pairs of queries whose words differ in one place and whose events differ."""
    groups = collections.defaultdict(list)
    for entry in found:
        filled = long_sentences.slots(entry[0])
        kinds = tuple((part, slot) for part, slot, _ in filled)
        values = tuple(value for _, _, value in filled)
        for place in range(len(filled)):
            groups[kinds, place, values[:place] + values[place + 1 :]].append(entry)
    return [
        (first, second)
        for same in groups.values()
        for i, first in enumerate(same)
        for second in same[i + 1 :]
        if first[1].tube != second[1].tube
    ]


def _check(reader, text, one):
    seen = reader.read(text, one.begin, one.end).only
    if seen is None or (seen.tid, seen.begin, seen.end) != one.event.tube:
        raise RuntimeError(f"{text!r}: expected {one.event.tube}, the reader finds {seen}")
