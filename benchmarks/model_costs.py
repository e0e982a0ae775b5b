r"""Compares what BM, GKCMN and GKCMN+ cost: parameters, operations, time and memory.

Example:
    python -m benchmarks.model_costs --runs=3
    python -m benchmarks.model_costs --config_file=configs/shapes.yaml

Prints a Markdown table; the measurements are those of `benchmarks.device`, which runs in a process
of its own for each model, so that memory is that of one model. Sizes are those of the config, by
default the paper's. A second of video has 25 frames, hence 6.25 windows of I3D; the features are
the same for all models.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from absl import app, flags

from benchmarks.table import digits, machine_name
from gkcmn_tf import program
from gkcmn_tf.video.windows import WINDOW_STRIDE

FLAGS = flags.FLAGS
FPS = 25
# Title, experiment and additional config of each model.
MODELS = (
    ("BM", "bm", ()),
    ("GKCMN", "gkcmn", ()),
    ("GKCMN+", "gkcmn", ("configs/gkcmn_plus.yaml",)),
)
HEADER = (
    "|  | parameters | GFLOP | seconds | CPU seconds | peak MiB |\n|---|---:|---:|---:|---:|---:|"
)


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_multi_string(
        "config_file", [], "YAML file of config overrides, as for gkcmn_tf.train."
    )
    flags.DEFINE_integer("runs", 3, "Number of timed calls.", lower_bound=1)
    flags.DEFINE_enum("precision", "float32", ["float32", "mixed_bfloat16"], "Precision.")


def main(argv):
    """Measures I3D and each model, and prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    (i3d,) = run_device("--parts=i3d")
    lines = [HEADER, row("I3D, a second of video", i3d, FPS / WINDOW_STRIDE / windows(i3d))]
    for title, experiment, files in MODELS:
        found = run_device("--parts=sentences", f"--experiment={experiment}", files=files)
        lines += [row(f"{title}: {measured['what']}", measured) for measured in found]
    print("\n".join([f"{machine_name(i3d)}, {FLAGS.precision}:", "", *lines]))


def run_device(*arguments: str, files: Sequence[str] = ()) -> list[dict]:
    """Runs `benchmarks.device`; raises `ProgramError` if it fails."""
    command = [sys.executable, "-m", "benchmarks.device", *arguments]
    command += [f"--precisions={FLAGS.precision}", f"--runs={FLAGS.runs}"]
    command += [f"--config_file={path}" for path in (*FLAGS.config_file, *files)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise program.ProgramError(f"failed with code {done.returncode}: {' '.join(command)}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def windows(i3d: dict) -> float:
    """Windows of a measured batch."""
    return i3d["windows_per_second"] * i3d["seconds"]


def row(title: str, measured: dict, times: float = 1.0) -> str:
    """Row of the table, with operations and time of `times` calls."""
    cells = (
        title,
        f"{measured['parameters']:,}",
        *(digits(times * measured[name]) for name in ("gflop", "seconds", "cpu_seconds")),
        digits(measured["peak_memory_mib"]),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    program.run(main, define_flags)
