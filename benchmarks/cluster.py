r"""Measures feature extraction on a Dask cluster of worker processes on this machine.

Example:
    python -m benchmarks.cluster --video_dir=runs/demo/shapes/videos --output_dir=runs/cluster

For each --workers, starts a scheduler and that number of workers, with one thread each. They
extract the features of --warmup_videos, after which TensorFlow and the weights are loaded, and then
those of --num_videos. Prints one line of JSON for each number of workers: the seconds and the
windows per second of the second extraction. Needs the extra `cluster`.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from absl import app, flags

from data import extract_features
from gkcmn_tf import program
from gkcmn_tf.features import extraction

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[1]
LOCAL = ("--host", "127.0.0.1", "--no-dashboard")
# Each worker computes with one thread.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "video_dir", None, "Folder with video files (*.mp4), in subfolders too.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Output folder of the features.", required=True)
    flags.DEFINE_multi_integer("workers", [1, 2], "Number of workers; repeatable.", lower_bound=1)
    flags.DEFINE_integer("num_videos", 100, "Number of videos.", lower_bound=1)
    flags.DEFINE_integer("warmup_videos", 8, "Number of videos before.", lower_bound=1)


def main(argv):
    """Measures each number of workers."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    files = sorted(pathlib.Path(FLAGS.video_dir).rglob("*.mp4"))
    needed = FLAGS.warmup_videos + FLAGS.num_videos
    if len(files) < needed:
        raise ValueError(f"--video_dir={FLAGS.video_dir}: has {len(files)} of {needed} videos")
    videos = {path.stem: str(path) for path in files[:needed]}
    first = dict(itertools.islice(videos.items(), FLAGS.warmup_videos))
    rest = {name: path for name, path in videos.items() if name not in first}
    for workers in FLAGS.workers:
        output_dir = os.path.join(FLAGS.output_dir, f"workers_{workers}")
        shutil.rmtree(output_dir, ignore_errors=True)
        with cluster(workers) as (address, _):
            extract(first, output_dir, address)
            start = time.perf_counter()
            windows = extract(rest, output_dir, address)
            seconds = time.perf_counter() - start
        result = {"workers": workers, "videos": len(rest), "windows": windows}
        result |= {"seconds": round(seconds, 2), "windows_per_second": windows / seconds}
        print(json.dumps(result), flush=True)


def extract(videos: dict[str, str], output_dir: str, address: str) -> int:
    """Extracts the features of the videos on the cluster; returns the number of windows."""
    make_extractor = extraction.ExtractorFactory("random:0")
    options = ["--runner=DaskRunner", f"--dask_client_address={address}"]
    facts, failures = extract_features.extract_videos(make_extractor, videos, output_dir, options)
    if failures:
        raise program.ProgramError(next(iter(failures.values())))
    return sum(video.windows for video in facts.values())


@contextlib.contextmanager
def cluster(num_workers: int) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """Runs a scheduler with workers; yields its address and the processes of the workers."""
    with contextlib.ExitStack() as stack:
        _, address = _start(stack, "scheduler", r"Scheduler at: +(tcp://\S+)", "--port", "0")
        options = (address, "--nthreads", "1", "--no-nanny")
        started = [
            _start(stack, "worker", r"Registered to: +(tcp://\S+)", *options)
            for _ in range(num_workers)
        ]
        yield address, [process for process, _ in started]


def _start(stack, name, pattern, *arguments):
    """Starts a program of Dask; returns it and the group of the pattern in its log."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{name}", *arguments, *LOCAL],
        env=os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    for line in process.stderr:
        if found := re.search(pattern, line):
            # The rest of the log is read too, or the program would block.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, found[1]
    raise program.ProgramError(f"dask {name} ended: {process.wait()}")


if __name__ == "__main__":
    program.run(main, define_flags)
