r"""Measures the time and memory to the first batch of a training split as large as VidSTG's.

Example:
    python -m benchmarks.full_size_records --output_dir=/tmp/full_size --batch_size=4

Makes 5,436 videos with 80,684 sentences about 36,202 clips, at random, if the folder has none. The
files of features have their full size but are sparse, and those of one length are links to one
file, so that they take little room. Another process then loads the split as training does, shuffles
it, and makes the first batch. Prints one line of JSON, with the peak memory of that process.
"""

import json
import math
import os
import resource
import subprocess
import sys
import time

import numpy as np
import tqdm
from absl import app, flags

from gkcmn_tf import program
from gkcmn_tf.config import DataConfig
from gkcmn_tf.features import feature_records, quantization
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.tf_examples import write_records
from gkcmn_tf.video.windows import WINDOW_STRIDE

FLAGS = flags.FLAGS
VIDEOS, CLIPS, SENTENCES = 5_436, 36_202, 80_684  # of VidSTG's training split
SHARDS = 71  # as data.prepare writes
MEAN_SECONDS, FPS = 30, 30
LENGTH_STEP, LONGEST_WINDOWS = 50, 1350  # numbers of windows are multiples of the first
WORDS = ("a", "dog", "child", "runs", "to", "the", "sofa", "behind", "holds", "red", "ball")
SHAPE, DTYPE = (7, 7, 1024), "float16"
CHECKSUM_BYTES = feature_records.FRAME_BYTES - feature_records.LENGTH_BYTES  # after each row
MAX_STEPS = 200


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("output_dir", None, "Folder for the records.", required=True)
    flags.DEFINE_integer("batch_size", 32, "Clips per batch.", lower_bound=1)
    flags.DEFINE_bool("here", False, "Measure in this process, with records that exist.")


def main(argv):
    """Makes the records and measures in another process, or here."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    folder = FLAGS.output_dir
    if FLAGS.here:
        print(json.dumps(measure(folder)), flush=True)
        return
    if not clip_records.has_split(folder, "train"):
        clips = make_clips()
        write_sparse_features(folder, clips)
        clip_records.write_clips(folder, "train", clips, SHARDS)
    command = [sys.executable, "-m", "benchmarks.full_size_records", "--here"]
    command += [f"--output_dir={folder}", f"--batch_size={FLAGS.batch_size}"]
    subprocess.run(command, check=True)


def make_clips() -> list[clip_records.Clip]:
    """Clips at random places of videos of random lengths, with two or three sentences each."""
    rng = np.random.default_rng(0)
    seconds = rng.exponential(MEAN_SECONDS, VIDEOS)
    windows = LENGTH_STEP * np.ceil(seconds * FPS / WINDOW_STRIDE / LENGTH_STEP)
    frames = WINDOW_STRIDE * np.int64(np.minimum(windows, LONGEST_WINDOWS))
    sentence_counts = np.full(CLIPS, SENTENCES // CLIPS)
    sentence_counts[: SENTENCES % CLIPS] += 1
    rng.shuffle(sentence_counts)
    clips, index = [], 0
    for number, count in enumerate(tqdm.tqdm(sentence_counts, desc="clips")):
        vid = number % VIDEOS
        begin = int(rng.integers(0, frames[vid] // 4))
        end = int(rng.integers(3 * frames[vid] // 4, frames[vid] + 1))
        sentences = []
        for _ in range(count):
            first, last = (int(frame) for frame in np.sort(rng.integers(begin, end, 2)))
            boxes = np.tile(np.float32([10, 20, 300, 200]), (last + 1 - first, 1))
            text = " ".join(rng.choice(WORDS, rng.integers(6, 14)))
            sentences.append(
                clip_records.Sentence(
                    *(index, str(index), text, "declarative", 0, first, last + 1, boxes)
                )
            )
            index += 1
        place = (str(vid), begin, end, float(FPS), 640, 360, int(frames[vid]))
        clips.append(clip_records.Clip(*place, tuple(sentences)))
    return clips


def write_sparse_features(folder: str, clips: list[clip_records.Clip]) -> None:
    """Writes files of features; those of one length are links to one sparse file."""
    sources = {}
    for clip in clips:
        path = os.path.join(folder, feature_records.features_file(clip.video_id))
        if clip.frame_count not in sources:
            write_sparse_file(path, clip)
            sources[clip.frame_count] = path
        elif not os.path.exists(path):
            os.link(sources[clip.frame_count], path)


def write_sparse_file(path: str, clip: clip_records.Clip) -> None:
    """Writes a file of features that are zero, as a sparse file with right checksums."""
    windows = clip.frame_count // WINDOW_STRIDE
    header = feature_records.serialize_header(
        (windows, *SHAPE),
        DTYPE,
        video_id=clip.video_id,
        fps=clip.fps,
        width=clip.width,
        height=clip.height,
        frame_count=clip.frame_count,
    )
    row_bytes = math.prod(SHAPE) * quantization.VALUE_BYTES[DTYPE]
    write_records(path, [header, bytes(row_bytes)])
    with open(path, "r+b") as file:
        first_row = len(header) + feature_records.FRAME_BYTES
        row = file.read()[first_row:]
        stride = len(row)
        for window in range(windows):
            os.pwrite(
                file.fileno(), row[: feature_records.LENGTH_BYTES], first_row + window * stride
            )
            end = first_row + (window + 1) * stride
            os.pwrite(file.fileno(), row[-CHECKSUM_BYTES:], end - CHECKSUM_BYTES)


def measure(folder: str) -> dict:
    """Loads the split, shuffles it and makes the first batch."""
    start = time.perf_counter()
    config = DataConfig(
        records_dir=folder, max_steps=MAX_STEPS, grid_size=SHAPE[0], feature_channels=SHAPE[2]
    )
    tokenizer = Tokenizer(list(WORDS), config.max_words)
    dataset = input_pipeline.from_config(
        config, "train", tokenizer, global_batch_size=FLAGS.batch_size, training=True
    )
    loaded, loaded_mib = time.perf_counter() - start, _peak_mib()
    _, labels = next(iter(dataset))
    names = os.scandir(os.path.join(folder, "features"))
    return {
        "videos": VIDEOS,
        "clips": CLIPS,
        "sentences": SENTENCES,
        "feature_bytes": sum(entry.stat().st_size for entry in names),
        "batch_size": FLAGS.batch_size,
        "seconds_to_dataset": round(loaded, 2),
        "peak_mib_at_dataset": loaded_mib,
        "seconds_to_first_batch": round(time.perf_counter() - start, 2),
        "peak_mib_at_first_batch": _peak_mib(),
        "first_sentences": labels["index"].numpy().ravel()[:4].tolist(),
    }


def _peak_mib():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    program.run(main, define_flags)
