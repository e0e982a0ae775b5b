r"""Measures grounding in long videos: seconds, memory and tIoU of both ways to search.

Example:
    python -m benchmarks.long_videos --minutes=1 --minutes=5 --work_dir=runs/long_videos
    python -m benchmarks.long_videos --work_dir=runs/long_videos --tflite_dir=runs/tflite \
        --saved_model=runs/export/gkcmn/1

Generates a video of each length with `data.make_shapes --setting=joined` and asks --preset all its
sentences, by `gkcmn_tf.ground` (unless --noground), with --tflite_dir (grounding.tflite and
i3d.tflite) by `export.run_tflite`, and with --saved_model by the code of `export.client`, each in a
process of its own. Prints one line of JSON per video, program and search: the seconds from the
start of the process to its end, the largest memory, the mean and the median tIoU, and the number of
sentences with a tIoU of at least 0.5. Run a first, short video for warm-up.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
from absl import app, flags, logging

from data.make_shapes import make_joined_shapes
from gkcmn_tf import interruption, preset, program, searched_clips
from gkcmn_tf.evaluation.metrics import temporal_iou

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_multi_float("minutes", [1, 5, 10, 60], "Length of a video; repeatable.")
    flags.DEFINE_integer("num_sentences", 8, "Sentences per video.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Random seed of the videos.")
    flags.DEFINE_multi_enum("search", ["whole", "sliding"], ["whole", "sliding"], "Ways to search.")
    flags.DEFINE_bool("ground", True, "Whether gkcmn_tf.ground is measured.")
    flags.DEFINE_string("preset", "gkcmn_shapes", "Trained model.")
    flags.DEFINE_string("tflite_dir", None, "Folder with grounding.tflite and i3d.tflite.")
    flags.DEFINE_string("saved_model", None, "Folder of a SavedModel of the preset.")
    flags.DEFINE_string("work_dir", None, "Folder for the videos.", required=True)


def main(argv):
    """Generates, measures and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.ERROR)
    for minutes in FLAGS.minutes:
        folder = os.path.join(FLAGS.work_dir, f"{minutes:g}_minutes_seed_{FLAGS.seed}")
        if not os.path.exists(os.path.join(folder, "test.jsonl")):
            make_joined_shapes(
                folder, minutes=minutes, num_sentences=FLAGS.num_sentences, seed=FLAGS.seed
            )
        with open(os.path.join(folder, "test.jsonl")) as file:
            asked = [json.loads(line) for line in file]
        for search in FLAGS.search:
            video = os.path.join(folder, asked[0]["video"])
            for name, command in commands(video, search).items():
                command += [f"--query={one['sentence']}" for one in asked]
                result = {"minutes": minutes, "program": name, "search": search}
                print(json.dumps(result | measure(command, asked)), flush=True)


def commands(video: str, search: str) -> dict[str, list[str]]:
    """Commands that ground sentences in a video, without the sentences, by name."""
    python = [sys.executable, "-m"]
    found = {}
    if FLAGS.ground:
        found["ground"] = [
            "gkcmn_tf.ground",
            f"--preset={FLAGS.preset}",
            "--nodraw",
            f"--search={search}",
        ]
    if FLAGS.tflite_dir:
        found["run_tflite"] = [
            "export.run_tflite",
            f"--model={os.path.join(FLAGS.tflite_dir, 'grounding.tflite')}",
            f"--i3d={os.path.join(FLAGS.tflite_dir, 'i3d.tflite')}",
            f"--search={search}",
        ]
    if FLAGS.saved_model:
        found["saved_model"] = [
            "benchmarks.ground_saved_model",
            f"--saved_model={FLAGS.saved_model}",
        ]
        if search == "sliding":
            # In a process of its own: with TensorFlow, this one would add to the memory of others.
            with interruption.worker_map(longest_training_clip, [FLAGS.preset], 1) as found_clips:
                (longest,) = found_clips
            found["saved_model"] += [f"--clip_seconds={longest}"]
    return {name: [*python, *command, f"--video={video}"] for name, command in found.items()}


def longest_training_clip(name: str) -> float | None:
    """Seconds of the longest training clip of a preset."""
    return searched_clips.longest_training_clip(preset.load(name).about)


def measure(command: list[str], asked: list[dict]) -> dict:
    """Runs a command and compares its answers with the truths.

    The memory of a command contains what this process had when it started it, which is less as long
    as this process does not import TensorFlow.

    Raises:
        ValueError: the command fails.
    """
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise ValueError(f"status {status} of: {' '.join(command)}")
    answers = [json.loads(line) for line in output.splitlines()]
    ious = [
        temporal_iou((one["begin"], one["end"]), (answer["begin"], answer["end"]))
        for one, answer in zip(asked, answers, strict=True)
    ]
    return {
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_mib": usage.ru_maxrss // 1024,
        "sentences": len(ious),
        "mean_tiou": round(float(np.mean(ious)), 3),
        "median_tiou": round(float(np.median(ious)), 3),
        "found": sum(iou >= 0.5 for iou in ious),
    }


if __name__ == "__main__":
    program.run(main, define_flags)
