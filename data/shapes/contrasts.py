"""Lists minimal pairs: sentences of one video that are nearly the same and have other tubes.

Two kinds: `word`, two sentences about the same clip that differ in one word, and `moved`, the same
sentence about two clips in which it describes different events. The pairs are found by comparing
texts, however they were made.
"""

import itertools
from collections.abc import Iterator, Sequence


def minimal_pairs(records: Sequence[dict], split: str) -> list[dict]:
    """Returns the minimal pairs of a split.

    Args:
        records: VidSTG records of the split, in the order of the annotation file.
        split: name of the split, for the ids of sentences.

    Returns:
        Dictionaries with `kind`, `vid`, `first` and `second` (ids of sentences, as in the records
        of `data.prepare` and in predictions) and `words`, the differing words; empty for `moved`.
    """
    by_video = {}
    for number, record in enumerate(records):
        by_video.setdefault(record["vid"], []).extend(_sentences(record, f"{split}-{number:05d}"))
    found = []
    for vid, sentences in by_video.items():
        for first, second in itertools.combinations(sentences, 2):
            clips, tubes = ((first[i], second[i]) for i in (2, 3))
            words = list(zip(first[1].split(), second[1].split(), strict=False))
            differing = [pair for pair in words if pair[0] != pair[1]]
            same_length = len(first[1].split()) == len(second[1].split())
            if tubes[0] == tubes[1] or not same_length:
                continue
            if clips[0] == clips[1] and len(differing) == 1:
                kind, changed = "word", [word.rstrip(".?") for word in differing[0]]
            elif clips[0] != clips[1] and not differing:
                kind, changed = "moved", []
            else:
                continue
            found.append(
                {
                    "kind": kind,
                    "vid": vid,
                    "first": first[0],
                    "second": second[0],
                    "words": changed,
                }
            )
    return found


def _sentences(record, record_id) -> Iterator[tuple[str, str, tuple, tuple]]:
    """Yields id, text, clip and tube of each sentence of a record."""
    clip = tuple(record["used_segment"].values())
    for letter, field in (("d", "captions"), ("i", "questions")):
        for k, asked in enumerate(record[field]):
            tube = (asked["target_id"], *record["temporal_gt"].values())
            yield f"{record_id}-{letter}{k}", asked["description"], clip, tube
