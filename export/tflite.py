r"""Writes a trained run, or its I3D, as a TensorFlow Lite file.

Example:
    python -m export.tflite --model_dir=runs/demo --output=grounding.tflite
    python -m export.tflite --model_dir=runs/demo --output=i3d.tflite --network=i3d \
        --quantization=float16

Only built-in operators are used, and every shape is static. Each file has one signature, of its
network's name; `export.networks` says what goes in and out. Metadata in the file say all else that
is needed to run it (`export.tflite_files`).

Quantisation: `none` computes in float32; `float16` stores weights in half the bytes; `dynamic` and
`int8` store them in a quarter, and multiply in integers: `dynamic` with scales taken anew from each
input, `int8` with scales learnt beforehand from --examples training sentences, or, for I3D, from
windows of each --calibration_video.
"""

import itertools
import tempfile
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from gkcmn_tf import program
from gkcmn_tf.files import write_bytes
from gkcmn_tf.records import input_pipeline
from gkcmn_tf.training import run_folder
from gkcmn_tf.video import reading
from gkcmn_tf.video.windows import window_batches

from . import networks
from .flat_convolutions import flatten_convolutions
from .tflite_files import builtin_operators, node_names, operators, with_metadata

FLAGS = flags.FLAGS
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
# Of the grounding network, int8 computes the products with weights in integers, but for those of
# recurrences. All else stays in float: masks of -1e9 would leave 8 bits no room for other numbers.
INT8_OPERATORS = {"CONV_2D", "FULLY_CONNECTED"}

# What a signature takes, by name; each example is one such dictionary of arrays.
Examples = Iterable[dict[str, np.ndarray]]


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output", None, "File to write, *.tflite.", required=True)
    flags.DEFINE_enum(
        "network", "grounding", networks.NETWORKS, "The model, or the I3D in front of it."
    )
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
    run = run_folder.load(FLAGS.model_dir)
    if FLAGS.network == "i3d":
        if FLAGS.quantization == "int8" and not FLAGS.calibration_video:
            raise ValueError("--quantization=int8 of I3D needs --calibration_video: videos to see")
        examples = window_examples(FLAGS.calibration_video, run.features.get("fps"))
        network = networks.i3d(run.features, FLAGS.i3d_weights)
        model = i3d_file(network, FLAGS.quantization, examples)
    else:
        if FLAGS.records_dir:
            run.config.data.records_dir = FLAGS.records_dir
        model = grounding_file(run, FLAGS.quantization, sentence_examples(run, FLAGS.examples))
    write_bytes(FLAGS.output, model)
    logging.info("%s: %.1f MB", FLAGS.output, len(model) / 1e6)


def grounding_file(run: run_folder.Run, quantization: str, examples: Examples = ()) -> bytes:
    """The grounding network of a run.

    Args:
        run: trained in any precision; the file's weights are those of float32.
        quantization: one of `QUANTIZATIONS`.
        examples: inputs that `int8` learns from.

    Raises:
        ValueError: an operator is not built in.
    """
    network = networks.grounding(run)
    if quantization == "int8":
        unroll_recurrences(network.model)
    return _convert(network, quantization, examples, INT8_OPERATORS)


def unroll_recurrences(model: keras.Model) -> None:
    """Makes the GRUs compute step after step without a loop: what is in one, int8 cannot learn."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.GRU):
            layer.unroll = True
            # Keras 3.15 zeroes the outputs of a backward unrolled GRU where the *forward* sequence
            # is padded, which are other steps. Whoever reads a padded step's output masks it.
            layer.zero_output_for_mask = False


def i3d_file(network: networks.Network, quantization: str, examples: Examples = ()) -> bytes:
    """The network that makes the features of a window.

    Args:
        network: of `networks.i3d`; is changed.
        quantization: one of `QUANTIZATIONS`.
        examples: inputs that `int8` learns from.

    Raises:
        ValueError: an operator is not built in.
    """
    return _convert(network, quantization, examples)


def sentence_examples(run: run_folder.Run, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the grounding network from the run's training records, in a fixed random order."""
    run_folder.check_features(run)
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
        batches = window_batches(reading.decode_frames(path, fps=fps), 1)
        for frames, places, _ in itertools.islice(batches, windows):
            yield {"frames": frames[places]}


def _convert(
    network: networks.Network,
    quantization: str,
    examples: Examples,
    int8_operators: set[str] | None = None,
) -> bytes:
    flatten_convolutions(network.model)
    archive = keras.export.ExportArchive()
    archive.track(network.model)
    signature, inputs = network.name, network.inputs
    archive.add_endpoint(signature, network.function, input_signature=list(inputs.values()))
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
        converted = _converted(converter, signature, quantization, examples, int8_operators)
    used = operators(converted)
    if foreign := sorted(name for name in used if name.startswith("CUSTOM:")):
        raise ValueError(f"{signature}: operators {foreign} are not built into TensorFlow Lite")
    outputs = tf.function(network.function).get_concrete_function(**inputs).structured_outputs
    told = {"network": signature, "quantization": quantization} | network.metadata
    for kind, specs in (("inputs", inputs), ("outputs", outputs)):
        told[kind] = {name: [spec.dtype.name, *spec.shape] for name, spec in specs.items()}
    return with_metadata(converted, told)


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
    excluded = {"denylisted_ops": sorted(builtin_operators().keys() - int8_operators)}
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(**excluded),
    )
    # Where examples are padded, a recurrence has seen nothing but zeros, and a scale learnt from
    # them would be wrong for longer inputs. Its products are small; they stay in float.
    nodes = [name for name in node_names(debugger.calibrated_model) if "gru_cell" in name]
    debugger.options = tf.lite.experimental.QuantizationDebugOptions(
        **excluded, denylisted_nodes=nodes
    )
    return debugger.get_nondebug_quantized_model()


if __name__ == "__main__":
    program.run(main, define_flags)
