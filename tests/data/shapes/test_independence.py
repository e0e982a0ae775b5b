import numpy as np
import pytest

from data.shapes import independence


def test_a_word_that_tells_all_and_words_that_tell_nothing():
    rng = np.random.default_rng(0)
    values = rng.random([400, 2])
    # "late" is said of the upper half of the first property, "often" by chance.
    texts = [
        [f"a {'late' if value > np.median(values[:, 0]) else 'soon'} {word}."]
        for value, word in zip(values[:, 0], rng.choice(["often", "rarely"], 400), strict=True)
    ]
    first, second = independence.largest_information(texts, values, permutations=50)
    # Four of five equal bins tell on which side of the median a value is, the middle one does not:
    # 1 bit without it, and the middle bin has 1 bit left: 0.8 bits.
    assert first.word in ("late", "soon")
    assert first.bits == pytest.approx(0.8, abs=0.01)
    assert first.bits > 10 * first.chance
    assert second.bits < 0.03
    assert second.chance < 0.03


def test_sentences_of_a_record_are_shuffled_together():
    values = np.arange(40.0)[:, None]
    texts = [["a b."] * 5 for _ in range(40)]
    (found,) = independence.largest_information(texts, values, permutations=10)
    assert found.bits == pytest.approx(0, abs=1e-12)
    assert found.chance == pytest.approx(0, abs=1e-12)


def test_every_record_needs_its_tube():
    with pytest.raises(ValueError, match="texts of 2 records, properties of 3"):
        independence.largest_information([["a."], ["b."]], np.zeros([3, 1]))
