r"""Measures a SavedModel: loading time, latency, memory and the cost of an additional sentence.

Example:
    python -m benchmarks.serving --saved_model=runs/export/gkcmn/1 --video=park.mp4 \
        --query="the red square moves left"

Prints Markdown tables. The SavedModel runs in this process (`tf.saved_model.load`), so the overhead
of a server and the network is not included. Frames are prepared as in `export.client`.
"""

import os
import platform
import resource
import time

import numpy as np
import tensorflow as tf
import tqdm
from absl import app, flags

from gkcmn_tf import program
from gkcmn_tf.video import reading

FLAGS = flags.FLAGS
BATCHES = (1, 8)
LONG_VIDEO = (20_000, 64, 64, 3)


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("saved_model", None, "SavedModel folder, FOLDER/VERSION.", required=True)
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_string("query", None, "Sentence about the video.", required=True)
    flags.DEFINE_integer(
        "repeats", 20, "Number of timed requests per signature and batch size.", lower_bound=1
    )


def main(argv):
    """Loads the SavedModel, times the requests and prints the results."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    stream = reading.decode_frames(FLAGS.video)
    frames = np.stack(list(stream))
    loaded, model = timed(lambda: tf.saved_model.load(FLAGS.saved_model))
    signatures = model.signatures
    first, requests = first_requests(signatures, frames, stream)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}, ")
    print(f"TensorFlow {tf.__version__}; {len(frames)} frames; seconds\n")
    print(f"Load: {loaded:.2f}\n")
    print("| signature | first request | batch | p50 | p95 |\n|---|---|---|---|---|")
    medians = {}
    kinds = [(name, batch) for name in requests for batch in BATCHES]
    for name, batch in tqdm.tqdm(kinds):
        inputs = repeated(requests[name], batch)
        times = [run(signatures[name], inputs)[0] for _ in range(FLAGS.repeats + 1)][1:]
        p50, p95 = np.percentile(times, [50, 95])
        medians[name, batch] = p50
        shown = f"{first[name]:.2f}" if batch == 1 else ""
        print(f"| `{name}` | {shown} | {batch} | {p50:.3f} | {p95:.3f} |")
    many = requests["ground_features"] | {"sentences": tf.constant([[FLAGS.query] * 8])}
    times = [run(signatures["ground_features"], many)[0] for _ in range(FLAGS.repeats + 1)][1:]
    eight, one = np.median(times), medians["ground_features", 1]
    print("\n| sentence | seconds |\n|---|---|")
    print(f"| first, including the video (`ground_video`) | {medians['ground_video', 1]:.3f} |")
    print(f"| additional, in a separate request (`ground_features`) | {one:.3f} |")
    print(f"| additional, in the same request (mean of 7) | {(eight - one) / 7:.3f} |")
    before = peak_memory()
    long = requests["ground_video"] | {
        "frames": tf.zeros((1, *LONG_VIDEO), tf.uint8),
        "frame_count": tf.constant(LONG_VIDEO[:1]),
    }
    seconds, _ = run(signatures["ground_video"], long)
    size, gib = "x".join(map(str, LONG_VIDEO)), np.prod(LONG_VIDEO) / 2**30
    print(f"\nPeak memory of the process: {before:.2f} GiB. `ground_video` on {size} frames")
    print(f"({gib:.2f} GiB): {seconds:.1f} s, peak memory {peak_memory():.2f} GiB.")


def first_requests(signatures, frames, stream):
    """Returns the time of the first request in seconds, and the request, by signature."""
    count = tf.constant([len(frames)])
    picture = {
        "fps": tf.constant([stream.fps], tf.float32),
        "width": tf.constant([stream.info.width]),
        "height": tf.constant([stream.info.height]),
    }
    shown = {"frames": tf.constant(frames[None]), "frame_count": count}
    first, requests = {}, {"encode_video": shown}
    first["encode_video"], encoded = run(signatures["encode_video"], shown)
    clip = {"features": encoded["features"], "begin": count * 0, "end": count} | picture
    sentence = tf.constant([FLAGS.query])
    requests["ground_video"] = shown | picture | {"sentence": sentence}
    requests["serving_default"] = clip | {"sentence": sentence}
    requests["ground_features"] = clip | {"sentences": sentence[None]}
    for name in list(requests)[1:]:
        first[name], _ = run(signatures[name], requests[name])
    return first, requests


def peak_memory():
    """Returns the peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def repeated(inputs, batch):
    """Repeats a request `batch` times along the batch axis."""
    return {name: tf.repeat(value, batch, axis=0) for name, value in inputs.items()}


def run(signature, inputs):
    """Returns the time of a request in seconds, and its outputs in host memory."""
    return timed(lambda: {name: value.numpy() for name, value in signature(**inputs).items()})


def timed(call):
    """Returns the time of a call in seconds, and its result."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    program.run(main, define_flags)
