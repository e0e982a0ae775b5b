import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gkcmn_tf.evaluation import bootstrap


def test_the_interval_of_two_videos_covers_the_range_between_them():
    # Both videos or the same twice: means 0, 1/2 and 1 with odds of 1 : 2 : 1.
    values = np.array([[0.0, 5.0], [1.0, 5.0]])
    intervals = bootstrap.bootstrap_intervals(values, np.array(["v", "w"]), 500)
    np.testing.assert_allclose(intervals, [[0, 1], [5, 5]])


def test_sentences_of_a_video_are_resampled_together():
    values = np.array([[0.0], [0.0], [0.0], [1.0]])
    few = bootstrap.bootstrap_intervals(values, np.array(["v", "v", "v", "w"]), 500)
    np.testing.assert_allclose(few, [[0, 1]])
    many = bootstrap.bootstrap_intervals(values, np.array(["v", "w", "x", "y"]), 500)
    assert many[0, 1] < 1


def test_intervals_of_many_videos_match_the_normal_distribution():
    values = np.random.default_rng(1).normal(size=(2000, 1))
    ((low, high),) = bootstrap.bootstrap_intervals(values, np.arange(2000), 4000)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 10)


def test_one_video_has_no_interval():
    assert bootstrap.bootstrap_intervals(np.ones((3, 2)), np.array(["v", "v", "v"]), 100) is None


def naive_interval(values, videos, samples, seed):
    """Interval of the mean, computed sample by sample with the same random videos."""
    names = sorted(set(videos))
    rng = np.random.default_rng(seed)
    means = []
    for counts in rng.multinomial(len(names), [1 / len(names)] * len(names), size=samples):
        drawn = []
        for name, count in zip(names, counts, strict=True):
            drawn += int(count) * [
                v for v, video in zip(values, videos, strict=True) if video == name
            ]
        means.append(sum(drawn) / len(drawn))
    return np.percentile(means, [2.5, 97.5])


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcde")), min_size=2, max_size=12))
def test_intervals_equal_those_of_a_naive_bootstrap(rows):
    values, videos = zip(*rows, strict=True)
    found = bootstrap.bootstrap_intervals(np.array(values)[:, None], np.array(videos), 30)
    if len(set(videos)) < 2:
        assert found is None
    else:
        expected = naive_interval(values, videos, 30, bootstrap.SEED)
        np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_clustered_error_is_that_of_the_bootstrap_and_of_single_rows():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=400)
    # One row a cluster: the standard error of a mean.
    single = bootstrap.clustered_error(rows, np.ones(400))
    assert single == pytest.approx(rows.std(ddof=1) / 20)
    sizes = np.tile([2, 4, 6, 8], 20)
    clusters = np.repeat(np.arange(80), sizes)
    rows = rows + rng.normal(size=80)[clusters]
    found = bootstrap.clustered_error(np.bincount(clusters, rows) / sizes, sizes)
    low, high = bootstrap.bootstrap_intervals(rows[:, None], clusters, 20_000)[0]
    assert found == pytest.approx((high - low) / 2 / 1.96, rel=0.05)
    assert found > 1.3 * rows.std(ddof=1) / 20  # rows of a cluster depend on each other


def test_clustered_error_of_one_cluster_is_unknown():
    assert bootstrap.clustered_error(np.array([0.5]), np.array([3])) == float("inf")
