"""Extraction on a Dask cluster of two worker processes, of which one is killed half way."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import pytest

from data import extract_features
from tests.data.mean_extractor import make_extractor

pytest.importorskip("distributed")
ROOT = pathlib.Path(__file__).parents[2]
VIDEOS = 24


def contents(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).glob("features/*")}


class Process:
    """A program of Dask whose log is read to its end, so that it does not block."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait_for(self, pattern):
        for line in self.process.stderr:
            if found := re.search(pattern, line):
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return found[1]
        raise AssertionError(f"it ended with status {self.process.wait()}")

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def cluster():
    """The address of a scheduler with two workers, and the workers."""
    local = ("--host", "127.0.0.1", "--no-dashboard")
    scheduler = Process("distributed.cli.dask_scheduler", *local, "--port", "0")
    processes = [scheduler]
    try:
        address = scheduler.wait_for(r"Scheduler at: +(tcp://\S+)")
        options = ("--nthreads", "1", "--no-nanny", *local)
        workers = [Process("distributed.cli.dask_worker", address, *options) for _ in range(2)]
        processes += workers
        for worker in workers:
            worker.wait_for(r"Registered to: +(tcp://\S+)")
        yield address, workers
    finally:
        for process in processes:
            process.kill()


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
def test_a_killed_worker_does_not_change_the_bytes(folder, cluster, tmp_path, monkeypatch):
    address, workers = cluster
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
