"""Paired comparison over seeds, against scipy's own tests and by hand."""

import numpy as np
import pytest
from scipy import stats

from gkcmn_tf.evaluation.paired_seeds import paired_difference


def test_interval_and_p_value_equal_those_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 7), rng.normal(0, 1, 7)
    found = paired_difference(a, b)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose(found.interval, [expected.low, expected.high])
    test = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert found.p_value == pytest.approx(test.pvalue)


def test_six_equal_signs_have_a_p_value_of_two_in_64():
    found = paired_difference([1, 2, 3, 4, 5, 6], np.zeros(6))
    assert found.p_value == 2 / 64
    assert found.verdict == "better"
    assert paired_difference(np.zeros(6), [1, 2, 3, 4, 5, 6]).verdict == "worse"


def test_an_interval_that_includes_zero_does_not_distinguish():
    assert paired_difference([1, -1, 2, -2, 1, -1], np.zeros(6)).verdict == "not distinguishable"


def test_equal_variants_do_not_differ():
    found = paired_difference([1.0] * 6, [1.0] * 6)
    assert (found.mean, found.p_value, found.verdict) == (0, 1, "not distinguishable")


def test_fewer_than_six_seeds_show_nothing_and_one_has_no_interval():
    few = paired_difference([5, 6, 7], [1, 1, 1])
    assert few.verdict == "fewer than 6 seeds: shows nothing"
    assert str(few) == "+5.00 [+2.52, +7.48], p = 0.250"
    assert str(paired_difference([5], [1])) == "+4.00"


def test_errors_over_seeds_and_videos_are_added_in_squares():
    values = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
    error = stats.sem(values)
    found = paired_difference(values, np.zeros(6), error_over_videos=2 * error)
    low, high = found.interval
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 5) * error * 5**0.5)
