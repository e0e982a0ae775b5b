"""Measures how much the words of sentences tell of where and when their tubes are."""

import dataclasses
from collections.abc import Sequence

import numpy as np

BINS = 5
SHARE_OF_CHANCE = 0.95


@dataclasses.dataclass(frozen=True)
class Information:
    """Mutual information between a word and a property of the tubes, in bits.

    Attributes:
        word: word with the most information about the property.
        bits: its mutual information.
        chance: 95th percentile of the same maximum over words, with tubes shuffled among records.
    """

    word: str
    bits: float
    chance: float


def largest_information(
    texts: Sequence[Sequence[str]],
    properties: np.ndarray,
    *,
    permutations: int = 200,
    seed: int = 0,
) -> list[Information]:
    """Returns the largest mutual information of any word with each property.

    Args:
        texts: sentences of each record; all sentences of a record have the same tube.
        properties: float `[records, properties]`; each is cut into five bins of equal frequency.
        permutations: number of shuffles.
        seed: random seed of the shuffles.

    Returns:
        One entry for each property.

    Raises:
        ValueError: the numbers of records differ.
    """
    if len(texts) != len(properties):
        raise ValueError(f"texts of {len(texts)} records, properties of {len(properties)}")
    owners = np.repeat(np.arange(len(texts)), [len(texts_of_one) for texts_of_one in texts])
    named = [set(text.rstrip(".?").split()) for one in texts for text in one]
    vocabulary = sorted(set().union(*named))
    present = np.array([[word in words for word in vocabulary] for words in named], float)
    cuts = np.quantile(properties, np.arange(1, BINS) / BINS, axis=0)
    places = (properties[None] >= cuts[:, None]).sum(axis=0)
    rng = np.random.default_rng(seed)
    shuffles = [rng.permutation(len(texts)) for _ in range(permutations)]
    found = []
    for column in places.T:
        one_hot = np.eye(BINS)[column]
        bits = _information(present, one_hot[owners])
        chance = [_information(present, one_hot[s][owners]).max() for s in shuffles]
        place = int(bits.argmax())
        threshold = float(np.quantile(chance, SHARE_OF_CHANCE))
        found.append(Information(vocabulary[place], float(bits[place]), threshold))
    return found


def _information(present, one_hot):
    """Returns the mutual information of each word's presence with the bins, in bits `[words]`."""
    number = len(present)
    shares = one_hot.mean(axis=0)
    frequency = present.mean(axis=0)
    with_word = present.T @ one_hot / number
    bits = np.zeros(present.shape[1])
    for joint, share in ((with_word, frequency), (shares - with_word, 1 - frequency)):
        expected = share[:, None] * shares
        ratio = np.divide(joint, expected, out=np.ones_like(joint), where=joint > 1e-12)
        bits += (joint * np.log2(ratio)).sum(axis=1)
    return bits
