r"""Measures GKCMN on the device of this machine: the first GPU, or else the CPU.

Example:
    python -m benchmarks.device --output=runs/device.jsonl
    python -m benchmarks.device --parts=training --precisions=float32 \
        --params_override=train.global_batch_size=4
    CUDA_VISIBLE_DEVICES= python -m benchmarks.device

Prints one JSON object per measurement; `python -m benchmarks.table` makes a Markdown table of them.
Weights, features and labels are random, so no data are needed. The parts are

    products   product of two large matrices: the ceiling that the other parts are compared with
    copies     copies from host to device (on a GPU) and on the device
    sentences  1 and 16 sentences on an encoded video of max_steps steps, with VideoGrounder.ground
    i3d        batch of windows, copied from the host as in data.prepare, and the features back
    training   step of gkcmn_tf.train: batch copied to the device, gradient and update

Fields of a measurement: `first_seconds`, time of the first call, with tracing and compilation;
`seconds`, median wall time of the following `runs` calls; `cpu_seconds`, median CPU time of the
process, which other processes on a shared machine disturb less; `gflop`, floating-point operations
counted by TensorFlow's profiler in the forward graph, times 3 for a training step (recurrences are
not counted); `parameters`, those of the network; `share_of_ceiling`, rate as a fraction of that of
the product in the same dtype and process, null if it was not measured; `peak_memory_mib`, peak
memory of TensorFlow's allocator on a GPU, or peak resident set of the process on a CPU (Linux
only).

Sizes are those of the config, by default the paper's. On a CPU the batch size, the windows per
batch, the matrices and the copies are smaller, unless they are given.
"""

import contextlib
import datetime
import functools
import json
import logging
import os
import platform
import re
import statistics
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from gkcmn_tf import config as configs
from gkcmn_tf import program
from gkcmn_tf import train as training
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.features import extraction
from gkcmn_tf.files import whole_file
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.training import optimizers, run_folder, trainer
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
from gkcmn_tf.video.reading import FRAME_SIZE
from gkcmn_tf.video.windows import WINDOW_STRIDE, window_batches
from gkcmn_tf.video_grounder import SENTENCES_PER_BATCH, VideoGrounder

FLAGS = flags.FLAGS
# The dtype of products and convolutions under each policy.
DTYPES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
VOCABULARY = [f"word{number}" for number in range(200)]
DEFAULTS = {
    "GPU": {"product_size": 8192, "copy_mib": 1024, "windows": 128, "runs": 20},
    "CPU": {"product_size": 2048, "copy_mib": 256, "windows": 4, "runs": 3, "batch_size": 1},
}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("experiment", "gkcmn", "Model, as for gkcmn_tf.train: gkcmn or bm.")
    flags.DEFINE_multi_string(
        "config_file", [], "YAML file of config overrides, as for gkcmn_tf.train."
    )
    flags.DEFINE_string("params_override", None, "Config overrides, as for gkcmn_tf.train.")
    flags.DEFINE_multi_enum("parts", list(PARTS), list(PARTS), "Part to measure; repeat the flag.")
    flags.DEFINE_multi_enum(
        "precisions",
        None,
        list(DTYPES),
        "Precision to measure; repeat the flag. Default: all on a GPU; float32 and mixed_bfloat16 "
        "on a CPU, where products in float16 are very slow.",
    )
    for name, description in (
        ("batch_size", "Clips per training step; default: train.global_batch_size, 1 on a CPU"),
        ("product_size", "Rows and columns of the matrices; default: 8192, 2048 on a CPU"),
        ("copy_mib", "Size of a copy in MiB; default: 1024, 256 on a CPU"),
        ("windows", "Windows per batch of I3D; default: 128, 4 on a CPU"),
        ("runs", "Number of timed calls; default: 20, 3 on a CPU"),
    ):
        flags.DEFINE_integer(name, None, f"{description}.", lower_bound=1)
    flags.DEFINE_string("output", None, "Output file of the measurements; default: stdout.")


