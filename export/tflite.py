r"""Writes a trained run, or its I3D, as a TensorFlow Lite file.

Example:
    python -m export.tflite --model_dir=runs/demo --output=grounding.tflite
    python -m export.tflite --model_dir=runs/demo --output=i3d.tflite --network=i3d \
        --quantization=float16

Only built-in operators are used, and every shape is static. Each file has one signature, of its
network's name, and metadata that say all else that is needed to run it (`export.tflite_files`):

grounding: `features` float32 [1, T, S, S, C], `step_mask` bool [1, T], `tokens` int32 [1, N] ->
    `segment` [1, 2] in steps, `score` [1], `boxes` [1, T, 4] normalised; see `GroundingModel`.
i3d: `frames` uint8 [1, 8, 224, 224, 3], RGB -> `features` float32 [1, S, S, C].

Quantisation: `none` computes in float32; `float16` stores weights in half the bytes; `dynamic` and
`int8` store them in a quarter, and multiply in integers: `dynamic` with scales taken anew from each
input, `int8` with scales learnt beforehand from --examples training sentences, or, for I3D, from
windows of each --calibration_video.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from export.flat_convolutions import flatten_convolutions
from export.tflite_files import NETWORKS, builtin_operators, operators, with_metadata
from gkcmn_tf import features, i3d_weights, input_pipeline, runs, steps, video
from gkcmn_tf.atomic_files import write_bytes
from gkcmn_tf.i3d import load_i3d
from gkcmn_tf.windows import window_batches

FLAGS = flags.FLAGS
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
# Of the grounding network, int8 computes the products with weights in integers. All else stays in
# float: masks of -1e9 would leave 8 bits no room for other numbers.
INT8_OPERATORS = {"CONV_2D", "FULLY_CONNECTED"}

# What a signature takes, by name; each example is one such dictionary of arrays.
Examples = Iterable[dict[str, np.ndarray]]


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output", None, "File to write, by custom *.tflite.", required=True)
    flags.DEFINE_enum("network", "grounding", NETWORKS, "The model, or the I3D in front of it.")
    flags.DEFINE_enum("quantization", "none", QUANTIZATIONS, "How weights are stored; see above.")
    flags.DEFINE_string("records_dir", None, "Where int8 takes sentences; default: the run's own.")
    flags.DEFINE_integer("examples", 200, "How many sentences int8 learns from.", lower_bound=1)
    flags.DEFINE_multi_string("calibration_video", [], "Video that the int8 of I3D learns from.")
    flags.DEFINE_string("i3d_weights", None, "Where the I3D weights lie now, if elsewhere.")


def main(argv):
    """Converts, checks, writes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    run = runs.load(FLAGS.model_dir)
    if FLAGS.network == "i3d":
        i3d = load_trained_i3d(run.features, FLAGS.i3d_weights)
        examples = window_examples(FLAGS.calibration_video, run.features.get("fps"))
        if FLAGS.quantization == "int8" and not FLAGS.calibration_video:
            raise ValueError("--quantization=int8 of I3D needs --calibration_video: videos to see")
        model = i3d_file(run.features, i3d, FLAGS.quantization, examples)
    else:
        if FLAGS.records_dir:
            run.config.data.records_dir = FLAGS.records_dir
        model = grounding_file(run, FLAGS.quantization, sentence_examples(run, FLAGS.examples))
    write_bytes(FLAGS.output, model)
    logging.info("%s: %.1f MB", FLAGS.output, len(model) / 1e6)


def grounding_file(run: runs.Run, quantization: str, examples: Examples = ()) -> bytes:
    """The grounding network of a run.

    Args:
        run: trained in any precision; the file's weights are those of float32.
        quantization: one of `QUANTIZATIONS`.
        examples: inputs that `int8` learns from.

    Raises:
        ValueError: an operator is not built in.
    """
    model = flatten_convolutions(in_float32(run))
    if quantization == "int8":
        unroll_recurrences(model)
    data = run.config.data
    grid = (data.grid_size, data.grid_size, data.feature_channels)
    inputs = {
        "features": tf.TensorSpec([1, data.max_steps, *grid], tf.float32, "features"),
        "step_mask": tf.TensorSpec([1, data.max_steps], tf.bool, "step_mask"),
        "tokens": tf.TensorSpec([1, data.max_words], tf.int32, "tokens"),
    }

    def ground(features, step_mask, tokens):
        batch = {"features": features, "step_mask": step_mask, "tokens": tokens[:, None]}
        decoded = model.decode(batch, model(batch, training=False))
        return {name: value[:, 0] for name, value in decoded.items()}

    return _convert(
        model,
        ground,
        inputs,
        {
            "network": "grounding",
            "step": run.step,
            "vocabulary": run.tokenizer.vocabulary[2:],
            "max_words": data.max_words,
            "max_steps": data.max_steps,
            "features": run.features,
        },
        quantization,
        examples,
        INT8_OPERATORS,
    )


