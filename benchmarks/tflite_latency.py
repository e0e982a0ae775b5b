r"""Measures a TensorFlow Lite file in a process that holds nothing else.

Example:
    python -m benchmarks.tflite_latency --model=grounding.tflite

Prints JSON: median and 95th percentile of the time of a call in milliseconds, and the peak memory
of the process in MiB, before the file is loaded and at the end.
"""

import json
import re
import time

import numpy as np
from absl import flags
from ai_edge_litert.interpreter import Interpreter

from gkcmn_tf import program

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model", None, "File of export.tflite.", required=True)
    flags.DEFINE_integer("threads", 2, "Threads to compute with.", lower_bound=1)
    flags.DEFINE_integer("calls", 50, "Calls to time.", lower_bound=1)
    flags.DEFINE_integer("warmup_calls", 5, "Calls before those.", lower_bound=0)


def main(argv):
    """Calls the file's signature with noise."""
    del argv
    before = peak_memory()
    interpreter = Interpreter(FLAGS.model, num_threads=FLAGS.threads)
    (signature,) = interpreter.get_signature_list()
    run = interpreter.get_signature_runner(signature)
    inputs = {name: noise(detail) for name, detail in run.get_input_details().items()}
    seconds = []
    for _ in range(FLAGS.warmup_calls + FLAGS.calls):
        began = time.perf_counter()
        run(**inputs)
        seconds.append(time.perf_counter() - began)
    p50, p95 = np.percentile(seconds[FLAGS.warmup_calls :], [50, 95]) * 1000
    print(json.dumps({"p50": p50, "p95": p95, "before": before, "peak": peak_memory()}))


def noise(detail: dict) -> np.ndarray:
    """An array for an input of a signature: positive numbers, tokens of known words, True."""
    rng, shape, dtype = np.random.default_rng(0), detail["shape"], detail["dtype"]
    if np.issubdtype(dtype, np.floating):
        return rng.random(shape, np.float32).astype(dtype)
    if dtype == np.bool_:
        return np.ones(shape, bool)
    return rng.integers(1, 256 if dtype == np.uint8 else 3, shape).astype(dtype)


def peak_memory() -> float:
    """Of this process so far, in MiB; Linux only."""
    # Not `resource.getrusage`, whose peak is at least that of the process that started this one.
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) / 2**10


if __name__ == "__main__":
    program.run(main, define_flags)