def main(argv):
    """Measures each part in each precision."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # the profiler's deprecation warnings
    config = configs.load(FLAGS.experiment, FLAGS.config_file, FLAGS.params_override)
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    config.runtime.num_gpus = int(on_gpu)
    defaults = DEFAULTS["GPU" if on_gpu else "CPU"]
    sizes = {
        name: FLAGS[name].value or defaults.get(name, config.train.global_batch_size)
        for name in ("batch_size", *DEFAULTS["GPU"])
    }
    config.train.global_batch_size = sizes["batch_size"]
    configs.validate(config)
    precisions = FLAGS.precisions or list(DTYPES)[: 3 if on_gpu else 2]
    machine = {
        "device": device_name(on_gpu),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    ceilings = {}
    with output_file(FLAGS.output) as file:
        for part, measurements in PARTS.items():
            if part not in FLAGS.parts:
                continue
            for measured in measurements(config, sizes, precisions):
                if part == "products":
                    ceilings[measured["dtype"]] = measured["gflop"] / measured["seconds"]
                if "gflop" in measured:
                    rate = measured["gflop"] / measured["seconds"]
                    ceiling = ceilings.get(measured["dtype"])
                    measured["gflop_per_second"] = rate
                    measured["share_of_ceiling"] = ceiling and rate / ceiling
                print(json.dumps({"part": part} | measured | machine), file=file, flush=True)


@contextlib.contextmanager
def output_file(path: str | None):
    """Yields a file for `path`, written whole or not at all; stdout if it is None."""
    if path is None:
        yield sys.stdout
        return
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        yield file


# Parts: each yields its measurements.


def products(config, sizes, precisions):
    """Products of two square matrices."""
    del config
    size = sizes["product_size"]
    for precision in precisions:
        dtype = DTYPES[precision]
        matrix = tf.cast(tf.random.stateless_uniform([size, size], seed=[0, 0]), dtype)
        yield {
            "what": f"product of {size}x{size} matrices",
            "dtype": dtype,
            "gflop": 2 * size**3 / 1e9,
            **measure(functools.partial(tf.matmul, matrix, matrix), sizes["runs"]),
        }


def copies(config, sizes, precisions):
    """Copies from the host to a GPU, and on the device."""
    del config, precisions
    mib = sizes["copy_mib"]
    on_device = tf.zeros([mib, 2**20], tf.uint8)
    calls = {"device": lambda: tf.raw_ops.DeepCopy(x=on_device)}
    if tf.config.list_physical_devices("GPU"):
        # From NumPy, since TensorFlow copies a tensor of its own to a device only once.
        on_host = np.zeros([mib, 2**20], np.uint8)
        calls = {"host to device": lambda: tf.constant(on_host)} | calls
    for name, call in calls.items():
        measured = measure(call, sizes["runs"])
        rate = mib * 2**20 / measured["seconds"] / 1e9
        yield {"what": f"copy of {mib} MiB, {name}", "gb_per_second": rate, **measured}


def sentences(config, sizes, precisions):
    """Sentences on an encoded video, from text to tubes."""
    data = config.data
    tokenizer = Tokenizer(VOCABULARY, data.max_words)
    frames = WINDOW_STRIDE * data.max_steps
    shape = [data.max_steps, data.grid_size, data.grid_size, data.feature_channels]
    features = np.random.default_rng(0).random(shape, np.float32).astype(np.float16)
    timeline = Timeline(np.arange(frames) / 25, frames / 25)
    source = SourceVideo("random", 640, 360, 25.0, timeline)
    video = EncodedVideo(features, np.arange(len(features)), source, {})
    rng = np.random.default_rng(0)
    words = min(8, data.max_words)
    asked = [" ".join(rng.choice(VOCABULARY, words)) for _ in range(SENTENCES_PER_BATCH)]
    for precision in precisions:
        config.runtime.precision = precision
        keras.config.set_dtype_policy(precision)
        model = run_folder.build_model(config, tokenizer.vocabulary_size)
        for count in (1, len(asked)):
            grounder = VideoGrounder(model, tokenizer, {}, max_steps=data.max_steps)
            call = functools.partial(grounder.ground, video, asked[:count])
            yield {
                "what": f"{count} sentence{'s' if count > 1 else ''}, {data.max_steps} steps",
                "dtype": DTYPES[precision],
                "parameters": model.count_params(),
                "gflop": forward_gflop(model, data, count),
                **measure(call, sizes["runs"]),
            }


def i3d_batches(config, sizes, precisions):
    """Windows of I3D, from frames to features."""
    del config
    count = sizes["windows"]
    rng = np.random.default_rng(0)
    size = (WINDOW_STRIDE * count, FRAME_SIZE, FRAME_SIZE, 3)
    frames, windows, _ = next(window_batches(rng.integers(0, 256, size, np.uint8), count))
    for precision in precisions:
        if DTYPES[precision] not in extraction.COMPUTE_DTYPES:
            continue
        keras.config.set_dtype_policy("float32")
        i3d = extraction.FeatureExtractor.from_source(
            "random:0", compute_dtype=DTYPES[precision], batch_size=count
        ).i3d

        @tf.function
        def compute(frames, windows, i3d=i3d):
            scaled = tf.cast(frames, tf.float32) / 127.5 - 1.0
            return tf.cast(i3d(tf.gather(scaled, windows), training=False), tf.float16)

        graph = compute.get_concrete_function(tf.constant(frames), tf.constant(windows)).graph
        measured = measure(
            lambda: compute(tf.constant(frames), tf.constant(windows)).numpy(),
            sizes["runs"],
        )
        yield {
            "what": f"I3D, {count} windows",
            "dtype": DTYPES[precision],
            "windows_per_second": count / measured["seconds"],
            "parameters": i3d.count_params(),
            "gflop": gflop(graph),
            **measured,
        }


def training_steps(config, sizes, precisions):
    """Training steps, with the batch copied from the host each time."""
    clips, data = sizes["batch_size"], config.data
    with tf.device("CPU"):
        batch = tf.nest.map_structure(tf.constant, random_batch(clips, data))
    examples = tf.data.Dataset.range(clips).repeat()
    examples = examples.map(
        lambda clip: tf.nest.map_structure(lambda x: x[clip], batch),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    batches = examples.batch(clips, drop_remainder=True).prefetch(2)
    for precision in precisions:
        config.runtime.precision = precision
        keras.config.set_dtype_policy(precision)
        strategy = training.create_strategy(config.runtime)
        with strategy.scope():
            model = run_folder.build_model(config, len(VOCABULARY))
            optimizer = optimizers.create_optimizer(config, model)
        training_run = trainer.Trainer(
            model,
            optimizer,
            strategy.experimental_distribute_dataset(batches),
            strategy,
            step=tf.Variable(0, dtype=tf.int64),
            clip_norm=config.train.clip_norm,
            accumulation_steps=config.train.accumulation_steps,
        )
        iterator = iter(training_run.train_dataset)
        parts = config.train.accumulation_steps
        yield {
            "what": f"training step, {clips} x {data.queries_per_clip} sentences, "
            f"{data.max_steps} steps" + (f", in {parts} parts" if parts > 1 else ""),
            "dtype": DTYPES[precision],
            "gflop": 3 * clips * forward_gflop(model, data, data.queries_per_clip),
            **measure(lambda: training_run.train_step(iterator), sizes["runs"]),  # noqa: B023
        }


PARTS = {
    "products": products,
    "copies": copies,
    "sentences": sentences,
    "i3d": i3d_batches,
    "training": training_steps,
}


def random_batch(clips: int, data: configs.DataConfig):
    """Creates `(inputs, labels)` as `GroundingModel` describes them; all steps are valid."""
    rng = np.random.default_rng(0)
    T, Q = data.max_steps, data.queries_per_clip
    grid = (data.grid_size, data.grid_size, data.feature_channels)
    begin = rng.integers(0, T // 2 + 1, (clips, Q, 1))
    end = rng.integers(begin + 1, T + 1)
    steps = np.arange(T)
    box_mask = (steps >= begin) & (steps < end)
    corners = np.sort(rng.random((clips, Q, T, 2, 2), np.float32), axis=-2)
    inputs = {
        "features": rng.random((clips, T, *grid), np.float32).astype(np.float16),
        "step_mask": np.ones((clips, T), bool),
        "tokens": rng.integers(2, len(VOCABULARY), (clips, Q, data.max_words), np.int32),
    }
    labels = {
        "boxes": corners.reshape(clips, Q, T, 4) * box_mask[..., None],
        "box_mask": box_mask,
        "segment": np.concatenate([begin, end], axis=-1).astype(np.float32),
        "query_mask": np.ones((clips, Q), bool),
    }
    return inputs, labels


def forward_gflop(model, data, queries) -> float:
    """Operations of the forward pass of one clip with `queries` sentences, in 10^9."""
    T, S = data.max_steps, data.grid_size
    inputs = {
        "features": tf.TensorSpec([1, T, S, S, data.feature_channels], tf.float16),
        "step_mask": tf.TensorSpec([1, T], tf.bool),
        "tokens": tf.TensorSpec([1, queries, data.max_words], tf.int32),
    }
    return gflop(tf.function(model).get_concrete_function(inputs, training=False).graph)


def gflop(graph) -> float:
    """Operations of a graph that TensorFlow's profiler counts, in 10^9."""
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    counted = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return counted.total_float_ops / 1e9


