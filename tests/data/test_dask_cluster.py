"""Extraction on a Dask cluster of two worker processes, of which one is killed half way."""

import pathlib

import pytest

from benchmarks import cluster
from data import extract_features
from tests.data.mean_extractor import make_extractor

pytest.importorskip("distributed")
VIDEOS = 24


def contents(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).glob("features/*")}


@pytest.fixture
def two_workers():
    """The address of a scheduler with two workers, and the workers."""
    with cluster.cluster(2) as running:
        yield running


def test_a_worker_gets_one_video_at_a_time_unless_the_options_say_otherwise():
    dask = "--runner=DaskRunner"
    assert extract_features.with_small_partitions([dask]) == [dask, "--dask_partition_size=1"]
    for given in ("--dask_npartitions=3", "--dask_partition_size=9"):
        assert extract_features.with_small_partitions([dask, given]) == [dask, given]
    assert extract_features.with_small_partitions(["--runner=FlinkRunner"]) == [
        "--runner=FlinkRunner"
    ]
    assert extract_features.with_small_partitions([]) == []


@pytest.mark.slow
def test_a_killed_worker_does_not_change_the_bytes(folder, two_workers, tmp_path, monkeypatch):
    address, workers = two_workers
    paths = {f"v{i}": str(folder.add_video(f"v{i}", frame_count=8 + i)) for i in range(VIDEOS)}
    extract_features.extract_videos(make_extractor, paths, str(tmp_path / "here"))
    known = []
    read_facts = extract_features._read_facts

    def killing(output_dir, video_id):
        facts = read_facts(output_dir, video_id)
        done = len(list(pathlib.Path(output_dir).glob("features/*.tfrecord")))
        if done and not known:
            known.append(done)
            workers[0].kill()
        return facts

    monkeypatch.setattr(extract_features, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(extract_features, "_read_facts", killing)
    videos, failures = extract_features.extract_videos(
        make_extractor,
        paths,
        str(tmp_path / "cluster"),
        ["--runner=DaskRunner", f"--dask_client_address={address}"],
    )
    assert 0 < known[0] < VIDEOS  # it was killed half way
    assert (len(videos), failures) == (VIDEOS, {})
    assert contents(tmp_path / "cluster") == contents(tmp_path / "here")
