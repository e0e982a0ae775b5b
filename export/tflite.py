r"""Exports the grounding network or the I3D network of a trained model to TensorFlow Lite.

Example:
    python -m export.tflite --preset=gkcmn_shapes --output=grounding.tflite
    python -m export.tflite --preset=gkcmn_shapes --output=i3d.tflite --network=i3d \
        --quantization=float16

The file uses only built-in operators and static shapes. It has one signature, named after the
network; `export.networks` describes its inputs and outputs. The metadata needed at inference time
are stored in the file (`export.tflite_files`).

Quantisation:
    none: float32 weights and computation.
    float16: float16 weights, half the size.
    dynamic: int8 weights, a quarter of the size; activations are quantised at run time.
    int8: int8 weights and activations with scales calibrated on --examples training sentences of
        --records_dir, or, for I3D, on windows of each --calibration_video.
"""

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from gkcmn_tf import preset, program
from gkcmn_tf.features import extraction, feature_records
from gkcmn_tf.features.fingerprint import read_fingerprint
from gkcmn_tf.files import write_bytes
from gkcmn_tf.modeling.layers.recurrence import JointBiGRU
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.video import reading
from gkcmn_tf.video.windows import window_batches

from . import networks
from .flat_convolutions import flatten_convolutions
from .tflite_files import builtin_operators, node_names, operators, with_metadata

FLAGS = flags.FLAGS
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
# In the grounding network, int8 applies only to these operators, except in recurrent layers. The
# rest stays in float, since mask values of -1e9 would make the int8 scale useless.
INT8_OPERATORS = {"CONV_2D", "FULLY_CONNECTED"}
CALIBRATION_SPLIT = "train"

# Calibration examples: dictionaries of input arrays by name.
Examples = Iterable[dict[str, np.ndarray]]


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "preset",
        "gkcmn_shapes",
        "Trained model: name or folder of a preset, hf://owner/name, or folder of a run of "
        "gkcmn_tf.train.",
    )
    flags.DEFINE_string("output", None, "Output file, *.tflite.", required=True)
    flags.DEFINE_enum("network", "grounding", networks.NETWORKS, "Network to export.")
    flags.DEFINE_enum("quantization", "none", QUANTIZATIONS, "Quantisation scheme; see above.")
    flags.DEFINE_string(
        "records_dir", None, "Records folder for int8 calibration of the grounding network."
    )
    flags.DEFINE_integer(
        "examples", 200, "Number of sentences for int8 calibration.", lower_bound=1
    )
    flags.DEFINE_multi_string(
        "calibration_video", [], "Video file for int8 calibration of I3D; repeatable."
    )
    flags.DEFINE_string(
        "i3d_weights", None, "Location of the I3D weights; default: the location used in training."
    )