def measure(call, runs: int) -> dict:
    """Times `call`: the first call, and the median of `runs` further ones."""
    reset_peak_memory()
    first, _ = timed(call)
    times = [timed(call) for _ in range(runs)]
    seconds, cpu_seconds = map(statistics.median, zip(*times, strict=True))
    return {
        "first_seconds": first,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "runs": runs,
        "peak_memory_mib": peak_memory(),
    }


def timed(call) -> tuple[float, float]:
    """Wall and CPU time of a call in seconds, until the device is done."""
    tf.test.experimental.sync_devices()
    began, cpu_began = time.perf_counter(), time.process_time()
    call()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - began, time.process_time() - cpu_began


def reset_peak_memory() -> None:
    """Starts a new measurement of `peak_memory`."""
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.reset_memory_stats("GPU:0")
        return
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_memory() -> float:
    """Peak memory in MiB: of TensorFlow on the GPU, or else of the process."""
    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) / 2**10


def device_name(on_gpu: bool) -> str:
    """Name of the first GPU, or of the CPU with the number of its cores that TensorFlow uses."""
    if on_gpu:
        gpu = tf.config.list_physical_devices("GPU")[0]
        return tf.config.experimental.get_device_details(gpu)["device_name"]
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*:\s*(.+)", file.read())
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    name = found[1] if found else platform.machine()
    return f"{name}, {threads or os.cpu_count()} threads"


if __name__ == "__main__":
    program.run(main, define_flags)