def in_float32(run: runs.Run) -> keras.Model:
    """A copy of a run's model that computes in float32, whatever it was trained in."""
    config = run.config.replace(runtime=run.config.runtime.replace(precision="float32"))
    model = runs.build_model(config, run.tokenizer.vocabulary_size)
    model.set_weights(run.model.get_weights())
    return model


def unroll_recurrences(model: keras.Model) -> None:
    """Makes the GRUs compute step after step without a loop: what is in one, int8 cannot learn."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.GRU):
            layer.unroll = True


def load_trained_i3d(trained: dict, source: str | None = None) -> keras.Model:
    """I3D in float32, with the weights whose features a model was trained on.

    Args:
        trained: the fingerprint saved with the run.
        source: where the weights lie now, if elsewhere.

    Raises:
        ValueError: those are other weights.
    """
    source = source or trained["i3d_source"]
    sha256 = i3d_weights.source_fingerprint(source)
    if sha256 != trained["i3d_sha256"]:
        raise ValueError(
            f"{source}: has other I3D weights (SHA-256 {sha256}) than the model was trained on "
            f"({trained['i3d_sha256']})"
        )
    return load_i3d(source, features.ENDPOINT)


def i3d_file(trained: dict, i3d: keras.Model, quantization: str, examples: Examples = ()) -> bytes:
    """The network that makes the features of a window.

    Args:
        trained: the fingerprint of the features that a model was trained on.
        i3d: maps `[B, 8, 224, 224, 3]` in [-1, 1] to `[B, 1, S, S, C]`; is changed.
        quantization: one of `QUANTIZATIONS`.
        examples: inputs that `int8` learns from.

    Raises:
        ValueError: an operator is not built in.
    """
    flatten_convolutions(i3d)
    size = video.FRAME_SIZE

    def encode(frames):
        scaled = tf.cast(frames, tf.float32) / 127.5 - 1.0
        return {"features": i3d(scaled, training=False)[:, 0]}

    return _convert(
        i3d,
        encode,
        {"frames": tf.TensorSpec([1, steps.WINDOW_FRAMES, size, size, 3], tf.uint8, "frames")},
        {"network": "i3d", "features": trained},
        quantization,
        examples,
    )


def sentence_examples(run: runs.Run, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the grounding network from the run's training records, in a fixed random order."""
    runs.check_features(run)
    data = run.config.data
    dataset = input_pipeline.from_config(
        data, data.train_split, run.tokenizer, global_batch_size=1, training=True
    )
    for inputs, _ in dataset.take(count):
        yield {
            "features": inputs["features"].numpy().astype(np.float32),
            "step_mask": inputs["step_mask"].numpy(),
            "tokens": inputs["tokens"].numpy()[:, 0],
        }


def window_examples(
    paths: Iterable[str], fps: float | None, windows: int = 4
) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of I3D: so many windows from the beginning of each video."""
    for path in paths:
        batches = window_batches(video.decode_frames(path, fps=fps), 1)
        for frames, places, _ in itertools.islice(batches, windows):
            yield {"frames": frames[places]}


def _convert(
    model: keras.Model,
    function: Callable,
    inputs: dict[str, tf.TensorSpec],
    metadata: dict,
    quantization: str,
    examples: Examples,
    int8_operators: set[str] | None = None,
) -> bytes:
    signature = metadata["network"]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(signature, function, input_signature=list(inputs.values()))
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
        converted = _converted(converter, signature, quantization, examples, int8_operators)
    used = operators(converted)
    if foreign := sorted(name for name in used if name.startswith("CUSTOM:")):
        raise ValueError(f"{signature}: operators {foreign} are not built into TensorFlow Lite")
    outputs = tf.function(function).get_concrete_function(**inputs).structured_outputs
    shapes = {
        kind: {name: [spec.dtype.name, *spec.shape] for name, spec in specs.items()}
        for kind, specs in (("inputs", inputs), ("outputs", outputs))
    }
    return with_metadata(converted, metadata | {"quantization": quantization} | shapes)


def _converted(converter, signature, quantization, examples, int8_operators):
    if quantization == "none":
        return converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization != "int8":
        return converter.convert()
    converter.representative_dataset = lambda: ((signature, example) for example in examples)
    if int8_operators is None:
        return converter.convert()
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=sorted(builtin_operators().keys() - int8_operators)
    )
    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
    return debugger.get_nondebug_quantized_model()


if __name__ == "__main__":
    define_flags()
    app.run(main)