def main(argv):
    """Converts the network, checks its operators and writes the file."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    if FLAGS.quantization == "int8":
        needed = "calibration_video" if FLAGS.network == "i3d" else "records_dir"
        if not FLAGS[needed].value:
            raise app.UsageError(
                f"--quantization=int8 --network={FLAGS.network} requires --{needed}"
            )
    logging.set_verbosity(logging.INFO)
    trained = preset.load(FLAGS.preset)
    examples: Examples = ()
    if FLAGS.network == "i3d":
        network = networks.i3d(trained.features, FLAGS.i3d_weights)
        examples = window_examples(FLAGS.calibration_video, trained.features.get("fps"))
    else:
        network = networks.grounding(trained)
        if FLAGS.quantization == "int8":
            examples = sentence_examples(trained, FLAGS.records_dir, FLAGS.examples)
    model = network_file(network, FLAGS.quantization, examples)
    write_bytes(FLAGS.output, model)
    logging.info("%s: %.1f MB", FLAGS.output, len(model) / 1e6)


def network_file(network: networks.Network, quantization: str, examples: Examples = ()) -> bytes:
    """Converts a network.

    Args:
        network: a network of `export.networks`; modified in place.
        quantization: one of `QUANTIZATIONS`.
        examples: calibration inputs for `int8`.

    Returns:
        Content of the TensorFlow Lite file.

    Raises:
        ValueError: an operator is not built into TensorFlow Lite.
    """
    if network.name == "i3d":
        return _convert(network, quantization, examples)
    if quantization == "int8":
        unroll_recurrences(network.model)
    return _convert(network, quantization, examples, INT8_OPERATORS)


def unroll_recurrences(model: keras.Model) -> None:
    """Unrolls all GRUs, since int8 calibration does not support operators inside loops."""
    for layer in model._flatten_layers():
        if isinstance(layer, JointBiGRU):
            layer.unroll()
        elif isinstance(layer, keras.layers.GRU):
            layer.unroll = True
            # Keras 3.15 zeroes the outputs of a backward unrolled GRU at the padded steps of the
            # *forward* sequence, which are different steps. Outputs of padded steps are masked by
            # the layers that read them.
            layer.zero_output_for_mask = False


def sentence_examples(
    trained: TrainedModel, records_dir: str, count: int
) -> Iterator[dict[str, np.ndarray]]:
    """Returns calibration inputs of the grounding network from training records.

    The sentences are random but deterministic. Their features are read when they are needed.

    Args:
        trained: the trained model.
        records_dir: records folder with a split `train`.
        count: maximum number of sentences.

    Raises:
        FileNotFoundError: the records or the features of a video do not exist.
        ValueError: the features differ from those that the model was trained on, or the split has
            no sentences.
    """
    manifest = os.path.join(records_dir, clip_records.MANIFEST)
    features = read_fingerprint(manifest, "features")
    if changes := extraction.differences(trained.features, features):
        raise ValueError(
            f"{manifest}: feature settings {changes} differ from those of the model's training; "
            "use records with its settings"
        )
    sentences = [
        (clip, sentence.text)
        for clip in clip_records.read_clips(records_dir, CALIBRATION_SPLIT)
        for sentence in clip.sentences
    ]
    if not sentences:
        raise ValueError(f"{records_dir}: split {CALIBRATION_SPLIT!r} contains no sentence")
    chosen = np.random.default_rng(0).permutation(len(sentences))[:count]
    return (_example(trained, records_dir, *sentences[number]) for number in chosen)


def _example(trained, records_dir, clip, sentence):
    video = feature_records.read_video_features(records_dir, clip.video_id)
    features, mask = input_pipeline.clip_inputs(
        video.features, clip.begin, clip.end, trained.max_steps
    )
    return {
        "features": features.numpy()[None].astype(np.float32),
        "step_mask": mask.numpy()[None].astype(np.int32),
        "tokens": trained.tokenizer([sentence]),
    }


def window_examples(
    paths: Iterable[str], fps: float | None, windows: int = 4
) -> Iterator[dict[str, np.ndarray]]:
    """Yields calibration inputs of I3D: the first windows of each video.

    Args:
        paths: video files.
        fps: target frame rate, in frames per second; None for every frame.
        windows: number of windows per video.
    """
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
    metadata = {"network": signature, "quantization": quantization} | network.metadata
    for kind, specs in (("inputs", inputs), ("outputs", outputs)):
        metadata[kind] = {name: [spec.dtype.name, *spec.shape] for name, spec in specs.items()}
    return with_metadata(converted, metadata)


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
    # Recurrent layers stay in float: at padded steps of the examples they only see zeros, so their
    # calibrated scales would be wrong for longer inputs. Their share of the computation is small.
    nodes = [name for name in node_names(debugger.calibrated_model) if "gru_cell" in name]
    debugger.options = tf.lite.experimental.QuantizationDebugOptions(
        **excluded, denylisted_nodes=nodes
    )
    return debugger.get_nondebug_quantized_model()


if __name__ == "__main__":
    program.run(main, define_flags)
