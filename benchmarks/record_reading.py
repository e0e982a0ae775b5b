r"""Measures reading the features of clips from records against reading the same bytes alone.

Example:
    python -m benchmarks.record_reading --output_dir=/tmp/records --videos=10 --videos=100 \
        --samples=10

Makes records of random features if the folder has none (kept, for a second run), reads batches as
training does, and reads the same rows by `os.pread` without TensorFlow, decoding or checksums: the
floor. The kernel counts the bytes (Linux). Where possible, the pages of the files are dropped
from the cache before each run (`cold`); with fewer videos than samples, a run reads pages again and
finds them there. Repeat the command: the first call measures while the system still writes the
records. Prints one line of JSON for each number of videos.
"""

import json
import os
import pathlib
import re
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from gkcmn_tf import program
from gkcmn_tf.config import DataConfig
from gkcmn_tf.features import feature_records, quantization
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import steps
from gkcmn_tf.video.windows import WINDOW_STRIDE

FLAGS = flags.FLAGS
GRID, CHANNELS, MAX_STEPS = 7, 1024, 200


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("output_dir", None, "Folder for the records.", required=True)
    flags.DEFINE_multi_integer("videos", [10, 100], "Numbers of videos, one run for each.")
    flags.DEFINE_integer("windows", 1350, "Windows of each video.", lower_bound=1)
    flags.DEFINE_integer("clip_windows", 200, "Windows of each clip.", lower_bound=1)
    flags.DEFINE_enum("storage_dtype", "float16", quantization.STORAGE_DTYPES, "Storage dtype.")
    flags.DEFINE_integer("samples", 64, "Samples of each run.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 4, "Samples per batch.", lower_bound=1)
    flags.DEFINE_integer("runs", 5, "Runs; the median is printed.", lower_bound=1)
    flags.DEFINE_bool("cold", True, "Drop the files' pages from the cache before each run.")


def main(argv):
    """Prints one line of JSON for each number of videos."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    for count in FLAGS.videos:
        folder = os.path.join(FLAGS.output_dir, f"{FLAGS.storage_dtype}-{count}")
        if not clip_records.has_split(folder, "train"):
            write_records(folder, count)
        print(json.dumps({"videos": count} | measure(folder)), flush=True)


def write_records(folder: str, count: int) -> None:
    """Writes a clip, with one sentence, and random features for each of `count` videos."""
    rng = np.random.default_rng(0)
    values = rng.random((FLAGS.windows, GRID, GRID, CHANNELS), np.float32).astype(np.float16)
    frames = FLAGS.windows * WINDOW_STRIDE
    clips = []
    for number in range(count):
        video = feature_records.VideoFeatures(
            *(str(number), 25.0, 640, 360, frames, values), storage_dtype=FLAGS.storage_dtype
        )
        feature_records.write_video_features(folder, video)
        length = FLAGS.clip_windows * WINDOW_STRIDE
        begin = int(rng.integers(0, frames - length + 1))
        boxes = np.float32([[10, 20, 30, 40]])
        sentence = clip_records.Sentence(
            *(number, str(number), "a dog", "declarative", 0, begin, begin + 1, boxes)
        )
        clips.append(
            clip_records.Clip(
                str(number), begin, begin + length, 25.0, 640, 360, frames, (sentence,)
            )
        )
    clip_records.write_clips(folder, "train", clips, 1)


def measure(folder: str) -> dict:
    """Reads batches, and the same bytes alone, several times."""
    config = DataConfig(
        records_dir=folder, max_steps=MAX_STEPS, grid_size=GRID, feature_channels=CHANNELS
    )
    batches = -(-FLAGS.samples // FLAGS.batch_size)
    samples = batches * FLAGS.batch_size
    pieces = [piece for clip in training_order(config, samples) for piece in rows_of(folder, clip)]
    pipeline, floor = [], []
    for run in range(FLAGS.runs + 1):
        dataset = make_dataset(config).take(batches)
        drop_pages(folder)
        pipeline.append(timed(lambda dataset=dataset: [None for _ in dataset]))
        drop_pages(folder)
        floor.append(timed(lambda: read_pieces(pieces)))
        if run == 0:  # warm-up
            pipeline.clear()
            floor.clear()
    medians = {
        name: [statistics.median(column) / samples for column in zip(*found, strict=True)]
        for name, found in (("pipeline", pipeline), ("floor", floor))
    }
    return {
        "pages": "cold" if FLAGS.cold else "warm",
        "storage_dtype": FLAGS.storage_dtype,
        "file_bytes": os.path.getsize(os.path.join(folder, feature_records.features_file("0"))),
        **{
            f"{name}_{key}": value
            for name, (seconds, cpu_seconds, read) in medians.items()
            for key, value in (
                ("samples_per_second", round(1 / seconds, 2)),
                ("cpu_seconds_per_sample", round(cpu_seconds, 5)),
                ("bytes_per_sample", round(read)),
            )
        },
    }


def make_dataset(config: DataConfig) -> tf.data.Dataset:
    """The batches of training."""
    return input_pipeline.from_config(
        *(config, "train", Tokenizer(["a", "dog"], config.max_words)),
        global_batch_size=FLAGS.batch_size,
        training=True,
    )


def training_order(config: DataConfig, samples: int) -> list[clip_records.Clip]:
    """The clips that training reads first."""
    clips = list(clip_records.read_clips(config.records_dir, "train"))
    batches = make_dataset(config).take(-(-samples // FLAGS.batch_size))
    numbers = np.concatenate([labels["index"].numpy().ravel() for _, labels in batches])
    return [clips[number] for number in numbers[:samples]]


def rows_of(folder: str, clip: clip_records.Clip) -> list[tuple[str, int, int]]:
    """Path, offset and size of each run of rows that a clip needs."""
    path = os.path.join(folder, feature_records.features_file(clip.video_id))
    windows = np.unique(steps.step_windows(clip.begin, clip.end, MAX_STEPS))
    row_bytes = GRID * GRID * CHANNELS * quantization.VALUE_BYTES[FLAGS.storage_dtype]
    stride = row_bytes + feature_records.FRAME_BYTES
    first_row = os.path.getsize(path) - FLAGS.windows * stride
    runs = np.split(windows, np.flatnonzero(np.diff(windows) != 1) + 1)
    return [(path, first_row + int(run[0]) * stride, len(run) * stride) for run in runs]


def read_pieces(pieces: list[tuple[str, int, int]]) -> None:
    """Reads parts of files into one buffer, one after the other."""
    buffer = bytearray(max(size for _, _, size in pieces))
    for path, offset, size in pieces:
        file = os.open(path, os.O_RDONLY)
        os.preadv(file, [memoryview(buffer)[:size]], offset)
        os.close(file)


def drop_pages(folder: str) -> None:
    """Drops the pages of the features from the cache, if --cold is set."""
    if not FLAGS.cold:
        return
    for path in pathlib.Path(folder, "features").iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(read) -> tuple[float, float, int]:
    """Seconds, processor seconds and bytes read of a call."""
    before = bytes_read()
    cpu, wall = time.process_time(), time.perf_counter()
    read()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu, bytes_read() - before


def bytes_read() -> int:
    """Bytes that this process has read by system calls."""
    return int(re.search(r"rchar: (\d+)", pathlib.Path("/proc/self/io").read_text())[1])


if __name__ == "__main__":
    program.run(main, define_flags)
