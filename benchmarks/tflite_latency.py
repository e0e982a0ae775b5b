r"""Measures latency and peak memory of a TensorFlow Lite file in a separate process.

Example:
    python -m benchmarks.tflite_latency --model=grounding.tflite

Prints JSON: `p50` and `p95`, percentiles of the latency in milliseconds; `before` and `peak`, the
peak memory of the process in MiB before the file is loaded and at the end.
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
    flags.DEFINE_string("model", None, "TensorFlow Lite file of export.tflite.", required=True)
    flags.DEFINE_integer("threads", 2, "Number of CPU threads.", lower_bound=1)
    flags.DEFINE_integer("calls", 50, "Number of timed calls.", lower_bound=1)
    flags.DEFINE_integer("warmup_calls", 5, "Number of untimed calls at the start.", lower_bound=0)


def main(argv):
    """Times calls of the file's signature on random inputs."""
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
    """Returns a random input: positive numbers, token ids of known words, or True."""
    rng, shape, dtype = np.random.default_rng(0), detail["shape"], detail["dtype"]
    if np.issubdtype(dtype, np.floating):
        return rng.random(shape, np.float32).astype(dtype)
    if dtype == np.bool_:
        return np.ones(shape, bool)
    return rng.integers(1, 256 if dtype == np.uint8 else 3, shape).astype(dtype)


def peak_memory() -> float:
    """Returns the peak memory of this process in MiB; Linux only."""
    # `resource.getrusage` would include the peak of the parent process.
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) / 2**10


if __name__ == "__main__":
    program.run(main, define_flags)
