r"""Watches a long training: memory, open files, threads and checkpoints must not grow.

Example, after `make records`:
    python -m benchmarks.long_training --seconds=7200 --model_dir=runs/long_training \
        --config_file=configs/shapes.yaml --records_dir=runs/demo/records

Starts `gkcmn_tf.train` with a million steps, and ends it with SIGINT after --seconds. Prints one
line of JSON per --interval, and at the end the slopes of least-squares lines through the second
half. Ends with status 1 if the training ends earlier, or not within ten seconds of SIGINT.
"""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
from absl import app, flags

from benchmarks.slope import slope_of_second_half
from gkcmn_tf import program

FLAGS = flags.FLAGS
STEPS = 1_000_000
END_SECONDS = 10


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "New folder of the training.", required=True)
    flags.DEFINE_string("records_dir", None, "Records to train on.", required=True)
    flags.DEFINE_multi_string("config_file", [], "YAML file of config overrides.")
    flags.DEFINE_string("experiment", "gkcmn", "Model to train.")
    flags.DEFINE_integer("seconds", 7200, "Duration of the training.", lower_bound=1)
    flags.DEFINE_integer("interval", 60, "Seconds between two measurements.", lower_bound=1)


def main(argv):
    """Trains, measures and prints; returns whether something went wrong."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    command = [
        *(sys.executable, "-m", "gkcmn_tf.train", f"--experiment={FLAGS.experiment}"),
        *(f"--config_file={path}" for path in FLAGS.config_file),
        f"--params_override=data.records_dir={FLAGS.records_dir},train.steps={STEPS}",
        f"--model_dir={FLAGS.model_dir}",
    ]
    os.makedirs(FLAGS.model_dir)
    log_path = os.path.join(FLAGS.model_dir, "log.txt")
    with open(log_path, "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    samples = measurements(process)
    if process.poll() is not None:
        print(f"the training ended with status {process.returncode}; see {log_path}")
        return True
    print(json.dumps(slopes(samples)), flush=True)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        print(f"the training did not end within {END_SECONDS} s of SIGINT")
        return True
    return False


def measurements(process: subprocess.Popen) -> list[dict[str, float]]:
    """Measures a process for --seconds, or until it ends, and prints the measurements."""
    watched = psutil.Process(process.pid)
    start = time.monotonic()
    samples = []
    while time.monotonic() - start < FLAGS.seconds:
        time.sleep(FLAGS.interval)
        if process.poll() is not None:
            break
        files = list(os.scandir(FLAGS.model_dir))
        sample = {
            "hours": (time.monotonic() - start) / 3600,
            "memory_mib": watched.memory_info().rss / 2**20,
            "open_files": watched.num_fds(),
            "threads": watched.num_threads(),
            "checkpoints": sum(file.name.endswith(".index") for file in files),
            "folder_mib": sum(file.stat().st_size for file in files) / 2**20,
        }
        samples.append(sample)
        print(json.dumps(sample), flush=True)
    return samples


def slopes(samples: list[dict[str, float]]) -> dict[str, float]:
    """Slopes per hour of least-squares lines through the second half of the measurements."""
    columns = {name: [sample[name] for sample in samples] for name in samples[0]}
    hours = columns.pop("hours")
    return {
        f"{name}_per_hour": slope_of_second_half(hours, values) for name, values in columns.items()
    }


if __name__ == "__main__":
    program.run(main, define_flags)
