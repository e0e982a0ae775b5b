r"""Encodes a folder of videos once, so that `gkcmn search` finds sentences in all of them.

Examples:
    python -m gkcmn_tf.index videos
    python -m gkcmn_tf.index videos --preset=runs/demo --index_dir=runs/demo_index --processes=4

Encodes the new and changed videos in the folder and its subfolders, drops those that are gone, and
prints how many. Hidden files and files without a suffix of videos are ignored. The same command
continues after it was ended. A video that cannot be decoded is skipped and reported; the exit
status is then 1. Each process needs about 1 GB of memory and uses one core.
"""

import concurrent.futures.process
import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import app, flags, logging

from gkcmn_tf import interruption, preset, program
from gkcmn_tf.indexing import updating

FLAGS = flags.FLAGS
RESUMES = True
SKIPPED_STATUS = 1


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "preset",
        "gkcmn_shapes",
        "Trained model: name or folder of a preset, hf://owner/name, or folder of a run of "
        "gkcmn_tf.train.",
    )
    flags.DEFINE_string(
        "index_dir", None, "Folder of the index; default: .gkcmn in the folder of the videos."
    )
    flags.DEFINE_integer(
        "processes",
        _cores(),
        "Processes that encode videos; default: one per core.",
        lower_bound=1,
    )
    flags.DEFINE_string(
        "cache_dir",
        None,
        "Cache folder for encoded videos, which further models with the same features can use.",
    )
    flags.DEFINE_string(
        "i3d_weights", None, "Path of the I3D weights, if it differs from that in the preset."
    )


def _cores():
    """Number of cores that this process may use, where the system tells it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main(argv):
    """Updates the index and prints what has changed."""
    if len(argv) != 2:
        raise app.UsageError(f"expected one folder of videos, got {len(argv) - 1} arguments")
    logging.set_verbosity(logging.INFO)
    folder = argv[1]
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder")
    if not FLAGS.preset.startswith(preset.HUB_PREFIX):
        preset.find(FLAGS.preset)
    # Imported after checking the arguments, since importing TensorFlow takes seconds.
    from gkcmn_tf.video_grounder import VideoGrounder  # noqa: PLC0415

    settings = _Settings(FLAGS.preset, FLAGS.i3d_weights, FLAGS.cache_dir)
    grounder = VideoGrounder.from_preset(settings.preset, i3d_weights=settings.i3d_weights)

    @contextlib.contextmanager
    def encode_all(jobs: Sequence[updating.Job]) -> Iterator[Iterator[updating.Outcome]]:
        processes = min(FLAGS.processes, len(jobs))
        if processes > 1:
            encode = functools.partial(_encode_in_worker, settings)
            with interruption.worker_map(encode, jobs, processes) as outcomes:
                yield outcomes
            return
        if jobs:
            _ = grounder.extractor  # its errors are not those of a video
        encode = functools.partial(grounder.encode_for_index, cache_dir=settings.cache_dir)
        yield map(encode, jobs)

    try:
        index, changes = updating.update_index(
            folder, FLAGS.index_dir, grounder.index_model, encode_all
        )
    except concurrent.futures.process.BrokenProcessPool as error:
        raise program.ProgramError(
            "a process that encodes videos was ended, perhaps for lack of memory; the same command "
            "with fewer --processes continues"
        ) from error
    for reason in index.skipped.values():
        logging.warning("skipped: %s", reason)
    print(f"{index.index_dir}: {len(index.videos)} videos, {index.num_clips} clips ({changes})")
    return SKIPPED_STATUS if index.skipped else 0


class _Settings(NamedTuple):
    preset: str
    i3d_weights: str | None
    cache_dir: str | None


def _encode_in_worker(settings, job):
    return _grounder_of_worker(settings).encode_for_index(job, cache_dir=settings.cache_dir)


@functools.cache
def _grounder_of_worker(settings):
    # As many processes as cores are running, so each uses one.
    import tensorflow as tf  # noqa: PLC0415

    from gkcmn_tf.video_grounder import VideoGrounder  # noqa: PLC0415

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    grounder = VideoGrounder.from_preset(settings.preset, i3d_weights=settings.i3d_weights)
    _ = grounder.extractor  # its errors are not those of a video
    return grounder


if __name__ == "__main__":
    program.run(main, define_flags)
