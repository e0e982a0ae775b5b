r"""Measures search in an index of many clips: seconds and memory.

Example:
    python -m benchmarks.search --work_dir=runs/search --num_videos=1000

Writes an index of --num_videos videos of one clip each, which are the first sample video with
noise added to its encoded windows, so nothing needs to be decoded. A process of its own
then searches it. Prints one line of JSON: seconds, and CPU seconds of all threads, of importing
TensorFlow and the package, of loading the model, of loading the index, of the first search, which
also builds TensorFlow's graphs, and of further searches (median); and the largest memory. All files
are in the page cache.
"""

import dataclasses
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np
import tqdm
from absl import app, flags, logging

import gkcmn_tf
from gkcmn_tf import program
from gkcmn_tf.indexing import video_index

FLAGS = flags.FLAGS
NOISE = 0.3  # standard deviations of the windows


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_integer("num_videos", 1000, "Videos, of one clip each.", lower_bound=1)
    flags.DEFINE_integer("num_sentences", 1, "Sentences per search.", lower_bound=1)
    flags.DEFINE_integer("top_k", 5, "Number of moments per sentence.", lower_bound=1)
    flags.DEFINE_integer("repeats", 7, "Searches after the first one.", lower_bound=1)
    flags.DEFINE_string("preset", "gkcmn_shapes", "Trained model.")
    flags.DEFINE_string("work_dir", None, "Folder for the index.", required=True)
    flags.DEFINE_boolean("only_measure", False, "Measure the index that is already there.")


def main(argv):
    """Writes an index, and measures it in another process."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.ERROR)
    index_dir = os.path.join(FLAGS.work_dir, f"index_{FLAGS.num_videos}")
    if FLAGS.only_measure:
        print(json.dumps(measure(index_dir)))
        return
    if not os.path.exists(video_index.catalogue_path(index_dir)):
        write_index(index_dir)
    command = [sys.executable, "-m", "benchmarks.search", *sys.argv[1:], "--only_measure"]
    subprocess.run(command, check=True)


def write_index(index_dir: str) -> None:
    """Writes an index of noisy copies of the first sample."""
    folder = os.path.join(FLAGS.work_dir, "sample")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(gkcmn_tf.samples()[0].video, folder)
    grounder = gkcmn_tf.VideoGrounder.from_preset(FLAGS.preset)
    sample = grounder.index(folder, progress=False)
    (video,) = sample.videos
    timeline = sample.source(video).timeline
    dtype = grounder.search_network.dtype.as_numpy_dtype
    stored = np.asarray(sample.windows(video))
    windows = stored.view(dtype).astype(np.float32)
    rng = np.random.default_rng(0)
    videos = []
    for number in tqdm.trange(FLAGS.num_videos, desc="writing", unit="video"):
        noise = rng.normal(scale=NOISE * windows.std(), size=windows.shape)
        key = f"{number % 256:02x}-{number}"
        copy = dataclasses.replace(video, name=f"{number:06}.mp4", key=key)
        noisy = (windows + noise).astype(dtype).view(stored.dtype)
        video_index.write_windows(index_dir, copy, noisy, timeline)
        videos.append(copy)
    dataclasses.replace(sample, index_dir=index_dir, videos=tuple(videos)).save()


def measure(index_dir: str) -> dict:
    """Loads the model and the index, and searches; returns the measurements."""
    timer = Timer()
    from gkcmn_tf.video_grounder import VideoGrounder  # noqa: PLC0415 - its import is measured

    measured = {"import": timer.lap()}
    grounder = VideoGrounder.from_preset(FLAGS.preset)
    _ = grounder.index_model
    measured["load_model"] = timer.lap()
    index = video_index.VideoIndex.load(index_dir)
    measured["load_index"] = timer.lap()
    sentences = [s for sample in gkcmn_tf.samples() for s in sample.sentences]
    sentences = [sentences[n % len(sentences)] for n in range(FLAGS.num_sentences)]
    searches = []
    for _ in range(1 + FLAGS.repeats):
        timer.lap()
        found = grounder.search(index, sentences, top_k=FLAGS.top_k)
        searches.append(timer.lap())
    assert all(len(tubes) == FLAGS.top_k for tubes in found)
    measured["first_search"] = searches[0]
    measured["search"] = tuple(map(statistics.median, zip(*searches[1:], strict=True)))
    return {
        "videos": len(index.videos),
        "clips": index.num_clips,
        "steps": index.model.max_steps,
        "sentences": len(sentences),
        "cores": len(os.sched_getaffinity(0)),
        "seconds": {name: round(wall, 3) for name, (wall, _) in measured.items()},
        "cpu_seconds": {name: round(cpu, 3) for name, (_, cpu) in measured.items()},
        "index_mib": round(_size(index_dir) / 2**20, 1),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


class Timer:
    """Wall time and CPU time of all threads."""

    def __init__(self):
        self._last = time.monotonic(), time.process_time()

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap, by the clock and of the CPU."""
        last, self._last = self._last, (time.monotonic(), time.process_time())
        return self._last[0] - last[0], self._last[1] - last[1]


def _size(folder):
    places = os.walk(folder)
    return sum(os.path.getsize(os.path.join(p, name)) for p, _, names in places for name in names)


if __name__ == "__main__":
    program.run(main, define_flags)
